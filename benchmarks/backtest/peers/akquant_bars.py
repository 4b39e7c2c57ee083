"""akquant: a Strategy whose ``on_bar`` is called for each bar, over an engine in Rust.

The pair is declared a future on margin, as only those may be sold short.
"""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

from typing import Any

import akquant as aq  # type: ignore[import-not-found]
import pandas as pd
from backtest.data import POINT
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report

SYMBOL = "EURUSD"
TICK = POINT / 2


class Cross(aq.Strategy):  # type: ignore[misc, unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow = aq.SMA(FAST), aq.SMA(SLOW)
        self.sign = 0

    def on_bar(self, bar: Any) -> None:
        fast, slow = self.fast.update(bar.close), self.slow.update(bar.close)
        if fast is None or slow is None:
            return
        apart = fast - slow
        if not abs(apart) > TIE:
            return
        now = 1 if apart > 0 else -1
        if self.sign not in {0, now}:
            change = now * UNITS - self.get_position(bar.symbol)
            if change > 0:
                self.buy(symbol=bar.symbol, quantity=change)
            else:
                self.sell(symbol=bar.symbol, quantity=-change)
        self.sign = now


def main() -> None:
    made = data()
    frame = pd.DataFrame(
        {
            "open": made.open,
            "high": made.high,
            "low": made.low,
            "close": made.close,
            "volume": made.volume * 1e7,
            "symbol": SYMBOL,
        },
        index=pd.to_datetime(made.time, utc=True),
    )

    pair = aq.InstrumentConfig(
        SYMBOL, asset_type="FUTURES", multiplier=1.0, margin_ratio=0.01, tick_size=TICK
    )
    config = aq.BacktestConfig(aq.StrategyConfig(), instruments_config={SYMBOL: pair})

    def run() -> Any:
        return aq.run_backtest(
            data=frame,
            strategy=Cross,
            symbols=SYMBOL,
            initial_cash=CASH,
            config=config,
            slippage={"type": "fixed", "value": COST},
            fill_policy=aq.NextOpen(),
            timezone="UTC",
            show_progress=False,
        )

    def outcome(result: Any) -> Outcome:
        # It makes two orders of one that reverses, filled in the same bar.
        fills = result.executions_df["bar_index"].nunique()
        return fills, result.metrics.end_market_value

    report("akquant", "event", made, run, outcome=outcome)


if __name__ == "__main__":
    main()
