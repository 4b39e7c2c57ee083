"""Combinations on a Dask cluster: https://distributed.dask.org."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

from mtquant.errors import ConfigError, MtquantError
from mtquant.search.executors import LOST, packed, unpacked
from mtquant.search.trial import Bench, Outcome, Task

try:
    import distributed
    from distributed.diagnostics.plugin import WorkerPlugin
except ModuleNotFoundError as error:
    raise ConfigError(
        "--on dask", f"{error.name} isn't installed", 'pip install "mtquant[distributed]"'
    ) from None

_PATIENCE_S = 10


class _Benches(WorkerPlugin):
    """Gives every worker the bench once, those too that come later."""

    def __init__(self, parcel: bytes, code: str) -> None:
        self._parcel, self._code = parcel, code
        self.name = "mtquant-" + hashlib.sha256(parcel).hexdigest()[:16]
        self.bench: Bench | None = None

    def setup(self, worker: Any) -> None:  # noqa: ANN401, ARG002 - distributed's Worker
        """Unpack the bench; raises RuntimeError where the worker has another mtquant."""
        here = version("mtquant")
        if here != self._code:
            msg = f"this worker has mtquant {here}, and the search is of {self._code}"
            raise RuntimeError(msg)
        self.bench = unpacked(self._parcel)


class Cluster:
    """Tries tasks on the cluster whose scheduler is at ``address`` (HOST:PORT).

    A worker that dies is the scheduler's business: it gives the task to another. The workers need
    the same version of mtquant, and of the plugins.
    """

    def __init__(self, bench: Bench, address: str) -> None:
        self._address = address
        self._benches = _Benches(packed(bench), version("mtquant"))
        self._client: Any = None  # a distributed.Client, which has no types

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Return each task's place and outcome, as they come."""
        if self._client is None:
            raise MtquantError("the cluster isn't connected")
        name = self._benches.name
        # A task is impure to Dask, so that two searches share nothing.
        futures = self._client.map(_try, tasks, [name] * len(tasks), pure=False)
        places = {future.key: place for place, future in enumerate(futures)}
        finished: Any = distributed.as_completed  # likewise
        for future in finished(futures, loop=self._client.loop):
            place = places[future.key]
            try:
                yield place, future.result()
            except distributed.KilledWorker:
                yield place, Outcome(problem=LOST, lost=True)
            future.release()

    def __enter__(self) -> Self:
        """Connect, and give the workers what they need."""
        where = f"dask://{self._address}"
        try:
            connect: Any = distributed.Client
            self._client = connect(
                f"tcp://{self._address}", timeout=_PATIENCE_S, set_as_default=False
            )
        except OSError as error:
            raise ConfigError(
                "--on", f"{where} doesn't answer: {error}", "Is it running?"
            ) from None
        try:
            self._client.register_plugin(self._benches)
        except Exception as error:  # noqa: BLE001 - whatever a worker raised
            self._client.close()
            raise ConfigError(
                "--on", f"a worker of {where} can't be used: {error}", "Install the same there."
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take back what isn't done, and leave the cluster as it was."""
        if self._client is not None:
            self._client.unregister_worker_plugin(self._benches.name)
            self._client.close()
            self._client = None


def _try(task: Task, name: str) -> Outcome:
    """Try one task: what a worker does."""
    plugin: Any = distributed.get_worker().plugins[name]
    bench: Bench = plugin.bench
    return bench(task)
