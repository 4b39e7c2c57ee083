"""Progress of a replay: a bar on a terminal, a line for each tenth elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mtquant.clock import format_time


class Progressing:
    """Shows how many of ``total`` steps are done, the market's date and the equity.

    Where there is no terminal it ``talks``, a line for each tenth, or is silent.
    """

    def __init__(self, console: Console, total: int, *, talks: bool = True) -> None:
        self._console = console
        self._talks = talks
        self._total = total
        self._done = 0
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[equity]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting  ", total=total, equity="")

    def __enter__(self) -> Self:
        """Start showing."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop showing."""
        self._bar.stop()

    def step(self, time: int, equity: float | None) -> None:
        """Count one step."""
        self._done += 1
        date = format_time(time)[:10]
        money = "" if equity is None else f"equity {equity:,.0f}"
        self._bar.update(self._task, advance=1, description=date, equity=money)
        tenth = self._total // 10 or 1
        if self._talks and not self._console.is_terminal and self._done % tenth == 0:
            share = 100 * self._done // self._total
            self._console.print(f"  {date}  {share:3d} %  {money}", highlight=False)
