"""A command's answer: from the engine that runs, or from one started for this command alone."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from mtquant.config import load_config
from mtquant.control.reach import reach


def person() -> str:
    """Return who is at the keyboard, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def ask(
    path: Path, command: str, arguments: Mapping[str, Any], *, live: bool = False
) -> dict[str, Any]:
    """Return the answer to ``command`` of the engine over the configuration at ``path``.

    Raises MtquantError: the engine's refusal, or that its journal is held by another process.
    """
    config = load_config(path)
    given = {key: value for key, value in arguments.items() if value is not None}
    folder = Path(config.engine.state_dir)
    answer = anyio.run(reach, folder, command, given)
    if answer is not None:
        return answer
    from mtquant.cli.alone import run_alone  # noqa: PLC0415 - heavy, and seldom needed

    return run_alone(config, command, given, live=live)
