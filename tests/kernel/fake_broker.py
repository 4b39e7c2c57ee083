"""A broker that exists in memory or, given a file, in that file: for tests of the wire.

Tests load it by path (see conftest.py); child processes run it as a script.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import anyio

from mtquant.clock import ManualClock, SystemClock
from mtquant.contract import Broker, Scope
from mtquant.errors import ErrorCode, OutcomeUnknown, Refused
from mtquant.ledger import Ledger, State
from mtquant.model import (
    Bars,
    Capabilities,
    CloseRequest,
    Environment,
    Health,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionMode,
    PriceSide,
    Quote,
    Quotes,
    Side,
    Timeframe,
    TimeInForce,
)
from mtquant.wire import run_http, run_stdio, serve
from mtquant.wire.guard import Guard

SETTLING_S = 5.0


def order(client_order_id: str = "c1", **changes: object) -> OrderRequest:
    made = OrderRequest(
        client_order_id=client_order_id,
        instrument="EURUSD",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(1000),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def report_of(request: OrderRequest | CloseRequest) -> OrderReport:
    return OrderReport(
        order_id=f"o-{request.client_order_id}",
        client_order_id=request.client_order_id,
        instrument=request.instrument or "EURUSD",
        side=request.side if isinstance(request, OrderRequest) else Side.SELL,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.GTC,
        quantity=request.quantity or Decimal(1000),
        filled_quantity=request.quantity or Decimal(1000),
        remaining_quantity=Decimal(0),
        average_price=Decimal("1.1000"),
        status=OrderStatus.FILLED,
        submitted_at=0,
        updated_at=0,
    )


def resting(request: OrderRequest) -> OrderReport:
    return replace(
        report_of(request),
        status=OrderStatus.NEW,
        filled_quantity=Decimal(0),
        remaining_quantity=request.quantity,
        average_price=None,
    )


class FakeBroker(Broker):
    """``sent`` lists every order and close that arrived; ``orders`` is what the venue knows.

    ``before`` and ``after`` run before and after an order reaches the venue.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.sent: list[OrderRequest | CloseRequest] = []
        self.orders: dict[str, OrderReport] = {}
        self.before: Callable[[], object] = lambda: None
        self.after: Callable[[], object] = lambda: None
        self.make: Callable[[OrderRequest], OrderReport] = report_of
        self.gate: anyio.Event | None = None
        self.looking_fails: BaseException | None = None

    async def get_health(self) -> Health:
        return Health(
            connected=True,
            trading_allowed=True,
            time=0,
            version="1",
            process_id=os.getpid(),
        )

    async def get_capabilities(self) -> Capabilities:
        return Capabilities(
            broker="fake",
            environment=Environment.PAPER,
            order_types=(OrderType.MARKET,),
            time_in_force=(TimeInForce.GTC,),
            position_mode=PositionMode.NETTING,
            clock="real",
            settling_window_s=SETTLING_S,
        )

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        self.calls.append(("get_quotes", instruments))
        if "CRASH" in instruments:
            msg = "canary-in-exception"
            raise RuntimeError(msg)
        if "HANG" in instruments:
            await anyio.sleep_forever()
        # Until an order and a hanging read are here.
        while "WAIT" in instruments and not (self.sent and ("get_quotes", ("HANG",)) in self.calls):  # noqa: ASYNC110
            await anyio.sleep(0.001)
        return Quotes(
            quotes=tuple(
                Quote(instrument=each, bid=Decimal("1.1"), ask=Decimal("1.2"), time=1)
                for each in instruments
            )
        )

    async def get_bars(
        self,
        instrument: str,
        timeframe: Timeframe,
        from_: int | None = None,
        to: int | None = None,
        count: int = 500,
        price: PriceSide = PriceSide.MID,
    ) -> Bars:
        self.calls.append(("get_bars", (instrument, timeframe, from_, to, count, price)))
        prices = (float("nan") if instrument == "NAN" else 1.5,) * count
        return Bars(
            instrument=instrument,
            timeframe=timeframe,
            time=tuple(range(count)),
            open=prices,
            high=prices,
            low=prices,
            close=prices,
            volume=prices,
        )

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        self.calls.append(("get_order", client_order_id or order_id))
        if self.looking_fails is not None:
            raise self.looking_fails
        for report in self.orders.values():
            if order_id == report.order_id or client_order_id == report.client_order_id:
                return report
        raise Refused(ErrorCode.NOT_FOUND, "no such order")

    async def place_order(self, order: OrderRequest) -> OrderReport:
        return await self._act(order)

    async def close_position(self, close: CloseRequest) -> OrderReport:
        return await self._act(close)

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        found = await self.get_order(order_id=order_id, client_order_id=client_order_id)
        canceled = replace(found, status=OrderStatus.CANCELED)
        self.orders[str(found.client_order_id)] = canceled
        return canceled

    async def _act(self, request: OrderRequest | CloseRequest) -> OrderReport:
        self.sent.append(request)
        self.before()
        if request.instrument == "HANG":
            await anyio.sleep_forever()
        if self.gate is not None:
            await self.gate.wait()
        report = self.make(request) if isinstance(request, OrderRequest) else report_of(request)
        self.reach(report)
        self.after()
        return report

    def reach(self, report: OrderReport) -> None:
        self.orders[str(report.client_order_id)] = report


