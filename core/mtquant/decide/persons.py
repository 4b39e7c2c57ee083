"""What persons ask for and answer: orders of their own, and suggestions that wait for them.

Nothing here passes around the gate. A suggestion is an order that the gate has approved and that
waits; when a person approves it, the gate looks at it again, as it stands, at the prices of then.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from decimal import Decimal

from pydantic import Field, TypeAdapter

from mtquant.book import AccountBook, AgentRequest, Book, Suggestion
from mtquant.clock import SECOND, format_time
from mtquant.contract import Level, Settings
from mtquant.decide.entries import request_body, signal_body, suggestion_body
from mtquant.decide.events import Answered, Close, CloseOrdered, Ordered, Submit, Withdrawn
from mtquant.decide.flow import Flow
from mtquant.model import Number, OrderRequest, Quote, Side, Signal, plain
from mtquant.risk import Decision
from mtquant.risk.agents import notional_of

_ORDER = TypeAdapter(OrderRequest)


DECLINED = {"rejected", "expired", "not sent"}
"""Outcomes after which the same isn't suggested again at once."""


class ApprovalRules(Settings):
    """How long a suggestion waits, and how far the price may move until it is approved.

    ``expires_s`` in seconds; for as long again the same isn't suggested after a no. ``max_drift``
    as a part of the price (0.001 is 0.1 %).
    """

    expires_s: float = Field(300.0, gt=0, le=86_400)
    max_drift: Number = Field(Decimal("0.001"), gt=0, le=1)


class Persons:
    """Orders of persons, and suggestions to them."""

    def __init__(self, rules: ApprovalRules) -> None:
        self.rules = rules

    def order(self, flow: Flow, event: Ordered) -> None:
        """Take a person's order through the gate."""
        book, order = flow.book.account(event.account), event.order
        signal = wish(event.by, order, flow.book.time)
        decision = review_named(flow, book, order, signal)
        if isinstance(decision, str):
            refuse(flow, signal, event.account, decision)
        elif decision.approved:
            flow.verdict(decision)
            flow.submit(Submit(account=event.account, order=order, person=event.by))
        else:
            flow.verdict(decision)

    def close(self, flow: Flow, event: CloseOrdered) -> None:
        """Close what a person wants closed: that is never refused."""
        symbol, quantity = event.symbol, event.close.quantity or Decimal(0)
        book = flow.book.account(event.account)
        signal = Signal(
            strategy_id=event.by,
            instrument=symbol,
            time=flow.book.time,
            direction=0,
            reason=f"{event.by} closes",
        )
        if event.request:
            note_request(flow, _closing(event, flow.book.time))
        state = flow.state(book, symbol)
        decision = flow.gate.review_reduction(signal, event.account, event.side, quantity, state)
        flow.verdict(decision)
        effect = Close(
            account=event.account,
            symbol=symbol,
            side=event.side,
            close=event.close,
            person=event.by,
        )
        flow.close(effect, quantity)

    def suggest(
        self, flow: Flow, account: str, order: OrderRequest, decision: Decision, request: str = ""
    ) -> None:
        """Put an approved order before a person.

        ``request`` is the id under which an agent asked for it.
        """
        book = flow.book
        number = next_number(book)
        # The market's, not the order's own: what rests at a price of its own hasn't drifted.
        quote = decision.state.quote if decision.state else None
        price = _price(order.side, quote) if quote else Decimal("NaN")
        suggestion = Suggestion(
            number=number,
            account=account,
            order=order,
            signal=decision.signal,
            price=price,
            created=book.time,
            expires=book.time + int(self.rules.expires_s * SECOND),
            digest=digest(account, order),
            verdict=decision.message,
            request=request,
        )
        book.suggestions[number] = suggestion
        flow.record("suggestion", suggestion_body(suggestion), durable=True)
        flow.tell(
            Level.WARNING,
            f"suggestion {number}: {decision.message} at {account} ({decision.signal.reason}); "
            f"mtquant approve {number}, or reject; until {format_time(suggestion.expires)}",
        )

    def asked(self, book: Book, wish: Signal) -> bool:
        """Tell whether a person is being asked for this already, or just said no to it."""
        symbol, side = wish.instrument, wish.direction
        waits = any(
            each.order.instrument == symbol and each.order.side.sign == side and not each.agents
            for each in book.suggestions.values()
        )
        direction, until = book.answered.get(symbol, (0, 0))
        return waits or (direction == side and book.time < until)

    def answer(self, flow: Flow, event: Answered) -> None:
        """Take a person's answer; an approval is good once, for what was shown, while it holds."""
        suggestion = flow.book.suggestions.get(event.number)
        if suggestion is None:
            return
        if not event.approved:
            self._end(flow, suggestion, "rejected", event.by, event.why)
            return
        decision = self._look_again(flow, suggestion, event.digest)
        if isinstance(decision, str):
            self._end(flow, suggestion, "not sent", event.by, decision)
            return
        self._end(flow, suggestion, "approved", event.by, event.why)
        # The attempt is only now made, so its id is new: none that waited may act.
        order = replace(suggestion.order, client_order_id=flow.ids.new())
        if suggestion.agents:
            send_of_agent(flow, suggestion.request, decision, order)
            return
        if (target := flow.book.targets.get(order.instrument)) is not None:
            target.spent = True
        flow.submit(Submit(account=suggestion.account, order=order))

    def withdraw(self, flow: Flow, event: Withdrawn) -> None:
        """End a suggestion that whoever asked for it wants no more."""
        suggestion = flow.book.suggestions.get(event.number)
        if suggestion is not None:
            self._end(flow, suggestion, "withdrawn", event.by, event.why)

    def withdraw_all(self, flow: Flow, source: str, why: str) -> None:
        """End every suggestion that ``source`` asked for."""
        for each in list(flow.book.suggestions.values()):
            if each.signal.strategy_id == source:
                self._end(flow, each, "withdrawn", "", why)

    def _look_again(self, flow: Flow, suggestion: Suggestion, shown: str) -> Decision | str:
        """Return the gate's approval of a suggestion as it stands now, or why it can't be sent."""
        symbol = suggestion.order.instrument
        book = flow.book.account(suggestion.account)
        if shown and shown != suggestion.digest:
            return "what was approved is not what is suggested; look at it again"
        if flow.book.time >= suggestion.expires:
            return f"expired at {format_time(suggestion.expires)}"
        taken = not suggestion.agents and (flow.busy(symbol) or book.ours(symbol))
        if taken or flow.unsure(symbol):
            return f"an order or a position in {symbol} has come up meanwhile"
        if drift := self._drift(suggestion, book.quotes.get(symbol)):
            return drift
        decision = review_named(flow, book, suggestion.order, suggestion.signal)
        if isinstance(decision, str):
            return decision
        flow.verdict(decision)
        return decision if decision.approved else decision.message

    def _drift(self, suggestion: Suggestion, quote: Quote | None) -> str:
        """Return how the price has moved too far since, or nothing."""
        if quote is None:
            return f"{suggestion.order.instrument} has no price"
        now, then = _price(suggestion.order.side, quote), suggestion.price
        if abs(now - then) <= self.rules.max_drift * then:
            return ""
        share = plain(self.rules.max_drift * 100)
        return f"the price moved from {plain(then)} to {plain(now)}, more than {share} %"

    def supersede(self, flow: Flow, wish: Signal) -> None:
        """Withdraw a suggestion that is no longer what its strategies want."""
        for each in list(flow.book.suggestions.values()):
            same = each.agents or each.order.side.sign == wish.direction
            if each.order.instrument == wish.instrument and not same:
                self._end(flow, each, "withdrawn", wish.strategy_id, wish.reason)

    def expire(self, flow: Flow) -> None:
        """End the suggestions whose time is over."""
        for each in list(flow.book.suggestions.values()):
            if flow.book.time >= each.expires:
                self._end(
                    flow, each, "expired", "", f"nobody answered for {self.rules.expires_s:g} s"
                )

    def _end(self, flow: Flow, each: Suggestion, outcome: str, by: str, why: str) -> None:
        del flow.book.suggestions[each.number]
        text = f"{outcome}{f' by {by}' if by else ''}{f': {why}' if why else ''}"
        flow.book.outcomes[each.number] = text
        if outcome in DECLINED and not each.agents:
            until = flow.book.time + int(self.rules.expires_s * SECOND)
            flow.book.answered[each.order.instrument] = (each.order.side.sign, until)
        body = {"number": each.number, "outcome": outcome, "by": by, "why": why, "text": text}
        flow.record("suggestion_ended", body, durable=True)
        flow.tell(Level.INFO, f"suggestion {each.number} ({each.order.instrument}) {text}")


