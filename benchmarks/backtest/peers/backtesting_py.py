"""backtesting.py: a Strategy whose ``next`` is called for each bar.

Its spread is a fraction of the price, so the 0.25 pip is a commission of the same amount instead.
"""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from backtesting import Backtest, Strategy  # type: ignore[import-not-found]


def average(values: Any, length: int) -> Any:
    return pd.Series(values).rolling(length).mean()


def commission(size: float, price: float) -> float:  # noqa: ARG001 - the library passes it
    return abs(size) * COST


class Cross(Strategy):  # type: ignore[misc, unused-ignore]
    def init(self) -> None:
        self.fast = self.I(average, self.data.Close, FAST)
        self.slow = self.I(average, self.data.Close, SLOW)
        self.sign = 0

    def next(self) -> None:
        apart = self.fast[-1] - self.slow[-1]
        if not abs(apart) > TIE:
            return
        now = 1 if apart > 0 else -1
        if self.sign not in {0, now}:
            units = UNITS if not self.position else 2 * UNITS
            if now > 0:
                self.buy(size=units)
            else:
                self.sell(size=units)
        self.sign = now


def main() -> None:
    # It warns that an open trade is left at the end, and of prices that are small.
    warnings.simplefilter("ignore")
    made = data()
    frame = pd.DataFrame(
        {
            "Open": made.open,
            "High": made.high,
            "Low": made.low,
            "Close": made.close,
            "Volume": made.volume,
        },
        index=pd.to_datetime(made.time),
    )

    def run() -> Any:
        return Backtest(frame, Cross, cash=CASH, commission=commission, margin=0.01).run()

    def outcome(stats: Any) -> Outcome:
        # A fill that reverses closes one trade and opens the next; the last one is still open.
        fills = len(stats["_trades"]) + len(stats["_strategy"].trades)
        return fills, stats["Equity Final [$]"]

    report("backtesting.py", "event", made, run, outcome=outcome)


if __name__ == "__main__":
    main()
