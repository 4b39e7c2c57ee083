"""The simulated exchange: one account, matched against bars and quotes. Pure and deterministic.

*Prices.* A mid price becomes bid and ask by half the spread each; bid and ask bars are taken as
they are. A market order fills at once at the ask (buy) or bid (sell). A limit fills at its price,
or better where the market opens beyond it; a stop fills at its price, or worse where the market
opens beyond it. What happens inside a bar is told in :mod:`mtquant.exchange.matching`.

*Size.* Where an instrument's liquidity is bounded, so much fills at one price or in one bar; the
rest of an order waits for the next, an immediate-or-cancel order is cut, a fill-or-kill order
cancelled.

*Protections* (stop-loss, take-profit, trailing stop) belong to the position and follow its size:
the newest order or change that names one replaces it, and when one has closed the position, or it
is closed or turned otherwise, the others are cancelled.

*Margin.* New risk needs equity for the margin after its fill, and is refused at the margin call
level. At each quote and each bar's end, where the equity has fallen to the close-out level, the
position with the largest loss is closed, and the next, until it stands above.

*Money* is kept to 0.0001 of the account's currency, an average price to ten places, half to even.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from mtquant.errors import ErrorCode
from mtquant.exchange.commands import Commands
from mtquant.exchange.matching import (
    TRIGGERED,
    Reach,
    Span,
    limits_reached,
    stop_fill,
    stops_reached,
    trailed,
)
from mtquant.exchange.record import ZERO
from mtquant.exchange.settings import ExchangeSettings
from mtquant.exchange.validate import refuse
from mtquant.model import Fill, OrderType, Quote, Reason, Side

Prices = tuple[float, float, float, float]
"""Opening, high, low and close of a bar."""
_GUARDS = {Reason.STOP_LOSS, Reason.TRAILING_STOP}


class Exchange(Commands):
    """One simulated account. Times are nanoseconds UTC and must not go backwards.

    ``ambiguous_bars`` counts the bars in which the rule had to choose: a stop and a limit were
    both reached, or a position was opened and its stop reached.
    """

    def __init__(self, settings: ExchangeSettings, symbols: Iterable[str]) -> None:
        super().__init__(settings, symbols)
        self.ambiguous_bars = 0

    def set_quote(self, symbol: str, mid: float, time: int) -> None:
        """Set the price without matching anything: a restart, or a price known to be quiet."""
        bid, ask = self._spread(symbol, mid)
        self.quotes[symbol] = Quote(instrument=symbol, bid=bid, ask=ask, time=time)

    def set_sides(self, symbol: str, bid: float, ask: float, time: int) -> None:
        """Set bid and ask without matching anything.

        Recorded feeds cross at times: then the two are taken the other way round.
        """
        bid, ask = min(bid, ask), max(bid, ask)
        below, above = self._on_grid(symbol, bid, ROUND_FLOOR), self._on_grid(symbol, ask)
        self.quotes[symbol] = Quote(instrument=symbol, bid=below, ask=above, time=time)

    def on_bar(
        self, symbol: str, open_: float, high: float, low: float, close: float, time: int
    ) -> None:
        """Match working orders against a bar of mid prices that closed at ``time``."""
        self.pass_time(time)
        self.set_quote(symbol, close, time)
        if not self._record.working.get(symbol):
            self._settle(symbol, time)
            return
        opened, top, bottom = (self._spread(symbol, price) for price in (open_, high, low))
        quote = self.quotes[symbol]
        reach = Reach(
            bid=Span(opened[0], top[0], bottom[0], quote.bid),
            ask=Span(opened[1], top[1], bottom[1], quote.ask),
        )
        self._match(symbol, reach, time, self.terms[symbol].liquidity)

    def on_mid(self, symbol: str, mid: float, time: int) -> None:
        """Match working orders against a mid price."""
        self.on_bar(symbol, mid, mid, mid, mid, time)

    def on_sides(self, symbol: str, bid: Prices, ask: Prices, time: int) -> None:
        """Match working orders against a bar of bid and ask prices that closed at ``time``."""
        self.pass_time(time)
        self.set_sides(symbol, bid[3], ask[3], time)
        if not self._record.working.get(symbol):
            self._settle(symbol, time)
            return
        both = list(zip(bid, ask, strict=True))
        below = [self._on_grid(symbol, min(each), ROUND_FLOOR) for each in both]
        above = [self._on_grid(symbol, max(each)) for each in both]
        self._match(symbol, Reach(Span(*below), Span(*above)), time, self.terms[symbol].liquidity)

    def on_quote(
        self, symbol: str, bid: Decimal, ask: Decimal, time: int, size: Decimal | None = None
    ) -> None:
        """Match working orders against a quote, whose prices lie on the instrument's step.

        ``size`` is how many base units it is good for; unless given, the instrument's liquidity.
        """
        self.pass_time(time)
        self.quotes[symbol] = Quote(instrument=symbol, bid=bid, ask=ask, time=time)
        left = self.terms[symbol].liquidity if size is None else size
        if not self._record.working.get(symbol):
            self._settle(symbol, time, left)
            return
        self._match(symbol, Reach(Span(*(bid,) * 4), Span(*(ask,) * 4)), time, left)

    def _settle(self, symbol: str, time: int, left: Decimal | None = None) -> None:
        """Take a new price in that reaches no order."""
        left = self.terms[symbol].liquidity if left is None else left
        if left is not None:
            self._left[symbol] = left
        if self._positions.open:
            self._close_out(time)

    def _match(self, symbol: str, reach: Reach, time: int, left: Decimal | None) -> None:
        if left is None:
            self._left.pop(symbol, None)
        else:
            self._left[symbol] = left
        working = self._record.working[symbol]
        standing = frozenset(working)
        self._go_on(symbol, standing, reach, time)
        stops = stops_reached(working, self._record.orders, reach)
        both = bool(stops and limits_reached(working, self._record.orders, reach, frozenset()))
        fresh = {
            order_id
            for order_id, price in stops
            if order_id in working and self._stop(order_id, price, reach, time)
        }
        guarded = self._stop_out(symbol, standing, reach, time)
        limits = limits_reached(working, self._record.orders, reach, frozenset(fresh))
        for order_id, price in limits:
            if order_id in working and order_id in standing:
                self._execute(order_id, price, time, span=reach.of(working[order_id].side))
        guarded = self._stop_out(symbol, standing, reach, time) or guarded
        self._trail(symbol, standing, reach, time)
        inside = reach.bid.top != reach.bid.bottom or reach.ask.top != reach.ask.bottom
        if inside and (guarded or both):
            self.ambiguous_bars += 1
        self._close_out(time)

    def _go_on(self, symbol: str, standing: frozenset[str], reach: Reach, time: int) -> None:
        """Fill on what has begun to fill and waits for no price, at the opening."""
        working = self._record.working[symbol]
        for order_id in sorted(standing, key=lambda each: int(each[1:])):
            if order_id not in working:
                continue
            request, report = working[order_id], self._record.orders[order_id]
            market = request.order_type is OrderType.MARKET
            if market or (report.filled_quantity and request.order_type is not OrderType.LIMIT):
                span = reach.of(request.side)
                if request.order_type is not OrderType.STOP_LIMIT:
                    self._execute(order_id, span.opened, time, span=span)

    def _stop(self, order_id: str, price: Decimal, reach: Reach, time: int) -> bool:
        """Fill a stop, or trigger a stop-limit; True where that may not fill in this bar."""
        report = self._record.orders[order_id]
        request = self._record.working[report.instrument][order_id]
        span = reach.of(request.side)
        if request.order_type is not OrderType.STOP_LIMIT or request.limit_price is None:
            self._execute(order_id, price, time, span=span)
            return False
        self._record.put(replace(report, warnings=(*report.warnings, TRIGGERED), updated_at=time))
        if request.side.sign * (request.limit_price - price) >= 0:
            self._execute(order_id, price, time, span=span)
            return True
        return price != span.opened

    def _stop_out(self, symbol: str, standing: frozenset[str], reach: Reach, time: int) -> bool:
        """Fill the stop that came with a fill in this bar, if the bar's range reaches it.

        It fills at its price, or where the position could be closed at the moment of that fill
        if this was already beyond it.
        """
        filled = False
        working = self._record.working[symbol]
        for order_id in list(working):
            report = self._record.orders[order_id]
            if order_id in standing or report.reason not in _GUARDS or order_id not in working:
                continue
            price, span = report.stop_price, reach.of(report.side)
            if price is None or stop_fill(report.side, price, span) is None:
                continue
            last = self._last_fill(symbol)
            spread = reach.ask.opened - reach.bid.opened if last.side is not report.side else ZERO
            market = last.price + report.side.sign * spread
            beyond = max(price, market) if report.side is Side.BUY else min(price, market)
            self._execute(order_id, min(max(beyond, span.bottom), span.top), time, span=span)
            filled = True
        return filled

    def _last_fill(self, symbol: str) -> Fill:
        return next(
            each.what
            for each in reversed(self._record.changes)
            if isinstance(each.what, Fill) and each.what.instrument == symbol
        )

    def _trail(self, symbol: str, standing: frozenset[str], reach: Reach, time: int) -> None:
        """Let trailing stops follow the bar, and fill those that its end is beyond."""
        working = self._record.working[symbol]
        for order_id in list(working):
            report = self._record.orders[order_id]
            trails = report.order_type is OrderType.TRAILING_STOP
            # Another one may have closed the position, and ended what protected it.
            if not trails or order_id not in standing or order_id not in working:
                continue
            span = reach.of(report.side)
            level = trailed(report, span)
            if level is None:
                continue
            self._record.put(replace(report, stop_price=level, updated_at=time))
            if report.side.sign * (span.closed - level) >= 0:
                self._execute(order_id, level, time, span=span)

    def _spread(self, symbol: str, mid: float) -> tuple[Decimal, Decimal]:
        """Return bid and ask on the price grid, the spread never narrower than asked."""
        each, terms = self.instruments[symbol], self.terms[symbol]
        half = terms.spread_pips * each.pip_size / 2
        exact, step = Decimal(repr(float(mid))), each.price_step
        bid = ((exact - half) / step).to_integral_value(ROUND_FLOOR) * step
        ask = ((exact + half) / step).to_integral_value(ROUND_CEILING) * step
        return bid, ask

    def _on_grid(self, symbol: str, price: float, rounding: str = ROUND_CEILING) -> Decimal:
        if not price > 0:
            raise refuse(ErrorCode.NO_PRICE, f"{price} is no price", "instrument")
        step = self.instruments[symbol].price_step
        return (Decimal(repr(float(price))) / step).to_integral_value(rounding) * step
