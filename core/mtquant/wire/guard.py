"""What stands between a client's calls and a broker: the ledger's promises, kept for every venue.

The broker is asked first; the ledger says what its "not found" is worth.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from typing import TypeVar

from pydantic import TypeAdapter

from mtquant.contract import Broker
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused, Retry
from mtquant.ledger import Ledger, Request, Row, State
from mtquant.model import (
    UNCHANGED,
    Changes,
    CloseRequest,
    Health,
    ModifyRequest,
    OrderPreview,
    OrderReport,
    OrderRequest,
    OrderStatus,
    Position,
    ProtectionRequest,
    QuantityUnit,
    Reason,
    to_json,
)

_REPORT = TypeAdapter(OrderReport)
_POSITION = TypeAdapter(Position)
_REFUSAL = TypeAdapter(dict[str, object])
_APPLIED = '{"applied":'
"""How the body of a row begins whose id is of a change, and not of an order."""
_Request = TypeVar("_Request", OrderRequest, CloseRequest)
_Change = TypeVar("_Change", ModifyRequest, ProtectionRequest)
_Result = TypeVar("_Result", OrderReport, Position)


def checked(report: OrderReport, client_order_id: str | None = None) -> OrderReport:
    """Return ``report`` if it can be true, and is about ``client_order_id`` where that is given.

    Raises OutcomeUnknown otherwise: an order whose report makes no sense may well be live.
    """
    live = report.status in (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)
    if report.status is OrderStatus.IN_DOUBT:
        raise OutcomeUnknown("the broker does not know this order's state")
    if report.filled_quantity and report.average_price is None:
        raise _nonsense("has a fill without a price")
    if live and report.quantity != report.filled_quantity + report.remaining_quantity:
        raise _nonsense("does not add up")
    if client_order_id is not None and report.client_order_id != client_order_id:
        raise _nonsense("is about another client_order_id")
    return report


class Guard:
    """The calls of ``broker`` that the ledger has a say in, with its say."""

    def __init__(self, broker: Broker, ledger: Ledger) -> None:
        self._broker, self._ledger = broker, ledger
        self._settling_s: float | None = None

    async def get_health(self) -> Health:
        """Return the broker's health, with the ledger's unknown orders counted in."""
        health = await self._broker.get_health()
        return replace(health, unknown_orders=health.unknown_orders + self._ledger.unknown())

    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        """Return what changed; an order that is heard of here is unknown no more."""
        found = await self._broker.get_changes(since=since, limit=limit, wait_s=wait_s)
        for report in found.orders if self._ledger.unknown() else ():
            name = report.client_order_id or ""
            row = self._ledger.find(name)
            if row is not None and row.state is State.UNKNOWN:
                with suppress(BrokerError):  # one that makes no sense settles nothing
                    self._adopt(name, row, checked(report, name))
        return found

    async def place_order(self, order: OrderRequest) -> OrderReport:
        """Place ``order``, unless its id has acted before."""
        return await self._once(await self._in_base_units(order), self._broker.place_order)

    async def close_position(self, close: CloseRequest) -> OrderReport:
        """Close a position, unless the id has acted before."""
        return await self._once(close, self._broker.close_position)

    async def preview_order(self, order: OrderRequest) -> OrderPreview:
        """Preview ``order``; lots become base units."""
        return await self._broker.preview_order(await self._in_base_units(order))

    async def modify_order(self, change: ModifyRequest) -> OrderReport:
        """Change a working order, unless the change's id has acted before."""

        async def seen() -> OrderReport | None:
            report = checked(await self._broker.get_order(order_id=change.order_id))
            replaced = report.reason is Reason.REPLACED
            return report if replaced or _shows(change, report) else None

        async def send() -> OrderReport:
            return checked(await self._broker.modify_order(change))

        return await self._change(change, send, seen, _REPORT)

    async def set_protection(self, protection: ProtectionRequest) -> Position:
        """Set a position's protections, unless the change's id has acted before."""

        async def seen() -> Position | None:
            position = await self._position(protection.position_id)
            return position if position is not None and _shows(protection, position) else None

        async def send() -> Position:
            return await self._broker.set_protection(protection)

        return await self._change(protection, send, seen, _POSITION)

    async def check_tightens(self, protection: ProtectionRequest) -> None:
        """Raise Refused where ``protection`` would let a position lose more than it may now."""
        position = await self._position(protection.position_id)
        if position is None:
            return  # the broker says so itself
        loosened = loosens(protection, position)
        if loosened:
            raise Refused(
                ErrorCode.READ_ONLY,
                f"{loosened}: loosening a protection needs the scope trade",
                outcome=Outcome.NOT_SENT,
                field=loosened,
            )

    async def _position(self, position_id: str) -> Position | None:
        held = await self._broker.get_positions()
        return next((each for each in held.positions if each.position_id == position_id), None)

    async def _in_base_units(self, order: OrderRequest) -> OrderRequest:
        if order.quantity_unit is QuantityUnit.BASE:
            return order
        size = (await self._broker.get_instrument(order.instrument)).contract_size
        return replace(order, quantity=order.quantity * size, quantity_unit=QuantityUnit.BASE)

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        """Look an order up; this is also what settles an unknown one."""
        _exactly_one(order_id, client_order_id)
        if client_order_id is None:
            return checked(await self._broker.get_order(order_id=order_id))
        row = self._ledger.find(client_order_id)
        try:
            report = await self._broker.get_order(client_order_id=client_order_id)
        except Refused as refusal:
            if row is None or refusal.code is not ErrorCode.NOT_FOUND:
                raise
            return await self._absent(client_order_id, row, refusal)
        return self._adopt(client_order_id, row, checked(report, client_order_id))

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        """Cancel an order; an id that was never sent becomes void, so that no late copy acts."""
        _exactly_one(order_id, client_order_id)
        if client_order_id is None:
            return checked(await self._broker.cancel_order(order_id=order_id))
        row = self._ledger.fence(client_order_id)
        try:
            report = await self._broker.cancel_order(client_order_id=client_order_id)
        except Refused as refusal:
            if row.state is State.DONE or refusal.code is not ErrorCode.NOT_FOUND:
                raise
            return await self._absent(client_order_id, row, refusal)
        return self._adopt(client_order_id, row, checked(report, client_order_id))

    async def _once(
        self, request: _Request, send: Callable[[_Request], Awaitable[OrderReport]]
    ) -> OrderReport:
        row = await self._begin(request)
        if row is None:
            return await self._send(request, send)
        self._check_same(row, request)
        return replace(await self._replay(request.client_order_id, row), replayed=True)

    async def _begin(self, request: Request) -> Row | None:
        """Begin, as the ledger does; what stands in its way because its fate isn't known is asked.

        Whoever sent that order may have heard of it otherwise since, and looks it up no more.
        """
        asked = set[str]()
        while True:
            try:
                return self._ledger.begin(request)
            except Refused as refusal:
                unknown = (refusal.verify or {}).get("args", {}).get("client_order_id", "")
                if not unknown or unknown in asked:
                    raise
            asked.add(unknown)
            with suppress(BrokerError):
                await self.get_order(client_order_id=unknown)

    def _check_same(self, row: Row, request: Request) -> None:
        if row.state is State.VOID:
            raise _fenced(ErrorCode.CONFLICT)
        if not self._ledger.matches(row, request):
            raise Refused(
                ErrorCode.DUPLICATE_MISMATCH,
                "this client_order_id was used before, for another order or change",
                field="client_order_id",
            )

    async def _change(
        self,
        change: _Change,
        send: Callable[[], Awaitable[_Result]],
        seen: Callable[[], Awaitable[_Result | None]],
        kind: TypeAdapter[_Result],
    ) -> _Result:
        """Make a change once; one whose fate is unknown is looked for in what it changes."""
        row = self._ledger.begin(change)
        if row is None:
            with self._recorded(change.client_order_id) as done:
                result = await send()
                done(f"{_APPLIED}{kind.dump_json(result).decode()}}}")
            return result
        self._check_same(row, change)
        if row.state is State.REFUSED:
            raise BrokerError.of(_REFUSAL.validate_json(row.body))
        if row.state is State.DONE:
            return kind.validate_json(row.body[len(_APPLIED) : -1])
        result_seen = await seen()
        if result_seen is None:
            if row.state is State.UNKNOWN:
                await self._void(change.client_order_id, row)
                raise _fenced(ErrorCode.CONFLICT)
            raise _in_doubt(change.client_order_id)
        body = f"{_APPLIED}{kind.dump_json(result_seen).decode()}}}"
        if row.state is State.UNKNOWN:
            self._ledger.move(change.client_order_id, State.UNKNOWN, State.DONE, body)
        return result_seen

    @contextmanager
    def _recorded(self, client_order_id: str) -> Iterator[Callable[[str], None]]:
        """Write down how a sending ends: done with a body, refused, or else unknown."""
        state, body = State.UNKNOWN, ""

        def done(text: str) -> None:
            nonlocal state, body
            state, body = State.DONE, text

        try:
            yield done
        except Refused as refusal:
            if refusal.outcome is not Outcome.UNKNOWN:
                state = State.FREE if refusal.outcome is Outcome.NOT_SENT else State.REFUSED
            body = to_json(refusal.payload())
            raise
        finally:
            self._ledger.end(client_order_id, state, body)

    async def _send(
        self, request: _Request, send: Callable[[_Request], Awaitable[OrderReport]]
    ) -> OrderReport:
        with self._recorded(request.client_order_id) as done:
            report = checked(await send(request), request.client_order_id)
            if report.status is OrderStatus.REJECTED:
                raise _rejected(report)
            done(_dump(report))
        return report

    async def _replay(self, client_order_id: str, row: Row) -> OrderReport:
        if row.state is State.REFUSED:
            raise BrokerError.of(_REFUSAL.validate_json(row.body))
        if row.state is State.DONE:
            report = _load(row)
            if not report.status.terminal:
                with suppress(BrokerError):  # what is stored is true, if no longer the newest
                    report = await self.get_order(client_order_id=client_order_id)
            return report
        try:
            return await self.get_order(client_order_id=client_order_id)
        except Refused as refusal:
            if refusal.fenced:
                raise
            raise _in_doubt(client_order_id) from refusal

    def _adopt(self, client_order_id: str, row: Row | None, report: OrderReport) -> OrderReport:
        """Write down what the broker knows; a row that is being sent is its sender's to write."""
        body = _dump(report)
        if row is None:
            self._ledger.learn(client_order_id, body)
        elif row.state is not State.PENDING and row.body != body:
            self._ledger.move(client_order_id, row.state, State.DONE, body)
        return report

    async def _absent(self, client_order_id: str, row: Row, refusal: Refused) -> OrderReport:
        """Say what it means that the broker doesn't know this id; ``row`` is of before asking."""
        if row.state is State.FREE or row.body.startswith(_APPLIED):
            raise refusal
        if row.state is State.DONE and (report := _load(row)).status.terminal:
            return report
        if row.state in (State.DONE, State.PENDING):
            raise _in_doubt(client_order_id)
        if row.state is State.UNKNOWN:
            await self._void(client_order_id, row)
        raise _fenced(ErrorCode.NOT_FOUND)

    async def _void(self, client_order_id: str, row: Row) -> None:
        """Make an unknown id void, if the venue had time to show what came of it."""
        left_s = await self._settling() - row.unknown_s
        if left_s >= 0:
            raise _in_doubt(client_order_id, retry_after_s=left_s)
        if not self._ledger.move(client_order_id, State.UNKNOWN, State.VOID, ""):
            raise _in_doubt(client_order_id)  # another process settled it meanwhile

    async def _settling(self) -> float:
        if self._settling_s is None:
            self._settling_s = (await self._broker.get_capabilities()).settling_window_s
        return self._settling_s


