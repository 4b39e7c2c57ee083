"""Deliberate faults of the OANDA server: what the simulation with it must notice."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from tests.simulation.faults import OANDA_KINDS
from tests.simulation.mutations import MUTATIONS, mutation, swap

import mtquant_oanda_server.book
import mtquant_oanda_server.orders
import mtquant_oanda_server.venue
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.model import Capabilities, OrderReport, OrderStatus, Reason
from mtquant_oanda_server.book import Book
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.venue import Venue

__all__ = ["MUTATIONS"]
_at_oanda = partial(mutation, kinds=OANDA_KINDS, broker="oanda")


@_at_oanda("orders carry no client extensions")
def no_client_extensions(stack: ExitStack) -> None:
    def none(client_id: str, tag: str | None, settings: object) -> None:
        del client_id, tag, settings

    swap(stack, mtquant_oanda_server.orders, "extensions", none)


@_at_oanda("what isn't in the transactions that were read is absent, and at once")
def unread_is_absent_at_once(stack: ExitStack) -> None:
    capabilities = OandaBroker.get_capabilities

    async def settled(self: OandaBroker) -> Capabilities:
        return replace(await capabilities(self), settling_window_s=0)

    async def in_book(self: OandaBroker, client_order_id: str) -> OrderReport:
        found = self._in_book(client_order_id)
        if found is None:
            raise Refused(ErrorCode.NOT_FOUND, "not read of", outcome=Outcome.REJECTED)
        return replace(self._named(found), client_order_id=client_order_id)

    swap(stack, OandaBroker, "get_capabilities", settled)
    swap(stack, OandaBroker, "_by_name", in_book)


@_at_oanda("a venue's not found is believed at once: no settling window")
def oanda_settles_at_once(stack: ExitStack) -> None:
    capabilities = OandaBroker.get_capabilities

    async def settled(self: OandaBroker) -> Capabilities:
        return replace(await capabilities(self), settling_window_s=0)

    swap(stack, OandaBroker, "get_capabilities", settled)


@_at_oanda("a request that timed out is sent again by the transport")
def send_again_after_a_timeout(stack: ExitStack) -> None:
    ask = Venue._ask

    async def twice(self: Venue, request: Any) -> Any:  # noqa: ANN401 - oandapyV20's
        try:
            return await ask(self, request)
        except OutcomeUnknown:
            return await ask(self, request)

    swap(stack, Venue, "_ask", twice)


@_at_oanda("a 5xx after acceptance is told as a refusal")
def a_failure_is_a_refusal(stack: ExitStack) -> None:
    failed = mtquant_oanda_server.venue._failed

    def refused(what: str, code: str | None, *, writes: bool) -> BrokerError:
        if writes and code is not None:
            return Refused(ErrorCode.BROKER_REJECTED, what, broker_code=code)
        return failed(what, code, writes=writes)

    swap(stack, mtquant_oanda_server.venue, "_failed", refused)


@_at_oanda("a line that broke has sent nothing")
def a_broken_line_sent_nothing(stack: ExitStack) -> None:
    def never(error: Exception, sending: object) -> bool:
        del error, sending
        return False

    swap(stack, mtquant_oanda_server.venue, "_may_act", never)


@_at_oanda("transactions that are missing in between are skipped")
def skip_what_is_missing(stack: ExitStack) -> None:
    def anything(self: Book, transaction: object) -> bool:
        del self, transaction
        return True

    swap(stack, Book, "follows", anything)


@_at_oanda("an order that is replaced is canceled, until its successor is read of")
def replaced_is_canceled(stack: ExitStack) -> None:
    status = mtquant_oanda_server.book._status

    def ended(record: Any, filled: Any, quantity: Any) -> tuple[OrderStatus, Reason | None]:  # noqa: ANN401 - the book's
        if record.replaced_by and not record.live:
            return OrderStatus.CANCELED, Reason.CANCELED_BY_CLIENT
        return status(record, filled, quantity)

    swap(stack, mtquant_oanda_server.book, "_status", ended)
