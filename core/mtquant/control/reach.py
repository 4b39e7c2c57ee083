"""The commands' end of the channel to a running engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from mtquant.errors import MtquantError

FILE = "control.json"
ANSWER_LIMIT = 8 * 1024 * 1024
"""The longest answer of an engine, in bytes."""
CONNECT_S = 2.0
"""An engine on this machine that doesn't take a connection in this time is none."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Where an engine listens, and what it asks for; ``token`` never appears in text."""

    port: int
    token: str
    process_id: int

    def __repr__(self) -> str:
        return f"Channel(port={self.port}, process_id={self.process_id})"


class Reached(MtquantError):
    """A running engine answered with an error; the message is its own."""


def find(folder: Path) -> Channel | None:
    """Return where the engine of ``folder`` says it listens, None where none does."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return Channel(int(found["port"]), str(found["token"]), int(found["process_id"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class NoAnswer(Reached):
    """An engine runs, but doesn't answer in time."""


async def reach(
    folder: Path,
    command: str,
    arguments: Mapping[str, Any],
    limit_s: float = math.inf,
) -> dict[str, Any] | None:
    """Return a running engine's answer to ``command``; None where no engine runs there.

    Raises Reached with the engine's own words where it refuses, and NoAnswer where it says
    nothing for ``limit_s``.
    """
    channel = find(folder)
    if channel is None:
        return None
    try:
        with anyio.fail_after(CONNECT_S):
            stream = await anyio.connect_tcp("127.0.0.1", channel.port)
    except (OSError, TimeoutError):
        return None  # the file of an engine that died
    request = {"token": channel.token, "command": command, "arguments": dict(arguments)}
    async with stream:
        try:
            await stream.send(json.dumps(request).encode() + b"\n")
            with anyio.fail_after(limit_s):
                line = await BufferedByteReceiveStream(stream).receive_until(b"\n", ANSWER_LIMIT)
        except TimeoutError:
            raise NoAnswer(
                f"the engine (process {channel.process_id}) doesn't answer for {limit_s:g} s"
            ) from None
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
            raise Reached(
                f"the engine (process {channel.process_id}) hung up before it answered; whether "
                f"{command} was done is not known: look at `mtquant orders` and `positions`"
            ) from None
    answer = json.loads(line)
    if "error" in answer:
        raise Reached(str(answer["error"]))
    result: dict[str, Any] = answer["result"]
    return result
