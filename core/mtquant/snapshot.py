"""All that recovery rebuilds, as one JSON value: what a journal begins with after archiving.

Numbers stay exact, and what has an order keeps it. What recovery doesn't rebuild isn't here
either: prices, instruments and routes are asked of the brokers at each start.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from mtquant.book import AccountBook, Book, ExpectedFlow, Holding, Leaving, Target, Working
from mtquant.clock import SECOND
from mtquant.contract import ClosedTrade, Sent, TradeRecord
from mtquant.decide import read_agents, read_request, read_signal, read_suggestion, signal_body
from mtquant.decide.entries import agents_body, request_body, suggestion_body
from mtquant.errors import JournalError
from mtquant.model import Mode, OrderStatus
from mtquant.orders import OrderDesk, Ticket
from mtquant.risk import BreakerState
from mtquant.trades import Trades

VERSION = 1
KEPT = 30 * 86_400 * SECOND
"""For how long a ticket is carried after its intent, once nothing more can come of it.

Brokers tell of changes after a cursor, which is always newer; what a late report of an older order
would still find is its id and its executions, and those are carried for ever.
"""
_TICKETS = TypeAdapter(tuple[Ticket, ...])
_SENT = TypeAdapter(tuple[Sent, ...])
_CLOSED = TypeAdapter(tuple[ClosedTrade, ...])
_RECORD = TypeAdapter(TradeRecord)
_LEAVING = TypeAdapter(Leaving | None)
_EXPECTED = TypeAdapter(ExpectedFlow | None)


def snapshot(book: Book, desk: OrderDesk, step: int | None, time: int) -> dict[str, Any]:
    """Return what a journal came to at ``time``, when ``step`` was the last market step done."""
    tickets = [each for each in desk.tickets.values() if _matters(each, time)]
    return {
        "version": VERSION,
        "step": step,
        "halted": book.halted,
        "wishes": [
            [signal_body(each) for each in wishes.values()] for wishes in book.wishes.values()
        ],
        "targets": [
            {
                "wish": signal_body(each.signal),
                "strategies": each.strategies,
                "spent": each.spent,
                "waiting": each.waiting,
            }
            for each in book.targets.values()
        ],
        "states": [*book.states.items()],
        "modes": [(name, mode, configured) for name, (mode, configured) in book.modes.items()],
        "suggestions": [suggestion_body(each) for each in book.suggestions.values()],
        "agents": agents_body(book.agents),
        "requests": [request_body(each) for each in book.requests.values()],
        "outcomes": [*book.outcomes.items()],
        "answered": [(symbol, *answer) for symbol, answer in book.answered.items()],
        "tickets": _TICKETS.dump_python(tuple(tickets), mode="json"),
        "cursors": [*desk.cursors.items()],
        "accounts": [_account(each) for each in book.accounts.values()],
    }


def restore(state: dict[str, Any], book: Book, desk: OrderDesk) -> int | None:
    """Put what :func:`snapshot` returned into an empty book and desk; return the last step.

    Raises JournalError where a newer version of mtquant wrote it.
    """
    if state["version"] != VERSION:
        raise JournalError(
            f"the journal begins with a state of version {state['version']}, which this mtquant "
            "can't read: use the one that wrote it, or a newer one"
        )
    book.halted = state["halted"]
    for wishes in state["wishes"]:
        for body in wishes:
            signal = read_signal(body)
            book.wishes.setdefault(signal.instrument, {})[signal.strategy_id] = signal
    for each in state["targets"]:
        wish = read_signal(each["wish"])
        target = Target(wish, tuple(each["strategies"]), each["spent"], each["waiting"])
        book.targets[wish.instrument] = target
    book.states.update(state["states"])
    for name, mode, configured in state["modes"]:
        book.modes[name] = (Mode(mode), Mode(configured))
    _restore_answers(state, book)
    for body in state["accounts"]:
        _restore_account(body, book.account(body["name"]))
    for ticket in _TICKETS.validate_python(state["tickets"]):
        desk.tickets[ticket.client_order_id] = ticket
        book.account(ticket.account).work(as_working(ticket))
    desk.cursors.update(state["cursors"])
    step: int | None = state["step"]
    return step


def _restore_answers(state: dict[str, Any], book: Book) -> None:
    """Put back what waits for a person, what he answered, and what agents asked for."""
    for body in state["suggestions"]:
        suggestion = read_suggestion(body)
        book.suggestions[suggestion.number] = suggestion
    book.agents = read_agents(state.get("agents", {}))
    for body in state.get("requests", ()):
        book.note_request(read_request(body))
    book.outcomes.update(state["outcomes"])
    for symbol, direction, until in state["answered"]:
        book.answered[symbol] = (direction, until)


def as_working(ticket: Ticket) -> Working:
    """Return an order as it works in the book as long as nothing but its intent is known."""
    return Working(
        client_order_id=ticket.client_order_id,
        instrument=ticket.instrument,
        side=ticket.side,
        quantity=ticket.quantity,
        opens=ticket.opens,
        status=OrderStatus.PENDING_NEW,
    )


def _matters(ticket: Ticket, time: int) -> bool:
    return not ticket.settled or ticket.time > time - KEPT


def _account(account: AccountBook) -> dict[str, Any]:
    """Return an account's part; its working orders follow from the tickets."""
    trades, breaker = account.trades, account.breaker
    profits: dict[str, Decimal] = trades._profit  # noqa: SLF001 - nobody else needs to look in
    return {
        "name": account.name,
        "balance": str(account.balance),
        "breaker": breaker and breaker.to_dict(),
        "holdings": [
            (symbol, str(held.quantity), str(held.average_price))
            for symbol, held in account.holdings.items()
        ],
        "external": _numbers(account.external),
        "executions": sorted(account.executions),
        "our_ids": sorted(account.our_ids),
        "person_ids": sorted(account.person_ids),
        "sent": _SENT.dump_python(account.sent, mode="json"),
        "messages": account.messages,
        "leaving": _LEAVING.dump_python(account.leaving, mode="json"),
        "expected": _EXPECTED.dump_python(account.expected, mode="json"),
        "cash_flows": sorted(account.cash_flows),
        "paid": str(account.paid),
        "anticipated": str(account.anticipated),
        "opened_by": [*trades.opened_by.items()],
        "profits": _numbers(profits),
        "records": [
            (name, _RECORD.dump_python(each, mode="json")) for name, each in trades.records.items()
        ],
        "closed": _CLOSED.dump_python(tuple(trades.closed), mode="json"),
    }


