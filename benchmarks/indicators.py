"""What our wrapping costs an indicator over bare TA-Lib, a step and a batch, in one run.

    python benchmarks/indicators.py [--bars 50000] [--repeat 7] [--json]

``step``: nanoseconds for one bar. Bare is TA-Lib's handle fed with the fields of the same Bar
objects in the same loop; the loop itself is measured empty and taken off both.
``batch``: microseconds for the whole series. Bare is TA-Lib's function over float64 arrays made
from the same Bars, as we have to make them; ``arrays`` is the same over arrays that lie ready.
Every figure is the best of the repeats, which take turns, so that a busy machine hits both alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
import talib

from mtquant.model import Bar, Bars
from mtquant_indicators import indicators
from mtquant_sources.walk import Walk, WalkSettings

PERIOD = 14
Call = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bars", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    bars = Walk(WalkSettings(bars=arguments.bars)).bars("EUR/USD")
    rows = [measure(kind, bars, arguments.repeat) for kind in indicators()]
    if arguments.json:
        about = {"python": platform.python_version(), "talib": talib.__version__}
        print(json.dumps({**about, "bars": len(bars), "period": PERIOD, "rows": rows}, indent=2))
        return
    print(f"{len(bars)} bars, period {PERIOD}; step in ns a bar, batch in us")
    print("      |      step: bare  ours ratio |  batch: bare   ours ratio | arrays ratio")
    for row in rows:
        print(
            f"{row['name']:5} | {row['step_bare_ns']:15.0f} {row['step_ns']:5.0f} "
            f"{row['step_ratio']:5.2f} | {row['batch_bare_us']:12.0f} {row['batch_us']:6.0f} "
            f"{row['batch_ratio']:5.2f} | {row['arrays_us']:6.0f} {row['arrays_ratio']:5.1f}"
        )


def measure(kind: type[Any], bars: Bars, repeat: int) -> dict[str, Any]:
    listed, settings = (
        [bars.bar(index) for index in range(len(bars))],
        kind.Settings(period=PERIOD),
    )
    head, tail = listed[:100], listed[100:]
    function, handle_of = getattr(talib, kind.function), getattr(talib.stream, kind.function)
    fields = [attrgetter(name) for name in kind.inputs]

    def columns() -> list[Any]:
        return [np.fromiter(field(bars), np.float64, len(bars)) for field in fields]

    history = [column[:100].copy() for column in columns()]
    ready = columns()

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
        return loop(handle_of(*history, timeperiod=PERIOD).update, len(fields), tail)

    empty, step_bare, step_ours, batch_bare, batch_ours, arrays = best(
        repeat,
        lambda: lambda: idle(tail),
        bare,
        ours,
        lambda: lambda: function(*columns(), timeperiod=PERIOD),
        lambda: lambda: kind(settings).batch(bars),
        lambda: lambda: function(*ready, timeperiod=PERIOD),
    )
    bare_ns, ours_ns = ((each - empty) / len(tail) * 1e9 for each in (step_bare, step_ours))
    return {
        "name": kind.name,
        "step_bare_ns": bare_ns,
        "step_ns": ours_ns,
        "step_ratio": ours_ns / bare_ns,
        "batch_bare_us": batch_bare * 1e6,
        "batch_us": batch_ours * 1e6,
        "batch_ratio": batch_ours / batch_bare,
        "arrays_us": arrays * 1e6,
        "arrays_ratio": batch_ours / arrays,
    }


def idle(bars: list[Bar]) -> None:
    """The loop by itself."""
    for _ in bars:
        pass


def loop(update: Callable[..., float], inputs: int, bars: list[Bar]) -> Call:
    """Feed a bare handle as tightly as Python allows."""

    def closes() -> None:
        for bar in bars:
            update(bar.close)

    def ranges() -> None:
        for bar in bars:
            update(bar.high, bar.low, bar.close)

    return closes if inputs == 1 else ranges


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
