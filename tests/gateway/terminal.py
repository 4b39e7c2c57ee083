"""Commands in processes of their own, as a person types them, for the tests of the gateway."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from mcp.client.context import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from mtquant.cli.init import write

MTQUANT = [sys.executable, "-c", "from mtquant.cli import main; main()"]
CANARY = "canary-env-5f2b9c3d7e"
"""A secret in the environment of every process."""


@dataclass
class Place:
    """A folder as `mtquant init` leaves it, an agent in it, and a person at another terminal."""

    folder: Path
    token: str = ""
    heard: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    said: Callable[[], Awaitable[ElicitResult]] | None = None

    def typed(self, *words: str) -> str:
        """Return what a command prints, typed in another process."""
        done = subprocess.run(
            [*MTQUANT, *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async def command(self, *words: str) -> Any:  # noqa: ANN401 - whatever it says
        """Return what a command says as JSON."""
        return json.loads(await anyio.to_thread.run_sync(partial(self.typed, *words, "--json")))

    async def person(
        self,
        context: ClientRequestContext,  # noqa: ARG002 - the SDK names it
        params: ElicitRequestParams,
    ) -> ElicitResult:
        """Be asked in the agent's client."""
        self.asked.append(params.message)
        assert self.said is not None
        return await self.said()

    async def waiting(self) -> dict[str, Any]:
        """Return the one suggestion that waits, as a person sees it."""
        (found,) = (await self.command("suggestions"))["suggestions"]
        return dict(found)

    def environment(self) -> dict[str, str]:
        return dict(os.environ) | {"DESK_TOKEN": CANARY}


def prepared(folder: Path) -> Place:
    """Return a place as `mtquant init` leaves it, whose strategy trades nothing itself."""
    config = folder / "mtquant.toml"
    write(config)
    text = config.read_text().replace('mode = "auto"  ', 'mode = "manual"')
    config.write_text(text + '\n[approval]\nmax_drift = "0.05"\n')
    return Place(folder)


@asynccontextmanager
async def process(
    place: Place, *words: str, until: str, killed: bool = False
) -> AsyncIterator[re.Match[str]]:
    """Run a command beside; yield where its stderr first matches ``until``, and end it after."""
    async with await anyio.open_process(
        [*MTQUANT, *words], cwd=place.folder, env=place.environment()
    ) as running:
        found, said = None, ""
        assert running.stderr is not None
        async for part in running.stderr:
            said += part.decode()
            if found := re.search(until, said):
                break
        assert found is not None, said
        async with anyio.create_task_group() as group:
            group.start_soon(_drain, running)
            try:
                yield found
            finally:
                (running.kill if killed else running.terminate)()
                with anyio.move_on_after(60, shield=True):
                    await running.wait()
                group.cancel_scope.cancel()


async def _drain(running: Process) -> None:
    for stream in (running.stderr, running.stdout):
        if stream is not None:
            async for _ in stream:
                pass
