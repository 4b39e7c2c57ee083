"""What positions are worth and what margin they bind, in the account's currency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from mtquant.exchange.costs import money
from mtquant.model import Instrument, Position, PositionMode, Quote, Side

ZERO = Decimal(0)
Exposure = tuple[Decimal, Decimal]
"""Base units long and short in one instrument."""


def exposures(positions: Iterable[Position]) -> dict[str, Exposure]:
    """Return what is held long and short, by symbol."""
    held: dict[str, Exposure] = defaultdict(lambda: (ZERO, ZERO))
    for each in positions:
        long, short = held[each.instrument]
        bought = each.side is Side.BUY
        held[each.instrument] = (
            (long + each.quantity, short) if bought else (long, short + each.quantity)
        )
    return dict(held)


def with_order(
    held: Mapping[str, Exposure], symbol: str, side: Side, quantity: Decimal, mode: PositionMode
) -> dict[str, Exposure]:
    """Return ``held`` once an order of ``quantity`` has filled that opens where it can."""
    long, short = held.get(symbol, (ZERO, ZERO))
    bought = side is Side.BUY
    long, short = (long + quantity, short) if bought else (long, short + quantity)
    if mode is PositionMode.NETTING:
        both = min(long, short)
        long, short = long - both, short - both
    return dict(held) | {symbol: (long, short)}


def margin(
    held: Mapping[str, Exposure],
    instruments: Mapping[str, Instrument],
    quotes: Mapping[str, Quote],
    rate: Callable[[str], Decimal],
) -> Decimal:
    """Return the margin in use: of hedged tickets, the larger side of an instrument counts."""
    total = ZERO
    for symbol, (long, short) in held.items():
        each = instruments[symbol]
        notional = max(long, short) * quotes[symbol].mid * rate(each.quote)
        total += notional * each.margin_rate
    return money(total)


def open_profit(position: Position, quote: Quote, rate: Decimal) -> Decimal:
    """Return the profit that closing ``position`` at ``quote`` would bring, commission aside."""
    price = quote.bid if position.side is Side.BUY else quote.ask
    return position.side.sign * position.quantity * (price - position.average_price) * rate
