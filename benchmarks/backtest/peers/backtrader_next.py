"""backtrader: a Strategy whose ``next`` is called for each bar; fixed slippage on the open."""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

from typing import Any

import backtrader as bt  # type: ignore[import-not-found]
import pandas as pd
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report


class Cross(bt.Strategy):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        self.apart = bt.ind.SMA(period=FAST) - bt.ind.SMA(period=SLOW)
        self.sign = 0
        self.fills = 0

    def notify_order(self, order: Any) -> None:
        if order.status == order.Completed:
            self.fills += 1

    def next(self) -> None:
        apart = self.apart[0]
        if not abs(apart) > TIE:
            return
        now = 1 if apart > 0 else -1
        if self.sign not in {0, now}:
            units = 2 * UNITS if self.position else UNITS
            if now > 0:
                self.buy(size=units)
            else:
                self.sell(size=units)
        self.sign = now


def main() -> None:
    made = data()
    frame = pd.DataFrame(
        {
            "open": made.open,
            "high": made.high,
            "low": made.low,
            "close": made.close,
            "volume": made.volume,
        },
        index=pd.to_datetime(made.time),
    )

    def run() -> Outcome:
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(
            bt.feeds.PandasData(dataname=frame, timeframe=bt.TimeFrame.Minutes, openinterest=None)
        )
        cerebro.addstrategy(Cross)
        cerebro.broker.setcash(CASH)
        # slip_out: the fill may lie outside the bar's high and low, as half a spread does.
        cerebro.broker.set_slippage_fixed(COST, slip_open=True, slip_match=True, slip_out=True)
        (strategy,) = cerebro.run()
        return strategy.fills, cerebro.broker.getvalue()

    report("backtrader", "event", made, run)


if __name__ == "__main__":
    main()
