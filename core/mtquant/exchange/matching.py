"""Which working orders a bar or a quote reaches, and at what price: the one pessimistic rule.

*The rule.* A bar tells its opening, its range and its end, not the way between. So the adverse
comes first: every stop that the bar's range reaches fills before any limit does, those nearer to
the opening first. A position opened inside a bar may be stopped out by the same bar, and takes no
profit in it. A stop-limit whose stop the bar's inside reaches fills in that bar only if its limit
allows the stop price itself. A trailing stop stands through the bar where it stood at its opening;
then it follows the bar's best price, and fills at its new level if the bar ends beyond it. A quote
is a bar that opens and ends at one price, where nothing is ambiguous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mtquant.model import OrderReport, OrderRequest, OrderType, Side

TRIGGERED = "stop price reached"
"""What the report of a stop-limit says once it rests as a limit."""
STOPS = {OrderType.STOP, OrderType.TRAILING_STOP}
LIMITS = {OrderType.LIMIT, OrderType.MARKET_IF_TOUCHED}


@dataclass(frozen=True, slots=True)
class Span:
    """Where one price opened in a bar, how far it reached, and where it ended."""

    opened: Decimal
    top: Decimal
    bottom: Decimal
    closed: Decimal


@dataclass(frozen=True, slots=True)
class Reach:
    """A bar's bid and ask."""

    bid: Span
    ask: Span

    def of(self, side: Side) -> Span:
        """Return the price at which ``side`` trades."""
        return self.ask if side is Side.BUY else self.bid


def stop_fill(side: Side, price: Decimal, span: Span) -> Decimal | None:
    """Return where a stop at ``price`` fills: there, or worse at the opening; None if unreached."""
    if side is Side.BUY:
        return max(price, span.opened) if span.top >= price else None
    return min(price, span.opened) if span.bottom <= price else None


def limit_fill(side: Side, price: Decimal, span: Span) -> Decimal | None:
    """Return where a limit at ``price`` fills: there, or better at the opening."""
    if side is Side.BUY:
        return min(price, span.opened) if span.bottom <= price else None
    return max(price, span.opened) if span.top >= price else None


def stops_reached(
    working: Mapping[str, OrderRequest], reports: Mapping[str, OrderReport], reach: Reach
) -> list[tuple[str, Decimal]]:
    """Return the stops that ``reach`` fills and the stop-limits it triggers, nearest first."""
    found = []
    for order_id, request in working.items():
        if request.order_type in STOPS:
            price = reports[order_id].stop_price
        elif request.order_type is OrderType.STOP_LIMIT and not triggered(reports[order_id]):
            price = request.stop_price
        else:
            continue
        fill = price and stop_fill(request.side, price, reach.of(request.side))
        if fill is not None:
            found.append((order_id, fill))
    return _nearest_first(found, working, reach)


def limits_reached(
    working: Mapping[str, OrderRequest],
    reports: Mapping[str, OrderReport],
    reach: Reach,
    fresh: frozenset[str],
) -> list[tuple[str, Decimal]]:
    """Return the limits and touched orders that ``reach`` fills, nearest first.

    ``fresh`` are stop-limits that were triggered inside the bar: not before the next.
    """
    found = []
    for order_id, request in working.items():
        resting = request.order_type is OrderType.STOP_LIMIT and triggered(reports[order_id])
        if request.order_type not in LIMITS and not resting:
            continue
        price = request.limit_price or request.stop_price
        if price is None or order_id in fresh:
            continue
        fill = limit_fill(request.side, price, reach.of(request.side))
        if fill is not None:
            found.append((order_id, fill))
    return _nearest_first(found, working, reach)


def triggered(report: OrderReport) -> bool:
    """Tell whether a stop-limit rests as a limit by now."""
    return TRIGGERED in report.warnings


def trailed(report: OrderReport, span: Span) -> Decimal | None:
    """Return the level to which a trailing stop follows the best price of ``span``, if it does."""
    if report.trailing_stop is None or report.stop_price is None:
        return None
    if report.side is Side.SELL:
        level = span.top - report.trailing_stop
        return level if level > report.stop_price else None
    level = span.bottom + report.trailing_stop
    return level if level < report.stop_price else None


def _nearest_first(
    found: list[tuple[str, Decimal]], working: Mapping[str, OrderRequest], reach: Reach
) -> list[tuple[str, Decimal]]:
    def way(each: tuple[str, Decimal]) -> Decimal:
        order_id, price = each
        return abs(price - reach.of(working[order_id].side).opened)

    return sorted(found, key=way)
