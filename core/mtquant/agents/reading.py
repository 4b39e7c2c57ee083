"""The resources that agents read, and what tells that they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mtquant.agents.outside import is_symbol, outside
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.tool import Caller
from mtquant.clock import format_time
from mtquant.engine import Engine
from mtquant.journal import Entry
from mtquant.model import plain

NAMES = ("portfolio", "risk", "quotes", "journal")
"""The resources there are."""
TAIL = 50
"""How many of the newest entries the journal's resource has."""
_TOLD = ("agent_call", "verdict", "suggestion", "suggestion_ended", "halt", "breaker", "agents")
Ask = Callable[[str, Caller], Awaitable[dict[str, Any]]]


class Reading:
    """Reads of one engine; ``ask`` calls a tool that reads, by its name."""

    def __init__(self, engine: Engine, ask: Ask) -> None:
        self._engine = engine
        self._ask = ask

    async def read(self, caller: Caller, name: str) -> Mapping[str, Any]:
        """Return the resource ``name``; raises AgentRefused where there is none."""
        if name == "portfolio":
            return await self._ask("get_portfolio", caller)
        if name == "risk":
            return await self._ask("get_risk_status", caller)
        if name == "quotes":
            return {"quotes": self._quotes()}
        if name == "journal":
            return {"entries": self._tail(caller)}
        raise AgentRefused(
            "not_found", "there is no such resource", f"There are: {', '.join(NAMES)}."
        )

    def marks(self) -> Mapping[str, str]:
        """Return, by resource, a short text that is another one whenever the resource is."""
        book = self._engine.book
        portfolio = [
            (name, each.account and each.account.equity, each.balance, each.holdings)
            for name, each in book.accounts.items()
        ]
        risk = [
            (name, each.breaker and each.breaker.level, each.sent[-1:], len(each.trades.closed))
            for name, each in book.accounts.items()
        ]
        newest = [
            (name, each.time, each.bid, each.ask)
            for account in book.accounts.values()
            for name, each in account.quotes.items()
        ]
        return {
            "portfolio": _mark(portfolio),
            "risk": _mark((risk, book.halted, sorted(book.agents))),
            "quotes": _mark(newest),
            "journal": str(self._engine.wiring.journal.seq),
        }

    def _quotes(self) -> list[dict[str, Any]]:
        """Return the newest quotes that the engine follows, each as of its account."""
        rows = []
        for name, book in self._engine.book.accounts.items():
            rows += [
                {
                    "account": name,
                    "symbol": symbol,
                    "bid": plain(each.bid),
                    "ask": plain(each.ask),
                    "time": format_time(each.known_at),
                }
                for symbol, each in book.quotes.items()
                if is_symbol(symbol)
            ]
        return rows

    def _tail(self, caller: Caller) -> list[dict[str, Any]]:
        """Return the newest entries that the caller may see: its own, with admin all."""
        found = self._engine.wiring.journal.newest(_TOLD, 10 * TAIL)
        rows = [
            {
                "seq": each.seq,
                "time": format_time(each.time),
                "kind": each.kind,
                "what": _said(each),
            }
            for each in found
            if caller.sees_all or _whose(each) in {caller.source, caller.agent.name}
        ]
        return rows[:TAIL]


def _mark(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def _whose(entry: Entry) -> str:
    body = entry.body
    signal = body.get("signal") or {}
    return str(body.get("agent") or signal.get("strategy_id") or "")


def _said(entry: Entry) -> str:
    """Return an entry in a line; what others wrote in it is cut and cleaned."""
    body = entry.body
    if entry.kind == "agent_call":
        return outside(f"{body['agent']} called {body['tool']}: {body['code']}")
    if entry.kind == "verdict":
        said = body.get("message") or ("approved" if body["approved"] else "")
        return outside(f"{_whose(entry)}: {body.get('code', '')}: {said}")
    if entry.kind == "suggestion":
        return outside(f"proposal {body['number']} of {_whose(entry)}: {body['verdict']}")
    return outside(str(body.get("text") or body.get("why") or body.get("account") or ""))
