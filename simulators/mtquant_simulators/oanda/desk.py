"""The exchange under OANDA's rules: trades are tickets, and orders may reduce the oldest first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from mtquant.exchange import Exchange, ExchangeSettings
from mtquant.exchange.money import exposures, margin, with_order
from mtquant.exchange.record import ZERO
from mtquant.model import Fill, OrderReport, OrderRequest, Position, PositionMode, Reason, Side


class PositionFill(StrEnum):
    """What an order does to the trades on the other side."""

    OPEN_ONLY = "OPEN_ONLY"
    REDUCE_FIRST = "REDUCE_FIRST"
    REDUCE_ONLY = "REDUCE_ONLY"


@dataclass(frozen=True, slots=True)
class FillRule:
    """How an order fills; ``stop_distance`` is that of a stop-loss from the price of the fill."""

    position_fill: PositionFill
    stop_distance: Decimal | None = None


class Desk(Exchange):
    """A hedged account of the exchange, whose orders may close tickets of the other side.

    ``rules`` says how by client order id; an order without one names its ticket, and what protects
    a ticket closes that one. Unless ``hedging``, no two tickets of one symbol are on two sides.
    """

    def __init__(
        self, settings: ExchangeSettings, symbols: Iterable[str], *, hedging: bool
    ) -> None:
        super().__init__(settings, symbols)
        self.rules: dict[str, FillRule] = {}
        self.hedging = hedging

    def opposite(self, symbol: str, side: Side) -> list[Position]:
        """Return the open tickets against ``side``, the oldest first."""
        return [each for each in self._positions.of(symbol) if each.side is not side]

    def _rule(self, order: OrderRequest) -> FillRule | None:
        return self.rules.get(order.client_order_id)

    def _wanted(self, report: OrderReport, request: OrderRequest) -> Decimal:
        rule = self._rule(request)
        if rule is None or rule.position_fill is not PositionFill.REDUCE_ONLY:
            return super()._wanted(report, request)
        held = sum((e.quantity for e in self.opposite(report.instrument, report.side)), ZERO)
        return min(report.remaining_quantity, held)

    def _problem(
        self,
        report: OrderReport,
        request: OrderRequest,
        quantity: Decimal,
        price: Decimal,
        reference: Decimal | None,
    ) -> tuple[Reason, str] | None:
        rule = self._rule(request)
        opens = rule is not None and rule.position_fill is PositionFill.OPEN_ONLY
        if opens and not self.hedging and self.opposite(report.instrument, report.side):
            return Reason.OTHER, "it may only open, and the other side is held"
        return super()._problem(report, request, quantity, price, reference)

    def _margin_with(self, order: OrderRequest, quantity: Decimal) -> Decimal:
        """Return the margin after the order: what reduces first is netted."""
        rule = self._rule(order)
        if rule is None or rule.position_fill is PositionFill.OPEN_ONLY:
            return super()._margin_with(order, quantity)
        held = exposures(self._positions.open.values())
        netting = PositionMode.NETTING
        after = with_order(held, order.instrument, order.side, quantity, netting)
        return margin(after, self.instruments, self.quotes, self.rate)

    def _book(
        self,
        report: OrderReport,
        request: OrderRequest,
        quantity: Decimal,
        price: Decimal,
        time: int,
    ) -> Fill:
        """Close the oldest tickets of the other side as the rule says, and open with the rest."""
        rule = self._rule(request)
        if rule is None or report.reason is not None:
            return super()._book(report, request, quantity, price, time)
        fill: Fill | None = None
        if rule.position_fill is not PositionFill.OPEN_ONLY:
            for ticket in self.opposite(request.instrument, request.side):
                part = min(quantity, ticket.quantity)
                if part:
                    named = replace(report, position_id=ticket.position_id)
                    fill = super()._book(named, request, part, price, time)
                    quantity -= part
        if quantity:
            if rule.stop_distance is not None:
                stop = price - request.side.sign * rule.stop_distance
                request = replace(request, stop_loss=stop)
            # Every fill that opens is a trade of its own, also of one order that fills in parts.
            fresh = replace(report, position_id=None)
            fill = super()._book(fresh, request, quantity, price, time)
        if fill is None:  # _wanted has bounded the quantity by what there is to reduce
            msg = f"order {report.order_id} was to fill nothing"
            raise AssertionError(msg)
        return fill
