"""Where combinations are tried: in this process, on its cores, or on a cluster.

Whatever is chosen, and in whatever order workers end, a search finds the same.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from mtquant.errors import ConfigError, MtquantError
from mtquant.search.trial import Bench, Outcome, Task

DEATHS = 3
"""How many workers may end while they have a task before it is given up."""
LOST = f"{DEATHS} workers ended while they tried this; was memory short?"
_PATIENCE_S = 5.0


class Executor(Protocol):
    """Tries tasks somewhere; a context, so that nothing is left running."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Return each task's place in ``tasks`` and its outcome, as they come, in any order.

        A worker that dies is replaced and its task given to another. Raises MtquantError where
        there is nobody left to try them.
        """

    def __enter__(self) -> Self:
        """Start what is needed."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all of it at once, whatever it is doing."""


class Here:
    """Tries tasks in this process, one after the other."""

    def __init__(self, bench: Callable[[Task], Outcome]) -> None:
        self._bench = bench

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Return each task's place and outcome, in their order."""
        return ((place, self._bench(task)) for place, task in enumerate(tasks))

    def __enter__(self) -> Self:
        """Start nothing."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop nothing."""


@dataclass(slots=True)
class _Worker:
    """A process, the pipe to it, and the place of the task that it has."""

    process: SpawnProcess
    pipe: Connection
    place: int | None = None


@dataclass(slots=True)
class _Round:
    """Tasks that are being tried: those that wait, and how many workers each has cost."""

    tasks: Sequence[Task]
    waiting: deque[int]
    deaths: dict[int, int] = field(default_factory=dict)


class Processes:
    """Tries tasks in ``count`` processes of this machine.

    The bench is written to a file once, and each process reads it when it starts, so that a task is
    no more than its parameters. Processes are started afresh, not forked: that is the same on every
    system, and safe beside threads.
    """

    def __init__(self, bench: Bench, count: int) -> None:
        self._count = count
        self._context = get_context("spawn")
        self._workers: list[_Worker] = []
        self._parcel = Path()
        self._packed = packed(bench)
        self._answers = self._early = 0

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Return each task's place and outcome, as they come."""
        going = _Round(tasks, deque(range(len(tasks))))
        while going.waiting or any(each.place is not None for each in self._workers):
            self._fill(going)
            busy = [each for each in self._workers if each.place is not None]
            ready = connection.wait([each.pipe for each in busy])
            for worker in [each for each in busy if each.pipe in ready]:
                yield from self._hear(worker, going)

    def _fill(self, going: _Round) -> None:
        """Give every idle worker a task, and start as many as there is work for."""
        idle = [each for each in self._workers if each.place is None]
        while going.waiting:
            if not idle and len(self._workers) < self._count:
                idle.append(self._start())
            if not idle:
                return
            worker = idle.pop()
            worker.place = going.waiting.popleft()
            # A dead worker is noticed where it is listened to.
            with contextlib.suppress(OSError):
                worker.pipe.send(going.tasks[worker.place])

    def _hear(self, worker: _Worker, going: _Round) -> Iterator[tuple[int, Outcome]]:
        """Take what a worker says: an outcome, or by its silence that it is dead."""
        place = worker.place
        if place is None:
            return
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            self._workers.remove(worker)
            _end(worker)
            self._check_start()
            going.deaths[place] = going.deaths.get(place, 0) + 1
            if going.deaths[place] < DEATHS:
                going.waiting.appendleft(place)
            else:
                yield place, Outcome(problem=LOST, lost=True)
            return
        worker.place = None
        self._answers += 1
        if isinstance(answer, BaseException):
            raise answer
        yield place, answer

    def _check_start(self) -> None:
        """Raise MtquantError where workers end again and again before one has answered."""
        self._early += not self._answers
        if self._early > DEATHS * self._count:
            raise MtquantError(
                "workers end as soon as they start; in a script of your own, search below "
                '`if __name__ == "__main__":`, or take one worker'
            )

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(str(self._parcel), theirs), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def pids(self) -> list[int]:
        """Return the process ids of the workers that are running."""
        return [each.process.pid for each in self._workers if each.process.pid is not None]

    def __enter__(self) -> Self:
        """Write the bench to where workers find it."""
        number, name = tempfile.mkstemp(prefix="mtquant-search-")
        self._parcel = Path(name)
        with os.fdopen(number, "wb") as file:
            file.write(self._packed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers; what they are trying is lost."""
        for worker in self._workers:
            _end(worker)
        self._workers.clear()
        self._parcel.unlink(missing_ok=True)


def _end(worker: _Worker) -> None:
    worker.pipe.close()
    worker.process.terminate()
    worker.process.join(_PATIENCE_S)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    worker.process.close()


def _serve(parcel: str, pipe: Connection) -> None:
    """Try tasks until the pipe ends: what a worker process does."""
    # Ctrl-C reaches every process of a terminal; the first of them says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        bench = unpacked(Path(parcel).read_bytes())
        while True:
            pipe.send(bench(pipe.recv()))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - told where it can be shown
        pipe.send(MtquantError(f"a worker failed: {type(error).__name__}: {error}"))


def packed(bench: Bench) -> bytes:
    """Return ``bench`` as bytes for another process.

    Raises ConfigError where a strategy was defined in a notebook or a shell.
    """
    try:
        return pickle.dumps(bench, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ConfigError(
            "strategy",
            f"can't be sent to another process: {error}",
            "Put it into a module, or take one worker.",
        ) from None


def unpacked(parcel: bytes) -> Bench:
    """Return what :func:`packed` packed, in a process that was started for it."""
    bench: Bench = pickle.loads(parcel)  # noqa: S301 - written by the process that started this one
    return bench


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def executor_of(bench: Bench, workers: int | None = None, on: str | None = None) -> Executor:
    """Return where ``bench`` is used: on ``workers`` cores (by default all), or ``on`` a cluster.

    Raises ConfigError where ``on`` is no ``dask://HOST:PORT``, or the extra is missing.
    """
    if on is not None:
        scheme, separator, address = on.partition("://")
        if scheme != "dask" or not separator or not address:
            raise ConfigError("--on", f"{on!r} is no cluster", "Write dask://HOST:PORT.")
        from mtquant.search.dask import Cluster  # noqa: PLC0415 - heavy, and in an extra

        return Cluster(bench, address)
    count = cores() if workers is None else workers
    if count < 1:
        raise ConfigError("--workers", f"{count} is too few", "Give at least 1.")
    return Here(bench) if count == 1 else Processes(bench, count)
