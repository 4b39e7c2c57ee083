"""The account that a backtest trades: the simulated exchange, in this process and without a wire.

It answers what a paper account's server answers, from the same exchange and the same prices, so
that the order desk that trades live trades here unchanged.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.exchange import Change, Exchange, ExchangeSettings, Recorded, Step
from mtquant.exchange.matching import Span
from mtquant.exchange.rates import Path
from mtquant.model import (
    Account,
    Advanced,
    CashFlow,
    Changes,
    CloseRequest,
    Fill,
    Fills,
    Instrument,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    Reason,
)

_PAGE = 1000
"""How many changes one answer holds, as a server's."""
_ZERO = Decimal(0)
_RESTING = {OrderType.LIMIT, OrderType.STOP_LIMIT}


@dataclass(frozen=True, slots=True)
class Paid:
    """What an execution cost beside its commission, in the account's currency.

    ``swap`` is what its position had earned or paid overnight, told where the position ends.
    """

    spread: Decimal = _ZERO
    slippage: Decimal = _ZERO
    swap: Decimal = _ZERO


class CountingExchange(Exchange):
    """The simulated exchange, which also tells what each execution cost."""

    def __init__(self, settings: ExchangeSettings, symbols: Iterable[str]) -> None:
        super().__init__(settings, symbols)
        self.paid: dict[str, Paid] = {}
        self.of_order: dict[str, list[Fill]] = defaultdict(list)
        self._slip = _ZERO

    def working(self) -> Mapping[str, Mapping[str, OrderRequest]]:
        """Return the working orders, by symbol and id."""
        return self._record.working

    def held_positions(self) -> Sequence[Position]:
        """Return the open positions, without what they would bring now."""
        return tuple(self._positions.open.values())

    def end_position(
        self, symbol: str, guards: Mapping[Reason, str], filled: Fill | None, time: int
    ) -> None:
        """End a position, by ``filled`` where one of its ``guards`` did it, and the guards too."""
        if filled is not None:
            self._record.fill(filled)
        for reason, order_id in guards.items():
            if not self.orders[order_id].status.terminal:
                self._record.finish(order_id, OrderStatus.CANCELED, reason, time)
        self._positions.open.pop(symbol)

    def go_on(
        self, *, balance: Decimal, numbered: int, seq: int, position: Position | None
    ) -> None:
        """Go on from what came of a stretch; a ``position`` gets the orders that protect it."""
        self.balance = balance
        self._record.numbered = numbered
        if position is not None:
            self._positions.open[position.position_id] = position
            self._protect(position, position.average_price, position.opened_at)
        self._record.seq = seq

    def swaps_due(self, after: int, until: int) -> Iterator[int]:
        """Return when swaps fall due after ``after``, ``until`` included."""
        due = self.settings.rollover.after(after) if self._swaps else until + 1
        while due <= until:
            yield due
            due = self.settings.rollover.after(due)

    def way_home(self, currency: str) -> Path:
        """Return how a quote currency becomes the account's."""
        return self._paths[currency]

    def _slipped(self, request: OrderRequest, price: Decimal, span: Span | None) -> Decimal:
        worse = super()._slipped(request, price, span)
        self._slip = abs(worse - price)
        return worse

    def _book(
        self,
        report: OrderReport,
        request: OrderRequest,
        quantity: Decimal,
        price: Decimal,
        time: int,
    ) -> Fill:
        symbol = request.instrument
        quote, rate = self.quotes[symbol], self.rate(self.instruments[symbol].quote)
        held = {each.position_id: each for each in self._positions.of(symbol)}
        fill = super()._book(report, request, quantity, price, time)
        before = held.get(fill.position_id or "")
        after = self._positions.open.get(fill.position_id or "")
        ended = before is not None and (after is None or after.side is not before.side)
        market = request.order_type not in _RESTING
        self.paid[fill.execution_id] = Paid(
            spread=quantity * quote.spread / 2 * rate if market else _ZERO,
            slippage=quantity * self._slip * rate,
            swap=before.swap if before is not None and ended else _ZERO,
        )
        self.of_order[fill.order_id].append(fill)
        return fill


