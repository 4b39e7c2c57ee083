"""Results of backtests, put together by hand: as much of one as a statistic looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtquant.backtest.result import Costs, Rejection, Result, RunCard, Trade, Traded
from mtquant.clock import SECOND, parse_time
from mtquant.model import AssetClass, Fill, Instrument, Reason, Side, Timeframe
from mtquant.model.arrays import BarArrays

DAY = 86_400 * SECOND
START = parse_time("2024-01-01T00:00:00Z")


def every(timeframe: Timeframe, count: int, start: int = START) -> NDArray[np.int64]:
    """Return when ``count`` bars from ``start`` on were over."""
    return start + np.arange(1, count + 1, dtype=np.int64) * timeframe.seconds * SECOND


def result(
    equity: ArrayLike,
    trades: Sequence[Trade] = (),
    timeframe: Timeframe = Timeframe.D1,
    start_balance: float = 100.0,
    prices: Mapping[str, ArrayLike] | None = None,
    **others: Any,  # noqa: ANN401 - fields of a result
) -> Result:
    """Return a result whose steps are the bars of ``timeframe`` from ``START`` on."""
    curve = np.asarray(equity, dtype=np.float64)
    time = others.pop("time", every(timeframe, curve.size))
    symbols = tuple(prices or ("EUR/USD",))
    card = RunCard(
        version="1",
        python="3.11",
        seed=0,
        symbols=symbols,
        timeframe=timeframe,
        first=START,
        last=START,
        bars=curve.size,
        data={},
        config={},
    )
    whole: dict[str, Any] = {
        "card": card,
        "currency": "USD",
        "start_balance": Decimal(repr(start_balance)),
        "time": time,
        "equity": curve,
        "balance": curve,
        "exposure": np.zeros(curve.size),
        "history": Traded(
            round_trips=tuple(trades),
            fills=others.pop("fills", ()),
            costs=others.pop("costs", Costs()),
        ),
        "rejections": (),
        "prices": {
            symbol: bars(symbol, closes, timeframe) for symbol, closes in (prices or {}).items()
        },
        "instruments": {symbol: instrument(symbol) for symbol in symbols},
    }
    return Result(**(whole | others))


def bars(symbol: str, closes: ArrayLike, timeframe: Timeframe = Timeframe.D1) -> BarArrays:
    """Return bars from ``START`` on that open where the one before closed, the first at 1."""
    close = np.asarray(closes, dtype=np.float64)
    opened = np.concatenate(([1.0], close[:-1]))
    return BarArrays(
        instrument=symbol,
        timeframe=timeframe,
        time=every(timeframe, close.size) - timeframe.seconds * SECOND,
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=np.zeros(close.size),
    )


def trade(profit: float | str, **others: Any) -> Trade:  # noqa: ANN401 - fields of a trade
    """Return a closed trade that earned ``profit``."""
    whole: dict[str, Any] = {
        "instrument": "EUR/USD",
        "strategy_id": "trend",
        "side": Side.BUY,
        "quantity": Decimal(1000),
        "entry_time": START,
        "exit_time": START + DAY,
        "entry_price": Decimal("1.25"),
        "exit_price": Decimal("1.26"),
        "profit": Decimal(str(profit)),
    }
    return Trade(**(whole | others))


def fill(
    quantity: str,
    price: str,
    symbol: str = "EUR/USD",
    time: int = START + DAY,
    side: Side = Side.BUY,
    reason: Reason | None = None,
) -> Fill:
    """Return an execution."""
    return Fill(
        execution_id="1",
        order_id="1",
        client_order_id=None,
        instrument=symbol,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(price),
        time=time,
        reason=reason,
    )


def rejection(code: str, message: str = "no", **others: Any) -> Rejection:  # noqa: ANN401 - its fields
    """Return a signal that came to nothing."""
    whole: dict[str, Any] = {"time": START, "instrument": "EUR/USD", "strategy_id": "trend"}
    return Rejection(**(whole | {"code": code, "message": message} | others))


def instrument(symbol: str) -> Instrument:
    """Return ``symbol`` as an instrument."""
    base, quote = symbol.split("/")
    one = Decimal(1)
    return Instrument(
        instrument=symbol,
        asset_class=AssetClass.FOREX,
        base=base,
        quote=quote,
        price_step=one,
        pip_size=one,
        quantity_min=one,
        quantity_max=one,
        quantity_step=one,
        margin_rate=one,
    )
