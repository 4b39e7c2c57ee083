"""What a case works with: one connection to the broker under test, and the means to trade it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from typing import Any

import anyio

from mtquant.clock import SECOND, Clock, Ids
from mtquant.errors import BrokerError, ErrorCode, Refused
from mtquant.model import (
    Capabilities,
    CloseRequest,
    Instrument,
    MassCancel,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    Quote,
    Side,
    TimeInForce,
)
from mtquant.testing.case import Failed, shown
from mtquant.testing.choice import cheapest
from mtquant.testing.connection import Connection, Target
from mtquant.testing.safety import check_empty, check_environment
from mtquant.wire import Remote
from mtquant.wire.raw import Answer, call

CENTS = Decimal("0.05")
"""What rounding may do to an amount of money."""
FAR = Decimal("0.2")
"""How far from the market a resting order stands, as a share of the price."""
NEAR = Decimal("0.02")
_STEPS_S = (1, 60, 3600, 86_400) * 2
_MINUTE_S = 60
_ATTEMPTS = 5
ANSWER_LIMIT_S = 15.0
"""A server that takes longer to refuse a wrong argument hangs on it."""
_OF_ORDERS = set(ErrorCode) - {ErrorCode.NOT_CONNECTED, ErrorCode.INTERNAL}
"""What a refusal may be called where a case asks for no code: not that nobody answered."""
_ENDED = (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class Bench:
    """One run's connection; cases share it, and each begins with a flat account."""

    def __init__(self, target: Target, clock: Clock, ids: Ids) -> None:
        self._connection = Connection(target)
        self.clock = clock
        self._ids = ids
        self.capabilities: Capabilities
        self.instruments: tuple[Instrument, ...] = ()
        self._instrument: Instrument | None = None
        self._flat = True
        self._cursor: str | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Bench]:
        """Connect, and learn what there is.

        Raises BrokerError where the broker can't be reached, its account is live or not empty.
        """
        async with self._connection.opened():
            await self._learn()
            yield self

    @property
    def remote(self) -> Remote:
        """The connection as it is now; a restart makes another."""
        return self._connection.remote

    async def restart(self) -> None:
        """Leave the connection, which ends a server that is ours, and open it anew."""
        await self._connection.restart()

    def another(self) -> AbstractAsyncContextManager[Remote]:
        """Return a second connection: a second server where servers are ours to start."""
        return self._connection.another()

    async def ready(self) -> None:
        """Connect anew, and clean up again, where the last case made that impossible."""
        if self.remote.closed:
            await self.restart()
        if not self._flat:
            await self.clean()

    async def tidy(self) -> None:
        """Leave the account flat, over a new connection where the case broke the old one."""
        self._flat = False
        await self.ready()

    async def _learn(self) -> None:
        self.capabilities = await self.remote.get_capabilities()
        await check_environment(self.remote, self.capabilities)
        if self.trades:
            await check_empty(self.remote)
        if "search_instruments" not in self.capabilities.tools:
            return
        found = await self.remote.search_instruments("", limit=1000)
        self.instruments = tuple(each for each in found.instruments if each.tradable)
        moves = (None, *_STEPS_S) if self.trades and self.stepped else (None,)
        for seconds in moves:
            if seconds:
                await self.step(seconds)
            self._instrument, missing = await cheapest(self.remote, self.instruments)
            if not missing:
                break

    # --- what there is -----------------------------------------------------------------------

    @property
    def trades(self) -> bool:
        """True where the broker takes orders."""
        return "place_order" in self.capabilities.tools

    @property
    def stepped(self) -> bool:
        """True where the venue's clock is moved by its client."""
        return self.capabilities.clock == "stepped"

    @property
    def netting(self) -> bool:
        """True where there is one position an instrument."""
        return self.capabilities.position_mode is PositionMode.NETTING

    @property
    def instrument(self) -> Instrument:
        """The instrument that cases trade."""
        if self._instrument is None:
            raise Failed(
                "a tradable instrument with a price",
                f"none among {len(self.instruments)}",
                "search_instruments lists what can be traded, and get_quotes prices it.",
            )
        return self._instrument

    async def quote(self) -> Quote:
        """Return the instrument's newest quote."""
        found = (await self.remote.get_quotes((self.instrument.instrument,))).quotes
        if not found:
            raise Failed("a quote of a tradable instrument", "none")
        return found[0]

    async def step(self, seconds: float) -> None:
        """Move a stepped venue's clock; do nothing where time passes by itself."""
        if self.stepped:
            now = (await self.remote.get_health()).time
            await self.remote.advance_clock(now + round(seconds * SECOND))

    # --- orders ------------------------------------------------------------------------------

    def new_id(self) -> str:
        """Return a client order id that was never used."""
        return self._ids.new()

    def order(self, **changes: Any) -> OrderRequest:  # noqa: ANN401 - the fields of an order
        """Return a market order for the smallest quantity, with ``changes``."""
        market = OrderType.MARKET
        tif = TimeInForce.GTC
        offered = self.capabilities.time_in_force
        base = OrderRequest(
            client_order_id=self.new_id(),
            instrument=self.instrument.instrument,
            side=Side.BUY,
            order_type=market,
            quantity=self.instrument.quantity_min,
            time_in_force=tif if tif in offered or not offered else offered[0],
        )
        return replace(base, **changes)

    def on_grid(self, price: Decimal) -> Decimal:
        """Return the price of the instrument's grid at or below ``price``."""
        step = self.instrument.price_step
        return (price / step).to_integral_value(ROUND_FLOOR) * step

    async def price(self, side: Side, away: Decimal) -> Decimal:
        """Return a price on the grid, ``away`` as a share of it below a buy's, above a sell's."""
        quote = await self.quote()
        market = quote.bid if side is Side.BUY else quote.ask
        return self.on_grid(market * (1 - side.sign * away))

    async def resting(self, **changes: Any) -> OrderRequest:  # noqa: ANN401 - as order
        """Return a limit order far from the market."""
        side = changes.get("side", Side.BUY)
        limit = await self.price(side, FAR)
        return self.order(**({"order_type": OrderType.LIMIT, "limit_price": limit} | changes))

    async def bought(self, **changes: Any) -> OrderReport:  # noqa: ANN401 - as order
        """Place a market order and return its report once it has filled."""
        return await self.filled(await self.remote.place_order(self.order(**changes)))

    async def ended(self, report: OrderReport) -> OrderReport:
        """Wait until an order has ended, as long as that may take, and return its report."""
        for wait in range(_ATTEMPTS):
            if report.status in _ENDED:
                break
            await self._pass(wait)
            report = await self.remote.get_order(order_id=report.order_id)
        return report

    async def filled(self, report: OrderReport) -> OrderReport:
        """Wait until an order has ended, and return its report; raises Failed unless filled."""
        report = await self.ended(report)
        if report.status is not OrderStatus.FILLED:
            raise Failed("a filled order", f"{report.status} ({report.reason_text})")
        return report

    async def position(self) -> Position:
        """Return the one open position of the instrument; raises Failed where there isn't one."""
        held = await self.positions()
        if len(held) != 1:
            raise Failed(f"one position in {self.instrument.instrument}", held or "none")
        return held[0]

    async def _pass(self, attempt: int) -> None:
        """Let time pass in which an order may come to its end, more at each attempt.

        A simulated venue may fill no more before its next bar, and bars may be of an hour.
        """
        if self.stepped:
            await self.step(_MINUTE_S * 4**attempt)
            return
        page = await self.remote.get_changes(since=self._cursor)
        while page.more:
            page = await self.remote.get_changes(since=page.cursor)
        self._cursor = page.cursor
        await self.remote.get_changes(since=self._cursor, wait_s=0.1 * 2**attempt)

    async def positions(self) -> tuple[Position, ...]:
        """Return the open positions of the instrument that cases trade."""
        return (await self.remote.get_positions(self.instrument.instrument)).positions

    async def working(self) -> dict[str, OrderReport]:
        """Return the working orders by id."""
        found: dict[str, OrderReport] = {}
        cursor: str | None = None
        while True:
            page = await self.remote.list_orders(cursor=cursor)
            found.update((each.order_id, each) for each in page.orders)
            cursor = page.next_cursor
            if cursor is None:
                return found

    async def close(self, position: Position, quantity: Decimal | None = None) -> OrderReport:
        """Close a position, or part of it; where the market takes none of it now, a little later.

        Raises Failed where it isn't closed in the end.
        """
        named = (
            {"instrument": position.instrument}
            if self.netting
            else {"position_id": position.position_id}
        )
        for attempt in range(_ATTEMPTS):
            request = CloseRequest(client_order_id=self.new_id(), quantity=quantity, **named)
            report = await self.remote.close_position(request)
            left = quantity is None or not report.filled_quantity
            if report.status is not OrderStatus.CANCELED or not left:
                break
            await self._pass(attempt)
        return await self.filled(report)

    async def clean(self) -> None:
        """Cancel every order and close every position."""
        if not self.trades:
            self._flat = True
            return
        if "cancel_orders" in self.capabilities.tools:
            await self.remote.cancel_orders(MassCancel.ALL)
        else:
            for order_id in await self.working():
                await self.remote.cancel_order(order_id=order_id)
        for each in (await self.remote.get_positions()).positions:
            await self.close(each)
        self._flat = True

    # --- what is expected --------------------------------------------------------------------

    async def raw(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        """Call a tool past the client's own checks; raises Failed where nothing answers."""
        answer = None
        with anyio.move_on_after(ANSWER_LIMIT_S):
            answer = await call(self.remote, tool, arguments)
        if answer is None or self.remote.closed:
            raise Failed(
                f"an answer to {tool}",
                "a dead connection" if self.remote.closed else f"none in {ANSWER_LIMIT_S:g} s",
                "No argument may stop or hang a server.",
            )
        return answer

    async def refused(
        self,
        act: Awaitable[object],
        *codes: ErrorCode,
        field: str | None = None,
        remedy: str = "",
    ) -> BrokerError:
        """Expect ``act`` to be refused with one of ``codes``; return the refusal."""
        wanted = " or ".join(codes) or "any code"
        try:
            result = await act
        except Refused as refusal:
            if refusal.code not in (codes or _OF_ORDERS):
                raise Failed(
                    f"a refusal ({wanted})", f"{refusal.code}: {refusal}", remedy
                ) from None
            if field is not None and refusal.field != field:
                raise Failed(
                    f"the refusal to name the field {field}", repr(refusal.field), remedy
                ) from None
            return refusal
        except BrokerError as error:
            raise Failed(f"a refusal ({wanted})", f"{error.outcome}: {error}", remedy) from None
        raise Failed(f"a refusal ({wanted})", f"success: {shown(result)}", remedy)


def expect(condition: object, expected: object, got: object, remedy: str = "") -> None:
    """Raise Failed unless ``condition`` holds."""
    if not condition:
        raise Failed(expected, got, remedy)
