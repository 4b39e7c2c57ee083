"""Notices in a text file."""

from __future__ import annotations

from pathlib import Path

from mtquant import Settings
from mtquant.clock import Clock, SystemClock, format_time
from mtquant.contract import Level, Notifier
from mtquant_notifiers.text import one_line


class FileNotifierSettings(Settings):
    """The file to append to; its folder is made where it is missing."""

    path: Path


class FileNotifier(Notifier[FileNotifierSettings]):
    """Appends ``TIME LEVEL message`` to a file, a line each, time in RFC 3339 UTC.

    The file is opened for each notice, so that it may be rotated at any time. ``clock`` stamps
    the lines; settings are data and can't carry one, so whoever makes a notifier from settings
    alone gets the machine's.
    """

    name = "file"

    def __init__(self, settings: FileNotifierSettings, clock: Clock | None = None) -> None:
        super().__init__(settings)
        self._clock = clock or SystemClock()
        settings.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def notify(self, level: Level, message: str) -> None:
        """Append one line."""
        line = f"{format_time(self._clock.now())} {level.value.upper()} {one_line(message)}\n"
        with self.settings.path.open("a", encoding="utf-8") as stream:
            stream.write(line)
