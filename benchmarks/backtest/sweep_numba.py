"""The sweep as a loop that numba compiles, on one core: one running sum serves every average."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import numba  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from backtest.sweep import PAIRS, report
from backtest.task import CASH, COST, TIE, UNITS, Outcome, data
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@numba.njit
def pair(opened: Floats, last: float, sums: Floats, fast: int, slow: int) -> Outcome:
    count = len(opened)
    of_fast, of_slow = 1.0 / fast, 1.0 / slow
    cash, position, fills, sign = CASH, 0, 0, 0
    for i in range(slow, count + 1):
        now = sums[i]
        apart = (now - sums[i - fast]) * of_fast - (now - sums[i - slow]) * of_slow
        if abs(apart) <= TIE:
            continue
        side = 1 if apart > 0 else -1
        if sign == -side and i < count:
            change = side * UNITS - position
            cash -= change * (opened[i] + side * COST)
            position += change
            fills += 1
        sign = side
    return fills, cash + position * last


@numba.njit
def every(opened: Floats, close: Floats, pairs: NDArray[np.int64]) -> Floats:
    sums = np.zeros(len(close) + 1)
    for i in range(len(close)):
        sums[i + 1] = sums[i] + close[i]
    found = np.empty((len(pairs), 2))
    for place in range(len(pairs)):
        fills, equity = pair(opened, close[-1], sums, pairs[place, 0], pairs[place, 1])
        found[place, 0] = fills
        found[place, 1] = equity
    return found


def main() -> None:
    made = data()
    pairs = np.array(PAIRS)

    def run() -> list[Outcome]:
        return [(int(fills), equity) for fills, equity in every(made.open, made.close, pairs)]

    report("numba", "compiled", made, run, warm=run)


if __name__ == "__main__":
    main()
