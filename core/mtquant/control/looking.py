"""What stands where, over all brokers, in our symbols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import anyio
from pydantic import TypeAdapter

from mtquant.clock import format_time
from mtquant.contract import BreakerLevel, agent_of
from mtquant.control.arguments import ByBroker, Nothing, OrdersArguments
from mtquant.control.doubts import doubts
from mtquant.control.finding import links
from mtquant.decide import signal_body
from mtquant.engine import Engine
from mtquant.errors import BrokerError
from mtquant.link import Link
from mtquant.model import Account, OrderReport, Position, Quote, plain

T = TypeVar("T")
_ACCOUNT = TypeAdapter(Account)
_POSITIONS = TypeAdapter(tuple[Position, ...])
_ORDERS = TypeAdapter(tuple[OrderReport, ...])
_QUOTES = TypeAdapter(tuple[Quote, ...])


class Looking:
    """Reads of an engine and its brokers; none changes anything.

    ``code`` makes the code of a suggestion, of its number and digest.
    """

    def __init__(self, engine: Engine, code: Callable[[int, str], str]) -> None:
        self._engine = engine
        self._code = code

    async def _each(
        self, broker: str | None, ask: Callable[[Link], Awaitable[T]]
    ) -> tuple[dict[str, T], list[dict[str, str]]]:
        """Ask every account at once; return answers by account, and who couldn't be asked."""
        answers: dict[str, T] = {}
        problems: dict[str, str] = {}

        async def one(link: Link) -> None:
            try:
                answers[link.name] = await ask(link)
            except BrokerError as error:
                problems[link.name] = str(error)

        asked = links(self._engine, broker)
        async with anyio.create_task_group() as group:
            for link in asked:
                group.start_soon(one, link)
        ordered = {link.name: answers[link.name] for link in asked if link.name in answers}
        return ordered, [{"account": name, "problem": why} for name, why in problems.items()]

    async def accounts(self, asked: ByBroker) -> dict[str, Any]:
        """Return each account's money and limits."""
        found, problems = await self._each(asked.broker, lambda link: link.account())
        rows = []
        for name, account in found.items():
            link, book = self._engine.wiring.links[name], self._engine.book.account(name)
            level = book.breaker.level if book.breaker else BreakerLevel.NORMAL
            state = link.state()
            row = {"account": name, "tradable": state.tradable, "why": state.why}
            rows.append(row | {"breaker": level.name} | _ACCOUNT.dump_python(account, mode="json"))
        return {"accounts": rows, "problems": problems}

    async def positions(self, asked: ByBroker) -> dict[str, Any]:
        """Return every open position, and how much of it is the strategies'."""
        found, problems = await self._each(asked.broker, lambda link: link.positions())
        rows = []
        for name, positions in found.items():
            book = self._engine.book.account(name)
            rows += [
                {"account": name} | each | {"strategies_hold": plain(book.ours(each["instrument"]))}
                for each in _POSITIONS.dump_python(positions, mode="json")
            ]
        return {"positions": rows, "problems": problems}

    async def orders(self, asked: OrdersArguments) -> dict[str, Any]:
        """Return every working order, and ours whose fate isn't known."""
        unknown = doubts(self._engine, [link.name for link in links(self._engine, asked.broker)])
        if asked.in_doubt:
            # Asking nobody: this is wanted most when a broker doesn't answer.
            return {"orders": [], "in_doubt": unknown, "problems": []}
        found, problems = await self._each(asked.broker, lambda link: link.working_orders())
        rows = [
            {"account": name} | each
            for name, orders in found.items()
            for each in _ORDERS.dump_python(orders, mode="json")
        ]
        return {"orders": rows, "in_doubt": unknown, "problems": problems}

    async def suggestions(self, _: Nothing) -> dict[str, Any]:
        """Return the orders that wait for a person, an agent's with the code that approves it.

        Nothing else returns the code: it is for the person's eyes alone.
        """
        rows = list(self._suggestions())
        for row in rows:
            if agent_of(row["strategy"]) is not None:
                row["code"] = self._code(row["number"], row["digest"])
        return {"suggestions": rows}

    def _suggestions(self) -> Iterable[dict[str, Any]]:
        for each in self._engine.book.suggestions.values():
            order = each.order
            yield {
                "number": each.number,
                "account": each.account,
                "instrument": order.instrument,
                "side": order.side.value,
                "quantity": plain(order.quantity),
                "price": plain(each.price),
                "stop_loss": order.stop_loss and plain(order.stop_loss),
                "take_profit": order.take_profit and plain(order.take_profit),
                "reason": each.signal.reason,
                "strategy": each.signal.strategy_id,
                "verdict": each.verdict,
                "created": format_time(each.created),
                "expires": format_time(each.expires),
                "digest": each.digest,
            }

    async def todo(self, _: Nothing) -> dict[str, Any]:
        """Return what asks for a person, the most pressing first."""
        engine = self._engine
        found = [
            (
                f"order {each.client_order_id} ({each.instrument}) at {each.account} is in doubt",
                "See `mtquant orders --in-doubt`, and the broker's own screen.",
            )
            for each in engine.desk.in_doubt()
        ]
        if engine.book.halted:
            found.append((f"trading is halted {engine.book.halted}", 'mtquant resume --why "..."'))
        for name, book in engine.book.accounts.items():
            level = book.breaker.level if book.breaker else BreakerLevel.NORMAL
            if level is BreakerLevel.HALTED:
                remedy = f'mtquant breaker --reset {name} --by NAME --reason "..."'
                found.append((f"the loss breaker of {name} has halted it", remedy))
            if book.leaving is not None:
                problem = engine.withdrawal.problems.get(name, "under way")
                remedy = "The engine goes on trying; look at the broker's own screen too."
                found.append((f"{name} is being left ({book.leaving.why}): {problem}", remedy))
        for link in engine.wiring.links.values():
            state = link.state()
            if link.compared is not None and not link.compared.agrees:
                remedy = f"mtquant reconcile --broker {link.name}; it is compared again meanwhile."
                found.append((f"the books differ: {link.name}: {link.compared}", remedy))
            elif not state.tradable:
                remedy = "mtquant doctor tells what is wrong; the engine goes on trying."
                found.append((f"{link.name} is not traded: {state.why}", remedy))
        found += [
            (f"strategy {key} failed: {why}", "Mend it, and start the engine again.")
            for key, why in engine.wiring.decider.hearing.failed.items()
        ]
        found += [
            (f"{symbol} pauses: {why}", "It goes on by itself when prices come again.")
            for symbol, why in engine.book.paused.items()
        ]
        found += [
            (
                f"suggestion {each['number']}: {each['verdict']} ({each['reason']})",
                "mtquant approve {number}, or reject {number} --why ...; until {expires}".format(
                    **each
                ),
            )
            for each in self._suggestions()
        ]
        return {"todo": [{"what": what, "remedy": remedy} for what, remedy in found]}

    async def overview(self, _: Nothing) -> dict[str, Any]:
        """Return what ``mtquant watch`` shows, from the engine's own book: no broker is asked."""
        engine = self._engine
        accounts = []
        quotes: dict[str, Any] = {}
        for name in engine.wiring.links:
            book = engine.book.account(name)
            level = book.breaker.level if book.breaker else BreakerLevel.NORMAL
            equity = book.equity()
            losses = book.breaker.losses if book.breaker else {}
            accounts.append(
                {
                    "account": name,
                    "currency": book.account.currency if book.account else None,
                    "balance": plain(book.balance),
                    "equity": None if equity is None else plain(equity),
                    "breaker": level.name,
                    "losses": {key: float(value) for key, value in losses.items()},
                }
            )
            newest = _QUOTES.dump_python(tuple(book.quotes.values()), mode="json")
            quotes |= {each["instrument"]: each | {"account": name} for each in newest}
        wishes = [
            signal_body(target.signal)
            | {"mode": engine.wiring.decider.pursuit.mode(engine.book, target.strategies).value}
            for target in engine.book.targets.values()
        ]
        return engine.snapshot() | {
            "money": accounts,
            "quotes": [quotes[name] for name in sorted(quotes)],
            "targets": wishes,
            "paused": engine.book.paused,
            "halted": engine.book.halted,
            "suggestions": list(self._suggestions()),
            "log": list(engine.told),
        }
