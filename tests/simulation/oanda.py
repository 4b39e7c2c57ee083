"""The account at OANDA: the real server's broker, over HTTP in memory, before the simulated venue.

The venue is the exchange: it doesn't die, and its transactions are the truth. What goes wrong is on
the line to it, at the venue's own hands (its faults on demand), and in the server's process.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio
import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send
from tests.simulation.clocks import MarketClock, ServerClock
from tests.simulation.faults import LATE_S, SETTLING_S, Plan
from tests.simulation.line import Application, Call, Line
from tests.simulation.transactions import Execution, Order, Transactions
from tests.simulation.venue import CATALOGUE, Account, Process
from tests.simulation.wish import wish_of

from mtquant.clock import SECOND, seeded
from mtquant.contract import Broker
from mtquant.orders import Stage
from mtquant.symbols import Spelling
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings
from mtquant_simulators.oanda import AccountSettings, Faults, application
from mtquant_simulators.oanda import OandaSettings as Simulated
from mtquant_simulators.oanda.settings import TOKEN
from mtquant_simulators.oanda.text import name_of, symbol_of

if TYPE_CHECKING:
    from tests.simulation.world import World

NUMBER = "101-001-1000001-001"
_URL = "http://127.0.0.1"
_ACCOUNT = f"/v3/accounts/{NUMBER}"
_DEMANDED = {
    "oanda_drop_after": "drop_after",
    "oanda_error_before": "error_before",
    "oanda_error_after": "error_after",
}
"""The simulator's own faults of one request, by our names of them."""
_SLOW_S = 2.0
"""How long a slow venue takes: with what is late on the line within the settling window."""
_BARS_MORE = 40
_POLL_S, _TOLD_S = 0.25, 0.3
"""How often a stream looks for news, and when it has told of them."""


