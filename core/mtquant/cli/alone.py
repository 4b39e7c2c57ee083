"""An engine that is started for one command of a person, and stopped after it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from rich.console import Console

from mtquant.agents.registry import Registry
from mtquant.assemble import assemble
from mtquant.clock import seeded
from mtquant.config import Config
from mtquant.control.commands import Commands
from mtquant.decide import Tell
from mtquant.engine import Engine, Observer
from mtquant.errors import MtquantError
from mtquant.plugins import load_catalogue


class _Aloud(Observer):
    """Says on stderr what people are told."""

    def on_tell(self, told: Tell) -> None:
        Console(stderr=True).print(
            told.message, style="dim", highlight=False, markup=False, soft_wrap=True
        )


def run_alone(
    config: Config, command: str, arguments: Mapping[str, Any], *, live: bool
) -> dict[str, Any]:
    """Return the answer to one command of an engine that pursues nothing.

    Raises MtquantError as the command does, and JournalError where another engine runs.
    """
    return anyio.run(partial(_run, config, command, arguments, live=live))


async def _run(
    config: Config, command: str, arguments: Mapping[str, Any], *, live: bool
) -> dict[str, Any]:
    made = assemble(
        config,
        load_catalogue(),
        seeded(None),
        _Aloud(),
        live=live,
        passive=True,
        agents=Registry(Path(config.engine.state_dir)).agents,
    )
    answers: list[dict[str, Any] | MtquantError] = []

    async def feed(engine: Engine) -> None:
        try:
            answers.append(await Commands(engine).run(command, arguments))
        except MtquantError as error:
            answers.append(error)

    def first(engine: Engine) -> None:
        Commands(engine).run_first(command, arguments)

    await made.engine.run(feed, first)
    (answer,) = answers
    if isinstance(answer, MtquantError):
        raise answer
    return answer
