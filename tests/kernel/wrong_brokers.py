"""Brokers that are wrong on purpose, each in one way that was seen in the wild or could be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

from mtquant.clock import SECOND, Clock, SystemClock
from mtquant.contract import tool
from mtquant.errors import OutcomeUnknown, Refused
from mtquant.exchange import ExchangeSettings
from mtquant.ledger import Ledger, Row, State
from mtquant.model import (
    UNCHANGED,
    Account,
    Advanced,
    Canceled,
    Capabilities,
    Changes,
    CloseRequest,
    Environment,
    Feature,
    Fills,
    Health,
    Instrument,
    Instruments,
    MassCancel,
    ModifyRequest,
    OrderPreview,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    Positions,
    ProtectionRequest,
    Quotes,
    Side,
    Text,
    TimeInForce,
)
from mtquant.simulated_broker import SimulatedBroker

SYMBOLS = ("EUR/USD", "USD/JPY")
WRONG: dict[str, tuple[type[Good], str]] = {}
"""Each wrong broker by its name, and the case that must catch it."""


class Good(SimulatedBroker):
    """A broker that passes; ``mode`` is netting unless a subclass says otherwise."""

    mode = PositionMode.NETTING
    ledger: type[Ledger] = Ledger

    def __init__(self) -> None:
        super().__init__(ExchangeSettings(position_mode=self.mode), SYMBOLS, SystemClock())

    def mid(self, symbol: str, now: int) -> float:  # noqa: ARG002 - as the port
        return 1.1 if symbol == "EUR/USD" else 150.0


class Hedging(Good):
    mode = PositionMode.HEDGING


def caught_by(number: str) -> Callable[[type[Good]], type[Good]]:
    """Note which case must fail against a broker."""

    def note(kind: type[Good]) -> type[Good]:
        WRONG[kind.__name__] = (kind, number)
        return kind

    return note


@caught_by("REF-001")
class RaisesToMinimum(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        least = self.exchange.instruments[self.ours(order.instrument)].quantity_min
        return await super().place_order(replace(order, quantity=max(order.quantity, least)))


@caught_by("REF-003")
class RoundsToStep(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        step = self.exchange.instruments[self.ours(order.instrument)].quantity_step
        rounded = max(order.quantity // step, Decimal(1)) * step
        return await super().place_order(replace(order, quantity=rounded))


@caught_by("REF-002")
class CapsInSilence(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        if order.order_type is OrderType.MARKET:
            order = replace(order, quantity=min(order.quantity, Decimal(50_000)))
        return await super().place_order(order)


@caught_by("REF-006")
class GuessesType(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        if order.limit_price is not None and order.order_type is OrderType.MARKET:
            order = replace(order, order_type=OrderType.LIMIT)
        return await super().place_order(order)


@caught_by("ORD-006")
class CancelsWhenSent(Good):
    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        report = await self.get_order(order_id, client_order_id)
        return replace(report, status=OrderStatus.CANCELED, remaining_quantity=Decimal(0))


@caught_by("POS-015")
class EmptyForUnknown(Good):
    async def get_positions(self, instrument: str | None = None) -> Positions:
        try:
            return await super().get_positions(instrument)
        except Refused:
            return Positions(positions=())


@caught_by("FIL-011")
class NoFillsOfUnknown(Good):
    async def list_fills(self, *args: Any, **kwargs: Any) -> Fills:  # noqa: ANN401 - handed on
        try:
            return await super().list_fills(*args, **kwargs)
        except Refused as refusal:
            if refusal.field != "instrument":
                raise
            return Fills(fills=(), next_cursor="0", more=False)


@caught_by("ORD-015")
class ModifiesToDefault(Good):
    async def modify_order(self, change: ModifyRequest) -> OrderReport:
        return await super().modify_order(
            replace(change, quantity=change.quantity or Decimal(1000))
        )


@caught_by("FIL-006")
class RepeatsChanges(Good):
    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        before = str(max(int(since) - 1, 0)) if since and limit == 1 else since
        found = await super().get_changes(before, 2 if before != since else limit, wait_s)
        return replace(found, more=found.more)


@caught_by("FIL-015")
class PaysUntold(Good):
    async def get_account(self, account_id: str | None = None) -> Account:
        told = await super().get_account(account_id)
        fee = self.exchange.seq * Decimal("0.5")
        return replace(told, balance=told.balance - fee, equity=told.equity - fee)


@caught_by("FIL-002")
class SkipsFills(Good):
    async def list_fills(self, *args: Any, **kwargs: Any) -> Fills:  # noqa: ANN401 - handed on
        page = await super().list_fills(*args, **kwargs)
        return replace(page, next_cursor=str(int(page.next_cursor) + 3)) if page.more else page


class NoMemory(Ledger):
    """Lets every order through."""

    def begin(self, request: Any) -> Row | None:  # noqa: ANN401 - as the ledger's
        self.move(request.client_order_id, State.DONE, State.FREE, "")
        return super().begin(replace(request, client_order_id=f"{self.clock.now()}"[-20:]))

    def end(self, client_order_id: str, state: State, body: str) -> None:
        del client_order_id, state, body


@caught_by("IDM-001")
class ForgetsIds(Good):
    ledger = NoMemory

    async def place_order(self, order: OrderRequest) -> OrderReport:
        known = self.exchange.by_client_id.get(order.client_order_id)
        if known is None:
            return await super().place_order(order)
        again = await super().place_order(
            replace(order, client_order_id=f"n{self.exchange.numbered}")
        )
        return replace(again, client_order_id=order.client_order_id)


class NoTombstone(Ledger):
    """Answers a fence, and remembers nothing of it."""

    def fence(self, client_order_id: str) -> Row:
        found = self.find(client_order_id)
        return found or Row("", State.VOID, "")


@caught_by("IDM-007")
class ForgetsFences(Good):
    ledger = NoTombstone


@caught_by("POS-005")
class MergesHedges(Good):
    async def get_capabilities(self) -> Capabilities:
        found = await super().get_capabilities()
        return replace(found, position_mode=PositionMode.HEDGING)


@caught_by("CAP-011")
class LocalTime(Good):
    async def get_health(self) -> Health:
        health = await super().get_health()
        return replace(health, time=health.time + 2 * 3600 * SECOND)


@caught_by("CAP-004")
class DemoTakenForReal(Good):
    async def get_account(self, account_id: str | None = None) -> Account:
        account = await super().get_account(account_id)
        return replace(account, environment=Environment.PRACTICE)


@caught_by("DAT-009")
class FutureQuotes(Good):
    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        found = await super().get_quotes(instruments)
        ahead = tuple(replace(each, time=each.time + 7200 * SECOND) for each in found.quotes)
        return Quotes(quotes=ahead)


@caught_by("STR-006")
class StaleTakenForFresh(Good):
    async def get_health(self) -> Health:
        health = await super().get_health()
        streams = tuple(replace(each, age_s=3600.0) for each in health.streams)
        return replace(health, streams=streams)


@caught_by("DAT-007")
class CrossedQuotes(Good):
    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        found = await super().get_quotes(instruments)
        return Quotes(quotes=tuple(replace(x, bid=x.ask, ask=x.bid) for x in found.quotes))


@caught_by("ORD-001")
class FilledWithoutPrice(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        return replace(await super().place_order(order), average_price=None)


@caught_by("ORD-005")
class DoesNotAddUp(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        return replace(await super().place_order(order), remaining_quantity=Decimal(1))


@caught_by("ORD-003")
class RejectsAfterFilling(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        report = await super().place_order(order)
        if report.status is OrderStatus.FILLED:
            raise Refused("broker_rejected", "timed out")
        return report


@caught_by("TIF-011")
class TakesWhatItLacks(Good):
    async def get_capabilities(self) -> Capabilities:
        found = await super().get_capabilities()
        return replace(found, time_in_force=(TimeInForce.GTC,))


@caught_by("TIF-007")
class LetsImmediateRest(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        if order.time_in_force is TimeInForce.IOC:
            order = replace(order, time_in_force=TimeInForce.GTC)
        return await super().place_order(order)


@caught_by("PRT-001")
class DropsStopLoss(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        return await super().place_order(replace(order, stop_loss=None))


@caught_by("PRT-002")
class AbsentClears(Good):
    async def set_protection(self, protection: ProtectionRequest) -> Position:
        names = ("stop_loss", "take_profit", "trailing_stop")
        left: dict[str, Any] = {
            name: None for name in names if getattr(protection, name) is UNCHANGED
        }
        return await super().set_protection(replace(protection, **left))


@caught_by("PRT-006")
class LeavesOrphans(Good):
    async def close_position(self, close: CloseRequest) -> OrderReport:
        (position,) = (await self.get_positions(close.instrument)).positions
        report = await super().close_position(close)
        orphan = OrderRequest(
            client_order_id=f"orphan{self.exchange.numbered}",
            instrument=position.instrument,
            side=position.side.opposite,
            order_type=OrderType.STOP,
            quantity=position.quantity,
            stop_price=position.stop_loss,
        )
        if position.stop_loss is not None:
            await super().place_order(orphan)
        return report


@caught_by("CAP-008")
class TakesPasswords(Good):
    @tool("Log in")
    async def log_in(self, password: Text) -> Health:
        """Log in."""
        del password
        return await self.get_health()


@caught_by("RST-001")
class CancelsAtStart(Good):
    async def __aenter__(self) -> Self:
        self.exchange.cancel_all(None, self.now(), protections=True)
        return self


@caught_by("POS-010")
class CloseTurns(Good):
    async def close_position(self, close: CloseRequest) -> OrderReport:
        if close.quantity is None:
            return await super().close_position(close)
        (position,) = (await self.get_positions(close.instrument)).positions
        order = OrderRequest(
            client_order_id=close.client_order_id,
            instrument=position.instrument,
            side=position.side.opposite,
            order_type=OrderType.MARKET,
            quantity=close.quantity,
        )
        return await super().place_order(order)


@caught_by("POS-012")
class IgnoresReduceOnly(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        return await super().place_order(replace(order, reduce_only=False))


@caught_by("ORD-002")
class SellsAsBuys(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        return await super().place_order(replace(order, side=Side.BUY))


@caught_by("ORD-014")
class WorseThanLimit(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        report = await super().place_order(order)
        limit = order.limit_price
        if limit is not None and report.status is OrderStatus.FILLED:
            return replace(report, average_price=limit * 2, fills=())
        return report


@caught_by("REF-016")
class CancelsWhatNeverWas(Good):
    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        if order_id is None or order_id in self.exchange.orders:
            return await super().cancel_order(order_id, client_order_id)
        return OrderReport(
            order_id=order_id,
            client_order_id=None,
            instrument="EUR/USD",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            quantity=Decimal(1000),
            filled_quantity=Decimal(0),
            remaining_quantity=Decimal(0),
            average_price=None,
            status=OrderStatus.CANCELED,
            submitted_at=0,
            updated_at=0,
        )


@caught_by("ORD-020")
class CancelsHalf(Good):
    async def cancel_orders(
        self,
        filter: MassCancel,  # noqa: A002 - the contract's word
        instrument: str | None = None,
        protections: bool = False,  # noqa: FBT001, FBT002
    ) -> Canceled:
        del filter, instrument, protections
        first = next(iter((await self.list_orders()).orders), None)
        done = () if first is None else (await self.cancel_order(order_id=first.order_id),)
        return Canceled(orders=done)


@caught_by("ORD-018")
class PreviewPlaces(Good):
    async def preview_order(self, order: OrderRequest) -> OrderPreview:
        preview = await super().preview_order(order)
        await super().place_order(order)
        return preview


@caught_by("POS-006")
class ClosesOldest(Hedging):
    async def close_position(self, close: CloseRequest) -> OrderReport:
        held = (await self.get_positions()).positions
        return await super().close_position(
            replace(close, position_id=held[-1].position_id if held else close.position_id)
        )


@caught_by("REF-011")
class RefusalAsReport(Good):
    """Tells a refusal as a report; served as it is, the wire makes an error of it."""

    async def place_order(self, order: OrderRequest) -> OrderReport:
        try:
            return await super().place_order(order)
        except Refused:
            good = replace(
                order, quantity=Decimal(1000), client_order_id=f"x{self.exchange.numbered}"
            )
            report = await super().place_order(good)
            return replace(report, client_order_id=order.client_order_id)


def folder_ledger(kind: type[Good], folder: Path) -> Ledger:
    """Return the ledger that a wrong broker is served with."""
    return kind.ledger(folder / "ledger.db", SystemClock())


@caught_by("REF-002")
class CapsAllButMarket(Good):
    """Declares a largest quantity, and looks at it for limit orders alone."""

    async def get_instrument(self, instrument: str) -> Instrument:
        return replace(await super().get_instrument(instrument), quantity_max=Decimal(50_000))

    async def search_instruments(
        self, query: str, limit: int = 100, cursor: str | None = None
    ) -> Instruments:
        found = await super().search_instruments(query, limit, cursor)
        capped = (replace(each, quantity_max=Decimal(50_000)) for each in found.instruments)
        return replace(found, instruments=tuple(capped))

    async def place_order(self, order: OrderRequest) -> OrderReport:
        if order.order_type is OrderType.LIMIT and order.quantity > 50_000:
            raise Refused("invalid_quantity", "at most 50000", field="quantity")
        return await super().place_order(order)


@caught_by("REF-020")
class CapsAllButLimit(CapsAllButMarket):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        if order.order_type is OrderType.MARKET and order.quantity > 50_000:
            raise Refused("invalid_quantity", "at most 50000", field="quantity")
        return await Good.place_order(self, order)


@caught_by("IDM-014")
class ForgetsWhatTimedOut(Good):
    """Executes, says that it timed out, and has it recorded as never having been."""

    async def place_order(self, order: OrderRequest) -> OrderReport:
        await super().place_order(replace(order, client_order_id=f"n{self.exchange.numbered}"))
        raise OutcomeUnknown("timed out")


class LedgerOfOneProcess(Ledger):
    """Keeps ids in memory."""

    def __init__(self, path: str | Path, clock: Clock, *, account: str = "") -> None:
        del path
        super().__init__(":memory:", clock, account=account)


class KeepsIdsInMemory(Good):
    """Takes each copy of an order for another, unless one process has seen both."""

    ledger = LedgerOfOneProcess

    async def place_order(self, order: OrderRequest) -> OrderReport:
        fresh = replace(order, client_order_id=f"n{self.exchange.numbered}")
        report = await super().place_order(fresh)
        return replace(report, client_order_id=order.client_order_id)


@caught_by("IDM-012")
class ConsumesTwice(KeepsIdsInMemory):
    pass


@caught_by("RST-002")
class ForgetsAtRestart(KeepsIdsInMemory):
    pass


@caught_by("REF-009")
class SendsStopLimitsUndeclared(Good):
    async def get_capabilities(self) -> Capabilities:
        found = await super().get_capabilities()
        types = tuple(each for each in found.order_types if each is not OrderType.STOP_LIMIT)
        return replace(found, order_types=types)


@caught_by("REF-018")
class DropsUndeclaredStops(Good):
    async def get_capabilities(self) -> Capabilities:
        found = await super().get_capabilities()
        kept = tuple(each for each in found.features if each is not Feature.STOP_LOSS)
        return replace(found, features=kept)

    async def place_order(self, order: OrderRequest) -> OrderReport:
        return await super().place_order(replace(order, stop_loss=None))


@caught_by("FIL-009")
class StartsOverSilently(Good):
    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        known = since if since is None or since.isdigit() else None
        return await super().get_changes(known, limit, wait_s)


@caught_by("FIL-008")
class NeverWaits(Good):
    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        del wait_s
        return await super().get_changes(since, limit)


@caught_by("POS-009")
class ClosesWhole(Good):
    async def close_position(self, close: CloseRequest) -> OrderReport:
        return await super().close_position(replace(close, quantity=None))


@caught_by("IDM-009")
class CutsIds(Good):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        return await super().place_order(replace(order, client_order_id=order.client_order_id[:31]))


@caught_by("DAT-019")
class AnswersForAnyAccount(Good):
    async def get_account(self, account_id: str | None = None) -> Account:
        del account_id
        return await super().get_account()


@caught_by("DAT-011")
class LeavesUnknownOut(Good):
    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        return await super().get_quotes(tuple(each for each in instruments if each in SYMBOLS))


class Stepped(Good):
    """A good one whose clock its client moves; each minute's swing is wider than the last's."""

    def __init__(self) -> None:
        self._now = self._began = SystemClock().now()
        super().__init__()

    def now(self) -> int:
        return self._now

    def mid(self, symbol: str, now: int) -> float:
        minute = (now - self._began) // (60 * SECOND)
        return super().mid(symbol, now) * (1 + 0.0002 * (minute if minute % 2 else -minute))

    async def get_capabilities(self) -> Capabilities:
        return replace(await super().get_capabilities(), clock="stepped")

    async def advance_clock(self, to: int) -> Advanced:
        self._now = max(to, self._now)
        self.sync()
        return Advanced(
            time=self._now,
            cursor=str(self.exchange.seq),
            account=await self.get_account(),
            quotes=(await self.get_quotes(SYMBOLS)).quotes,
        )


@caught_by("ORD-025")
class FillsBeyondLimit(Stepped):
    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        report = await super().get_order(order_id, client_order_id)
        if report.status is not OrderStatus.FILLED or report.limit_price is None:
            return report
        return replace(report, average_price=report.limit_price * 2, fills=())


@caught_by("PRT-011")
class LeavesTheOther(Stepped):
    """When a protection fills, leaves a resting order where the other one was."""

    async def advance_clock(self, to: int) -> Advanced:
        held = {each.instrument for each in self.exchange.positions()}
        advanced = await super().advance_clock(to)
        for symbol in held - {each.instrument for each in self.exchange.positions()}:
            orphan = OrderRequest(
                client_order_id=f"orphan{self.exchange.numbered}",
                instrument=symbol,
                side=Side.BUY,
                order_type=OrderType.LIMIT,
                quantity=Decimal(1000),
                limit_price=Decimal("0.5"),
            )
            await self.place_order(orphan)
        return advanced


@caught_by("TIF-006")
class NeverExpires(Stepped):
    async def place_order(self, order: OrderRequest) -> OrderReport:
        if order.time_in_force is TimeInForce.GTD:
            order = replace(order, time_in_force=TimeInForce.GTC, expire_time=None)
        report = await super().place_order(order)
        return replace(report, time_in_force=TimeInForce.GTD)


@caught_by("PRT-012")
class TrailsBack(Stepped):
    """Reports a trailing stop that follows the price down as well as up."""

    async def list_orders(
        self, status: OrderStatus | None = None, limit: int = 100, cursor: str | None = None
    ) -> Orders:
        found = await super().list_orders(status, limit, cursor)
        bid = self.exchange.quotes["EUR/USD"].bid
        moved = (
            replace(each, stop_price=bid - each.trailing_stop) if each.trailing_stop else each
            for each in found.orders
        )
        return replace(found, orders=tuple(moved))


@caught_by("REF-019")
class IgnoresItsDistance(Good):
    """Declares a minimum distance of protections, and doesn't keep it."""

    async def search_instruments(
        self, query: str, limit: int = 100, cursor: str | None = None
    ) -> Instruments:
        found = await super().search_instruments(query, limit, cursor)
        far = (replace(x, minimum_stop_distance=x.pip_size * 20) for x in found.instruments)
        return replace(found, instruments=tuple(far))