def loosens(protection: ProtectionRequest, position: Position) -> str | None:
    """Return the first field of ``protection`` that lets ``position`` lose more, None where none.

    A stop-loss tightens towards the market, a trailing stop by a shorter distance; both by being
    added. A take-profit bounds no loss, but taking one away or moving it off keeps the position
    open longer: that loosens too.
    """
    sign = position.side.sign
    stop, target, trail = protection.stop_loss, protection.take_profit, protection.trailing_stop
    for name, wanted, held, way in (
        ("stop_loss", stop, position.stop_loss, -sign),
        ("take_profit", target, position.take_profit, sign),
        ("trailing_stop", trail, position.trailing_stop, 1),
    ):
        if wanted is UNCHANGED or held is None:
            continue
        if wanted is None or way * (wanted - held) > 0:
            return name
    return None


def _shows(change: ModifyRequest | ProtectionRequest, now: OrderReport | Position) -> bool:
    """Return True where all that ``change`` asks for is so."""
    for each in fields(change):
        wanted = getattr(change, each.name)
        if each.name in _NAMING or wanted is UNCHANGED or (wanted is None and each.default is None):
            continue
        if getattr(now, each.name) != wanted:
            return False
    return True


_NAMING = {"client_order_id", "order_id", "position_id"}


def _dump(report: OrderReport) -> str:
    return _REPORT.dump_json(report).decode()


