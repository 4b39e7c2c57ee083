"""The notifiers: one line a notice, whatever it says."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from mtquant.clock import ManualClock, parse_time
from mtquant.contract import Level, Notifier
from mtquant_notifiers import notifiers
from mtquant_notifiers.file import FileNotifier, FileNotifierSettings

NOTIFIERS = {each.name: each for each in notifiers()}
HOSTILE = "a\nALARM forged\x1b[31m [red]é[/red] \u2028 \x00"
HARMLESS = "a\\nALARM forged\\x1b[31m [red]é[/red] \\u2028 \\x00"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> Notifier[Any]:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return NOTIFIERS["console"](NOTIFIERS["console"].Settings())


def test_console_writes_plain_lines_to_stderr(
    console: Notifier[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    console.notify(Level.INFO, "started")
    console.notify(Level.ALARM, "x" * 300)

    assert capsys.readouterr() == ("", f"INFO started\nALARM {'x' * 300}\n")


def test_console_shows_hostile_text_as_text(
    console: Notifier[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    console.notify(Level.WARNING, HOSTILE)

    assert capsys.readouterr().err == f"WARNING {HARMLESS}\n"


def test_console_colours_by_level_on_a_terminal(
    console: Notifier[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    for level in Level:
        console.notify(level, "12 lots")

    assert terminal.getvalue().splitlines() == [
        "INFO 12 lots",
        "\x1b[33mWARNING 12 lots\x1b[0m",
        "\x1b[1;31mALARM 12 lots\x1b[0m",
    ]


def test_file_appends_stamped_lines(tmp_path: Path) -> None:
    path = tmp_path / "new" / "logs" / "notices.log"
    clock = ManualClock(parse_time("2026-01-05T12:00:00Z"))

    FileNotifier(FileNotifierSettings(path=path), clock).notify(Level.INFO, "started")
    clock.set(parse_time("2026-01-05T12:00:01.25Z"))
    FileNotifier(FileNotifierSettings(path=path), clock).notify(Level.ALARM, HOSTILE)

    assert path.read_text(encoding="utf-8").split("\n") == [
        "2026-01-05T12:00:00Z INFO started",
        f"2026-01-05T12:00:01.25Z ALARM {HARMLESS}",
        "",
    ]


def test_file_goes_on_after_it_was_rotated(tmp_path: Path) -> None:
    path = tmp_path / "notices.log"
    notifier = FileNotifier(FileNotifierSettings(path=path), ManualClock())

    notifier.notify(Level.INFO, "one")
    path.rename(tmp_path / "notices.1")
    notifier.notify(Level.INFO, "two")

    assert path.read_text() == "1970-01-01T00:00:00Z INFO two\n"


def test_file_made_from_settings_alone_stamps_with_the_machines_time(tmp_path: Path) -> None:
    path = tmp_path / "notices.log"
    kind = NOTIFIERS["file"]

    kind(kind.Settings.model_validate({"path": path})).notify(Level.INFO, "now")

    assert parse_time(path.read_text().split()[0]) > parse_time("2026-01-01T00:00:00Z")
