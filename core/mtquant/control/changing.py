"""Changes of what works or protects: asked of the gate where they could add risk, sent once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, TypeVar

from mtquant.contract import Level
from mtquant.control.arguments import ModifyArguments
from mtquant.control.finding import open_positions, refresh, require_one, working_orders
from mtquant.decide import Tell
from mtquant.engine import Engine
from mtquant.errors import ConfigError, OutcomeUnknown, Refused
from mtquant.link import Link
from mtquant.model import (
    UNCHANGED,
    ModifyRequest,
    OrderReport,
    OrderRequest,
    Position,
    ProtectionRequest,
    plain,
)

T = TypeVar("T")


class Changing:
    """What a person changes through one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def modify(self, asked: ModifyArguments) -> dict[str, Any]:
        """Change a working order, or what protects a position."""
        working = [
            (link, each)
            for link, each in await working_orders(self._engine, asked.broker)
            if asked.target in {each.order_id, each.client_order_id}
        ]
        require_one(asked.target, [link for link, _ in working])
        if working:
            return await self._modify(*working[0], asked)
        positions = await open_positions(self._engine, asked.broker)
        held = [
            (link, each)
            for link, each in positions
            if asked.target in {each.position_id, each.instrument}
        ]
        if len(held) != 1:
            problem = f"{asked.target!r} is {len(held) or 'no'} working order or open position"
            remedy = "Name one by its id: `mtquant orders` and `mtquant positions` list them."
            raise ConfigError("target", problem, remedy)
        return await self._protect(*held[0], asked)

    async def _modify(
        self, link: Link, order: OrderReport, asked: ModifyArguments
    ) -> dict[str, Any]:
        """Change a working order; one that would come to more risk than before isn't sent."""
        if asked.quantity is not None and asked.quantity > order.quantity:
            raise ConfigError(
                "quantity",
                f"{plain(asked.quantity)} is more than the order's {plain(order.quantity)}",
                "A change can't add risk past the gate: place another order.",
            )
        request = ModifyRequest(
            client_order_id=self._engine.wiring.decider.ids.new(),
            order_id=order.order_id,
            quantity=asked.quantity,
            limit_price=asked.limit,
            stop_price=asked.stop,
            **_protections(asked),
        )
        await refresh(self._engine, link.name, order.instrument)
        self._check(link, order, request, asked)
        report = await self._change(link, request, asked.by, lambda: link.modify(request))
        return {
            "account": link.name,
            "order_id": report.order_id,
            "status": report.status.value,
            "quantity": plain(report.quantity),
            "limit_price": report.limit_price and plain(report.limit_price),
            "stop_price": report.stop_price and plain(report.stop_price),
            "stop_loss": report.stop_loss and plain(report.stop_loss),
            "take_profit": report.take_profit and plain(report.take_profit),
        }

    def _check(
        self, link: Link, order: OrderReport, request: ModifyRequest, asked: ModifyArguments
    ) -> None:
        """Ask the gate about the order as it would be; raises ConfigError where it says no."""

        def after(change: object, before: Decimal | None) -> Decimal | None:
            return before if change is UNCHANGED else change  # type: ignore[return-value]

        changed = OrderRequest(
            client_order_id=request.client_order_id,
            instrument=order.instrument,
            side=order.side,
            order_type=order.order_type,
            quantity=(request.quantity or order.quantity) - order.filled_quantity,
            limit_price=request.limit_price or order.limit_price,
            stop_price=request.stop_price or order.stop_price,
            stop_loss=after(request.stop_loss, order.stop_loss),
            take_profit=after(request.take_profit, order.take_profit),
        )
        if order.reduce_only or order.position_id is not None:
            return  # what only closes is not asked about new exposure
        decider = self._engine.wiring.decider
        decision = decider.review_change(
            asked.by, link.name, changed, instead_of=order.client_order_id or ""
        )
        if decision is None:
            raise ConfigError(asked.target, f"nothing is known of {link.name} yet", "Wait.")
        self._engine.wiring.journal.append("verdict", decision.payload())
        if not decision.approved:
            raise ConfigError(asked.target, f"vetoed ({decision.code})", decision.message)

    async def _protect(
        self, link: Link, position: Position, asked: ModifyArguments
    ) -> dict[str, Any]:
        for name in ("quantity", "limit", "stop"):
            if getattr(asked, name) is not None:
                raise ConfigError(
                    name,
                    f"a position has no {name}",
                    "Use --stop-loss, --take-profit or --trailing-stop; `mtquant close` makes it "
                    "smaller.",
                )
        request = ProtectionRequest(
            client_order_id=self._engine.wiring.decider.ids.new(),
            position_id=position.position_id,
            **_protections(asked),
        )
        after = await self._change(link, request, asked.by, lambda: link.protect(request))
        return {
            "account": link.name,
            "position_id": after.position_id,
            "instrument": after.instrument,
            "stop_loss": after.stop_loss and plain(after.stop_loss),
            "take_profit": after.take_profit and plain(after.take_profit),
            "trailing_stop": after.trailing_stop and plain(after.trailing_stop),
        }

    async def _change(
        self,
        link: Link,
        request: ModifyRequest | ProtectionRequest,
        by: str,
        send: Callable[[], Awaitable[T]],
    ) -> T:
        """Journal a change, send it once, and say plainly where its fate isn't known."""
        journal = self._engine.wiring.journal
        cid = request.client_order_id
        body = {"account": link.name, "id": cid, "by": by, "request": repr(request)}
        journal.append("change", body, durable=True)
        self._engine.book.account(link.name).note_message(self._engine.wiring.clock.now())
        try:
            async with link.lock:
                report = await send()
        except Refused as error:
            journal.append("change_ended", {"id": cid, "outcome": f"{error.code}: {error}"})
            raise
        except OutcomeUnknown as error:
            journal.append("change_ended", {"id": cid, "outcome": f"unknown: {error}"})
            message = f"whether the change {cid} at {link.name} was made is not known: {error}"
            self._engine.tell(Tell(level=Level.ALARM, message=message))
            raise
        journal.append("change_ended", {"id": cid, "outcome": "made"})
        return report


def _protections(asked: ModifyArguments) -> dict[str, Any]:
    """Return what changes of the protections: a price, None to take away, or unchanged."""
    names = ("stop_loss", "take_profit", "trailing_stop")
    for name in asked.clear:
        if getattr(asked, name) is not None:
            raise ConfigError(name, "is both set and cleared", "Do one of the two.")
    return {
        name: None if name in asked.clear else UNCHANGED if value is None else value
        for name in names
        for value in (getattr(asked, name),)
    }
