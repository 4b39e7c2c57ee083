"""A watcher that says when the engine has died: nobody can report his own death.

``mtquant run`` starts it as a process of its own and sends it a beat, a line a time, through a
pipe. The system closes the pipe however the engine ends, so an end without a goodbye is a death;
beats that stay away are an engine that hangs. The watcher then speaks through the configured
notifiers, and on its standard error.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from mtquant.config import Config, load_config
from mtquant.contract import Level, Notifier
from mtquant.plugins import load_catalogue

_BEATS_A_LIMIT = 4
_GOODBYE = b"goodbye"


@asynccontextmanager
async def watched(config: Config, path: Path) -> AsyncIterator[None]:
    """Have the engine watched while the block runs; it is told goodbye at its end."""
    limit = config.engine.dead_man_s
    if not limit:
        yield
        return
    command = [sys.executable, "-m", "mtquant.cli.dead_man", str(path), str(os.getpid())]
    # A session of its own: Ctrl-C is meant for the engine.
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: ASYNC220, S603 - our own module
    pipe = watcher.stdin
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_beat, watcher, limit / _BEATS_A_LIMIT)
            yield
            group.cancel_scope.cancel()
    finally:
        with suppress(OSError, ValueError):
            if pipe is not None:
                pipe.write(_GOODBYE + b"\n")
                pipe.close()


async def _beat(watcher: subprocess.Popen[bytes], pause_s: float) -> None:
    while watcher.stdin is not None:
        try:
            watcher.stdin.write(b"beat\n")
            watcher.stdin.flush()
        except OSError:
            return  # the watcher has ended; the engine goes on without
        await anyio.sleep(pause_s)


async def watch(
    stream: anyio.abc.ByteReceiveStream, limit_s: float, notifiers: list[Notifier[Any]], name: str
) -> bool:
    """Hear beats until goodbye (return True) or the pipe ends without (tell, and return False)."""
    lines = BufferedByteReceiveStream(stream)
    silent = False
    while True:
        line = b""
        with anyio.move_on_after(limit_s) as late:
            try:
                line = await lines.receive_until(b"\n", 1024)
            except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError):
                text = (
                    f"the engine ({name}) died without stopping. Orders and positions stand at "
                    "the brokers as they were; `mtquant run` recovers them"
                )
                _tell(notifiers, Level.ALARM, text)
                return False
        if line == _GOODBYE:
            return True
        if late.cancelled_caught and not silent:
            text = f"the engine ({name}) has been silent for {limit_s:g} s: it hangs"
            _tell(notifiers, Level.ALARM, text)
        elif silent and line:
            _tell(notifiers, Level.INFO, f"the engine ({name}) is heard again")
        silent = late.cancelled_caught


def _tell(notifiers: list[Notifier[Any]], level: Level, text: str) -> None:
    print(f"mtquant: {text}", file=sys.stderr, flush=True)  # noqa: T201 - the last resort
    for notifier in notifiers:
        try:
            notifier.notify(level, text)
        except Exception as error:  # noqa: BLE001 - a stranger's notifier may raise anything
            problem = f"{notifier.name} failed: {type(error).__name__}"
            print(f"mtquant: {problem}", file=sys.stderr)  # noqa: T201 - likewise


class _Stdin(anyio.abc.ByteReceiveStream):
    """Standard input, read in a thread."""

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        data = await anyio.to_thread.run_sync(os.read, 0, max_bytes, abandon_on_cancel=True)
        if not data:
            raise anyio.EndOfStream
        return data

    async def aclose(self) -> None:
        return None


def main() -> None:
    """Watch the engine whose beats come on standard input."""
    path, process = Path(sys.argv[1]), sys.argv[2]
    config = load_config(path)
    catalogue = load_catalogue()
    notifiers = [
        catalogue.make("notifier", name, table, where=f"notifiers.{name}")
        for name, table in config.notifiers.items()
    ]
    name = f"process {process}, {path.name}"
    anyio.run(watch, _Stdin(), config.engine.dead_man_s, notifiers, name)
    os._exit(0)  # a thread may still wait for input


if __name__ == "__main__":
    main()
