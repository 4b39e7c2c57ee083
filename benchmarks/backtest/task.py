"""What every peer's script shares: the task's numbers, its data file and its line of JSON.

The task. At each bar's close look at the sign of SMA 10 minus SMA 30 of the closes. The first
sign is only noted; a tie leaves the sign as it was. Where the sign differs from the one before,
a market order makes the position +10,000 or -10,000 units (so the first order is of 10,000, each
later one of 20,000), filled at the next bar's open, 0.25 pip worse. An order of the last bar has
no next open and is not filled. Equity at the end is cash plus the position at the last close.
Nothing else costs anything; the account is in the quote currency and has all the margin it needs.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from backtest.data import Bars, read

FAST, SLOW = 10, 30
UNITS = 10_000
COST = 0.000025
"""How much worse than the open a fill is, in price: 0.25 pip, half a spread of 0.5 pip."""
CASH = 1_000_000.0
TIE = 1e-9
"""Averages closer than this are equal.

The difference of two averages of whole points is 0 or at least 0.00001 / (fast * slow), which is
3.3e-8 here and 3.1e-9 in the sweep; the floats of a running average are off by less than 1e-10.
"""

Found = TypeVar("Found")
Outcome = tuple[int, float]
"""How many orders were filled, and the final equity."""


def data() -> Bars:
    """Return the bars of the file that the command line names."""
    return read(Path(sys.argv[1]))


def report(
    name: str,
    kind: str,
    made: Bars,
    run: Callable[[], Any],
    *,
    outcome: Callable[[Any], Outcome] | None = None,
    warm: int = 0,
) -> None:
    """Time one ``run`` after ``warm`` untimed ones, and print the line of JSON.

    ``run`` returns its outcome, or what ``outcome`` reads it from, untimed.

    ``kind`` is "event" (a Python call for each bar), "array" (the strategy is arrays) or
    "compiled" (the strategy is a compiled loop). ``cpu_seconds`` tells how much of the time was
    work, where the machine is busy with other things too. ``peak_mb`` is the process's peak
    resident memory, imports and data included.
    """
    for _ in range(warm):
        run()
    found, seconds, cpu_seconds = timed(run)
    fills, equity = outcome(found) if outcome else found
    line = {
        "name": name,
        "kind": kind,
        "bars": len(made),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "fills": int(fills),
        "equity": float(equity),
        "peak_mb": peak_mb(),
    }
    print(json.dumps(line), flush=True)


def timed(run: Callable[[], Found]) -> tuple[Found, float, float]:
    """Return what ``run`` returns, its seconds, and the seconds of CPU time of all its threads."""
    begin, cpu_begin = time.perf_counter(), time.process_time()
    found = run()
    return found, time.perf_counter() - begin, time.process_time() - cpu_begin


def peak_mb() -> float:
    """Return the most resident memory this process has had, in MB of 1024 * 1024 bytes."""
    # Linux hands the peak of getrusage on from the process that started this one.
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    peak = peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1024, 1)