class Venue:
    """One simulated account on recorded prices, which its owner moves through time."""

    stepped = True

    def __init__(self, name: str, settings: ExchangeSettings, market: Recorded) -> None:
        self.name = name
        self.exchange = CountingExchange(settings, market.symbols)
        self.netting = settings.position_mode is PositionMode.NETTING
        self._market = market
        self._next = dict.fromkeys(sorted(market.symbols), 0)
        self._end = max(moments[-1] for moments in market.moments.values())
        self._time = min(ends[0] for ends in market.ends.values()) - market.length
        self._pending: list[Change] = []

    @property
    def begin(self) -> int:
        """The time at which the account opens, or how far it has come."""
        return self._time

    @property
    def instruments(self) -> dict[str, Instrument]:
        """What can be traded, by symbol."""
        return dict(self.exchange.instruments)

    def move(self, to: int) -> Advanced:
        """Match everything that becomes known until ``to``, and tell the account as it is then."""
        for step in self._due(to):
            self._market.feed(self.exchange, step)
        due = self.exchange.next_due()
        if due is not None and due <= to:
            self.exchange.pass_time(to)
        self._time = max(self._time, to)
        return Advanced(
            time=self._time,
            cursor=str(self.exchange.seq),
            account=self.exchange.account(self._time),
            quotes=tuple(self.exchange.quotes.values()),
        )

    def quiet(self, until: int) -> None:
        """Pass over everything until ``until``: before the account opens nothing is matched."""
        for symbol, moments in self._market.moments.items():
            known = bisect_right(moments, until)
            if known > self._next[symbol]:
                self._next[symbol] = known
                step = Step(moments[known - 1], symbol, known - 1)
                self._market.quote(self.exchange, step)
        self._time = max(self._time, until)

    def forget_changes(self) -> None:
        """Forget what has changed so far: whoever asks knows it."""
        self.exchange.take_changes()
        self._pending = []

    @property
    def ends(self) -> int:
        """When the recorded prices end: from then on no order is taken."""
        return self._end

    def _due(self, to: int) -> list[Step]:
        """Return what becomes known until ``to``, by time, and take it as known."""
        found = []
        for symbol, index in self._next.items():
            moments = self._market.moments[symbol]
            at = index
            while at < len(moments) and moments[at] <= to:
                found.append(Step(moments[at], symbol, at))
                at += 1
            self._next[symbol] = at
        return sorted(found) if len(found) > 1 else found

    def _require_open(self) -> None:
        if self._time >= self._end:
            why = "the recorded prices have ended"
            raise Refused(ErrorCode.MARKET_CLOSED, why, retry=Retry.NEVER)

    def _find(self, client_order_id: str) -> str:
        known = self.exchange.by_client_id.get(client_order_id)
        if known is None:
            raise Refused(
                ErrorCode.NOT_FOUND, "this account has no such order", outcome=Outcome.REJECTED
            )
        return known

    # --- what the order desk asks for --------------------------------------------------------

    async def advance(self, to: int) -> Advanced:
        """Move to ``to``; see :meth:`move`."""
        return self.move(to)

    async def place(self, order: OrderRequest) -> OrderReport:
        """Place an order at the time the market has come to."""
        self._require_open()
        return self.exchange.place(order, self._time)

    async def close(self, close: CloseRequest) -> OrderReport:
        """Close a position at the market."""
        self._require_open()
        return self.exchange.close(close, self._time)

    async def order(self, client_order_id: str) -> OrderReport:
        """Look an order up; raises Refused (not_found) where there is none."""
        return self.exchange.orders[self._find(client_order_id)]

    async def fence(self, client_order_id: str) -> OrderReport:
        """Cancel an order by our id; no copy of it can be on its way here."""
        return self.exchange.cancel(self._find(client_order_id), self._time)

    async def cancel(self, order_id: str) -> OrderReport:
        """Cancel an order by the exchange's id."""
        return self.exchange.cancel(order_id, self._time)

    async def account(self) -> Account:
        """Return the account's money."""
        return self.exchange.account(self._time)

    async def positions(self) -> tuple[Position, ...]:
        """Return the open positions."""
        return tuple(self.exchange.positions())

    async def working_orders(self) -> tuple[OrderReport, ...]:
        """Return every order that may still act."""
        return tuple(each for each in self.exchange.orders.values() if not each.status.terminal)

    async def fills(self, since: str | None = None, order_id: str | None = None) -> Fills:
        """Return the executions of an order."""
        found = tuple(self.exchange.of_order.get(order_id or "", ()))
        return Fills(fills=found, next_cursor=since or "0", more=False)

    async def changes(self, since: str | None, wait_s: float = 0) -> Changes:
        """Return what changed after a cursor; what was told is forgotten, as nobody goes back."""
        del wait_s
        after = int(since or 0)
        self._pending += self.exchange.take_changes()
        waiting = [each for each in self._pending if each.seq > after]
        page, self._pending = waiting[:_PAGE], waiting[_PAGE:]
        told = [each.what for each in page]
        newest = dict.fromkeys(
            each.order_id for each in told if isinstance(each, OrderReport | Fill)
        )
        return Changes(
            cursor=str(page[-1].seq if page else after),
            orders=tuple(self.exchange.orders[each] for each in newest),
            fills=tuple(each for each in told if isinstance(each, Fill)),
            cash_flows=tuple(each for each in told if isinstance(each, CashFlow)),
            more=bool(self._pending),
        )