def _load(row: Row) -> OrderReport:
    return _REPORT.validate_json(row.body)


def _exactly_one(order_id: str | None, client_order_id: str | None) -> None:
    if (order_id is None) is (client_order_id is None):
        raise Refused(
            ErrorCode.INVALID_ARGUMENT,
            "give either order_id or client_order_id",
            outcome=Outcome.NOT_SENT,
            retry=Retry.AFTER_FIX,
            field="order_id",
        )


def _rejected(report: OrderReport) -> Refused:
    """Return the error that a rejected order is, though its broker told it as a result."""
    return Refused(
        ErrorCode.BROKER_REJECTED,
        report.reason_text or "the broker rejected the order",
        broker_code=report.broker_code,
        broker_text=report.reason_text or None,
    )


def _nonsense(problem: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"the broker's report {problem}", code=ErrorCode.INTERNAL)


def _in_doubt(client_order_id: str, retry_after_s: float | None = None) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"it is not known yet whether order {client_order_id} is at the broker",
        retry_after_s=retry_after_s,
        verify={"tool": "get_order", "args": {"client_order_id": client_order_id}},
    )


def _fenced(code: ErrorCode) -> Refused:
    return Refused(
        code, "no order has this client_order_id, and none ever will: it is void", fenced=True
    )
