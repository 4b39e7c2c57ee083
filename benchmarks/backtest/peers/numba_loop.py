"""A loop that numba compiles: sums, a sign, a position. No order, no ledger, no checks."""

# mypy: disallow-untyped-decorators=False
from __future__ import annotations

import numba  # type: ignore[import-not-found, unused-ignore]
import numpy as np
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from numpy.typing import NDArray


@numba.njit
def loop(opened: NDArray[np.float64], close: NDArray[np.float64], fast: int, slow: int) -> Outcome:
    cash, position, fills, sign = CASH, 0, 0, 0
    sum_fast = sum_slow = 0.0
    for i in range(len(close)):
        sum_fast += close[i]
        sum_slow += close[i]
        if i >= fast:
            sum_fast -= close[i - fast]
        if i >= slow:
            sum_slow -= close[i - slow]
        if i < slow - 1:
            continue
        apart = sum_fast / fast - sum_slow / slow
        if abs(apart) <= TIE:
            continue
        now = 1 if apart > 0 else -1
        if sign not in (0, now) and i + 1 < len(close):
            change = now * UNITS - position
            cash -= change * (opened[i + 1] + now * COST)
            position += change
            fills += 1
        sign = now
    return fills, cash + position * close[-1]


def main() -> None:
    made = data()

    def run() -> Outcome:
        found: Outcome = loop(made.open, made.close, FAST, SLOW)
        return found

    report("numba", "compiled", made, run, warm=1)


if __name__ == "__main__":
    main()
