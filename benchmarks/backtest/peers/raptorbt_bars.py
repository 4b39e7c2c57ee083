"""raptorbt: a Strategy class whose ``on_bar`` is called for each bar, over an engine in Rust.

An order against a position closes it and no more, so a reversal is two orders of the same bar,
counted as one here. Its costs are fractions of the price; the 0.25 pip is taken off afterwards.
"""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

from typing import Any

import raptorbt  # type: ignore[import-not-found]
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from raptorbt.strategy import orders  # type: ignore[import-not-found]


class Cross(raptorbt.Strategy):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self.sign = self.fills = 0
        self.traded = 0.0

    def on_start(self, ctx: Any) -> None:
        self.fast = raptorbt.sma(ctx.close, FAST)
        self.slow = raptorbt.sma(ctx.close, SLOW)
        self.last = len(ctx.close) - 1

    def on_bar(self, ctx: Any) -> None:
        apart = self.fast[ctx.idx] - self.slow[ctx.idx]
        if not abs(apart) > TIE:
            return
        now = 1 if apart > 0 else -1
        # It fills at this close; an order of the last bar would have no next open.
        if self.sign not in {0, now} and ctx.idx < self.last:
            order = orders.Market(side="buy" if now > 0 else "sell", units=float(UNITS))
            if ctx.position is not None:
                self.submit_order(order)
            self.submit_order(order)
            self.fills += 1
        self.sign = now

    def on_order_filled(self, ctx: Any, event: Any) -> None:  # noqa: ARG002 - the library passes it
        self.traded += UNITS


def main() -> None:
    made = data()
    config = raptorbt.BacktestConfig(
        initial_capital=CASH, fees=0.0, slippage=0.0, fill_timing="same_bar_close"
    )

    def run() -> Outcome:
        strategy = Cross()
        result = raptorbt.run_strategy_backtest(
            strategy,
            made.time,
            made.open,
            made.high,
            made.low,
            made.close,
            made.volume,
            config=config,
            account_type="margin",
            leverage=100.0,
        )
        return strategy.fills, result.equity_curve()[-1] - strategy.traded * COST

    report("raptorbt", "event", made, run)


if __name__ == "__main__":
    main()
