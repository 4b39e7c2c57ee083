"""What must hold, in words. What the exchanges themselves recorded is the only truth.

I1  The executions of one intent, over all accounts, never sum to more than its quantity, and no
    exchange is asked twice to act on one client order id.
I2  At the end each order's stage is what the exchanges say: acknowledged, with its status, where
    its account has it, and refused or proven absent only where no account has it; no exchange has
    an order of ours that we don't know; executions, positions and balance are the exchange's.
I3  When an exchange gets an order, its intent is committed in the journal's file.
I4  One live attempt a wish: when an order is sent, no other order of ours in that instrument may
    still act at any exchange, and we know every execution of all of them. An order that opens is
    taken only where both exchanges say flat; one that closes, only where the position is.
I5  An order in doubt stands among the working orders with its whole quantity, and those sum to
    what the exposure holds against the limits. Looked at after each event.
I6  When faults have stopped, every account can be traded again, every order ends, and what the
    strategies want (nothing) is what is held, within a time.
I7  What recovery makes of the journal is what its committed rows say, folded here once more:
    orders, executions, positions, cursors. An order without an end in it is in doubt.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.simulation.venue import Account, held, ours

from mtquant.book import ZERO, Book
from mtquant.engine import Engine
from mtquant.model import CloseRequest, OrderRequest, Side
from mtquant.orders import Stage, Ticket

if TYPE_CHECKING:
    from tests.simulation.world import World


class Disk:
    """The journal as another process sees it, with its archives: committed rows only."""

    def __init__(self, folder: Path) -> None:
        archives = sorted((folder / "archive").glob("*.db"), key=_first_entry)
        files = [*archives, folder / "journal.db"]
        self._files = [sqlite3.connect(each, isolation_level=None) for each in files]

    def close(self) -> None:
        for each in self._files:
            each.close()

    def has_intent(self, client_order_id: str) -> bool:
        # Newest first: that one is looked for.
        query = "SELECT 1 FROM entry WHERE kind = 'intent' AND body LIKE ? ORDER BY seq DESC"
        wanted = (f'%"{client_order_id}"%',)
        return any(file.execute(query, wanted).fetchone() for file in reversed(self._files))

    def fold(self) -> Known:
        known = Known()
        for file in self._files:
            for kind, text in file.execute("SELECT kind, body FROM entry ORDER BY seq"):
                known.take(kind, json.loads(text))
        return known


def _first_entry(archive: Path) -> int:
    return int(archive.name.split("-")[1])


class Known:
    """What journal rows say of orders and executions: a second, simpler fold of them."""

    def __init__(self) -> None:
        self.intents: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, tuple[str, str]] = {}
        self.executions: dict[str, set[str]] = defaultdict(set)
        self.positions: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.cursors: dict[str, str] = {}

    def take(self, kind: str, body: dict[str, Any]) -> None:
        if kind == "intent":
            self.intents[body["client_order_id"]] = body
        elif kind == "order":
            self.ends[body["client_order_id"]] = (body["stage"], body["status"])
        elif kind == "fill":
            fill, account = body["fill"], body["account"]
            self.executions[account].add(fill["execution_id"])
            signed = Side(fill["side"]).sign * Decimal(fill["quantity"])
            self.positions[account, fill["instrument"]] += signed
        elif kind in {"cursor", "opened"}:
            self.cursors[body["account"]] = body["cursor"]


class Checks:
    """Looks on, and writes down what must not be."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failures: list[str] = []

    def fail(self, which: str, text: str) -> None:
        self.world.note(f"!!! {which}: {text}")
        self.failures.append(f"{which}: {text}")

    # --- at the moment an exchange gets an order -------------------------------------------

    def before_taking(self, account: Account, request: OrderRequest | CloseRequest) -> None:
        world, cid = self.world, request.client_order_id
        if not world.disk().has_intent(cid):
            self.fail("I3", f"{account.name} gets {cid}, whose intent isn't on disk")
        if any(cid in each.exchange.by_client_id for each in world.accounts.values()):
            self.fail("I1", f"{account.name} gets {cid}, which an exchange has already")
        elif cid in world.known.intents and world.known.intents[cid]["account"] != account.name:
            self.fail("I4", f"{account.name} gets {cid}, which was meant for another account")
        others = [each for each in world.accounts.values() if each is not account]
        symbol = account.ours(request.instrument or "")
        if symbol not in world.symbols:
            return  # a person may want several things at once
        if isinstance(request, OrderRequest):
            for each in world.accounts.values():
                if ours(each, symbol):
                    text = f"{account.name} gets {cid}, which opens {symbol}, "
                    self.fail("I4", f"{text}and {each.name} holds {ours(each, symbol)}")
        elif not ours(account, symbol) and any(ours(each, symbol) for each in others):
            self.fail("I4", f"{account.name} is to close {symbol}, which is held elsewhere")

    def after_taking(self, account: Account, request: OrderRequest | CloseRequest) -> None:
        world, cid = self.world, request.client_order_id
        done = sum((each.quantity for each in world.fills(cid)), ZERO)
        intent = world.known.intents.get(cid)
        wanted = Decimal(intent["request"]["quantity"]) if intent else None
        if wanted is not None and done > wanted:
            self.fail("I1", f"{cid} executed {done} of {wanted}, last at {account.name}")

    # --- in the engine ---------------------------------------------------------------------

    def sending(self, engine: Engine, ticket: Ticket) -> None:
        if not self.world.disk().has_intent(ticket.client_order_id):
            self.fail("I3", f"{ticket.client_order_id} is sent, and its intent isn't on disk")
        if ticket.instrument in self.world.symbols:
            self._only_attempt(engine, ticket)

    def _only_attempt(self, engine: Engine, ticket: Ticket) -> None:
        for other in engine.desk.tickets.values():
            if other is ticket or other.instrument != ticket.instrument or other.settled:
                continue
            text = f"{ticket.client_order_id} is sent while {other.client_order_id}"
            self.fail("I4", f"{text} in {ticket.instrument} is {other.stage} {other.status}")
        for account in self.world.accounts.values():
            known = engine.book.account(account.name).executions
            for cid, order_id in account.exchange.by_client_id.items():
                report = account.exchange.orders[order_id]
                if report.instrument != ticket.instrument or cid not in engine.desk.tickets:
                    continue
                if cid == ticket.client_order_id:
                    continue
                text = f"{ticket.client_order_id} is sent, and {cid} at {account.name} "
                if not report.status.terminal:
                    self.fail("I4", f"{text}may still act: {report.status}")
                elif any(each.execution_id not in known for each in report.fills):
                    self.fail("I4", f"{text}has executions that we don't know")

    def event(self, engine: Engine) -> None:
        doubtful = engine.desk.in_doubt()
        for ticket in doubtful:
            book = engine.book.account(ticket.account)
            working = book.working.get(ticket.client_order_id)
            intent = self.world.known.intents.get(ticket.client_order_id)
            if working is None or intent is None:
                self.fail("I5", f"{ticket.client_order_id} is in doubt and doesn't count")
                continue
            if working.quantity != Decimal(intent["request"]["quantity"]):
                self.fail("I5", f"{ticket.client_order_id} counts with {working.quantity}")
            if not ticket.opens:
                continue
            reserved = book.exposures._buying, book.exposures._selling
            for side, sums in zip((Side.BUY, Side.SELL), reserved, strict=True):
                wanted = sum(
                    (
                        each.quantity
                        for each in book.working.values()
                        if each.opens and each.instrument == ticket.instrument and each.side is side
                    ),
                    ZERO,
                )
                if sums.get(ticket.instrument, ZERO) != wanted:
                    self.fail("I5", f"{ticket.instrument} reserves {sums} for {wanted} to {side}")

    def recovered(self, engine: Engine) -> None:
        known = self.world.disk().fold()
        tickets = engine.desk.tickets
        if set(tickets) != set(known.intents):
            odd = sorted(set(tickets) ^ set(known.intents))
            self.fail("I7", f"a restart knows other orders than the journal: {odd}")
        for cid, ticket in tickets.items():
            stage, status = known.ends.get(cid, ("sent", ""))
            if stage == "sent":
                stage, status = "in_doubt", "in_doubt"
            if (ticket.stage, ticket.status) != (stage, status):
                text = f"a restart says {cid} is {ticket.stage} {ticket.status}"
                self.fail("I7", f"{text}, and its journal {stage} {status}")
            working = cid in engine.book.account(ticket.account).working
            if working is ticket.settled:
                self.fail("I7", f"a restart has {cid} {ticket.stage}, among the working: {working}")
        self._compare_books(engine.book, known)
        if engine.desk.cursors != known.cursors:
            self.fail("I7", f"a restart goes on at {engine.desk.cursors}, not {known.cursors}")

    def _compare_books(self, book: Book, known: Known) -> None:
        for name in self.world.accounts:
            account = book.account(name)
            if account.executions != known.executions[name]:
                self.fail("I7", f"a restart has other executions of {name} than its journal")
            mine = {symbol: each.quantity for symbol, each in account.holdings.items()}
            theirs = {
                symbol: quantity
                for (where, symbol), quantity in known.positions.items()
                if where == name and quantity
            }
            if mine != theirs:
                self.fail("I7", f"a restart holds {mine} at {name}, its journal says {theirs}")

    # --- when all is quiet -----------------------------------------------------------------

    def at_the_end(self, engine: Engine) -> None:
        tickets = engine.desk.tickets
        for ticket in tickets.values():
            if not ticket.settled:
                text = f"{ticket.client_order_id} at {ticket.account} is still"
                self.fail("I6", f"{text} {ticket.stage} {ticket.status}")
            self._compare_ticket(ticket)
        for account in self.world.accounts.values():
            self._compare_account(engine, account)
            for cid in account.exchange.by_client_id:
                if not cid.startswith("foreign") and cid not in tickets:
                    self.fail("I2", f"{account.name} has {cid}, which we don't know")
            for symbol in self.world.all_symbols:
                if ours(account, symbol):
                    text = f"{account.name} holds {ours(account, symbol)} {symbol} of ours"
                    self.fail("I6", f"{text}, and nothing is wanted")
        for cid, intent in self.world.known.intents.items():
            done = sum((each.quantity for each in self.world.fills(cid)), ZERO)
            if done > Decimal(intent["request"]["quantity"]):
                self.fail("I1", f"{cid} executed {done}")

    def _compare_ticket(self, ticket: Ticket) -> None:
        cid = ticket.client_order_id
        there = {
            name: each.exchange.orders[each.exchange.by_client_id[cid]]
            for name, each in self.world.accounts.items()
            if cid in each.exchange.by_client_id
        }
        text = f"{cid} is {ticket.stage} {ticket.status} to us, and "
        if len(there) > 1:
            self.fail("I1", f"{cid} lives at {sorted(there)}")
        if ticket.stage is Stage.ACKNOWLEDGED:
            report = there.get(ticket.account)
            if report is None:
                self.fail("I2", f"{text}{ticket.account} doesn't have it")
            elif report.status is not ticket.status:
                self.fail("I2", f"{text}{report.status} to {ticket.account}")
        elif ticket.stage in {Stage.REFUSED, Stage.PROVEN_ABSENT}:
            for name, report in there.items():
                if not self.world.accounts[name].refused(report):
                    self.fail("I2", f"{text}{name} has it: {report.status}")

    def _compare_account(self, engine: Engine, account: Account) -> None:
        book, exchange = engine.book.account(account.name), account.exchange
        theirs = {each.execution_id for each in account.fills()}
        if book.executions != theirs:
            missing, extra = theirs - book.executions, book.executions - theirs
            self.fail("I2", f"{account.name}: {len(missing)} executions unknown, {len(extra)} odd")
        for symbol in self.world.all_symbols:
            holding = book.holdings.get(symbol)
            quantity = holding.quantity if holding else ZERO
            if quantity != held(account, symbol):
                text = f"{account.name}: we hold {quantity} {symbol}"
                self.fail("I2", f"{text}, they say {held(account, symbol)}")
        if book.balance != exchange.balance:
            text = f"{account.name}: our balance is {book.balance}"
            self.fail("I2", f"{text}, theirs {exchange.balance}")
