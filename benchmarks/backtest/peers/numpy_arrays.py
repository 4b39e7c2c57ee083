"""Bare numpy, no loop: the averages from one running sum, the fills where their sign changes."""

from __future__ import annotations

import numpy as np
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report


def main() -> None:
    made = data()
    opened, close = made.open, made.close

    def run() -> Outcome:
        sums = np.empty(len(close) + 1)
        sums[0] = 0.0
        np.cumsum(close, out=sums[1:])
        fast = (sums[SLOW:] - sums[SLOW - FAST : -FAST]) / FAST
        slow = (sums[SLOW:] - sums[:-SLOW]) / SLOW
        apart = fast - slow
        # Only bars that aren't ties have a sign; the order is of a bar whose sign is a new one.
        seen = np.flatnonzero(np.abs(apart) > TIE)
        long = apart[seen] > 0
        ordered = np.flatnonzero(long[1:] != long[:-1]) + 1
        filled = seen[ordered] + SLOW
        if len(filled) and filled[-1] == len(close):
            ordered, filled = ordered[:-1], filled[:-1]
        side = np.where(long[ordered], 1.0, -1.0)
        quantity = 2 * UNITS * side
        quantity[:1] /= 2
        paid = quantity @ (opened[filled] + COST * side)
        return len(filled), CASH - paid + quantity.sum() * close[-1]

    report("numpy", "array", made, run, warm=1)


if __name__ == "__main__":
    main()
