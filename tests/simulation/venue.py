"""The far end: accounts that outlive their servers, servers that die, and the way to them."""

from __future__ import annotations

import functools
import sqlite3
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import anyio
from mcp import MCPError, types
from tests.simulation.faults import LATE_S, SETTLING_S, STALE_S, Plan

from mtquant.contract import Broker, tools_of
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused, Retry
from mtquant.exchange import PaperSettings
from mtquant.ledger import Ledger, Request, Row, State
from mtquant.model import (
    Changes,
    CloseRequest,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)
from mtquant.orders import Stage
from mtquant.plugins import load_catalogue
from mtquant.symbols import Spelling
from mtquant.wire import Remote, serve
from mtquant.wire.guard import Guard
from mtquant.wire.tools import Spec, specs_of
from mtquant_paper_server.broker import PaperBroker

if TYPE_CHECKING:
    from tests.simulation.world import Life, World

T = TypeVar("T")
_ORDERS = frozenset({"place_order", "close_position"})
_CHANGES = frozenset({"modify_order", "cancel_order"})
_TRADES = _ORDERS | _CHANGES
CATALOGUE = load_catalogue()


class MortalLedger(Ledger):
    """A server's ledger; once that server has died, nothing of it writes another row."""

    dead = False
    plan: Plan

    def die(self) -> None:
        self.dead = True
        self.close()

    def _insert(
        self, client_order_id: str, digest: str, instrument: str | None, state: State, body: str
    ) -> None:
        self._require_room()
        super()._insert(client_order_id, digest, instrument, state, body)

    def _require_room(self) -> None:
        if self.plan.strikes("ledger_full"):
            raise sqlite3.OperationalError("database or disk is full")

    def begin(self, request: Request) -> Row | None:
        self._check()
        return super().begin(request)

    def end(self, client_order_id: str, state: State, body: str) -> None:
        if not self.dead:  # it is called on the way out: raising would hide why
            super().end(client_order_id, state, body)

    def move(self, client_order_id: str, old: State, new: State, body: str) -> bool:
        self._check()
        self._require_room()
        return super().move(client_order_id, old, new, body)

    def find(self, client_order_id: str) -> Row | None:
        self._check()
        return super().find(client_order_id)

    def fence(self, client_order_id: str) -> Row:
        self._check()
        return super().fence(client_order_id)

    def learn(self, client_order_id: str, body: str) -> None:
        self._check()
        super().learn(client_order_id, body)

    def unknown(self) -> int:
        self._check()
        return super().unknown()

    def _check(self) -> None:
        if self.dead:
            raise OutcomeUnknown("this server is dead")


class Account(ABC):
    """One account at its exchange: the only truth. Its servers come and go.

    ``exchange`` has the orders by their ids, those ids by client order id, the positions and the
    balance, as whoever keeps that account wrote them down.
    """

    exchange: Any

    def __init__(self, world: World, name: str, spelling: Spelling) -> None:
        self.world, self.name, self.spelling = world, name, spelling
        self.folder = world.folder / name
        self.folder.mkdir()
        self.foreign: Counter[str] = Counter()
        self.endpoints: list[Endpoint] = []

    @abstractmethod
    def broker(self, process: Process) -> AbstractAsyncContextManager[Broker]:
        """Return what the server ``process`` calls its broker."""

    @abstractmethod
    def fills(self, order_id: str | None = None) -> list[Any]:
        """Return every execution, or those of one order: each has its id and its quantity."""

    @abstractmethod
    def ours(self, instrument: str) -> str:
        """Return our symbol of the account's."""

    @abstractmethod
    def refused(self, report: Any) -> bool:  # noqa: ANN401 - the exchange's
        """Tell whether an order that the exchange has did nothing and never will."""

    @abstractmethod
    async def end_beside(self, order_id: str, *, rejected: bool) -> None:
        """Let the venue end a working order of ours: cancelled elsewhere, or rejected late."""

    @abstractmethod
    async def trade_beside(self, symbol: str, quantity: int) -> None:
        """Let somebody else trade in the account: signed base units of our ``symbol``."""

    @abstractmethod
    async def come_to(self, time: int) -> None:
        """Let the market come to ``time``, where the engine doesn't move its clock."""

    @abstractmethod
    def calm_down(self) -> None:
        """Hear that the faults have ended."""

    @abstractmethod
    async def weather(self) -> None:
        """Make faults come and go, where they don't ask the plan each time."""

    @abstractmethod
    def settled(self, client_order_id: str, stage: Stage) -> None:
        """Hear how a doubt about an order has ended."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files."""

    def take_foreign(self, symbol: str, filled: int) -> None:
        """Note what somebody else has traded, signed."""
        if not self.world.plan.calm:
            self.world.plan.injected["foreign"] += 1
        self.foreign[symbol] += filled
        self.world.note(f"{self.name}: somebody else trades {filled} {symbol}")


