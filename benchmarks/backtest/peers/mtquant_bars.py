"""mtquant: a Strategy whose ``on_bar`` is called for each bar, with the risk gate on.

Its market orders fill at once, at the bid or ask of the bar's close, which is the next open here;
half of a spread of 0.5 pip is the 0.25 pip. Prices step by 0.000005, as that is where bid and ask
lie. The strategy is told which bar is the last, as an order there would fill, too. A position is
turned by two executions, a close and an open at one time: they count as the one order they are for.
What is held at the end mtquant values at what closing it would bring, the task at the last close:
half the spread of it is added.

The gate has all of its checks and the loss breaker at their defaults. No limit is raised: in a day
this task sends about 110 messages, of which 1,000 are allowed, and its orders and losses are small
for its account. Counting the executions, which are made when somebody asks for them, is timed.
"""

from __future__ import annotations

from backtest.data import Bars, bars
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report

from mtquant import Settings, Strategy
from mtquant.backtest import Result
from mtquant.backtest.api import prepared_of
from mtquant.backtest.run import Prepared, run
from mtquant.model import Bar, Signal, Timeframe
from mtquant.model.arrays import BarArrays

SYMBOL = "EUR/USD"
PIP = 0.0001


class CrossSettings(Settings):
    """``fast`` and ``slow``: lengths in bars; ``last``: when the last bar opens, nanoseconds."""

    fast: int = FAST
    slow: int = SLOW
    last: int


class Cross(Strategy[CrossSettings]):
    name = "cross_by_bars"

    def on_start(self) -> None:
        self.fast = self.indicator("sma", period=self.settings.fast)
        self.slow = self.indicator("sma", period=self.settings.slow)
        self.sign = 0

    def on_bar(self, bar: Bar) -> Signal | None:
        apart = self.fast[0] - self.slow[0]
        if abs(apart) <= TIE:
            return None
        before, self.sign = self.sign, 1 if apart > 0 else -1
        if before in {0, self.sign} or bar.time == self.settings.last:
            return None
        return self.long("above") if self.sign > 0 else self.short("below")


def prepared(made: Bars, strategy: type[Strategy[CrossSettings]] = Cross) -> Prepared:
    """Return the backtest of ``strategy`` on ``made``, ready to run."""
    arrays = BarArrays(
        instrument=SYMBOL,
        timeframe=Timeframe.M1,
        time=made.time,
        open=made.open,
        high=made.high,
        low=made.low,
        close=made.close,
        volume=made.volume,
    )
    return prepared_of(
        strategy,
        arrays,
        params={"last": int(made.time[-1])},
        account={
            "balance": f"{CASH:.0f}",
            "spread_pips": f"{2 * COST / PIP:.1f}",
            "price_step": "0.000005",
        },
        risk={"sizer": {"plugin": "fixed_quantity", "quantity": str(UNITS)}},
    )


def outcome(result: Result) -> Outcome:
    """Return the task's orders, which are the times with executions, and equity at the close."""
    fills = result.fills
    held = abs(sum(each.side.sign * float(each.quantity) for each in fills))
    return len({each.time for each in fills}), float(result.final_equity) + held * COST


def warm_up() -> None:
    """Import what a first run imports: TA-Lib, and pandas through it."""
    run(prepared(bars(10 * SLOW)))


def main(
    name: str = "mtquant", kind: str = "event", strategy: type[Strategy[CrossSettings]] = Cross
) -> None:
    made = data()
    ready = prepared(made, strategy)
    warm_up()
    report(name, kind, made, lambda: outcome(run(ready)))


if __name__ == "__main__":
    main()
