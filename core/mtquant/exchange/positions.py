"""The positions of a simulated account, netted by instrument or hedged by ticket.

*Netting.* One position an instrument, which bears its symbol. What adds to it moves its average
price; an opposite order reduces, closes or turns it, and a turned position is a new one.

*Hedging.* Each order opens a ticket of its own; only what names a ticket makes it smaller.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal

from mtquant.exchange.record import AVERAGE_STEP, ZERO
from mtquant.model import OrderRequest, OrderType, Position, PositionMode, Side


@dataclass(frozen=True, slots=True)
class Moved:
    """What an execution did: the position before, the one after, and the base units it closed."""

    before: Position | None
    after: Position | None
    closed: Decimal


class Positions:
    """Every open position by its id, in the order in which they were opened."""

    def __init__(self, mode: PositionMode) -> None:
        self.mode = mode
        self.open: dict[str, Position] = {}

    def restore(self, positions: Iterable[Position]) -> None:
        """Continue with ``positions``."""
        self.open = {each.position_id: each for each in positions}

    def of(self, symbol: str) -> list[Position]:
        """Return the positions in ``symbol``, the oldest first."""
        return [each for each in self.open.values() if each.instrument == symbol]

    def opposite(self, symbol: str, side: Side) -> Decimal:
        """Return how many base units an order of ``side`` would close in a netting account."""
        held = self.open.get(symbol)
        return held.quantity if held is not None and held.side is not side else ZERO

    def take(
        self, order: OrderRequest, position_id: str, quantity: Decimal, price: Decimal, time: int
    ) -> Moved:
        """Take an execution of ``order`` in, on the position ``position_id``."""
        before = self.open.get(position_id)
        signed = before.side.sign * before.quantity if before else ZERO
        after = signed + order.side.sign * quantity
        closed = min(abs(signed), quantity) if signed * order.side.sign < 0 else ZERO
        if after == 0:
            del self.open[position_id]
            return Moved(before, None, closed)
        if before is None or signed * after < 0:
            self.open.pop(position_id, None)
            position = Position(
                position_id=position_id,
                instrument=order.instrument,
                side=Side.BUY if after > 0 else Side.SELL,
                quantity=abs(after),
                average_price=price,
                unrealized_profit=ZERO,
                opened_at=time,
            )
        else:
            average = before.average_price
            if before.side is order.side:
                cost = before.quantity * before.average_price + quantity * price
                average = (cost / abs(after)).quantize(AVERAGE_STEP, ROUND_HALF_EVEN)
            position = replace(before, quantity=abs(after), average_price=average)
        if position.side is order.side:
            # On a trailing stop order the distance is its own, and protects nothing.
            trails = order.order_type is OrderType.TRAILING_STOP
            position = replace(
                position,
                stop_loss=order.stop_loss or position.stop_loss,
                take_profit=order.take_profit or position.take_profit,
                trailing_stop=(not trails and order.trailing_stop) or position.trailing_stop,
            )
        self.open[position_id] = position
        return Moved(before, position, closed)
