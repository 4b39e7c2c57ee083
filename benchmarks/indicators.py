"""What our wrapping costs an indicator over bare TA-Lib, a step and a batch, in one run.

    python benchmarks/indicators.py [--bars 1000000] [--steps 20000] [--repeat 5]
                                    [--timeframe M15] [--json]

``step``: nanoseconds for one bar. Bare is TA-Lib's handles fed with the fields of the same Bar
objects in the same loop; the loop itself is measured empty and taken off both. The aim is less
than 1,000 ns.
``batch``: milliseconds for the whole series from ready float64 arrays. Bare is TA-Lib's functions
over the same arrays, vwap's day by day. The aim is at most 1.5 times that. Whether an array is
finite is looked at once for each series, however many indicators are run over it: ``first`` is the
ratio of the first indicator over a series, which pays for that look, ``ratio`` of those after it.
The shorter vwap's days, the dearer its step: ``--timeframe H1`` has 24 bars in each.
Every figure is the best of the repeats, which take turns, so that a busy machine hits both alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from operator import attrgetter
from typing import Any

import numpy as np
import talib

from mtquant.model import Bar, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant_indicators import indicators

STEP_LIMIT_NS = 1000
BATCH_LIMIT = 1.5
DAY = 86_400 * 10**9
Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bars", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--timeframe", type=Timeframe, default=Timeframe.M15)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    bars = walk(arguments.bars, arguments.timeframe)
    steps = [bars.bar(index) for index in range(arguments.steps)]
    rows = [measure(kind, bars, steps, arguments.repeat) for kind in indicators()]
    if arguments.json:
        about: dict[str, object] = {"python": platform.python_version(), "talib": talib.__version__}
        about |= {"bars": len(bars), "timeframe": str(bars.timeframe)}
        print(json.dumps({**about, "beyond": beyond(rows), "rows": rows}, indent=2))
        return
    print(f"{len(bars):,} {bars.timeframe} bars; step in ns a bar, batch in ms")
    print("             |      step: bare  ours |  batch: bare    ours ratio first")
    for row in rows:
        print(
            f"{row['name']:12} | {row['step_bare_ns']:15.0f} {row['step_ns']:5.0f} | "
            f"{row['batch_bare_ms']:12.2f} {row['batch_ms']:7.2f} {row['batch_ratio']:5.2f} "
            f"{row['first_ratio']:5.2f}"
        )
    for aim, names in beyond(rows).items():
        print(f"{aim}: {'holds' if not names else 'not held by ' + ', '.join(names)}")


def beyond(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Which indicators miss each aim."""
    aims = {
        f"step < {STEP_LIMIT_NS} ns": ("step_ns", STEP_LIMIT_NS),
        f"batch <= {BATCH_LIMIT} x bare": ("batch_ratio", BATCH_LIMIT),
        f"first batch over a series <= {BATCH_LIMIT} x bare": ("first_ratio", BATCH_LIMIT),
    }
    return {
        aim: [row["name"] for row in rows if row[key] > limit] for aim, (key, limit) in aims.items()
    }


def walk(count: int, timeframe: Timeframe) -> BarArrays:
    rng = np.random.default_rng(7)
    close = 1.1 + rng.normal(0, 1e-4, count).cumsum()
    opened = np.concatenate([close[:1], close[:-1]])
    return BarArrays(
        instrument="EUR/USD",
        timeframe=timeframe,
        time=np.arange(count) * timeframe.seconds * 10**9,
        open=opened,
        high=np.maximum(opened, close) + np.abs(rng.normal(0, 1e-4, count)),
        low=np.minimum(opened, close) - np.abs(rng.normal(0, 1e-4, count)),
        close=close,
        volume=rng.integers(1, 100, count).astype(float),
    )


def measure(  # noqa: C901 - one table row, its variants side by side
    kind: type[Any], bars: BarArrays, steps: list[Bar], repeat: int
) -> dict[str, Any]:
    settings = kind.Settings()
    made = kind(settings)
    calls, inputs = made.calls(), made.inputs
    head, tail = steps[:100], steps[100:]
    columns = [getattr(bars, name) for name in inputs]
    pick = attrgetter(*inputs)

    def ours() -> Call:
        indicator = kind(settings)
        for bar in head:
            indicator.update(bar)
        update = indicator.update

        def run() -> None:
            for bar in tail:
                update(bar)

        return run

    def bare() -> Call:
        history = [column[:100].copy() for column in columns]
        updates = [
            getattr(talib.stream, each.function)(*history, **each.parameters).update
            for each in calls
        ]

        def one() -> None:
            for bar in tail:
                for update in updates:
                    update(pick(bar))

        def several() -> None:
            for bar in tail:
                for update in updates:
                    update(*pick(bar))

        return one if len(inputs) == 1 else several

    def by_day() -> None:
        edges = np.flatnonzero(np.diff(bars.time // DAY)) + 1
        for start, end in zip((0, *edges), (*edges, len(bars)), strict=True):
            talib.VWAP(*(column[start:end] for column in columns))

    def batch_bare() -> None:
        if kind.name == "vwap":
            by_day()
            return
        for each in calls:
            getattr(talib, each.function)(*columns, **each.parameters)

    def first() -> Call:
        fresh = replace(bars)
        return lambda: made.batch(fresh)

    empty, step_bare, step_ours, bare_s, ours_s, first_s = best(
        repeat,
        lambda: lambda: idle(tail),
        bare,
        ours,
        lambda: batch_bare,
        lambda: lambda: made.batch(bars),
        first,
    )
    bare_ns, ours_ns = ((each - empty) / len(tail) * 1e9 for each in (step_bare, step_ours))
    return {
        "name": kind.name,
        "step_bare_ns": bare_ns,
        "step_ns": ours_ns,
        "batch_bare_ms": bare_s * 1e3,
        "batch_ms": ours_s * 1e3,
        "batch_ratio": ours_s / bare_s,
        "first_ratio": first_s / bare_s,
    }


def idle(bars: list[Bar]) -> None:
    """The loop by itself."""
    for _ in bars:
        pass


def best(repeat: int, *prepare: Callable[[], Call]) -> list[float]:
    """Return the best seconds of each; preparing isn't measured."""
    found = [float("inf")] * len(prepare)
    for _ in range(repeat):
        for place, each in enumerate(prepare):
            run = each()
            start = time.perf_counter()
            run()
            found[place] = min(found[place], time.perf_counter() - start)
    return found


if __name__ == "__main__":
    main()
