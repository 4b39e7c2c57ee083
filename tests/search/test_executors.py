"""Worker processes, and a cluster: what they find is what one process finds."""

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.search.scene import invented, prepared, wanted

from mtquant.errors import ConfigError, MtquantError
from mtquant.search.api import searching
from mtquant.search.executors import DEATHS, Here, Processes, executor_of, packed, unpacked
from mtquant.search.finding import Found, Searcher
from mtquant.search.space import Axis, Space
from mtquant.search.state import Memory, StateFile
from mtquant.search.trial import Bench, Outcome, Task

SCRIPT = """
import os, signal, sys
from pathlib import Path
from mtquant.search.space import Axis, Space
from mtquant.search.state import StateFile
from mtquant.search.executors import Here
from mtquant.search.finding import Searcher
from tests.search.scene import invented, wanted

left = [2]
def dying(task):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return invented(task)

Searcher(Here(dying), StateFile(Path(sys.argv[1]), {}), wanted()).find()
"""


def summary(found: Found) -> list[object]:
    return [
        (each.params, dict(each.outcome.figures), each.outcome.daily.tolist())
        for each in found.trials
    ]


def bench() -> Bench:
    return Bench(prepared(bars=60), 0)


class Deadly(Bench):
    """Ends its process at fast=3: always, or until a file says that it has once."""

    mark: Path | None = None

    def __call__(self, task: Task) -> Outcome:
        if dict(task.params)["fast"] == 3 and (self.mark is None or not self.mark.exists()):
            if self.mark is not None:
                self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return invented(task)


class Broken(Bench):
    """Raises what no bench should."""

    def __call__(self, task: Task) -> Outcome:
        raise ZeroDivisionError(str(task.params))


def test_a_bench_in_another_process_is_the_same() -> None:
    task = Task(params=(("fast", 2), ("slow", 5)))
    one, other = bench()(task), unpacked(packed(bench()))(task)
    assert one.figures == other.figures
    assert one.daily.tolist() == other.daily.tolist()
    assert one.trades > 0


def test_where_is_read() -> None:
    assert isinstance(executor_of(bench(), 1), Here)
    assert isinstance(executor_of(bench(), 2), Processes)
    with pytest.raises(ConfigError, match="--workers"):
        executor_of(bench(), 0)
    for wrong in ("dask", "dask://", "ray://host:1", "http://host:1"):
        with pytest.raises(ConfigError, match="--on"):
            executor_of(bench(), on=wrong)


def test_a_process_that_is_killed_leaves_a_state_file_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "s"
    command = [sys.executable, "-c", SCRIPT, str(path)]
    ended = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    tried: list[Task] = []

    def noting(task: Task) -> Outcome:
        tried.append(task)
        return invented(task)

    state = StateFile(path, {})
    found = Searcher(Here(noting), state, wanted()).find()
    state.close()
    assert len(tried) == 3
    assert summary(found) == summary(Searcher(Here(invented), Memory(), wanted()).find())


@pytest.mark.slow
def test_two_workers_find_what_one_finds() -> None:
    whole = prepared(bars=120)
    found = []
    for workers in (1, 2):
        with searching(whole, wanted(), workers=workers) as searcher:
            found.append(searcher.find())
    assert summary(found[0]) == summary(found[1])
    assert found[0].deflated == found[1].deflated
    assert found[0].candidates > 0


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_work_done_again(tmp_path: Path) -> None:
    once = Deadly(prepared(bars=60), 0)
    once.mark = tmp_path / "died"
    with Processes(once, 2) as executor:
        found = Searcher(executor, Memory(), wanted()).find()
        pids = executor.pids()
    assert once.mark.exists()
    assert found.refused == ()
    assert summary(found) == summary(Searcher(Here(invented), Memory(), wanted()).find())
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.slow
def test_what_kills_every_worker_is_given_up_and_told() -> None:
    with Processes(Deadly(prepared(bars=60), 0), 2) as executor:
        state = Memory()
        found = Searcher(executor, state, wanted()).find()
    assert [dict(each.params)["fast"] for each in found.refused] == [3, 3]
    assert all(f"{DEATHS} workers ended" in each.outcome.problem for each in found.refused)
    assert len(state.tried(None)) == 3


@pytest.mark.slow
def test_an_error_of_ours_in_a_worker_is_told_and_leaves_nothing_running() -> None:
    executor = Processes(Broken(prepared(bars=60), 0), 2)
    with executor, pytest.raises(MtquantError, match="ZeroDivisionError"):
        Searcher(executor, Memory(), wanted()).find()
    assert executor.pids() == []


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # those of a library that ends its own processes
def test_a_cluster_that_loses_a_worker_finds_what_one_process_finds() -> None:
    distributed = pytest.importorskip("distributed")
    whole = prepared(bars=300)
    axes = [Axis("fast", tuple(range(2, 8))), Axis("slow", (8, 9, 10, 11))]
    many = wanted(space=Space.of(axes))
    killed: list[int] = []
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        address = cluster.scheduler_address.removeprefix("tcp://")

        def kill(known: int, *_: object) -> None:
            if known == 2 and not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        with searching(whole, many, on=f"dask://{address}", progress=kill) as searcher:
            found = searcher.find()
    assert len(set(pids)) == 2
    assert killed == pids[:1]
    assert len(found.trials) == 24
    with searching(whole, many, workers=1) as searcher:
        assert summary(found) == summary(searcher.find())


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    from mtquant.search import dask  # noqa: PLC0415 - in an extra

    monkeypatch.setattr(dask, "_PATIENCE_S", 1)
    with pytest.raises(ConfigError, match="doesn't answer"), dask.Cluster(bench(), "127.0.0.1:9"):
        pass


def test_a_worker_with_another_mtquant_is_refused() -> None:
    pytest.importorskip("distributed")
    from mtquant.search import dask  # noqa: PLC0415 - in an extra

    plugin = dask._Benches(packed(bench()), "0.0.1")
    with pytest.raises(RuntimeError, match=r"the search is of 0\.0\.1"):
        plugin.setup(None)
    same = dask._Benches(packed(bench()), version("mtquant"))
    same.setup(None)
    assert same.bench is not None
    assert same.bench.seed == 0
