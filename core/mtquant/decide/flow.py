"""What the parts of deciding share: the book, the gate, and the effects as they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.book import AccountBook, Book, Working
from mtquant.clock import SECOND, Ids
from mtquant.contract import BreakerLevel, Level, Proposal, RiskState, Sent, Totals
from mtquant.decide.events import Close, Effect, Record, Submit, Tell
from mtquant.decide.standing import standing
from mtquant.model import Account, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from mtquant.risk import BreakerState, Decision, Gate

_ZERO = Decimal(0)
UNSURE = frozenset({OrderStatus.PENDING_NEW, OrderStatus.IN_DOUBT})
EQUITY_MAX_AGE_S = 10
"""Equity older than this counts as a breaker at REDUCING (order-safety rules for the breaker)."""


@dataclass(slots=True)
class Flow:
    """One event's way: ``out`` gathers what is to be done about it, in order.

    ``journaled``: somebody keeps the entries, so that a verdict tells all it was made of.
    """

    book: Book
    gate: Gate
    ids: Ids
    journaled: bool = True
    out: list[Effect] = field(default_factory=list)

    @property
    def signalled(self) -> tuple[str, ...]:
        """The symbols that this event's signals are about."""
        return tuple(
            dict.fromkeys(
                each.body["instrument"]
                for each in self.out
                if isinstance(each, Record) and each.kind == "signal"
            )
        )

    def record(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> None:
        """Put an entry into the journal."""
        self.out.append(Record(kind=kind, body=body, durable=durable))

    def verdict(self, decision: Decision) -> None:
        """Put what the gate decided into the journal, with what it was decided on."""
        body = decision.payload() if self.journaled else {"approved": decision.approved}
        self.out.append(Record(kind="verdict", body=body, decision=decision))

    def tell(self, level: Level, message: str) -> None:
        """Tell people."""
        self.out.append(Tell(level=level, message=message))

    def submit(self, effect: Submit) -> None:
        """Send an order that opens exposure."""
        book, order = self.book.account(effect.account), effect.order
        self._work(book, order.client_order_id, order.instrument, order.side, order.quantity)
        (book.person_ids if effect.person else book.our_ids).add(order.client_order_id)
        book.note_sent(
            Sent(
                time=self.book.time,
                client_order_id=order.client_order_id,
                strategy_id=effect.person or order.strategy_id or "",
                instrument=order.instrument,
                side=order.side,
                quantity=order.quantity,
                notional=effect.notional,
            )
        )
        self.out.append(effect)

    def close(self, effect: Close, quantity: Decimal) -> None:
        """Send an order that closes ``quantity`` of a position."""
        book, cid = self.book.account(effect.account), effect.close.client_order_id
        self._work(book, cid, effect.symbol, effect.side, quantity, opens=False)
        book.note_message(self.book.time)
        (book.person_ids if effect.person else book.our_ids).add(cid)
        self.out.append(effect)

    def _work(
        self,
        book: AccountBook,
        cid: str,
        symbol: str,
        side: Side,
        quantity: Decimal,
        *,
        opens: bool = True,
    ) -> None:
        order = Working(
            client_order_id=cid,
            instrument=symbol,
            side=side,
            quantity=quantity,
            opens=opens,
            status=OrderStatus.PENDING_NEW,
        )
        book.work(order)

    def state(
        self, book: AccountBook, symbol: str, *, instead_of: str = "", source: str = ""
    ) -> RiskState | None:
        """Return what the gate looks at; None where nothing is known of the account yet.

        The working order ``instead_of`` is left out: it is what an order under review replaces.
        ``source`` is who asks, where that isn't a strategy.
        """
        instrument = book.instruments.get(symbol)
        if book.account is None or instrument is None:
            return None
        replaced = book.working.get(instead_of)
        exposures = book.exposures
        if replaced is None or not replaced.opens:
            held, summed = exposures.all(), exposures.totals()
        else:
            held = exposures.without(replaced.instrument, replaced.side, replaced.quantity)
            summed = Totals.of(held)
        return RiskState(
            time=self.book.time,
            account=book.account,
            instrument=instrument,
            quote=book.quotes.get(symbol),
            quote_rate=book.rate(instrument.quote),
            exposures=held,
            summed=summed,
            breaker=self._level(book.breaker, book.account),
            working_orders=len(book.working) - (replaced is not None),
            sent=book.sent if replaced is None else _without(book.sent, instead_of),
            messages=book.messages,
            portfolio=book.portfolio,
            records=book.trades.records,
            closed=tuple(book.trades.closed),
            opened_by=book.trades.opened_by,
            drawdown=book.breaker.losses["peak"] if book.breaker else _ZERO,
            in_instrument=None if replaced is not None else exposures.at(symbol),
            differs=str(book.differing.get(symbol, "")),
            agent=standing(self.book, source, book, symbol, instead_of) if source else None,
        )

    def _level(self, breaker: BreakerState | None, account: Account) -> BreakerLevel:
        """Return the breaker's level; stale or missing equity counts as REDUCING at least.

        A halt by a person is a halt, whatever the breaker says.
        """
        if self.book.halted:
            return BreakerLevel.HALTED
        fresh = self.book.time - account.time <= EQUITY_MAX_AGE_S * SECOND
        if breaker is None or not fresh:
            return max(BreakerLevel.REDUCING, breaker.level if breaker else BreakerLevel.NORMAL)
        return breaker.level

    def busy(self, symbol: str) -> bool:
        """Tell whether an order of the strategies in ``symbol`` may still act."""
        return any(
            each.instrument == symbol and each.client_order_id in book.our_ids
            for book in self.book.accounts.values()
            for each in book.working.values()
        )

    def unsure(self, symbol: str) -> bool:
        """Tell whether it isn't known yet what became of an order in ``symbol``, whoever's."""
        return any(
            each.instrument == symbol and each.status in UNSURE
            for book in self.book.accounts.values()
            for each in book.working.values()
        )


def market_order(client_order_id: str, proposal: Proposal) -> OrderRequest:
    """Return the order that an approved proposal without a named order comes to."""
    return OrderRequest(
        client_order_id=client_order_id,
        instrument=proposal.signal.instrument,
        side=proposal.side,
        order_type=OrderType.MARKET,
        quantity=proposal.quantity,
        time_in_force=TimeInForce.FOK,
        stop_loss=proposal.stop_loss,
        take_profit=proposal.take_profit,
        strategy_id=proposal.signal.strategy_id,
    )


def _without(sent: tuple[Sent, ...], client_order_id: str) -> tuple[Sent, ...]:
    return tuple(each for each in sent if each.client_order_id != client_order_id)