def digest(account: str, order: OrderRequest) -> str:
    """Return what names exactly this order at this account: 16 hexadecimal digits of SHA-256."""
    body = _ORDER.dump_python(order, mode="json", exclude_none=True, exclude={"client_order_id"})
    text = json.dumps([account, body], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def wish(by: str, order: OrderRequest, time: int) -> Signal:
    """Return a person's order as a signal, for the gate."""
    return Signal(
        strategy_id=by,
        instrument=order.instrument,
        time=time,
        direction=order.side.sign,
        reason=f"{by} orders",
    )


def _closing(event: CloseOrdered, time: int) -> AgentRequest:
    return AgentRequest(
        source=event.by,
        request=event.request,
        digest=event.digest,
        account=event.account,
        instrument=event.symbol,
        opens=False,
        time=time,
        client_order_id=event.close.client_order_id,
    )


def _price(side: Side, quote: Quote) -> Decimal:
    return quote.ask if side is Side.BUY else quote.bid


def next_number(book: Book) -> int:
    """Return the number of the next suggestion."""
    return max((*book.suggestions, *book.outcomes), default=0) + 1


def review_named(
    flow: Flow, book: AccountBook, order: OrderRequest, signal: Signal
) -> Decision | str:
    """Return the gate's decision on a named order, or why there is none."""
    state = flow.state(book, order.instrument, source=signal.strategy_id)
    if state is None:
        return f"nothing is known of {order.instrument} at {book.name} yet"
    if not book.tradable:
        return f"{book.name} takes no orders now"
    return flow.gate.review_order(signal, order, book.name, state)


def send_of_agent(flow: Flow, request: str, decision: Decision, order: OrderRequest) -> None:
    """Send an agent's order that the gate approved; that its request acted is on disk before."""
    source = decision.signal.strategy_id
    asked = replace(
        flow.book.requests[source, request], client_order_id=order.client_order_id, suggestion=0
    )
    note_request(flow, asked)
    worth = None
    if decision.proposal is not None and decision.state is not None:
        worth = notional_of(decision.proposal, decision.state)
    flow.submit(Submit(account=decision.account, order=order, person=source, notional=worth))


def note_request(flow: Flow, request: AgentRequest) -> None:
    """Remember what an agent asked for, on disk."""
    flow.book.note_request(request)
    flow.record("agent_request", request_body(request), durable=True)


def refuse(flow: Flow, signal: Signal, account: str, why: str) -> None:
    """Put on record that the gate wasn't even asked, and why."""
    body = {"signal": signal_body(signal), "account": account, "approved": False}
    flow.record("verdict", body | {"code": "not_reviewed", "message": why})
