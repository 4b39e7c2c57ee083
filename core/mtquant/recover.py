"""Start-up is recovery: rebuild the book, the tickets and the cursors from the journal."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mtquant.book import Book, ExpectedFlow, Leaving
from mtquant.chain import CARRIED
from mtquant.contract import BreakerLevel, Sent
from mtquant.decide import (
    read_agents,
    read_request,
    read_signal,
    read_suggestion,
    take_accepted,
    take_target,
)
from mtquant.decide.persons import DECLINED
from mtquant.journal import Entry, Journal
from mtquant.model import Mode, OrderStatus, Side
from mtquant.orders import CASH_FLOW, FILL, POSITIONS, OrderDesk, Stage, Ticket
from mtquant.risk import BreakerState
from mtquant.snapshot import as_working, restore


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the journal said: entries read, and the last market step that was done, if any."""

    entries: int
    step: int | None


def recover(journal: Journal, book: Book, desk: OrderDesk) -> Recovered:
    """Fold what of the journal isn't archived into ``book`` and ``desk``.

    An order whose fate the journal doesn't tell is in doubt: it may have been sent the moment
    before we died. Raises JournalError where the journal is damaged.
    """
    found = fold(journal, book, desk)
    for ticket in desk.tickets.values():
        if ticket.stage is Stage.SENT:
            ticket.come_into_doubt(ticket.time, "the engine ended before the answer came")
        account = book.account(ticket.account)
        if ticket.settled and ticket.client_order_id in account.working:
            account.done(ticket.client_order_id)
    return found


def fold(journal: Journal, book: Book, desk: OrderDesk) -> Recovered:
    """Fold the entries alone: what is carried over into the next file when they are archived."""
    count, step = 0, None
    for entry in journal.entries():
        count += 1
        if entry.kind == "step":
            step = entry.body["time"]
        elif entry.kind == CARRIED:
            step = restore(entry.body["state"], book, desk)
        elif entry.kind in _FOLDS:
            _FOLDS[entry.kind](entry, book, desk)
    return Recovered(count, step)


def _opened(entry: Entry, book: Book, desk: OrderDesk) -> None:
    account = book.account(entry.body["account"])
    account.balance = Decimal(entry.body["balance"])
    for position in POSITIONS.validate_python(entry.body["positions"]):
        account.adopt(position, ours=entry.body.get("adopt", False))
    desk.cursors[account.name] = entry.body["cursor"]


def _signal(entry: Entry, book: Book, _: OrderDesk) -> None:
    signal = read_signal(entry.body)
    wishes = book.wishes.setdefault(signal.instrument, {})
    wishes[signal.strategy_id] = signal
    # Where several strategies wish, the entry that follows says what they came to.
    if len(wishes) == 1:
        take_target(book, signal, signal, (signal.strategy_id,))


def _target(entry: Entry, book: Book, _: OrderDesk) -> None:
    wish = read_signal(entry.body)
    heard = book.wishes[wish.instrument][entry.body["heard"]]
    take_target(book, heard, wish, tuple(entry.body["strategies"]))


def _verdict(entry: Entry, book: Book, _: OrderDesk) -> None:
    """A veto is the one attempt that its signal had."""
    wish = entry.body["signal"]
    target = book.targets.get(wish["instrument"])
    ours = target is not None and target.signal.strategy_id == wish["strategy_id"]
    if target is not None and ours and not entry.body["approved"]:
        target.spent = True


