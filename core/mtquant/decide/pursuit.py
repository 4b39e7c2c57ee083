"""From what is wanted to what is held: close what is wrong, then open, one order at a time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from mtquant.book import AccountBook, Book, Target
from mtquant.contract import Level
from mtquant.decide.entries import signal_body
from mtquant.decide.events import Close, Submit
from mtquant.decide.flow import Flow, market_order
from mtquant.decide.persons import Persons
from mtquant.decide.standing import agent_works
from mtquant.model import (
    CloseRequest,
    Mode,
    Side,
    Signal,
    plain,
)
from mtquant.risk import Decision


class Pursuit:
    """Sends what brings our position in a symbol to its target."""

    def __init__(self, modes: Mapping[str, Mode], persons: Persons, *, passive: bool) -> None:
        self.modes = modes
        self._persons = persons
        self._passive = passive
        self._vetoed: dict[str, str] = {}

    def stop(self) -> None:
        """Pursue nothing any more: the positions that are left are a person's."""
        self._passive = True

    def told_veto(self, symbol: str) -> str:
        """Return the code of the veto in ``symbol`` that people were told of last."""
        return self._vetoed.get(symbol, "")

    def take_veto(self, symbol: str, code: str) -> None:
        """Take in what people were told of in ``symbol`` last: nothing since an order passed."""
        self._vetoed.pop(symbol, None)
        if code:
            self._vetoed[symbol] = code

    def mode(self, book: Book, strategies: tuple[str, ...]) -> Mode:
        """Return the most careful mode of ``strategies``; a change stands while its base does."""
        found = set()
        for name in strategies:
            configured = self.modes.get(name, Mode.AUTO)
            changed, base = book.modes.get(name, (configured, configured))
            found.add(changed if base is configured else configured)
        return next((each for each in (Mode.MANUAL, Mode.SEMI) if each in found), Mode.AUTO)

    def pursue(self, flow: Flow, symbol: str) -> None:
        """Take the next step towards the target of ``symbol``, if there is one to take."""
        target = flow.book.targets.get(symbol)
        if target is None or self._passive or flow.busy(symbol):
            return
        mode = self.mode(flow.book, target.strategies)
        held = [
            (book, book.ours(symbol)) for book in flow.book.accounts.values() if book.ours(symbol)
        ]
        wrong = [(book, had) for book, had in held if had * target.signal.direction <= 0]
        if wrong and mode is Mode.MANUAL:
            self._wait(flow, target, f"{symbol}: {_said(target)}; the mode is manual")
            return
        for book, quantity in wrong:
            self._close(flow, book, symbol, quantity, target)
        self._persons.supersede(flow, target.signal)
        if wrong or held or target.signal.direction == 0 or target.spent:
            return
        if flow.unsure(symbol):
            # What opens waits for it; what closes doesn't, for it can't open.
            return
        if mode is Mode.SEMI and self._persons.asked(flow.book, target.signal):
            return
        self._open(flow, symbol, target, mode)

    def _close(
        self, flow: Flow, book: AccountBook, symbol: str, quantity: Decimal, target: Target
    ) -> None:
        """Close at the account that holds the position: anywhere else it would open one."""
        if not book.tradable:
            why = f"{symbol}: the position is held at {book.name}, which is down"
            self._wait(flow, target, why)
            return
        held = book.holdings.get(symbol)
        if held is None or held.quantity * quantity <= 0:
            # Netted away by somebody else's trades: an order of ours would open the other way.
            why = f"{symbol}: trades that aren't ours outweigh ours at {book.name}"
            self._wait(flow, target, why)
            return
        size = min(abs(quantity), abs(held.quantity))
        side = Side.SELL if quantity > 0 else Side.BUY
        state = flow.state(book, symbol)
        decision = flow.gate.review_reduction(target.signal, book.name, side, size, state)
        flow.verdict(decision)
        close = CloseRequest(
            client_order_id=flow.ids.new(),
            instrument=symbol,
            quantity=size,
            strategy_id=target.signal.strategy_id,
        )
        flow.close(Close(account=book.name, symbol=symbol, side=side, close=close), size)

    def _open(self, flow: Flow, symbol: str, target: Target, mode: Mode) -> None:
        if why := flow.book.paused.get(symbol, ""):
            self._wait(flow, target, f"{symbol}: {why}")
            return
        name = flow.book.routes.get(symbol)
        if name is None:
            self._wait(flow, target, f"{symbol}: no account takes new exposure now")
            return
        book = flow.book.account(name)
        if (differs := book.differing.get(symbol)) is not None:
            self._wait(flow, target, f"the books differ at {name}: {differs}")
            return
        target.spent, target.waiting = True, ""
        if mode is Mode.MANUAL:
            body = {"signal": signal_body(target.signal), "account": name, "approved": False}
            flow.record("verdict", body | {"code": "manual_mode"})
            flow.tell(Level.INFO, f"{symbol}: {_said(target)}; the mode is manual")
            return
        decision = self._review(flow, book, symbol, target.signal)
        if decision is None:
            return
        flow.verdict(decision)
        proposal = decision.proposal
        if not decision.approved or proposal is None:
            self._tell_veto(flow, symbol, decision)
            return
        self.take_veto(symbol, "")
        order = market_order(flow.ids.new(), proposal)
        if mode is Mode.SEMI:
            self._persons.suggest(flow, name, order, decision)
        else:
            flow.submit(Submit(account=name, order=order))

    def _review(
        self, flow: Flow, book: AccountBook, symbol: str, signal: Signal
    ) -> Decision | None:
        state = flow.state(book, symbol)
        if state is None:
            message = f"vetoed {symbol}: nothing is known of {book.name} yet"
            flow.tell(Level.WARNING, message)
            return None
        if book.external.get(symbol):
            body = {"signal": signal_body(signal), "account": book.name, "approved": False}
            flow.record("verdict", body | {"code": "external_position"})
            flow.tell(
                Level.WARNING,
                f"vetoed {symbol}: {book.name} holds {plain(book.external[symbol])} that isn't "
                "ours",
            )
            return None
        if agent := agent_works(book, symbol):
            body = {"signal": signal_body(signal), "account": book.name, "approved": False}
            flow.record("verdict", body | {"code": "agent_order"})
            flow.tell(Level.WARNING, f"vetoed {symbol}: an order of {agent} works at {book.name}")
            return None
        return flow.gate.review(signal, book.name, state)

    def _tell_veto(self, flow: Flow, symbol: str, decision: Decision) -> None:
        """Tell of a veto once; a strategy that asks at every bar is told no at every bar."""
        if self._vetoed.get(symbol) != decision.code:
            self._vetoed[symbol] = decision.code
            flow.tell(Level.WARNING, veto_told(symbol, decision))

    def _wait(self, flow: Flow, target: Target, why: str) -> None:
        if target.waiting != why:
            target.waiting = why
            flow.tell(Level.WARNING, f"waiting: {why}")


def veto_told(symbol: str, decision: Decision) -> str:
    """Return what people are told of a veto."""
    return f"vetoed {symbol} ({decision.code}): {decision.message}"


def _said(target: Target) -> str:
    words = {1: "hold long", -1: "hold short", 0: "hold nothing"}
    return f"{target.signal.strategy_id} says {words[target.signal.direction]}: " + (
        target.signal.reason
    )