class PaperAccount(Account):
    """One at an exchange of paper, in memory."""

    def __init__(self, world: World, name: str, spelling: Spelling, step: str) -> None:
        super().__init__(world, name, spelling)
        settings = {
            "account_id": name,
            "spelling": spelling,
            "commission_per_million": "20",
            "quantity_step": step,
            "quantity_min": step,
        }
        if world.plan.partial_fills:
            # Less than most orders: a market order that closes is filled in part, one that
            # opens (fill or kill) is cancelled now and then.
            settings["liquidity"] = str(1000 * world.plan.generator(name).randint(8, 40))
        self.paper = PaperBroker(
            PaperSettings.read(settings, name),
            CATALOGUE.make("source", "walk", world.walk),
            cast("Path", None),  # in memory: it never dies
            world.clock,
        )
        self.taken: dict[str, float] = {}
        self.changed: set[str] = set()
        self.exchange = self.paper.exchange

    @asynccontextmanager
    async def broker(self, process: Process) -> AsyncIterator[Broker]:
        far = Far()
        far.process, far.account = process, self
        yield far

    def fills(self, order_id: str | None = None) -> list[Any]:
        return [each for _, each in self.paper.executions(0, order_id, None, 1 << 30)]

    def ours(self, instrument: str) -> str:
        return self.paper.ours(instrument)

    async def come_to(self, time: int) -> None:
        """Do nothing: the engine moves its clock."""

    def calm_down(self) -> None:
        """Do nothing: its faults ask the plan each time."""

    async def weather(self) -> None:
        """Do nothing, likewise."""

    def settled(self, client_order_id: str, stage: Stage) -> None:
        """Do nothing: the moves of all orders are counted anyway."""

    def refused(self, report: Any) -> bool:  # noqa: ANN401 - the exchange's
        return bool(report.status is OrderStatus.REJECTED)

    def close(self) -> None:
        self.paper.close()

    def fresh(self, client_order_id: str | None) -> bool:
        """Tell whether an order is too young for a stale look-up to show it."""
        since = self.taken.get(client_order_id or "")
        return since is not None and self.world.now() - since < STALE_S

    async def take(self, tool: str, request: OrderRequest | CloseRequest) -> Any:  # noqa: ANN401 - a report
        """Let the exchange have an order, and check that it may have it."""
        world = self.world
        cid = request.client_order_id
        world.checks.before_taking(self, request)
        try:
            report = await getattr(self.paper, tool)(request)
        except Refused as error:
            world.note(f"{self.name} refuses {cid}: {error.code}")
            raise
        self.taken[cid] = world.now()
        world.orders += 1
        if world.plan.partial_fills and report.filled_quantity < report.quantity:
            world.plan.injected["partial_fills"] += 1
        filled = f"{report.filled_quantity} of {report.quantity}"
        world.note(f"{self.name} took {tool} {cid} {report.instrument}: {filled}")
        world.checks.after_taking(self, request)
        world.passed("at_broker")
        return report

    async def change(self, tool: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401 - any tool
        """Change or cancel an order; a change acts once, as an order does."""
        if tool == "modify_order":
            cid = args[0].client_order_id
            if cid in self.changed:
                self.world.checks.fail("I1", f"{self.name} makes change {cid} twice")
            self.changed.add(cid)
        report = await getattr(self.paper, tool)(*args, **named)
        self.world.note(f"{self.name} did {tool} {report.order_id}: {report.status}")
        return report

    async def change_late(
        self, tool: str, args: tuple[Any, ...], named: dict[str, Any], in_s: float
    ) -> None:
        """Make a change after its server was told nothing, or died."""
        await anyio.sleep(in_s)
        with suppress(BrokerError):
            await self.change(tool, args, named)

    async def end_beside(self, order_id: str, *, rejected: bool) -> None:
        status = OrderStatus.REJECTED if rejected else OrderStatus.CANCELED
        with self.paper.command():
            self.exchange._record.finish(
                order_id, status, Reason.CANCELED_BY_VENUE, self.paper.now(), "by the venue"
            )
        self.world.plan.injected["ended_beside"] += 1
        self.world.note(f"{self.name} ends {order_id}: {status}")

    async def trade_beside(self, symbol: str, quantity: int) -> None:
        if not quantity:
            return
        order = OrderRequest(
            client_order_id=f"foreign-{len(self.exchange.orders)}",
            instrument=self.spelling.broker_symbol(symbol),
            side=Side.BUY if quantity > 0 else Side.SELL,
            order_type=OrderType.MARKET,
            quantity=Decimal(abs(quantity)),
            time_in_force=TimeInForce.FOK,
        )
        try:
            report = await self.paper.place_order(order)
        except Refused:  # such as before the first price
            return
        self.take_foreign(symbol, int(report.filled_quantity) * order.side.sign)

    async def take_late(self, tool: str, request: OrderRequest | CloseRequest, in_s: float) -> None:
        """Act on an order after its server was told nothing, or died."""
        await anyio.sleep(in_s)
        self.world.note(f"{self.name} acts late on {request.client_order_id}")
        try:
            await self.take(tool, request)
        except BrokerError:
            return


class Far(Broker):
    """What a server calls its broker: the account, with what goes wrong on that side."""

    process: Process
    account: PaperAccount

    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        found = await self.account.paper.get_changes(since, limit, wait_s)
        if since is not None and (found.orders or found.fills) and self._lasts("silent_changes"):
            return Changes(cursor=since, orders=(), fills=(), more=False)
        return found

    async def through(self, tool: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401 - any tool
        process = self.process
        if process.dead:
            raise OutcomeUnknown("this server is dead")
        account, plan = self.account, self.account.world.plan
        if tool in _ORDERS:
            result = await self._order(tool, args[0])
        elif tool in _CHANGES and (tool != "cancel_order" or "order_id" in named):
            result = await self._change(tool, args, named)
        elif (
            tool in {"get_order", "cancel_order"}
            and account.fresh(named.get("client_order_id"))
            and plan.strikes("stale_look_up")
        ):
            raise Refused(ErrorCode.NOT_FOUND, "no such order, yet", outcome=Outcome.REJECTED)
        else:
            result = await getattr(account.paper, tool)(*args, **named)
        if process.dead:
            raise OutcomeUnknown("this server is dead")
        if tool == "get_capabilities":
            return replace(result, settling_window_s=SETTLING_S)
        if tool == "get_health":
            if self._lasts("health_lies_dead"):
                return replace(result, connected=False, reason="a lie")
            if not plan.calm and self._lasts("market_closed"):
                return replace(result, trading_allowed=False, reason="closed for a while")
        return result

    def _lasts(self, kind: str) -> bool:
        return self.process.endpoint.lasts(kind)

    async def _change(self, tool: str, args: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401 - any tool
        process = self.process
        account, plan = self.account, self.account.world.plan
        late = plan.pause(0.1, 1.0) * LATE_S
        if plan.strikes("crash_before"):
            process.die(f"before it made {tool}")
            raise OutcomeUnknown("this server is dead")
        if plan.strikes("unknown_not_acted"):
            raise OutcomeUnknown("the venue is silent")
        if plan.strikes("unknown_acts_late"):
            account.world.later(account.change_late, tool, args, named, late)
            raise OutcomeUnknown("the venue is silent")
        report = await account.change(tool, args, named)
        if plan.strikes("crash_after"):
            process.die(f"after it made {tool}")
        elif plan.strikes("unknown_acted"):
            raise OutcomeUnknown("the venue is silent")
        return report

    async def _order(self, tool: str, request: OrderRequest | CloseRequest) -> Any:  # noqa: ANN401, C901 - one fault after the other
        process = self.process
        account = self.account
        world = account.world
        plan = world.plan
        if self._lasts("market_closed"):
            raise Refused(ErrorCode.MARKET_CLOSED, "closed for a while")
        if plan.strikes("rate_limited"):
            raise Refused(
                ErrorCode.RATE_LIMITED, "too fast", outcome=Outcome.NOT_SENT, retry=Retry.SAFE
            )
        if plan.strikes("crash_before"):
            process.die("before the broker took it")
        elif plan.strikes("crash_acts_late"):
            world.later(account.take_late, tool, request, plan.pause(0.1, 1.0) * LATE_S)
            process.die("and its order is still on the way")
        elif plan.strikes("unknown_not_acted"):
            raise OutcomeUnknown("the venue is silent")
        elif plan.strikes("unknown_acts_late"):
            world.later(account.take_late, tool, request, plan.pause(0.1, 1.0) * LATE_S)
            raise OutcomeUnknown("the venue is silent")
        if not process.dead and plan.strikes("slow_broker"):
            await anyio.sleep(plan.pause(0.5, 25))
        if process.dead:
            raise OutcomeUnknown("this server is dead")
        report = await account.take(tool, request)
        if plan.strikes("crash_after"):
            process.die("after the broker took it")
        elif plan.strikes("unknown_acted"):
            raise OutcomeUnknown("the venue is silent")
        return report


def _far_method(tool: str) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(getattr(Broker, tool))
    async def call(self: Far, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as the port
        return await self.through(tool, args, named)

    return call


for _tool in tools_of(PaperBroker):
    if _tool != "get_changes":
        setattr(Far, _tool, _far_method(_tool))


class Dead(Exception):
    """The server process that was to do something is dead."""


class Process:
    """One server process: what it holds in memory dies with it, its ledger's file doesn't."""

    guard: Guard
    specs: Mapping[str, Spec]

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint, self.account = endpoint, endpoint.account
        self.dead = False
        self.calls: list[anyio.CancelScope] = []
        self.ledger = MortalLedger(self.account.folder / "ledger.db", self.account.world.clock)
        self.ledger.plan = self.account.world.plan
        self.server: Any = None

    def serve(self, broker: Broker) -> None:
        """Put the broker behind the server's own wrapper."""
        self.server = serve(broker, ledger=self.ledger)
        self.guard, self.specs = Guard(broker, self.ledger), specs_of(type(broker))

    async def unless_dead(self, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that ends when this process does; raises Dead then."""
        if not self.dead:
            with anyio.CancelScope() as scope:
                self.calls.append(scope)
                try:
                    answer = await call()
                finally:
                    self.calls.remove(scope)
                if not self.dead:
                    return answer
        raise Dead

    def die(self, how: str) -> None:
        """End at once: no call of it is answered any more."""
        if self.dead:
            return
        world = self.account.world
        world.note(f"{self.endpoint.name}: server dies, {how}")
        self.stop()
        never = world.plan.never_back == self.endpoint.name
        if never:
            world.plan.injected["never_back"] += 1
        pause = float("inf") if never else world.plan.pause(0.0, 20.0)
        self.endpoint.back_at = world.now() + pause

    def stop(self) -> None:
        self.dead = True
        if self.server is not None:
            self.server.ended = True  # as a child's pipe that was closed
        self.ledger.die()
        for scope in self.calls:
            scope.cancel()


class Endpoint:
    """One address before an account, at which one server process after the other stands."""

    def __init__(self, account: Account, name: str) -> None:
        self.account, self.name = account, name
        self.process: Process | None = None
        self.back_at = 0.0

    def lasts(self, kind: str) -> bool:
        world = self.account.world
        holds = world.plan.lasts(kind, self.name, world.now())
        if holds:
            world.plan.injected[kind] += 1
        return holds

    def connect(self, life: Life) -> AbstractAsyncContextManager[Broker]:
        @asynccontextmanager
        async def connected() -> AsyncIterator[Broker]:
            world = self.account.world
            if world.now() < self.back_at:
                raise Refused(
                    ErrorCode.NOT_CONNECTED, "it isn't back yet", outcome=Outcome.NOT_SENT
                )
            process = Process(self)
            self.process = process
            async with self.account.broker(process) as broker:
                try:
                    process.serve(broker)
                    async with Near(process.server, type(broker)) as remote:
                        remote._client = cast("Any", _Client(remote._client, process, life))
                        yield remote
                finally:
                    if not process.dead:
                        process.stop()
                    if self.process is process:
                        self.process = None

        return connected()

    async def deliver(self, tool: str, arguments: dict[str, Any], in_s: float) -> None:
        """Bring a copy of a request that was on the way, to whatever server stands there then."""
        await anyio.sleep(in_s)
        process = self.process
        if process is None or process.dead or process.server is None:
            return
        spec = process.specs[tool]
        self.account.world.note(f"{self.name}: a late copy of {tool} arrives")
        try:
            method = getattr(process.guard, tool)
            request = spec.parse(arguments)
            await process.unless_dead(lambda: spec.invoke(method, request))
        except (BrokerError, Dead, sqlite3.Error):
            return


class Near(Remote):
    """The real client; the tools of one kind of broker never differ, so they are listed once.

    Listing them took half of a run, and has nothing to do with orders.
    """

    _listed: ClassVar[dict[type, tuple[frozenset[str], str]]] = {}

    def __init__(self, server: Any, kind: type) -> None:  # noqa: ANN401 - the SDK's
        super().__init__(server)
        self._kind = kind

    async def list_offered(self) -> str:
        if self.closed:
            raise Refused(ErrorCode.NOT_CONNECTED, "it is gone", outcome=Outcome.NOT_SENT)
        return self.tools_digest

    async def _list_tools(self, session: Any) -> None:  # noqa: ANN401 - the SDK's
        if self._kind not in Near._listed:
            await super()._list_tools(session)
            Near._listed[self._kind] = self._tools, self.tools_digest
        self._tools, self.tools_digest = Near._listed[self._kind]


class _Client:
    """The SDK's client with a bad line: Remote's own time-outs and readings stay as they are."""

    def __init__(self, client: Any, process: Process, life: Life) -> None:  # noqa: ANN401 - the SDK's
        self.session = _Session(client.session, process, life)


class _Session:
    def __init__(self, inner: Any, process: Process, life: Life) -> None:  # noqa: ANN401 - the SDK's
        self._inner, self._process, self._life = inner, process, life

    async def send_request(self, request: Any, kind: Any, **named: Any) -> Any:  # noqa: ANN401 - the SDK's
        endpoint, world = self._process.endpoint, self._process.account.world
        plan, tool = world.plan, request.params.name
        arguments = request.params.arguments
        trades = tool in _TRADES
        if self._life.over:
            await anyio.sleep_forever()
        if trades:
            cid = arguments.get("client_order_id", "")
            world.note(f"{endpoint.name} <- {tool} {cid}")
        if endpoint.lasts("no_requests") or (trades and endpoint.lasts("health_lies_fine")):
            await anyio.sleep_forever()
        if plan.strikes("request_dropped") or (
            tool == "search_instruments" and plan.strikes("unlisted")
        ):
            await anyio.sleep_forever()
        if trades and plan.strikes("request_late"):
            world.later(endpoint.deliver, tool, arguments, plan.pause(0.5, 40))
            await anyio.sleep_forever()
        if trades and plan.strikes("request_twice"):
            world.later(endpoint.deliver, tool, arguments, plan.pause(0, 40))
        answer = await self._alive(lambda: self._inner.send_request(request, kind, **named))
        if endpoint.lasts("no_answers") or plan.strikes("answer_dropped"):
            await anyio.sleep_forever()
        if plan.strikes("answer_late"):
            await anyio.sleep(plan.pause(0.1, 15))
        if trades:
            world.passed("answered")
        return answer

    async def _alive(self, call: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - the SDK's
        """Make a call that ends when the server dies, as one over a closed pipe does."""
        try:
            return await self._process.unless_dead(call)
        except Dead:
            raise MCPError(types.CONNECTION_CLOSED, "the server died") from None


def held(account: Account, symbol: str) -> Decimal:
    """Return the signed position that the exchange says there is, whoever's."""
    return sum(
        (
            each.side.sign * each.quantity
            for each in account.exchange.positions()
            if each.instrument == symbol
        ),
        Decimal(0),
    )


def ours(account: Account, symbol: str) -> Decimal:
    """Return what of the signed position isn't somebody else's."""
    return held(account, symbol) - account.foreign[symbol]
