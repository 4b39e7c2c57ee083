"""The sweep in mtquant: each pair a run of its own, with the risk gate on, a process for each core.

The strategy is that of ``peers/mtquant_crossing.py``, which declares what it waits for. A process
starts, reads the bars and imports before the time counts. The CPU seconds are those of all
processes, and so is the memory: their peaks added up.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier

from backtest.peers.mtquant_bars import outcome, prepared, warm_up
from backtest.peers.mtquant_crossing import Cross
from backtest.sweep import PAIRS, report
from backtest.task import Outcome, data, peak_mb, timed

from mtquant.backtest.run import Prepared, run, varied
from mtquant.search.executors import cores

CHUNK = 10
"""How many pairs a process is given at a time."""
READY: list[Prepared] = []
"""In a worker: the backtest that all of its pairs vary."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What a pair came to, the CPU seconds it took, and the peak of the process that ran it."""

    outcome: Outcome
    cpu_seconds: float
    process: int
    peak_mb: float


def start(everybody: Barrier) -> None:
    """Read the bars in a new worker, and wait until all of them have."""
    READY.append(prepared(data(), Cross))
    warm_up()
    everybody.wait()


def attempt(pair: tuple[int, int]) -> Tried:
    """Run one pair in a worker."""
    fast, slow = pair
    wanted = varied(READY[0], Cross.name, {"fast": fast, "slow": slow})
    found, _, cpu_seconds = timed(lambda: outcome(run(wanted)))
    return Tried(found, cpu_seconds, os.getpid(), peak_mb())


def main() -> None:
    made, count = data(), cores()
    context = get_context("spawn")
    everybody = context.Barrier(count + 1)
    tried: list[Tried] = []
    with context.Pool(count, start, (everybody,)) as pool:

        def every() -> Sequence[Outcome]:
            tried.extend(pool.map(attempt, PAIRS, CHUNK))
            return [each.outcome for each in tried]

        with contextlib.redirect_stdout(io.StringIO()) as said:
            report("mtquant (declared)", "array", made, every, warm=everybody.wait)
    # What was reported is of this process alone.
    line = json.loads(said.getvalue())
    line["cpu_seconds"] += sum(each.cpu_seconds for each in tried)
    line["peak_mb"] += sum({each.process: each.peak_mb for each in tried}.values())
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
