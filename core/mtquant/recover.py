"""Start-up is recovery: rebuild the book, the tickets and the cursors from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mtquant.book import Book, Target, Working
from mtquant.clock import parse_time
from mtquant.journal import Entry, Journal
from mtquant.model import OrderStatus, Side, Signal
from mtquant.orders import FILL, POSITIONS, OrderDesk, Stage, Ticket
from mtquant.risk import BreakerState


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the journal said: entries read, and the last market step that was done, if any."""

    entries: int
    step: int | None


def recover(journal: Journal, book: Book, desk: OrderDesk) -> Recovered:
    """Fold the whole journal into ``book`` and ``desk``.

    An order whose fate the journal doesn't tell is in doubt: it may have been sent the moment
    before we died.
    """
    count, step = 0, None
    for entry in journal.entries():
        count += 1
        if entry.kind == "step":
            step = entry.body["time"]
        elif entry.kind in _FOLDS:
            _FOLDS[entry.kind](entry, book, desk)
    for ticket in desk.tickets.values():
        if ticket.stage is Stage.SENT:
            ticket.move(Stage.IN_DOUBT)
            ticket.status, ticket.was_in_doubt = OrderStatus.IN_DOUBT, True
        working = book.account(ticket.account).working
        if ticket.settled:
            working.pop(ticket.client_order_id, None)
    return Recovered(count, step)


def _opened(entry: Entry, book: Book, desk: OrderDesk) -> None:
    account = book.account(entry.body["account"])
    account.balance = Decimal(entry.body["balance"])
    for position in POSITIONS.validate_python(entry.body["positions"]):
        account.adopt(position)
    desk.cursors[account.name] = entry.body["cursor"]


def _signal(entry: Entry, book: Book, _: OrderDesk) -> None:
    body: dict[str, Any] = entry.body
    signal = Signal(
        strategy_id=body["strategy_id"],
        instrument=body["instrument"],
        time=parse_time(body["time"]),
        direction=body["direction"],
        reason=body["reason"],
        stop_distance=_number(body["stop_distance"]),
        take_profit_distance=_number(body["take_profit_distance"]),
        confidence=body["confidence"],
    )
    book.targets[signal.instrument] = Target(signal)


def _verdict(entry: Entry, book: Book, _: OrderDesk) -> None:
    """A veto is the one attempt that its signal had."""
    target = book.targets.get(entry.body["signal"]["instrument"])
    if target is not None and not entry.body["approved"]:
        target.spent = True


def _intent(entry: Entry, book: Book, desk: OrderDesk) -> None:
    body = entry.body
    account = book.account(body["account"])
    cid = body["client_order_id"]
    desk.tickets[cid] = Ticket(cid, account.name, body["instrument"], opens=body["opens"])
    account.our_ids.add(cid)
    quantity = Decimal(body["request"]["quantity"])
    account.working[cid] = Working(
        client_order_id=cid,
        instrument=body["instrument"],
        side=Side(body["side"]),
        quantity=quantity,
        opens=body["opens"],
        status=OrderStatus.PENDING_NEW,
    )
    if body["opens"] and (target := book.targets.get(body["instrument"])) is not None:
        target.spent = True


def _order(entry: Entry, book: Book, desk: OrderDesk) -> None:
    ticket = desk.tickets[entry.body["client_order_id"]]
    ticket.stage = Stage(entry.body["stage"])
    ticket.status = OrderStatus(entry.body["status"])
    ticket.was_in_doubt |= ticket.stage is Stage.IN_DOUBT
    target = book.targets.get(ticket.instrument)
    if ticket.stage is Stage.PROVEN_ABSENT and target is not None:
        target.spent = False


def _fill(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.account(entry.body["account"]).fold(FILL.validate_python(entry.body["fill"]))


def _cursor(entry: Entry, _: Book, desk: OrderDesk) -> None:
    desk.cursors[entry.body["account"]] = entry.body["cursor"]


def _breaker(entry: Entry, book: Book, _: OrderDesk) -> None:
    account = book.account(entry.body["account"])
    account.breaker = BreakerState.from_dict(entry.body["state"])


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


_FOLDS = {
    "opened": _opened,
    "signal": _signal,
    "verdict": _verdict,
    "intent": _intent,
    "order": _order,
    "fill": _fill,
    "cursor": _cursor,
    "breaker": _breaker,
}