def _restore_account(body: dict[str, Any], account: AccountBook) -> None:
    account.balance = Decimal(body["balance"])
    account.breaker = body["breaker"] and BreakerState.from_dict(body["breaker"])
    for symbol, quantity, price in body["holdings"]:
        account.holdings[symbol] = Holding(Decimal(quantity), Decimal(price))
        account.exposures.hold(symbol, Decimal(quantity))
    account.external.update((symbol, Decimal(number)) for symbol, number in body["external"])
    account.executions.update(body["executions"])
    account.our_ids.update(body["our_ids"])
    account.person_ids.update(body["person_ids"])
    account.sent = _SENT.validate_python(body["sent"])
    account.messages = tuple(body["messages"])
    account.leaving = _LEAVING.validate_python(body["leaving"])
    account.expected = _EXPECTED.validate_python(body["expected"])
    account.cash_flows.update(body.get("cash_flows", ()))
    account.paid = Decimal(body.get("paid", 0))
    account.anticipated = Decimal(body.get("anticipated", 0))
    _restore_trades(body, account.trades)


def _restore_trades(body: dict[str, Any], trades: Trades) -> None:
    for symbol, name in body["opened_by"]:
        trades.sent(name, symbol, flat=True)
    for symbol, number in body["profits"]:
        trades.filled(symbol, Decimal(number), 0, flat=False)
    trades.records.update(
        (name, _RECORD.validate_python(record)) for name, record in body["records"]
    )
    trades.closed.extend(_CLOSED.validate_python(body["closed"]))


def _numbers(numbers: dict[str, Decimal]) -> list[tuple[str, str]]:
    return [(symbol, str(number)) for symbol, number in numbers.items()]