class OandaAccount(Account):
    """One at the simulated OANDA."""

    exchange: Transactions

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name, Spelling(separator="_"))
        walk = {**world.walk, "bars": world.walk["bars"] + _BARS_MORE}
        source = CATALOGUE.make("source", "walk", walk)
        first = source.bars(source.symbols()[0])
        length = first.timeframe.seconds * SECOND
        self.clock = MarketClock(world.now, first.time[0] + length)
        app: Any = application(
            Simulated(
                accounts=(AccountSettings(account_id=NUMBER),),
                rebase=False,
                history=0,
                poll_s=_POLL_S,
            ),
            self.clock,
            source,
        )
        guard = app.guard
        app.guard = lambda inside: guard(_Watched(inside, self))
        self._application: Application = app
        self._faults = app.state.faults
        self.exchange = Transactions(app.state.venue.accounts[NUMBER].ledger.entries)

    @property
    def _plan(self) -> Plan:
        return self.world.plan

    # --- the server's side -------------------------------------------------------------------

    @asynccontextmanager
    async def broker(self, process: Process) -> AsyncIterator[Broker]:
        """Let the product's own broker live as long as its process, in a task of its own."""
        ready, leave, left = anyio.Event(), anyio.Event(), anyio.Event()
        broker = self._broker(process)

        async def live() -> None:
            async with broker:
                ready.set()
                await leave.wait()
            left.set()

        self.world.later(live)
        await ready.wait()
        try:
            yield broker
        finally:
            leave.set()
            with anyio.CancelScope(shield=True):
                await left.wait()

    def _broker(self, process: Process) -> OandaBroker:
        """Return what the server's command makes, on a line of ours."""
        number = 1 + self.endpoints.index(process.endpoint)
        settings = OandaSettings(
            account_id=NUMBER,
            url=_URL,
            timeout_s=4,
            connect_timeout_s=1,
            settling_window_s=SETTLING_S,
        )
        return OandaBroker(
            settings,
            TOKEN,
            ServerClock(self.clock, self.world.clock),
            self.folder,
            transport=Line(process, self, f"10.0.0.{number}"),
            rng=seeded(self.world.seed * 1000 + number),
        )

    async def carry(self, call: Call) -> None:
        """Bring a server's request here and wait for the answer, with what may go wrong."""
        plan, process = self._plan, call.sender
        if call.writes and process is not None:
            if plan.strikes("crash_before"):
                process.die("before its request left for OANDA")
            elif plan.strikes("crash_acts_late"):
                self.world.later(self._run_late, call)
                process.die("and its request is still on the way to OANDA")
            elif plan.strikes("http_request_late"):
                self.world.later(self._run_late, call)
                return
        await anyio.lowlevel.checkpoint()
        if plan.strikes("http_request_lost" if call.writes else "http_read_lost"):
            await anyio.sleep_forever()
        demanded = next((each for each in _DEMANDED if call.writes and plan.strikes(each)), None)
        self.world.later(self._run, call, demanded)
        await call.begun.wait()
        if call.writes and process is not None and plan.strikes("crash_after"):
            process.die("after OANDA acted")
        await anyio.lowlevel.checkpoint()
        if call.writes and plan.strikes("http_answer_lost"):
            await anyio.sleep_forever()
        if plan.strikes("http_answer_late"):
            await anyio.sleep(plan.pause(0.2, 8))

    # --- the venue's side --------------------------------------------------------------------

    async def _run_late(self, call: Call) -> None:
        await anyio.sleep(self._plan.pause(0.1, 1.0) * LATE_S)
        self.world.note(f"{self.name}: a late {call.request.method} arrives")
        await self._run(call)

    async def _run(self, call: Call, demanded: str | None = None) -> None:
        self._set_faults(demanded)
        await call.run(self._application)

    def _set_faults(self, demanded: str | None = None) -> None:
        """Set what goes wrong at the venue now, and with the next request where one is named."""
        plan, now = self._plan, self.world.now()

        def lasts(kind: str) -> bool:
            holds = plan.lasts(kind, self.name, now)
            plan.injected[kind] += holds
            return holds

        self._faults.set(
            Faults(
                next=(_DEMANDED[demanded],) if demanded else (),
                status=plan.generator("oanda_status").choice((500, 502, 503, 504)),
                slow_s=_SLOW_S if lasts("oanda_slow") else 0,
                cut_stream_after=1 if lasts("oanda_streams_cut") else None,
                silent_stream_after=1 if lasts("oanda_streams_silent") else None,
                stale_heartbeat_s=60 if lasts("oanda_heartbeats_stale") else 0,
            )
        )

    def before(self, call: Call) -> None:
        """Look at a request that the venue is about to act on."""
        wish = wish_of(call)
        if wish is not None and call.sender is not None:
            self.world.checks.before_taking(self, wish)

    def after(self, call: Call) -> None:
        """Look at what the venue has done."""
        wish = wish_of(call)
        if wish is None or call.sender is None:
            if call.writes:
                self.world.note(f"{self.name} did {call.request.method} {call.request.url.path}")
            return
        order_id = self.exchange.by_client_id.get(wish.client_order_id)
        if order_id is None:
            self.world.note(f"{self.name} refuses {wish.client_order_id}")
            return
        order = self.exchange.orders[order_id]
        self.world.orders += 1
        filled = sum((each.quantity for each in order.fills), Decimal(0))
        self.world.note(
            f"{self.name} took {wish.client_order_id} {wish.instrument}: {order.status} {filled}"
        )
        self.world.checks.after_taking(self, wish)
        self.world.passed("at_broker")

    # --- the truth ---------------------------------------------------------------------------

    def fills(self, order_id: str | None = None) -> list[Execution]:
        if order_id is None:
            return self.exchange.executions()
        return self.exchange.orders[order_id].fills

    def ours(self, instrument: str) -> str:
        return symbol_of(instrument)

    def refused(self, report: Order) -> bool:
        return report.turned_away

    def settled(self, client_order_id: str, stage: Stage) -> None:
        """Count doubts by their ends: found by the id at OANDA alone, known after all, absent."""
        end = "absent" if stage is Stage.PROVEN_ABSENT else "settled by a person"
        if stage is Stage.ACKNOWLEDGED:
            end = "known" if self._was_answered(client_order_id) else "found"
        self.world.doubts[end] += 1

    def _was_answered(self, client_order_id: str) -> bool:
        """Tell whether a server wrote down which order OANDA's answer told of."""
        with closing(sqlite3.connect(self.folder / "intents.db")) as intents:
            row = intents.execute(
                "SELECT order_id FROM intents WHERE client_order_id = ?", (client_order_id,)
            ).fetchone()
        return bool(row and row[0])

    # --- what happens beside us --------------------------------------------------------------

    async def _beside(self, method: str, path: str, body: dict[str, Any] | None = None) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = httpx2.Request(method, f"{_URL}{_ACCOUNT}{path}", json=body, headers=headers)
        call = Call(request, None, "10.0.1.1", 1)
        await self._run(call)
        call.leave()

    async def end_beside(self, order_id: str, *, rejected: bool) -> None:  # noqa: ARG002 - OANDA rejects at once
        self.world.plan.injected["ended_beside"] += 1
        order = self.exchange.orders[order_id]
        await self._beside("PUT", f"/orders/{order.newest}/cancel")
        self.world.note(f"{self.name}: somebody cancels {order_id}: {order.status}")

    async def trade_beside(self, symbol: str, quantity: int) -> None:
        if not quantity:
            return
        name = f"foreign-{len(self.exchange.orders)}"
        order = {
            "type": "MARKET",
            "instrument": name_of(symbol),
            "units": str(quantity),
            "clientExtensions": {"id": name},
        }
        await self._beside("POST", "/orders", {"order": order})
        order_id = self.exchange.by_client_id.get(name)
        filled = sum(each.quantity for each in self.fills(order_id)) if order_id else 0
        self.take_foreign(symbol, int(filled) * (1 if quantity > 0 else -1))

    async def come_to(self, time: int) -> None:
        self.clock.come_to(time)
        await anyio.sleep(_TOLD_S)

    def calm_down(self) -> None:
        self._set_faults()

    async def weather(self) -> None:
        """Set the venue's faults each time that one of them begins or ends."""
        moments = {
            moment
            for each in self._plan.windows
            if each.where == self.name
            for moment in (each.begin, each.end)
        }
        for moment in sorted(moments):
            await anyio.sleep(max(0.0, moment - self.world.now()))
            self._set_faults()

    def close(self) -> None:
        """Do nothing: the venue is in memory."""


class _Watched:
    """The venue's application, inside its faults: what gets here acts."""

    def __init__(self, inside: ASGIApp, account: OandaAccount) -> None:
        self._inside, self._account = inside, account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = scope.get("call")
        if isinstance(call, Call) and call.writes:
            self._account.before(call)
            await self._inside(scope, receive, send)
            self._account.after(call)
        else:
            await self._inside(scope, receive, send)
