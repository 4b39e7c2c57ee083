"""Tools that change, cancel and close what is the agent's own, and the one that halts.

A position is an agent's own where it opened it; an order, where it was sent under an id of its
own. Nothing here adds risk: what could is asked of the gate, or refused.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from mtquant.agents.fate import Fates, digest_of
from mtquant.agents.outside import outside
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.results import (
    UNITS,
    Canceled,
    CanceledTold,
    Fate,
    HaltTold,
    OrderTold,
    ProtectionTold,
)
from mtquant.agents.tool import Caller, agent_tool
from mtquant.contract import AgentScope
from mtquant.control.arguments import CancelArguments, ModifyArguments
from mtquant.control.changing import Changing
from mtquant.control.commands import Commands
from mtquant.control.finding import links
from mtquant.control.trading import Trading
from mtquant.engine import Engine
from mtquant.link import Link
from mtquant.model import ClientOrderId, Mode, Position, Positive, ProtectionRequest, Text, plain
from mtquant.wire.guard import loosens
from mtquant.withdraw import close_order

Account = Annotated[str, Field(max_length=64)]
NOTHING_SENT = "NOT SENT (dry run)"


class ReducingTools:
    """What takes risk away, or leaves it as it is."""

    def __init__(self, engine: Engine, commands: Commands) -> None:
        self._engine = engine
        self._commands = commands
        self._trading = Trading(engine)
        self._changing = Changing(engine)
        self._fates = Fates(engine)

    @agent_tool("Change a working order", AgentScope.TRADE, changes=True)
    async def modify_order(  # noqa: PLR0913, PLR0917 - a tool's arguments
        self,
        caller: Caller,
        client_order_id: ClientOrderId,
        quantity: Positive | None = None,
        limit_price: Positive | None = None,
        stop_price: Positive | None = None,
        stop_loss: Positive | None = None,
        take_profit: Positive | None = None,
    ) -> ProtectionTold:
        """Change prices of a working order of yours, or make it smaller. What is absent stays.

        Unless your mode is auto you may only make it smaller: a person approved its prices.
        """
        request = self._fates.request(caller, client_order_id)
        if request is None or not request.client_order_id:
            raise _not_own("client_order_id", "order")
        prices = (limit_price, stop_price, stop_loss, take_profit)
        if caller.agent.mode is not Mode.AUTO and any(each is not None for each in prices):
            raise AgentRefused(
                "needs_approval",
                f"your mode is {caller.agent.mode}: the prices are what a person approved",
                "Cancel it and propose another, or make it smaller by quantity alone.",
            )
        asked = ModifyArguments(
            target=request.client_order_id,
            quantity=quantity,
            limit=limit_price,
            stop=stop_price,
            stop_loss=stop_loss,
            take_profit=take_profit,
            broker=request.account,
            by=caller.source,
        )
        if caller.dry_run:
            body = asked.model_dump(mode="json") | {"limit_price": asked.limit}
            return _protected(request.account, request.instrument, body, NOTHING_SENT)
        changed = await self._changing.modify(asked)
        return _protected(request.account, request.instrument, changed, "the order is changed")

    @agent_tool("Cancel orders", AgentScope.TRADE, changes=True, always=True)
    async def cancel_order(
        self,
        caller: Caller,
        client_order_id: ClientOrderId | None = None,
        everything: bool = False,  # noqa: FBT001, FBT002 - a tool's argument
    ) -> CanceledTold:
        """Cancel a working order of yours, or with ``everything`` all of yours."""
        if (client_order_id is None) is not everything:
            raise AgentRefused(
                "invalid_argument",
                "name one order, or everything",
                "Give client_order_id, or everything true.",
                field="client_order_id",
            )
        own = self._fates.own(caller)
        wanted = [
            each
            for each in own.values()
            if each.opens
            and (everything or each.request == client_order_id)
            and not self._engine.desk.tickets[each.client_order_id].settled
        ]
        if client_order_id is not None and not wanted:
            raise _not_own("client_order_id", "working order")
        rows: list[Canceled] = []
        for each in wanted:
            if caller.dry_run:
                rows.append(_untouched(each.request, each.account))
                continue
            asked = CancelArguments(
                order=each.client_order_id, broker=each.account, by=caller.source
            )
            answer = await self._trading.cancel(asked)
            rows += [
                Canceled(
                    client_order_id=each.request,
                    account=each.account,
                    status=str(row.get("status", "")),
                    problem=str(row.get("problem", "")),
                )
                for row in answer["canceled"]
            ]
        told = ", ".join(f"{each.client_order_id} {each.status or 'failed'}" for each in rows[:5])
        return CanceledTold(
            summary=f"{len(rows)} orders" + (f": {told}" if rows else ""),
            units=UNITS,
            orders=tuple(rows),
        )

    @agent_tool("Close a position", AgentScope.TRADE, changes=True, always=True)
    async def close_position(
        self,
        caller: Caller,
        client_order_id: ClientOrderId,
        symbol: Text,
        quantity: Positive | None = None,
        account: Account | None = None,
        position_id: Text | None = None,
    ) -> OrderTold:
        """Close a position that you opened, or ``quantity`` of it. Never refused by the gate.

        The same client_order_id never acts twice: repeat it after a timeout.
        """
        told = {"symbol": symbol, "quantity": quantity and plain(quantity), "account": account}
        digest = digest_of("close_position", told | {"position_id": position_id})
        known = await self._fates.replay(caller, client_order_id, digest)
        if known is not None:
            return known
        link, position = await self._own_position(caller, symbol, account, position_id)
        size = position.quantity if quantity is None else quantity
        if size > position.quantity:
            raise AgentRefused(
                "invalid_quantity",
                f"quantity: {plain(size)} is more than the {plain(position.quantity)} held",
                "Close at most that.",
                field="quantity",
            )
        if caller.dry_run:
            return _would_close(link, position, size, client_order_id)
        known = await self._fates.replay(caller, client_order_id, digest)
        if known is not None:  # the same call came twice at once
            return known
        wiring = self._engine.wiring
        order = replace(
            close_order(link, position, size, caller.source, wiring.decider.ids, wiring.clock),
            request=client_order_id,
            digest=digest,
        )
        effects = self._engine.emit(order)
        await self._trading.sent(link.name, order.close.client_order_id, effects)
        request = self._fates.request(caller, client_order_id)
        if request is None:
            raise AgentRefused("failed", "the close was not written down", "Tell the person.")
        return await self._fates.told(request)

    @agent_tool("Protect a position", AgentScope.TRADE, changes=True)
    async def set_protection(
        self,
        caller: Caller,
        symbol: Text,
        stop_loss: Positive | None = None,
        take_profit: Positive | None = None,
        account: Account | None = None,
    ) -> ProtectionTold:
        """Move the stop-loss or take-profit of a position that you opened. What is absent stays.

        A stop only moves towards the price: one that would lose more is refused.
        """
        if stop_loss is None and take_profit is None:
            raise AgentRefused(
                "invalid_argument", "nothing is to change", "Give stop_loss, take_profit or both."
            )
        link, position = await self._own_position(caller, symbol, account, None)
        asked = {
            name: value
            for name, value in (("stop_loss", stop_loss), ("take_profit", take_profit))
            if value is not None
        }
        change = ProtectionRequest(
            client_order_id="preview", position_id=position.position_id, **asked
        )
        loosened = loosens(change, position)
        if loosened == "stop_loss":
            raise AgentRefused(
                "loosens",
                "this stop would let the position lose more than now",
                "Only a person may loosen a stop. Move it towards the price, or close.",
                field=loosened,
            )
        if caller.dry_run:
            return _protected(link.name, symbol, asked, NOTHING_SENT)
        changed = await self._changing.modify(
            ModifyArguments(
                target=position.position_id, broker=link.name, by=caller.source, **asked
            )
        )
        return _protected(link.name, symbol, changed, "the position's protections are changed")

    @agent_tool("Halt trading", AgentScope.ADMIN, changes=True, always=True)
    async def halt_trading(
        self, caller: Caller, reason: Annotated[str, Field(min_length=1, max_length=200)]
    ) -> HaltTold:
        """Stop all new exposure at every account and cancel what would open. Closes nothing.

        It lasts until a person resumes. Use it when prices, orders or books make no sense.
        """
        if caller.dry_run:
            return HaltTold(summary=NOTHING_SENT, units=UNITS, halted=False, still=())
        answer = await self._commands.run("halt", {"why": outside(reason), "by": caller.source})
        still = tuple(f"{each['account']}: {each['problem']}" for each in answer["failed"])
        return HaltTold(
            summary="HALTED: nothing is opened until a person resumes"
            + (f"; still to do: {len(still)}" if still else ""),
            units=UNITS,
            halted=bool(answer["halted"]),
            still=still,
        )

    async def _own_position(
        self, caller: Caller, symbol: str, account: str | None, position_id: str | None
    ) -> tuple[Link, Position]:
        """Return the one position in ``symbol`` that the agent opened."""
        found: list[tuple[Link, Position]] = []
        for link in links(self._engine, account):
            book = self._engine.book.account(link.name)
            if book.trades.opened_by.get(symbol) != caller.source or symbol not in book.holdings:
                continue
            found += [
                (link, each)
                for each in await link.positions()
                if each.instrument == symbol and position_id in {None, each.position_id}
            ]
        if not found:
            raise _not_own("symbol", "open position")
        if len(found) > 1:
            where = ", ".join(f"{each.position_id} at {link.name}" for link, each in found)
            raise AgentRefused(
                "ambiguous",
                f"you hold {symbol} in {len(found)} positions: {where}",
                "Name one by account, or close it by position_id.",
                field="symbol",
            )
        return found[0]


def _protected(account: str, symbol: str, changed: dict[str, Any], what: str) -> ProtectionTold:
    def number(name: str) -> Decimal | None:
        value = changed.get(name)
        return Decimal(value) if value else None

    stop, target = changed.get("stop_loss"), changed.get("take_profit")
    return ProtectionTold(
        summary=f"{symbol} at {account}: {what}; stop-loss {stop or 'none'}, take-profit "
        f"{target or 'none'}",
        units=UNITS,
        account=account,
        symbol=symbol,
        quantity=number("quantity"),
        limit_price=number("limit_price"),
        stop_price=number("stop_price"),
        stop_loss=number("stop_loss"),
        take_profit=number("take_profit"),
    )


def _not_own(field: str, what: str) -> AgentRefused:
    return AgentRefused(
        "not_found",
        f"no {what} of yours is this",
        "You may change, cancel and close only what you opened: get_positions and list_orders "
        "mark it with mine.",
        field=field,
    )


def _untouched(request: str, account: str) -> Canceled:
    return Canceled(
        client_order_id=request, account=account, status="works on", problem=NOTHING_SENT
    )


def _would_close(link: Link, position: Position, size: Decimal, request: str) -> OrderTold:
    return OrderTold(
        summary=f"{NOTHING_SENT}: {plain(size)} {position.instrument} at {link.name} would close",
        units=UNITS,
        status=Fate.NOT_SENT,
        client_order_id=request,
        account=link.name,
        symbol=position.instrument,
        side=position.side.opposite,
        quantity=size,
        reason=NOTHING_SENT,
    )