class FileBroker(FakeBroker):
    """A venue that several processes share: one line for each order it was sent."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def reach(self, report: OrderReport) -> None:
        with self.path.open("a") as file:  # O_APPEND: a short line is written whole
            file.write(f"{report.client_order_id}\n")

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        known = self.path.read_text().split() if self.path.exists() else []
        if client_order_id in known:
            return report_of(order(client_order_id))
        raise Refused(ErrorCode.NOT_FOUND, f"no such order {order_id}")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(where: str, ledger_path: str, venue: str) -> None:
    """Place one order and be killed at ``where``."""
    broker, ledger = FileBroker(Path(venue)), Ledger(ledger_path, ManualClock())
    end = ledger.end

    def end_and_die(client_order_id: str, state: State, body: str) -> None:
        end(client_order_id, state, body)
        die()

    if where == "before pending":
        ledger.begin = lambda _: die()  # type: ignore[method-assign,assignment]
    elif where == "after pending":
        broker.before = die
    elif where == "after send":
        broker.after = die
    elif where == "after record":
        ledger.end = end_and_die  # type: ignore[method-assign]
    anyio.run(_place, Guard(broker, ledger), "c1")


def race(ledger_path: str, venue: str) -> None:
    """Place an order for each id that comes in on stdin, and say what came of it."""
    guard = Guard(FileBroker(Path(venue)), Ledger(ledger_path, SystemClock()))

    async def run() -> None:
        say("ready")
        for line in sys.stdin:
            say(await _place(guard, line.rstrip()))

    anyio.run(run)


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


async def _place(guard: Guard, client_order_id: str) -> str:
    try:
        report = await guard.place_order(order(client_order_id))
    except (Refused, OutcomeUnknown) as error:
        return error.code.value
    return "replayed" if report.replayed else "placed"


def stdio(*instructions: str) -> None:
    """Serve over stdio; die on an order for KILL, tell the environment's CANARY."""
    broker = FakeBroker()
    if "die" in instructions:
        broker.before = die
    anyio.run(run_stdio, serve(broker))


def http(port: str, token: str) -> None:
    """Serve over HTTP."""
    serving = partial(run_http, FakeBroker(), tokens={token: frozenset(Scope)}, port=int(port))
    anyio.run(serving)


if __name__ == "__main__":
    roles: dict[str, Callable[..., None]] = {"crash": crash, "race": race, "stdio": stdio}
    (roles | {"http": http})[sys.argv[1]](*sys.argv[2:])
