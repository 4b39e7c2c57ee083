"""The sweep in vectorbt: the columns of one fast average at a time, each average made once.

All columns at once would need several GB; a column at a time would pay its set-up 1,000 times.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd
import vectorbt as vbt  # type: ignore[import-not-found]
from backtest.peers.vectorbt_numba import targets
from backtest.sweep import FASTS, SLOWS, report
from backtest.task import CASH, COST, Outcome, data
from vectorbt.portfolio.enums import SizeType  # type: ignore[import-not-found]


def main(engine: str = "numba") -> None:
    made = data()
    index = pd.to_datetime(made.time)
    opened, close = pd.Series(made.open, index), pd.Series(made.close, index)

    def run(windows: Sequence[int] = FASTS) -> list[Outcome]:
        fasts = vbt.MA.run(close, list(windows)).ma.to_numpy().reshape(len(made), -1)
        slows = vbt.MA.run(close, list(SLOWS)).ma.to_numpy()
        slippage = COST / opened
        found: list[Outcome] = []
        for column in range(len(windows)):
            # What it makes holds itself in cycles, which would pile up otherwise.
            gc.collect()
            apart = pd.DataFrame(fasts[:, column : column + 1] - slows, index, copy=False)
            book = vbt.Portfolio.from_orders(
                close,
                size=targets(apart),
                size_type=SizeType.TargetAmount,
                price=opened,
                slippage=slippage,
                init_cash=CASH,
                freq="1min",
                engine=engine,
            )
            found += zip(np.asarray(book.orders.count()), book.final_value(), strict=True)
        return found

    report(f"vectorbt ({engine})", "array", made, run, warm=lambda: run(FASTS[:1]))


if __name__ == "__main__":
    main(*sys.argv[2:])
