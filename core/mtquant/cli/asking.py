"""A command's answer: from the engine that runs, or from one started for this command alone."""

from __future__ import annotations

import getpass
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from mtquant.config import load_config
from mtquant.control.reach import NoAnswer, reach
from mtquant.feed import HALT_FILE


def person() -> str:
    """Return who is at the keyboard, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def ask(
    path: Path,
    command: str,
    arguments: Mapping[str, Any],
    *,
    live: bool = False,
    limit_s: float = math.inf,
) -> dict[str, Any]:
    """Return the answer to ``command`` of the engine over the configuration at ``path``.

    Raises MtquantError: the engine's refusal, that it doesn't answer for ``limit_s``, or that its
    journal is held by another process.
    """
    config = load_config(path)
    given = {key: value for key, value in arguments.items() if value is not None}
    folder = Path(config.engine.state_dir)
    answer = anyio.run(reach, folder, command, given, limit_s)
    if answer is not None:
        return answer
    from mtquant.cli.alone import run_alone  # noqa: PLC0415 - heavy, and seldom needed

    return run_alone(config, command, given, live=live)


_HALT_LIMIT_S = 30.0
"""An engine answers a halt after 10 s at the latest, done or not."""


def ask_to_halt(path: Path, arguments: Mapping[str, Any], *, live: bool) -> dict[str, Any]:
    """Halt; where an engine runs but hangs, leave the file that halts it as soon as it lives.

    Raises NoAnswer then, which says so and what to do.
    """
    try:
        return ask(path, "halt", arguments, live=live, limit_s=_HALT_LIMIT_S)
    except NoAnswer as hangs:
        folder = Path(load_config(path).engine.state_dir)
        (folder / HALT_FILE).write_text(f"{arguments['by']}: {arguments['why']}\n", "utf-8")
        raise NoAnswer(
            f"{hangs}: the file {HALT_FILE} lies in {folder} now, so it halts as soon as it lives "
            "again. Orders on their way may still fill: end the process, then say it again, and "
            "it is halted without it"
        ) from None
