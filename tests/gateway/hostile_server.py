"""A broker's server over stdio that answers as no honest one does; a test starts it as a child.

    hostile_server.py COUNT [first]

What it could write before it was stopped, in MiB, goes into the file COUNT. With ``first`` it
floods before it has said a word.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
from tests.kernel.fake_broker import FakeBroker

from mtquant.model import Quotes
from mtquant.wire import run_stdio, serve

MEBIBYTES = 100
WIRE = os.dup(1)
"""The client's end; a server points 1 elsewhere, so that nothing else gets between its words."""


class Hostile(FakeBroker):
    """Does to its client what the instrument's name says."""

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        if "FLOOD" in instruments:
            flood()
        if "DEEP" in instruments:
            os.write(
                WIRE, b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 60_000 + b"]" * 60_000 + b"}\n"
            )
        return await super().get_quotes(instruments)


def flood() -> None:
    """Write a line that has no end, as far as it is read."""
    for number in range(1, MEBIBYTES + 1):
        left = b"x" * (1 << 20)
        while left:
            left = left[os.write(WIRE, left) :]
        Path(sys.argv[1]).write_text(str(number))


if __name__ == "__main__":
    if "first" in sys.argv:
        flood()
    anyio.run(run_stdio, serve(Hostile()))
