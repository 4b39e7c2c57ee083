"""hftbacktest: a book of one bid and one ask for each bar, a strategy that numba compiles.

It is a simulator of order books: at a bar's close the one bid and the one ask are replaced by
others half a spread away from it (four events), and market orders take them without delay.
"""

# mypy: disallow-untyped-decorators=False
# ruff: noqa: ANN401 - a library's objects have no types here
from __future__ import annotations

from typing import Any

import numpy as np
from backtest.data import HIGHEST, LOWEST, MINUTE, POINT, Bars
from backtest.task import CASH, COST, FAST, SLOW, TIE, UNITS, Outcome, data, report
from hftbacktest import (  # type: ignore[import-not-found]
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    BacktestAsset,
    ROIVectorMarketDepthBacktest,
    event_dtype,
)
from numba import njit  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray

TICK = POINT / 2
DEPTH = 1_000_000.0


def events(made: Bars) -> NDArray[Any]:
    """Return the book's changes: at each bar's close the old levels go, the new ones come.

    The run's clock starts at the first event, so one book stands before the first bar, at its
    open; one more after the last lets the clock reach the last close.
    """
    price = np.concatenate((made.open[:1], made.close, made.close[-1:]))
    times = np.concatenate((made.time[:1], made.time + MINUTE, made.time[-1:] + 2 * MINUTE))
    before = np.concatenate((price[:1], price[:-1]))
    found = np.zeros(4 * len(price), event_dtype)
    for place, (levels, side, away, quantity) in enumerate(
        (
            (before, BUY_EVENT, -COST, 0.0),
            (before, SELL_EVENT, COST, 0.0),
            (price, BUY_EVENT, -COST, DEPTH),
            (price, SELL_EVENT, COST, DEPTH),
        )
    ):
        part = found[place::4]
        part["ev"] = EXCH_EVENT | LOCAL_EVENT | DEPTH_EVENT | side
        part["exch_ts"] = part["local_ts"] = times
        part["px"] = levels + away
        part["qty"] = quantity
    return found


@njit
def trade(hbt: Any, bars: int) -> tuple[float, float]:
    closes = np.empty(bars)
    sum_fast = sum_slow = 0.0
    sign = seen = orders = 0
    while seen < bars:
        hbt.elapse(MINUTE)
        depth = hbt.depth(0)
        close = (depth.best_bid + depth.best_ask) / 2
        closes[seen] = close
        seen += 1
        sum_fast += close
        sum_slow += close
        if seen > FAST:
            sum_fast -= closes[seen - 1 - FAST]
        if seen > SLOW:
            sum_slow -= closes[seen - 1 - SLOW]
        if seen < SLOW:
            continue
        apart = sum_fast / FAST - sum_slow / SLOW
        if abs(apart) <= TIE:
            continue
        now = 1 if apart > 0 else -1
        if sign not in (0, now) and seen < bars:
            change = now * UNITS - hbt.position(0)
            orders += 1
            if change > 0:
                hbt.submit_buy_order(0, orders, depth.best_ask, change, GTC, MARKET, False)  # noqa: FBT003 - numba takes no keyword
            else:
                hbt.submit_sell_order(0, orders, depth.best_bid, -change, GTC, MARKET, False)  # noqa: FBT003
            hbt.clear_inactive_orders(0)
        sign = now
    state = hbt.state_values(0)
    return state.num_trades, state.balance + state.position * closes[seen - 1]


def main() -> None:
    made = data()
    feed = events(made)

    def run() -> Outcome:
        asset = (
            BacktestAsset()
            .data([feed])
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(TICK)
            .lot_size(1.0)
            .roi_lb(LOWEST * POINT)
            .roi_ub(HIGHEST * POINT)
        )
        hbt = ROIVectorMarketDepthBacktest([asset])
        fills, gained = trade(hbt, len(made))
        hbt.close()
        return int(fills), CASH + gained

    report("hftbacktest", "compiled", made, run, warm=1)


if __name__ == "__main__":
    main()
