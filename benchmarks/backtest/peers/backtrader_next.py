"""backtrader: a Strategy whose ``next`` is called for each bar; fixed slippage on the open."""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

from typing import Any

import backtrader as bt  # type: ignore[import-not-found]
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report

EPOCH = 719_163
"""The proleptic ordinal of 1970-01-01; the library counts days."""
DAY = 86_400 * 10**9


class Feed(bt.feed.DataBase):  # type: ignore[misc, unused-ignore]
    """Rows from memory; its own feed of a DataFrame looks each field up anew, far slower."""

    params = (("columns", None),)

    def start(self) -> None:
        super().start()
        self.rows = zip(*self.p.columns, strict=True)

    def _load(self) -> bool:
        row = next(self.rows, None)
        if row is None:
            return False
        lines = self.lines
        lines.datetime[0], lines.open[0], lines.high[0], lines.low[0], lines.close[0] = row[:5]
        lines.volume[0], lines.openinterest[0] = row[5], 0.0
        return True


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
    columns = [made.time / DAY + EPOCH, made.open, made.high, made.low, made.close, made.volume]
    rows = [column.tolist() for column in columns]

    def run() -> Outcome:
        cerebro = bt.Cerebro(stdstats=False)
        cerebro.adddata(Feed(columns=rows, timeframe=bt.TimeFrame.Minutes))
        cerebro.addstrategy(Cross)
        cerebro.broker.setcash(CASH)
        # slip_out: the fill may lie outside the bar's high and low, as half a spread does.
        cerebro.broker.set_slippage_fixed(COST, slip_open=True, slip_match=True, slip_out=True)
        (strategy,) = cerebro.run()
        return strategy.fills, cerebro.broker.getvalue()

    report("backtrader", "event", made, run)


if __name__ == "__main__":
    main()
