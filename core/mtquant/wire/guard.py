"""What stands between a client's calls and a broker: the ledger's promises, kept for every venue.

The broker is asked first; the ledger says what its "not found" is worth.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from pydantic import TypeAdapter

from mtquant.clock import SECOND
from mtquant.contract import Broker
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused, Retry
from mtquant.ledger import Ledger, Row, State
from mtquant.model import CloseRequest, Health, OrderReport, OrderRequest, OrderStatus, to_json

_REPORT = TypeAdapter(OrderReport)
_REFUSAL = TypeAdapter(dict[str, object])
_Request = TypeVar("_Request", OrderRequest, CloseRequest)


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
        self._settling_ns: int | None = None

    async def get_health(self) -> Health:
        """Return the broker's health, with the ledger's unknown orders counted in."""
        health = await self._broker.get_health()
        return replace(health, unknown_orders=health.unknown_orders + self._ledger.unknown())

    async def place_order(self, order: OrderRequest) -> OrderReport:
        """Place ``order``, unless its id has acted before."""
        return await self._once(order, self._broker.place_order)

    async def close_position(self, close: CloseRequest) -> OrderReport:
        """Close a position, unless the id has acted before."""
        return await self._once(close, self._broker.close_position)

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        """Look an order up; this is also what settles an unknown one."""
        _exactly_one(order_id, client_order_id)
        if client_order_id is None:
            return checked(await self._broker.get_order(order_id=order_id))
        asked, row = self._ledger.clock.now(), self._ledger.find(client_order_id)
        try:
            report = await self._broker.get_order(client_order_id=client_order_id)
        except Refused as refusal:
            if row is None or refusal.code is not ErrorCode.NOT_FOUND:
                raise
            return await self._absent(client_order_id, row, asked, refusal)
        return self._adopt(client_order_id, row, checked(report, client_order_id))

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        """Cancel an order; an id that was never sent becomes void, so that no late copy acts."""
        _exactly_one(order_id, client_order_id)
        if client_order_id is None:
            return checked(await self._broker.cancel_order(order_id=order_id))
        asked, row = self._ledger.clock.now(), self._ledger.fence(client_order_id)
        try:
            report = await self._broker.cancel_order(client_order_id=client_order_id)
        except Refused as refusal:
            if row.state is State.DONE or refusal.code is not ErrorCode.NOT_FOUND:
                raise
            return await self._absent(client_order_id, row, asked, refusal)
        return self._adopt(client_order_id, row, checked(report, client_order_id))

    async def _once(
        self, request: _Request, send: Callable[[_Request], Awaitable[OrderReport]]
    ) -> OrderReport:
        row = self._ledger.begin(request)
        if row is None:
            return await self._send(request, send)
        if row.state is State.VOID:
            raise _fenced(ErrorCode.CONFLICT)
        if not self._ledger.matches(row, request):
            raise Refused(
                ErrorCode.DUPLICATE_MISMATCH,
                "this client_order_id was used before, for another order",
                field="client_order_id",
            )
        return replace(await self._replay(request.client_order_id, row), replayed=True)

    async def _send(
        self, request: _Request, send: Callable[[_Request], Awaitable[OrderReport]]
    ) -> OrderReport:
        state, body = State.UNKNOWN, ""
        try:
            report = checked(await send(request), request.client_order_id)
            state, body = State.DONE, _dump(report)
        except Refused as refusal:
            if refusal.outcome is not Outcome.UNKNOWN:
                state = State.FREE if refusal.outcome is Outcome.NOT_SENT else State.REFUSED
            body = to_json(refusal.payload())
            raise
        finally:
            self._ledger.end(request.client_order_id, state, body)
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

    async def _absent(
        self, client_order_id: str, row: Row, asked: int, refusal: Refused
    ) -> OrderReport:
        """Say what it means that the broker, asked at ``asked``, does not know this id."""
        if row.state is State.FREE:
            raise refusal
        if row.state is State.DONE and (report := _load(row)).status.terminal:
            return report
        if row.state in (State.DONE, State.PENDING):
            raise _in_doubt(client_order_id)
        if row.state is State.UNKNOWN:
            left = row.time + await self._settling() - asked
            if left >= 0:
                raise _in_doubt(client_order_id, retry_after_s=left / SECOND)
            if not self._ledger.move(client_order_id, State.UNKNOWN, State.VOID, ""):
                raise _in_doubt(client_order_id)  # another process settled it meanwhile
        raise _fenced(ErrorCode.NOT_FOUND)

    async def _settling(self) -> int:
        if self._settling_ns is None:
            capabilities = await self._broker.get_capabilities()
            self._settling_ns = round(capabilities.settling_window_s * SECOND)
        return self._settling_ns


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
