"""What ``mtquant optimize`` does: a search, its progress, and its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mtquant.backtest.api import time_named
from mtquant.backtest.run import Prepared, prepare
from mtquant.cli.backtest import Asked, config_of
from mtquant.cli.findings import show
from mtquant.cli.tables import out
from mtquant.errors import ConfigError
from mtquant.plugins import load_catalogue
from mtquant.search.answer import Answer, by_chance, params_text, value_text
from mtquant.search.api import searching
from mtquant.search.finding import Found, Searcher, Trial, Wanted
from mtquant.search.forward import Holdout, Lengths, WalkForward, hold_out, walk_forward
from mtquant.search.page import write_page
from mtquant.search.parts import Mode, steps_of
from mtquant.search.space import Space, choice_of, range_of
from mtquant.search.trial import Bench

_STOPPED = 130
_PARTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What somebody asked to be searched; see the command's options."""

    backtest: Asked = field(default_factory=Asked)
    ranges: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    by: str = "sharpe"
    min_trades: int = 30
    method: str = "grid"
    trials: int | None = None
    workers: int | None = None
    on: str | None = None
    state: Path | None = None
    split: str | None = None
    walk_forward: str | None = None
    train: str | None = None
    test: str | None = None
    embargo: int = 0
    monte_carlo: int = 1000
    top: int = 10


def search(asked: Searched) -> int:
    """Search, and show what was found; 1 where nothing is a candidate, 130 after Ctrl-C."""
    backtest = asked.backtest
    axes = [*map(range_of, asked.ranges), *map(choice_of, asked.choices)]
    wanted = Wanted(
        space=Space.of(axes, asked.where),
        by=asked.by,
        method=asked.method,
        trials=asked.trials,
        seed=backtest.seed,
        min_trades=asked.min_trades,
    )
    if asked.top < 1:
        raise ConfigError("--top", f"{asked.top} is too few", "Give at least 1.")
    how = _how(asked)
    catalogue = load_catalogue()
    prepared = prepare(config_of(backtest, catalogue), catalogue)
    progress = Counting(Console(stderr=True), asked.by)
    try:
        answer = _answer(asked, prepared, wanted, how, progress)
    except KeyboardInterrupt:
        _stopped(asked, progress)
        return _STOPPED
    _give(answer, asked)
    found = answer.chosen is not None or answer.forward is not None
    return 0 if found else 1


def _how(asked: Searched) -> tuple[float, float, float] | Mode | None:
    """Return the shares of a split, the mode of a walk-forward, or None for all of the data."""
    if asked.split is not None and asked.walk_forward is not None:
        raise ConfigError("--split", "and --walk-forward are two searches", "Choose one.")
    lengths = [asked.train, asked.test]
    if asked.walk_forward is None and any(lengths):
        raise ConfigError("--train", "is of a walk-forward", "Add --walk-forward rolling.")
    if asked.walk_forward is not None:
        if not all(lengths):
            raise ConfigError("--walk-forward", "needs --train and --test", "Such as 2000 and 500.")
        return _mode(asked.walk_forward)
    if asked.split is not None:
        return _shares(asked.split)
    if asked.embargo:
        raise ConfigError("--embargo", "is between parts", "Add --split or --walk-forward.")
    return None


def _mode(text: str) -> Mode:
    match text:
        case "anchored" | "rolling":
            return text
    raise ConfigError("--walk-forward", f"{text!r} is none", "There are anchored and rolling.")


def _shares(text: str) -> tuple[float, float, float]:
    try:
        shares = [float(each) for each in text.split("/")]
    except ValueError:
        shares = []
    if len(shares) != _PARTS:
        raise ConfigError("--split", f"{text!r} is not three shares", "Such as 60/20/20.")
    return shares[0], shares[1], shares[2]


def _answer(
    asked: Searched,
    prepared: Prepared,
    wanted: Wanted,
    how: tuple[float, float, float] | Mode | None,
    progress: Counting,
) -> Answer:
    start = asked.backtest.start
    begin = None if start is None else time_named(start)
    found: Found | None = None
    split: Holdout | None = None
    forward: WalkForward | None = None
    with (
        progress,
        searching(
            prepared,
            wanted,
            start=begin,
            workers=asked.workers,
            on=asked.on,
            state=asked.state,
            progress=progress.step,
        ) as searcher,
    ):
        if isinstance(how, str):
            forward = _walk(asked, searcher, prepared, how, begin)
        elif how is not None:
            split = hold_out(
                searcher, prepared, how, embargo=asked.embargo, finalists=asked.top, start=begin
            )
            found = split.found
        else:
            found = searcher.find()
    chosen = split.chosen if split is not None else found.best if found is not None else None
    part = None if split is None else split.split.test
    bench = Bench(prepared, wanted.seed, begin)
    shuffled, drawn = by_chance(bench, chosen, part, asked.monte_carlo)
    return Answer(
        prepared=prepared,
        by=wanted.by,
        method=wanted.method,
        seed=wanted.seed,
        found=found,
        split=split,
        forward=forward,
        shuffled=shuffled,
        drawn=drawn,
    )


def _walk(
    asked: Searched, searcher: Searcher, prepared: Prepared, mode: Mode, start: int | None
) -> WalkForward:
    lengths = Lengths(
        mode=mode,
        train=steps_of(str(asked.train), prepared, "--train"),
        test=steps_of(str(asked.test), prepared, "--test"),
        embargo=asked.embargo,
    )
    return walk_forward(searcher, prepared, lengths, start)


class Counting:
    """Shows how many combinations are known, and the best of them.

    A bar on a terminal, a line for each tenth elsewhere.
    """

    def __init__(self, console: Console, by: str) -> None:
        self._console, self._by = console, by
        self._said = 0
        self.known = 0
        self._bar = Progress(
            TextColumn("{task.fields[best]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, best="searching")

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

    def step(self, known: int, total: int, best: Trial | None) -> None:
        """Hear of one more combination."""
        if total == 1:  # a test of what was chosen
            return
        self.known = known
        text = "searching"
        if best is not None and best.value is not None:
            text = f"{self._by} {value_text(best.value)} at {params_text(best)}"
        self._bar.update(self._task, completed=known, total=total, best=text)
        tenth = 10 * known // total if total else 0
        if known == 0 or tenth < self._said:
            self._said = 0
        if not self._console.is_terminal and tenth > self._said:
            self._said = tenth
            told = f"  {known:,} of {total:,}  {text}"
            self._console.print(told, highlight=False, markup=False, soft_wrap=True)


def _stopped(asked: Searched, progress: Counting) -> None:
    kept = (
        f"What was found is in {asked.state}: the same command goes on from there."
        if asked.state is not None
        else "Nothing was kept: with --state FILE the same command goes on where it stopped."
    )
    console = Console(stderr=True)
    console.print(
        f"Stopped with {progress.known:,} combinations known. {kept}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def _give(answer: Answer, asked: Searched) -> None:
    """Write the page, and print the answer as JSON or as tables."""
    report = asked.backtest.report
    if report is not None:
        write_page(report, answer, asked.top)
    if asked.backtest.as_json_text:
        print(json.dumps(answer.to_dict(asked.top)))  # noqa: T201 - what --json is for
        return
    show(answer, asked.top)
    for name, path in (("report", report), ("state", asked.state)):
        if path is not None:
            out().print(f"{name}: {path}", soft_wrap=True, highlight=False, markup=False)
