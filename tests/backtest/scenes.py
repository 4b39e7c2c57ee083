"""Made-up results of backtests: a seeded random walk, traded with stops and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np

from mtquant.backtest.result import Costs, Rejection, Result, RunCard, Trade, Traded
from mtquant.clock import SECOND, parse_time
from mtquant.model import AssetClass, Fill, Instrument, Reason, Side, Timeframe
from mtquant.model.arrays import BarArrays, Floats

START = parse_time("2019-01-02T00:00:00Z")
MONEY = Decimal(100_000)
PRICES = {"EUR/USD": 1.1, "GBP/USD": 1.3, "USD/JPY": 110.0, "XAU/USD": 1500.0}
_WEEK_S, _CLOSED_S = 7 * 86_400, 2 * 86_400
_REASONS = ("stop_loss", "take_profit", "signal", "trailing_stop")


def instrument(symbol: str) -> Instrument:
    """Return ``symbol`` in steps of a tenth of a pip."""
    base, _, quote = symbol.partition("/")
    pip = Decimal("0.01") if PRICES.get(symbol, 1.0) > 10 else Decimal("0.0001")
    return Instrument(
        instrument=symbol,
        asset_class=AssetClass.FOREX,
        base=base,
        quote=quote or "USD",
        price_step=pip / 10,
        pip_size=pip,
        quantity_min=Decimal(1),
        quantity_max=Decimal(10_000_000),
        quantity_step=Decimal(1),
        margin_rate=Decimal("0.05"),
    )


def walk(
    symbol: str, bars: int, timeframe: Timeframe, seed: int = 1, start: int = START
) -> BarArrays:
    """Return ``bars`` bars of a random walk that rests at weekends."""
    noise = np.random.default_rng([seed, len(symbol), ord(symbol[0])])
    level, step = PRICES.get(symbol, 1.0), float(instrument(symbol).price_step)
    deviation = level * 0.09 * np.sqrt(timeframe.seconds / (250 * 86_400))
    moves = noise.standard_t(5, bars) * deviation * 0.75
    close = np.round(np.maximum(level * 0.2, level + np.cumsum(moves)) / step) * step
    opened = np.concatenate([[level], close[:-1]])
    high = np.maximum(opened, close) + np.abs(noise.normal(0, deviation / 2, bars))
    low = np.minimum(opened, close) - np.abs(noise.normal(0, deviation / 2, bars))
    seconds = np.arange(bars, dtype=np.int64) * timeframe.seconds
    # Every five days of trading are followed by two without.
    seconds += seconds // (_WEEK_S - _CLOSED_S) * _CLOSED_S
    places = max(0, -int(np.floor(np.log10(step))))
    return BarArrays(
        instrument=symbol,
        timeframe=timeframe,
        time=start + seconds * SECOND,
        open=np.round(opened, places),
        high=np.round(high, places),
        low=np.round(low, places),
        close=np.round(close, places),
        volume=np.ones(bars),
    )


def result(
    bars: int = 3_000,
    symbols: Sequence[str] = ("EUR/USD", "USD/JPY"),
    trades: int = 120,
    *,
    seed: int = 1,
    timeframe: Timeframe = Timeframe.H1,
    parameters: Mapping[str, Any] | None = None,
) -> Result:
    """Return a backtest of about ``trades`` round trips, shared out among ``symbols``."""
    noise = np.random.default_rng(seed)
    prices = {symbol: walk(symbol, bars, timeframe) for symbol in symbols}
    made = [
        trade
        for symbol in symbols
        for trade in _trades(prices[symbol], trades // len(symbols), noise)
    ]
    made.sort(key=lambda trade: (trade.exit_time, trade.entry_time))
    time = next(iter(prices.values())).time + timeframe.seconds * SECOND
    balance, equity, exposure = _curves(prices, made, time)
    costs = sum((trade.costs for trade in made), Costs())
    return Result(
        card=_card(prices, symbols, timeframe, seed, parameters or {}),
        currency="USD",
        start_balance=MONEY,
        time=time,
        equity=equity,
        balance=balance,
        exposure=exposure,
        history=Traded(round_trips=tuple(made), fills=tuple(_fills(made)), costs=costs),
        rejections=_rejections(prices[symbols[0]], noise),
        prices=prices,
        instruments={symbol: instrument(symbol) for symbol in symbols},
        ambiguous_bars=3,
        told=((int(time[bars // 2]), "warning", "the loss breaker is at warned"),),
        seconds=0.42,
    )


def empty() -> Result:
    """Return a run of five bars without a trade."""
    whole = result(5, ("EUR/USD",), 0)
    return replace(whole, rejections=(), told=(), ambiguous_bars=0)


def hostile(text: str) -> Result:
    """Return a result in which ``text`` stands wherever a stranger may write."""
    whole = result(400, ("EUR/USD",), 12)
    prices = {text: replace(whole.prices["EUR/USD"], instrument=text)}
    return replace(
        whole,
        currency=text,
        history=Traded(
            round_trips=tuple(
                replace(
                    each, instrument=text, strategy_id=text, entry_reason=text, exit_reason=text
                )
                for each in whole.round_trips
            ),
            fills=tuple(replace(each, instrument=text) for each in whole.fills),
            costs=whole.costs,
        ),
        rejections=tuple(
            replace(each, instrument=text, strategy_id=text, code=text, message=text, who=text)
            for each in whole.rejections
        ),
        prices=prices,
        instruments={text: replace(instrument("EUR/USD"), instrument=text)},
        card=replace(
            whole.card,
            version=text,
            python=text,
            symbols=(text,),
            data={text: text},
            config={text: text, "strategies": [{"plugin": text, "parameters": {text: text}}]},
        ),
        told=((int(whole.time[3]), text, text),),
    )


def _trades(prices: BarArrays, wanted: int, noise: np.random.Generator) -> list[Trade]:
    if not wanted:
        return []
    room = len(prices) // wanted
    found = []
    for index in range(wanted):
        first = index * room + int(noise.integers(0, max(1, room // 3)))
        held = int(noise.integers(1, max(2, room - room // 3)))
        last = min(first + held, len(prices) - 1)
        if last > first:
            found.append(_trade(prices, first, last, index, noise))
    return found


def _trade(
    prices: BarArrays, first: int, last: int, index: int, noise: np.random.Generator
) -> Trade:
    side = Side.BUY if noise.random() < 0.55 else Side.SELL
    entry, leaving = float(prices.open[first]), float(prices.open[last])
    highest = max(float(prices.high[first:last].max()), leaving) - entry
    lowest = entry - min(float(prices.low[first:last].min()), leaving)
    quantity = Decimal(int(noise.integers(1, 9)) * 5_000)
    if prices.instrument.startswith("XAU"):
        quantity /= 1000
    rate = leaving if prices.instrument.startswith("USD") else 1.0
    gross = side.sign * float(quantity) * (leaving - entry) / rate
    costs = Costs(
        spread=_cents(float(quantity) * entry / rate * 2e-5),
        commission=_cents(float(quantity) * entry / rate * 3e-5),
        slippage=_cents(float(noise.exponential(0.4))),
        swap=_cents(float(noise.normal(0.1, 0.4))),
    )
    adverse, favourable = (lowest, highest) if side is Side.BUY else (highest, lowest)
    ended = last == len(prices) - 1
    return Trade(
        instrument=prices.instrument,
        strategy_id="sma_cross",
        side=side,
        quantity=quantity,
        entry_time=int(prices.time[first]),
        exit_time=int(prices.time[last]),
        entry_price=_price(entry),
        exit_price=_price(leaving),
        profit=_cents(gross) - costs.total,
        costs=costs,
        entry_reason=f"fast average {'above' if side is Side.BUY else 'below'} slow at {entry:.5f}",
        exit_reason="open" if ended else _REASONS[index % len(_REASONS)],
        adverse=max(0.0, adverse),
        favourable=max(0.0, favourable),
        stop_distance=_price(entry * 0.004) if index % 3 else None,
        bars=last - first,
    )


def _fills(trades: Sequence[Trade]) -> list[Fill]:
    fills = []
    for index, trade in enumerate(trades):
        opening = Fill(
            execution_id=f"{index}-in",
            order_id=f"{index}-in",
            client_order_id=None,
            instrument=trade.instrument,
            side=trade.side,
            quantity=trade.quantity,
            price=trade.entry_price,
            time=trade.entry_time,
            commission=trade.costs.commission / 2,
        )
        fills.append(opening)
        if not trade.open:
            known = trade.exit_reason in set(Reason)
            closing = replace(
                opening,
                execution_id=f"{index}-out",
                order_id=f"{index}-out",
                side=trade.side.opposite,
                price=trade.exit_price,
                time=trade.exit_time,
                realized_profit=trade.profit,
                reason=Reason(trade.exit_reason) if known else None,
            )
            fills.append(closing)
    return sorted(fills, key=lambda fill: fill.time)


def _curves(
    prices: Mapping[str, BarArrays], trades: Sequence[Trade], time: np.ndarray[Any, Any]
) -> tuple[Floats, Floats, Floats]:
    realised, floating, exposure = (np.zeros(len(time)) for _ in range(3))
    for trade in trades:
        bars = prices[trade.instrument]
        first, last = np.searchsorted(bars.time, [trade.entry_time, trade.exit_time])
        rate = float(trade.exit_price) if trade.instrument.startswith("USD") else 1.0
        size = trade.side.sign * float(trade.quantity) / rate
        held = bars.close[first:last]
        floating[first:last] += size * (held - float(trade.entry_price))
        exposure[first:last] += size * held
        realised[last] += float(trade.profit)
    balance = float(MONEY) + np.cumsum(realised)
    return balance, np.round(balance + floating, 2), np.round(exposure, 2)


def _card(
    prices: Mapping[str, BarArrays],
    symbols: Sequence[str],
    timeframe: Timeframe,
    seed: int,
    parameters: Mapping[str, Any],
) -> RunCard:
    first = prices[symbols[0]]
    chosen = {"fast": 10, "slow": 30, "stop_pips": 40} | dict(parameters)
    return RunCard(
        version="0.9.0",
        python="3.11.9",
        seed=seed,
        symbols=tuple(symbols),
        timeframe=timeframe,
        first=int(first.time[0]),
        last=int(first.time[-1]),
        bars=sum(len(each) for each in prices.values()),
        data={symbol: f"{index:x}".rjust(64, "a") for index, symbol in enumerate(symbols)},
        config={
            "account": {"currency": "USD", "balance": "100000"},
            "strategies": [{"plugin": "sma_cross", "parameters": chosen}],
            "costs": {"spread_pips": "0.4", "commission_per_million": "30"},
        },
    )


def _rejections(prices: BarArrays, noise: np.random.Generator) -> tuple[Rejection, ...]:
    kinds = (
        ("risk", "order_notional", "the order is worth 210,000 USD, more than 200,000", True),
        ("risk", "reducing_only", "the loss breaker lets nothing be opened", False),
        ("broker", "insufficient_margin", "1,200.00 USD of margin missing", False),
    )
    times = np.sort(noise.integers(0, len(prices), 17))
    return tuple(
        Rejection(
            time=int(prices.time[at]),
            instrument=prices.instrument,
            strategy_id="sma_cross",
            who=kinds[index % 3][0],
            code=kinds[index % 3][1],
            message=kinds[index % 3][2],
            reduced=kinds[index % 3][3],
        )
        for index, at in enumerate(times)
    )


def _cents(amount: float) -> Decimal:
    return Decimal(str(round(amount, 2)))


def _price(amount: float) -> Decimal:
    return Decimal(str(round(amount, 5)))