def _state(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.states[entry.body["strategy"]] = entry.body["state"]


def _halt(entry: Entry, book: Book, _: OrderDesk) -> None:
    body = entry.body
    book.halted = f"by {body['by']}: {body['why']}" if body["on"] else ""


def _mode(entry: Entry, book: Book, _: OrderDesk) -> None:
    body = entry.body
    book.modes[body["strategy_id"]] = (Mode(body["mode"]), Mode(body["configured"]))


def _suggestion(entry: Entry, book: Book, _: OrderDesk) -> None:
    suggestion = read_suggestion(entry.body)
    book.suggestions[suggestion.number] = suggestion
    target = book.targets.get(suggestion.order.instrument)
    if target is not None and not suggestion.agents:
        target.spent = True


def _suggestion_ended(entry: Entry, book: Book, _: OrderDesk) -> None:
    ended = book.suggestions.pop(entry.body["number"], None)
    book.outcomes[entry.body["number"]] = entry.body["text"]
    if ended is not None and not ended.agents and entry.body["outcome"] in DECLINED:
        # As long as it had been good for: what was configured then.
        until = entry.time + ended.expires - ended.created
        book.answered[ended.order.instrument] = (ended.order.side.sign, until)


def _agents(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.agents = read_agents(entry.body["agents"])


def _agent_request(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.note_request(read_request(entry.body))


def _intent(entry: Entry, book: Book, desk: OrderDesk) -> None:
    body = entry.body
    account = book.account(body["account"])
    cid = body["client_order_id"]
    quantity = Decimal(body["request"]["quantity"])
    desk.tickets[cid] = Ticket(
        client_order_id=cid,
        account=account.name,
        instrument=body["instrument"],
        side=Side(body["side"]),
        quantity=quantity,
        opens=body["opens"],
        time=entry.time,
    )
    person = bool(body.get("person"))
    (account.person_ids if person else account.our_ids).add(cid)
    account.work(as_working(desk.tickets[cid]))
    if body["opens"]:
        account.note_sent(
            Sent(
                time=entry.time,
                client_order_id=cid,
                strategy_id=body.get("person") or body["request"].get("strategy_id", ""),
                instrument=body["instrument"],
                side=Side(body["side"]),
                quantity=quantity,
                notional=Decimal(body["notional"]) if "notional" in body else None,
            )
        )
    else:
        account.note_message(entry.time)
    if (
        body["opens"]
        and not person
        and (target := book.targets.get(body["instrument"])) is not None
    ):
        target.spent = True


def _order(entry: Entry, book: Book, desk: OrderDesk) -> None:
    ticket = desk.tickets[entry.body["client_order_id"]]
    ticket.stage = Stage(entry.body["stage"])
    ticket.status = OrderStatus(entry.body["status"])
    ticket.doubt = None
    if ticket.stage is Stage.IN_DOUBT:
        ticket.come_into_doubt(entry.time, entry.body["why"])
    target = book.targets.get(ticket.instrument)
    if ticket.status is OrderStatus.REJECTED:
        book.account(ticket.account).forget_sent(ticket.client_order_id)
    wished = ticket.client_order_id not in book.account(ticket.account).person_ids
    if ticket.stage is Stage.PROVEN_ABSENT and ticket.opens and wished and target is not None:
        target.spent = False


def _fill(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.account(entry.body["account"]).fold(FILL.validate_python(entry.body["fill"]))


def _cursor(entry: Entry, _: Book, desk: OrderDesk) -> None:
    desk.cursors[entry.body["account"]] = entry.body["cursor"]


def _breaker(entry: Entry, book: Book, _: OrderDesk) -> None:
    account = book.account(entry.body["account"])
    account.breaker = BreakerState.from_dict(entry.body["state"])
    leaving = account.leaving
    lower = account.breaker.level < BreakerLevel.REDUCING
    by_person = "by" in entry.body
    if leaving is not None and leaving.cause == "breaker" and lower and by_person:
        account.leaving = None  # a person has let it trade again


def _leaving(entry: Entry, book: Book, _: OrderDesk) -> None:
    body = entry.body
    book.account(body["account"]).leaving = Leaving(
        account=body["account"],
        share=Decimal(body["share"]),
        cancel=body["cancel"],
        cause=body["cause"],
        by=body["by"],
        why=body["why"],
    )


def _leaving_stay(entry: Entry, book: Book, _: OrderDesk) -> None:
    leaving = book.account(entry.body["account"]).leaving
    if leaving is not None:
        stay = entry.body["stay"]
        leaving.stay = {position: Decimal(quantity) for position, quantity in stay.items()}


def _cash_flow_expected(entry: Entry, book: Book, _: OrderDesk) -> None:
    body, account = entry.body, book.account(entry.body["account"])
    amount = Decimal(body["amount"])
    flow = ExpectedFlow(amount=amount, gap=Decimal(body["gap"]), by=body["by"], why=body["why"])
    account.expected = flow if amount else None


def _cash_flow(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.account(entry.body["account"]).anticipate(Decimal(entry.body["amount"]))


def _cash_moved(entry: Entry, book: Book, _: OrderDesk) -> None:
    flow = CASH_FLOW.validate_python(entry.body["cash_flow"])
    book.account(entry.body["account"]).move_cash(flow)


def _cash_flow_counted(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.account(entry.body["account"]).paid -= Decimal(entry.body["amount"])


def _accepted(entry: Entry, book: Book, _: OrderDesk) -> None:
    take_accepted(book.account(entry.body["account"]), entry.body)


def _left(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.account(entry.body["account"]).leaving = None


def _message(entry: Entry, book: Book, _: OrderDesk) -> None:
    book.account(entry.body["account"]).note_message(entry.time)


_FOLDS = {
    "opened": _opened,
    "signal": _signal,
    "target": _target,
    "state": _state,
    "halt": _halt,
    "mode": _mode,
    "suggestion": _suggestion,
    "suggestion_ended": _suggestion_ended,
    "verdict": _verdict,
    "agents": _agents,
    "agent_request": _agent_request,
    "intent": _intent,
    "order": _order,
    "fill": _fill,
    "cursor": _cursor,
    "breaker": _breaker,
    "cash_flow_expected": _cash_flow_expected,
    "cash_flow": _cash_flow,
    "cash_moved": _cash_moved,
    "cash_flow_counted": _cash_flow_counted,
    "accepted": _accepted,
    "leaving": _leaving,
    "leaving_stay": _leaving_stay,
    "left": _left,
    "change": _message,
    "cancel_ordered": _message,
}
