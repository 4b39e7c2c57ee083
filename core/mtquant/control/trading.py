"""Orders of persons: through the gate, journaled before they are sent, answered with their fate."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeVar

from mtquant.control.arguments import (
    CancelArguments,
    CloseArguments,
    OrderArguments,
)
from mtquant.control.finding import (
    links,
    open_positions,
    refresh,
    require_one,
    working_orders,
)
from mtquant.decide import (
    Close,
    Effect,
    Ordered,
    Record,
    Submit,
)
from mtquant.engine import Engine
from mtquant.errors import BrokerError, ConfigError
from mtquant.link import Link
from mtquant.model import (
    OrderRequest,
    OrderType,
    Position,
    TimeInForce,
    plain,
)
from mtquant.orders import Ticket
from mtquant.route import choose
from mtquant.withdraw import close_order

T = TypeVar("T")


class Trading:
    """What a person sends to brokers through one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def order(self, asked: OrderArguments) -> dict[str, Any]:
        """Send an order that the gate lets pass, and return what became of it."""
        engine = self._engine
        account = self.route(asked.symbol, asked.broker)
        await refresh(self._engine, account, asked.symbol)
        order = self._asked(asked)
        now = engine.wiring.clock.now()
        effects = engine.emit(Ordered(time=now, by=asked.by, account=account, order=order))
        return await self.sent(account, order.client_order_id, effects)

    async def check(self, asked: OrderArguments) -> dict[str, Any]:
        """Return what the gate says of an order now; nothing is sent and nothing is journaled."""
        account = self.route(asked.symbol, asked.broker)
        await refresh(self._engine, account, asked.symbol)
        decider = self._engine.wiring.decider
        decision = decider.review_change(asked.by, account, self._asked(asked), instead_of="")
        if decision is None:
            raise ConfigError("symbol", f"nothing is known of {account} yet", "Ask again.")
        return decision.payload()

    def _asked(self, asked: OrderArguments) -> OrderRequest:
        """Return the order that the arguments describe, under an id of its own."""
        kind = _kind(asked)
        default = TimeInForce.FOK if kind is OrderType.MARKET else TimeInForce.GTC
        return OrderRequest(
            client_order_id=self._engine.wiring.decider.ids.new(),
            instrument=asked.symbol,
            side=asked.side,
            order_type=kind,
            quantity=asked.quantity,
            limit_price=asked.limit,
            stop_price=asked.stop,
            stop_loss=asked.stop_loss,
            take_profit=asked.take_profit,
            trailing_stop=asked.trailing_stop,
            time_in_force=asked.time_in_force or default,
            expire_time=asked.expires,
        )

    async def close(self, asked: CloseArguments) -> dict[str, Any]:
        """Close a position, or part of it, at every account that holds it."""
        found = await open_positions(self._engine, asked.broker)
        held = [
            (link, each)
            for link, each in found
            if each.instrument == asked.symbol and asked.position in {None, each.position_id}
        ]
        if not held:
            raise ConfigError("symbol", f"no open position in {asked.symbol!r}", _see(found))
        if asked.quantity is not None and len(held) > 1:
            raise ConfigError(
                "quantity",
                f"{asked.symbol} is held in {len(held)} positions",
                "Name one with --broker or --position.",
            )
        rows = [await self._close(link, each, asked.quantity, asked.by) for link, each in held]
        return {"closed": rows}

    async def _close(
        self, link: Link, position: Position, quantity: Decimal | None, by: str
    ) -> dict[str, Any]:
        engine = self._engine
        size = position.quantity if quantity is None else quantity
        if size > position.quantity:
            raise ConfigError(
                "quantity",
                f"{plain(size)} is more than the {plain(position.quantity)} that are open",
                "Close at most that.",
            )
        order = close_order(
            link, position, size, by, engine.wiring.decider.ids, engine.wiring.clock
        )
        effects = engine.emit(order)
        return await self.sent(link.name, order.close.client_order_id, effects)

    async def sent(
        self, account: str, client_order_id: str, effects: tuple[Effect, ...]
    ) -> dict[str, Any]:
        """Return what became of an order: vetoed, or its state at the broker."""
        engine = self._engine
        verdicts = [each.body for each in effects if isinstance(each, Record)]
        verdict: dict[str, Any] = next(
            (each for each in reversed(verdicts) if "approved" in each), {}
        )
        answer = {
            "account": account,
            "approved": bool(verdict.get("approved")),
            "code": verdict.get("code", ""),
            "verdict": verdict.get("message", ""),
        }
        if not any(isinstance(each, Submit | Close) for each in effects):
            return answer
        await engine.idle()
        ticket = engine.desk.tickets.get(client_order_id)
        if ticket is None:
            problem = f"order {client_order_id} wasn't sent: the engine is ending"
            raise ConfigError("order", problem, "Ask again once it runs.")
        answer |= {
            "client_order_id": client_order_id,
            "stage": ticket.stage.value,
            "status": ticket.status.value,
        }
        return answer | await self.report(engine.wiring.links[account], ticket)

    async def report(self, link: Link, ticket: Ticket) -> dict[str, Any]:
        """Return what the broker says of an order it has; nothing where it can't be asked."""
        try:
            report = await link.order(ticket.client_order_id)
        except BrokerError as error:
            return {} if ticket.settled else {"problem": str(error)}
        return {
            "order_id": report.order_id,
            "instrument": report.instrument,
            "side": report.side.value,
            "status": report.status.value,
            "quantity": plain(report.quantity),
            "filled_quantity": plain(report.filled_quantity),
            "average_price": report.average_price and plain(report.average_price),
            "why": report.reason_text or str(report.reason or ""),
        }

    async def cancel(self, asked: CancelArguments) -> dict[str, Any]:
        """Cancel a working order, or all of them."""
        if bool(asked.order) == asked.everything:
            raise ConfigError("order", "say which", "Name one order, or --all.")
        working = await working_orders(self._engine, asked.broker)
        wanted = [
            (link, each)
            for link, each in working
            if (asked.order and asked.order in {each.order_id, each.client_order_id})
            or (asked.everything and (asked.protections or each.position_id is None))
        ]
        kept = sum(each.position_id is not None for _, each in working) if asked.everything else 0
        if asked.order:
            require_one(asked.order, [link for link, _ in wanted])
        if asked.order and not wanted:
            listed = ", ".join(each.order_id for _, each in working) or "none"
            raise ConfigError(
                "order", f"no working order {asked.order!r}", f"Working orders: {listed}."
            )
        rows = []
        for link, each in wanted:
            body = {"account": link.name, "order_id": each.order_id, "by": asked.by}
            self._engine.wiring.journal.append("cancel_ordered", body, durable=True)
            self._engine.book.account(link.name).note_message(self._engine.wiring.clock.now())
            try:
                report = await link.cancel(each.order_id)
                rows.append(
                    {"account": link.name, "order_id": each.order_id, "status": report.status.value}
                )
            except BrokerError as error:
                rows.append(
                    {"account": link.name, "order_id": each.order_id, "problem": str(error)}
                )
        return {"canceled": rows, "protections_kept": 0 if asked.protections else kept}

    def route(self, symbol: str, broker: str | None) -> str:
        """Return the account that an order in ``symbol`` goes to; raises ConfigError for none.

        Unless ``broker`` names it, the route's first choice that can be traded.
        """
        engine = self._engine
        states = {name: link.state() for name, link in engine.wiring.links.items()}
        wanted = [broker] if broker else list(engine.wiring.preference(symbol))
        links(engine, broker)
        chosen = choose(symbol, wanted, states)
        if chosen is not None:
            return chosen
        for name in wanted:
            if states[name].tradable and symbol not in states[name].differs:
                engine.wiring.links[name].symbols.instrument(symbol)  # says what is nearest
        differ = {name: states[name].differs.get(symbol, "") for name in wanted}
        why = "; ".join(
            f"{name}: {states[name].why or f'the books differ: {differ[name]}'}" for name in wanted
        )
        remedy = "mtquant reconcile" if any(differ.values()) else "mtquant doctor"
        raise ConfigError("symbol", f"{symbol!r} can't be traded now ({why})", remedy)


def _kind(asked: OrderArguments) -> OrderType:
    if asked.limit is not None and asked.stop is not None:
        return OrderType.STOP_LIMIT
    if asked.limit is not None:
        return OrderType.LIMIT
    return OrderType.MARKET if asked.stop is None else OrderType.STOP


def _see(found: list[tuple[Link, Position]]) -> str:
    held = ", ".join(f"{each.instrument} at {link.name}" for link, each in found)
    return f"Open: {held or 'none'}."
