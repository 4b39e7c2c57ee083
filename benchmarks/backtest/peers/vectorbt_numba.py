"""vectorbt: target positions as an array, its engine compiled by numba."""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd
import vectorbt as vbt  # type: ignore[import-not-found]
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from vectorbt.portfolio.enums import SizeType  # type: ignore[import-not-found]

Frame = Any
"""A Series or a DataFrame of pandas."""


def targets(apart: Frame) -> Frame:
    """Return the position wanted at each bar's open: NaN where there is no order."""
    sign = (apart > TIE).astype(float) - (apart < -TIE).astype(float)
    held = sign.where(sign != 0).ffill()
    before = held.shift()
    return (UNITS * held).where((held != before) & before.notna()).shift()


def main(engine: str = "numba") -> None:
    made = data()
    index = pd.to_datetime(made.time)
    opened, close = pd.Series(made.open, index), pd.Series(made.close, index)

    def run() -> Outcome:
        fast = vbt.MA.run(close, FAST).ma
        slow = vbt.MA.run(close, SLOW).ma
        book = vbt.Portfolio.from_orders(
            close,
            size=targets(fast - slow),
            size_type=SizeType.TargetAmount,
            price=opened,
            slippage=COST / opened,
            init_cash=CASH,
            freq="1min",
            engine=engine,
        )
        return book.orders.count(), book.final_value()

    report(f"vectorbt ({engine})", "array", made, run, warm=1)


if __name__ == "__main__":
    main(*sys.argv[2:])
