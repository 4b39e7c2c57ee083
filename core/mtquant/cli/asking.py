"""A command's answer: from the engine that runs, or from one started for this command alone."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console

from mtquant.assemble import assemble
from mtquant.clock import seeded
from mtquant.config import Config, load_config
from mtquant.control import Commands, reach
from mtquant.decide import Tell
from mtquant.engine import Engine, Observer
from mtquant.errors import MtquantError
from mtquant.plugins import load_catalogue


class _Aloud(Observer):
    """Says on stderr what people are told."""

    def on_tell(self, told: Tell) -> None:
        Console(stderr=True).print(told.message, style="dim", highlight=False, markup=False)


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
    return anyio.run(partial(_alone, config, command, given, live=live))


async def _alone(
    config: Config, command: str, arguments: Mapping[str, Any], *, live: bool
) -> dict[str, Any]:
    """Start an engine that pursues nothing, run the one command, and stop it."""
    made = assemble(config, load_catalogue(), seeded(None), _Aloud(), live=live, passive=True)
    answers: list[dict[str, Any] | MtquantError] = []

    async def feed(engine: Engine) -> None:
        try:
            answers.append(await Commands(engine).run(command, arguments))
        except MtquantError as error:
            answers.append(error)

    await made.engine.run(feed)
    (answer,) = answers
    if isinstance(answer, MtquantError):
        raise answer
    return answer
