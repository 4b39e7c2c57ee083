"""Notices on the standard error stream."""

from __future__ import annotations

from mtquant import Settings
from mtquant.contract import Level, Notifier
from mtquant_notifiers.text import one_line

_STYLES = {Level.INFO: "", Level.WARNING: "yellow", Level.ALARM: "bold red"}


class ConsoleNotifier(Notifier[Settings]):
    """Writes ``LEVEL message`` to stderr, a line each, coloured by level on a terminal only."""

    name = "console"

    def notify(self, level: Level, message: str) -> None:
        """Write one line; markup in ``message`` is text like any other."""
        from rich.console import Console  # noqa: PLC0415 - only who tells people pays for rich
        from rich.text import Text  # noqa: PLC0415 - likewise

        line = Text(f"{level.value.upper()} {one_line(message)}", style=_STYLES[level])
        Console(stderr=True).print(line, soft_wrap=True)
