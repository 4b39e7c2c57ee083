"""zipline-reloaded: ``handle_data`` is called for each minute of a 24/7 calendar.

The averages are running sums of the price asked for each minute, the fastest way it offers; its
``data.history`` in each minute is far slower. Fills at the next open come from a slippage model of
our own. A simulation ends with a whole day, so up to 1,439 minutes without data follow the bars.
"""

# mypy: disallow-subclassing-any=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

import tempfile
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import pandas as pd
from backtest.data import Bars
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from sqlalchemy import create_engine  # type: ignore[import-not-found, unused-ignore]
from zipline.algorithm import TradingAlgorithm  # type: ignore[import-not-found]
from zipline.api import (  # type: ignore[import-not-found]
    order,
    set_commission,
    set_slippage,
    sid,
)
from zipline.assets import AssetDBWriter, AssetFinder  # type: ignore[import-not-found]
from zipline.data.bcolz_minute_bars import (  # type: ignore[import-not-found]
    BcolzMinuteBarReader,
    BcolzMinuteBarWriter,
)
from zipline.data.data_portal import DataPortal  # type: ignore[import-not-found]
from zipline.finance.commission import NoCommission  # type: ignore[import-not-found]
from zipline.finance.metrics import load as metrics_set  # type: ignore[import-not-found]
from zipline.finance.slippage import SlippageModel  # type: ignore[import-not-found]
from zipline.finance.trading import SimulationParameters  # type: ignore[import-not-found]
from zipline.utils.calendar_utils import get_calendar  # type: ignore[import-not-found]

MINUTES = 1440


class NextOpen(SlippageModel):  # type: ignore[misc, unused-ignore]
    def process_order(self, data: Any, order: Any) -> tuple[float, int]:
        amount = order.amount
        at = data.current(order.asset, "open")
        return at + (COST if amount > 0 else -COST), amount


class Cross:
    def __init__(self, bars: int) -> None:
        self.left = bars
        self.closes: deque[float] = deque(maxlen=SLOW + 1)
        self.sum_fast = self.sum_slow = self.equity = 0.0
        self.sign = self.wanted = self.fills = 0

    def initialize(self, context: Any) -> None:
        context.asset = sid(1)
        set_commission(NoCommission())
        set_slippage(NextOpen())

    def handle_data(self, context: Any, data: Any) -> None:
        if not self.left:
            return
        self.left -= 1
        closes, close = self.closes, data.current(context.asset, "close")
        closes.append(close)
        self.sum_fast += close
        self.sum_slow += close
        if len(closes) > FAST:
            self.sum_fast -= closes[-1 - FAST]
        if len(closes) > SLOW:
            self.sum_slow -= closes[0]
        if not self.left:
            self.equity = context.portfolio.portfolio_value
            return
        if len(closes) < SLOW:
            return
        apart = self.sum_fast / FAST - self.sum_slow / SLOW
        if abs(apart) <= TIE:
            return
        now = 1 if apart > 0 else -1
        if self.sign not in {0, now}:
            order(context.asset, now * UNITS - self.wanted)
            self.wanted = now * UNITS
            self.fills += 1
        self.sign = now


def portal(made: Bars, folder: Path) -> tuple[DataPortal, AssetFinder, pd.DatetimeIndex]:
    """Write the minutes in its own format; its price unit is a point here, not its usual 0.001."""
    calendar = get_calendar("24/7")
    times = pd.to_datetime(made.time, utc=True)
    days = calendar.sessions_in_range(times[0].strftime("%Y-%m-%d"), times[-1].strftime("%Y-%m-%d"))
    writer = BcolzMinuteBarWriter(
        str(folder), calendar, days[0], days[-1], MINUTES, default_ohlc_ratio=100_000
    )
    frame = pd.DataFrame(
        {
            "open": made.open,
            "high": made.high,
            "low": made.low,
            "close": made.close,
            "volume": made.volume * 1000,
        },
        index=times,
    )
    writer.write([(1, frame)])
    reader = BcolzMinuteBarReader(str(folder))
    engine = create_engine("sqlite://")
    equities = pd.DataFrame(
        {
            "symbol": ["EURUSD"],
            "asset_name": ["EUR/USD"],
            "start_date": [days[0]],
            "end_date": [days[-1]],
            "exchange": ["SIM"],
        },
        index=[1],
    )
    exchanges = pd.DataFrame({"exchange": ["SIM"], "country_code": ["US"]})
    AssetDBWriter(engine).write(equities=equities, exchanges=exchanges)
    finder = AssetFinder(engine)
    return DataPortal(finder, calendar, days[0], equity_minute_reader=reader), finder, days


def main() -> None:
    warnings.simplefilter("ignore")
    made = data()
    with tempfile.TemporaryDirectory() as folder:
        prices, finder, days = portal(made, Path(folder))
        strategy = Cross(len(made))
        calendar = prices.trading_calendar
        algorithm = TradingAlgorithm(
            sim_params=SimulationParameters(
                start_session=days[0],
                end_session=days[-1],
                trading_calendar=calendar,
                capital_base=CASH,
                data_frequency="minute",
                emission_rate="daily",
            ),
            data_portal=prices,
            asset_finder=finder,
            trading_calendar=calendar,
            initialize=strategy.initialize,
            handle_data=strategy.handle_data,
            metrics_set=metrics_set("none"),
            benchmark_returns=pd.Series(0.0, index=days),
        )

        def run() -> Outcome:
            algorithm.run()
            return strategy.fills, strategy.equity

        report("zipline-reloaded", "event", made, run)


if __name__ == "__main__":
    main()
