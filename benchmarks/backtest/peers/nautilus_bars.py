"""nautilus_trader: a Strategy whose ``on_bar`` is called for each bar of one minute.

Its market orders fill at the close of the bar just seen, which is the next open here. Bars give it
no spread, so the 0.25 pip is a commission of the same amount, from a fee model of our own.
"""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

from decimal import Decimal
from typing import Any

import pandas as pd
from backtest.data import MINUTE
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from nautilus_trader.backtest.engine import (  # type: ignore[import-not-found]
    BacktestEngine,
    BacktestEngineConfig,
)
from nautilus_trader.backtest.models import FeeModel  # type: ignore[import-not-found]
from nautilus_trader.config import LoggingConfig  # type: ignore[import-not-found]
from nautilus_trader.indicators import SimpleMovingAverage  # type: ignore[import-not-found]
from nautilus_trader.model.currencies import USD  # type: ignore[import-not-found]
from nautilus_trader.model.data import BarType  # type: ignore[import-not-found]
from nautilus_trader.model.enums import (  # type: ignore[import-not-found]
    AccountType,
    OmsType,
    OrderSide,
)
from nautilus_trader.model.identifiers import Venue  # type: ignore[import-not-found]
from nautilus_trader.model.objects import Money  # type: ignore[import-not-found]
from nautilus_trader.persistence.wranglers import (  # type: ignore[import-not-found]
    BarDataWrangler,
)
from nautilus_trader.test_kit.providers import (  # type: ignore[import-not-found]
    TestInstrumentProvider,
)
from nautilus_trader.trading.strategy import Strategy  # type: ignore[import-not-found]

DEPTH = 1_000_000
"""A bar's volume is what its market has to give: far more than an order asks."""


class HalfSpread(FeeModel):  # type: ignore[misc, unused-ignore]
    def get_commission(
        self,
        order: Any,  # noqa: ARG002 - the library passes it
        fill_qty: Any,
        fill_px: Any,  # noqa: ARG002
        instrument: Any,  # noqa: ARG002
    ) -> Any:
        return Money(fill_qty.as_double() * COST, USD)


class Cross(Strategy):  # type: ignore[misc, unused-ignore]
    def __init__(self, instrument: Any, bar_type: Any, last: int) -> None:
        super().__init__()
        self.instrument, self.bar_type, self.last = instrument, bar_type, last
        self.fast, self.slow = SimpleMovingAverage(FAST), SimpleMovingAverage(SLOW)
        self.sign = self.position = self.fills = 0

    def on_start(self) -> None:
        self.register_indicator_for_bars(self.bar_type, self.fast)
        self.register_indicator_for_bars(self.bar_type, self.slow)
        self.subscribe_bars(self.bar_type)

    def on_bar(self, bar: Any) -> None:
        if not self.slow.initialized:
            return
        apart = self.fast.value - self.slow.value
        if abs(apart) <= TIE:
            return
        now = 1 if apart > 0 else -1
        # It fills at this close; an order of the last bar would have no next open.
        if self.sign not in {0, now} and bar.ts_event < self.last:
            change = now * UNITS - self.position
            self.position += change
            self.submit_order(
                self.order_factory.market(
                    self.instrument.id,
                    OrderSide.BUY if change > 0 else OrderSide.SELL,
                    self.instrument.make_qty(abs(change)),
                )
            )
        self.sign = now

    def on_order_filled(self, event: Any) -> None:  # noqa: ARG002
        self.fills += 1


def main() -> None:
    made = data()
    venue = Venue("SIM")
    instrument = TestInstrumentProvider.default_fx_ccy("EUR/USD", venue)
    bar_type = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    frame = pd.DataFrame(
        {
            "open": made.open,
            "high": made.high,
            "low": made.low,
            "close": made.close,
            "volume": made.volume * DEPTH,
        },
        index=pd.to_datetime(made.time + MINUTE, utc=True),
    )
    bars = BarDataWrangler(bar_type, instrument).process(frame)
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    engine.add_venue(
        venue,
        OmsType.NETTING,
        AccountType.MARGIN,
        [Money(CASH, USD)],
        base_currency=USD,
        default_leverage=Decimal(100),
        fee_model=HalfSpread(),
    )
    engine.add_instrument(instrument)
    engine.add_data(bars)
    strategy = Cross(instrument, bar_type, int(made.time[-1]) + MINUTE)
    engine.add_strategy(strategy)

    def run() -> Outcome:
        engine.run()
        balance = engine.portfolio.account(venue).balance_total(USD).as_double()
        open_profit = engine.portfolio.unrealized_pnl(instrument.id)
        return strategy.fills, balance + (open_profit.as_double() if open_profit else 0.0)

    report("nautilus_trader", "event", made, run)


if __name__ == "__main__":
    main()
