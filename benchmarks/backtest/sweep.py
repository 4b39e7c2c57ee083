"""What the sweeps share: 1,000 pairs of averages over the same bars, and their line of JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from backtest.data import Bars
from backtest.reference import reference
from backtest.task import Outcome, peak_mb, timed

FASTS = range(5, 45)
SLOWS = range(50, 75)
PAIRS = [(fast, slow) for fast in FASTS for slow in SLOWS]


def report(
    name: str,
    kind: str,
    made: Bars,
    run: Callable[[], Sequence[Outcome]],
    *,
    warm: Callable[[], object] | None = None,
) -> None:
    """Time one ``run`` over all ``PAIRS`` after an untimed ``warm``; print a line of JSON.

    ``run`` returns the outcome of each pair in the order of ``PAIRS``. ``differ`` counts the pairs
    whose fills, or equity to the cent, aren't the reference's.
    """
    if warm:
        warm()
    found, seconds, cpu_seconds = timed(run)
    peak = peak_mb()
    differ = len(PAIRS)
    for (fills, equity), (fast, slow) in zip(found, PAIRS, strict=True):
        wanted = reference(made.points, fast, slow)
        same = fills == len(wanted.index) and f"{equity:.2f}" == f"{wanted.equity:.2f}"
        differ -= same
    line = {
        "name": name,
        "kind": kind,
        "bars": len(made),
        "combinations": len(PAIRS),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "differ": differ,
        "peak_mb": peak,
    }
    print(json.dumps(line), flush=True)
