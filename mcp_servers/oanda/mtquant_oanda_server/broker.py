"""One OANDA v20 account as a broker of the contract.

What the contract asks for and v20 lacks is inherited, and so refused: ticks, a stepped clock.
"""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import httpx2
from oandapyV20.endpoints.accounts import AccountInstruments, AccountSummary
from oandapyV20.endpoints.apirequest import APIRequest
from oandapyV20.endpoints.orders import (
    OrderCancel,
    OrderCreate,
    OrderDetails,
    OrderReplace,
    OrdersPending,
)
from oandapyV20.endpoints.positions import PositionClose
from oandapyV20.endpoints.pricing import PricingInfo
from oandapyV20.endpoints.trades import OpenTrades, TradeClose, TradeCRCDO
from oandapyV20.endpoints.transactions import TransactionDetails

from mtquant import __version__
from mtquant.clock import SECOND, Clock, Random, seeded
from mtquant.contract import Broker
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused, Retry
from mtquant.exchange.validate import check_order, check_price, check_protections
from mtquant.model import (
    Account,
    Accounts,
    Bars,
    Canceled,
    CancelFailure,
    Capabilities,
    CashFlow,
    Changes,
    CloseRequest,
    Feature,
    Fill,
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
    PositionEffect,
    PositionMode,
    Positions,
    PriceSide,
    ProtectionRequest,
    Quote,
    Quotes,
    Side,
    Stream,
    StreamHealth,
    Timeframe,
    plain,
)
from mtquant.symbols import unknown_instrument
from mtquant_oanda_server import orders
from mtquant_oanda_server.book import Book, of_order
from mtquant_oanda_server.codes import of_cancel, refusal
from mtquant_oanda_server.feeds import Diary, Pauses, Prices
from mtquant_oanda_server.intents import Intent, Intents
from mtquant_oanda_server.market import bars_of, instrument_of
from mtquant_oanda_server.positions import positions_of
from mtquant_oanda_server.preview import Costs, preview, rate_of
from mtquant_oanda_server.settings import OandaSettings
from mtquant_oanda_server.venue import Venue
from mtquant_oanda_server.words import DEPENDENT, ORDER_TYPES, TIMES_IN_FORCE, number, optional

Json = dict[str, Any]
_DIGITS = 18
_FRESH_S = 2.0
"""An answer of OANDA that is no older tells that it is reached."""
_HEALTH_S = 4.0
"""How long health waits for OANDA: who asks for it wants to know whether it is there."""
_NETTED_ONLY = {Feature.REDUCE_ONLY, Feature.POSITION_EFFECT}
_ALREADY = "CLIENT_ORDER_ID_ALREADY_EXISTS"


class _Preparing:
    """The account being read in the background, and how that ended."""

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.failure: BrokerError | None = None


class OandaBroker(Broker):
    """The account that ``settings`` name; its files lie in ``folder``.

    ``token`` is the access token itself. ``transport`` replaces the network, for tests.
    """

    name = "oanda"

    def __init__(
        self,
        settings: OandaSettings,
        token: str,
        clock: Clock,
        folder: Path | None = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        rng: Random | None = None,
    ) -> None:
        settings.check()
        self._settings, self._token, self._clock = settings, token, clock
        self._transport, self._rng = transport, rng or seeded(None)
        self._intents = Intents(None if folder is None else folder / "intents.db")
        self._stack: AsyncExitStack | None = None
        self._instruments: dict[str, Instrument] = {}
        self._commissions: dict[str, Json] = {}

    # --- its life ----------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Make ready to connect; what connects is the first call, or the streams after it."""
        async with AsyncExitStack() as stack:
            settings = self._settings
            self.venue = Venue(settings, self._token, self._clock, self._transport)
            stack.push_async_callback(self.venue.aclose)
            self.diary = Diary(settings, self.venue, self._clock, Pauses(self._rng))
            self.prices = Prices(settings, self.venue, self._clock, Pauses(self._rng))
            self._readying, self._is_ready = anyio.Lock(), False
            self._preparing: _Preparing | None = None
            self._group = await stack.enter_async_context(anyio.create_task_group())
            stack.callback(self._group.cancel_scope.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the streams and close the connections."""
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.__aexit__(kind, error, trace)

    async def _ready(self) -> None:
        """Read the account once, and open its stream; raises BrokerError where that fails."""
        if self._is_ready:
            return
        async with self._readying:
            if self._is_ready:
                return
            await self.diary.load()
            request = AccountInstruments(self._settings.account_id)
            told = (await self.venue.ask(request))["instruments"]
            self._commissions = {str(each["name"]): each.get("commission") or {} for each in told}
            least = optional(self.diary.account.get("marginRate")) or Decimal(0)
            found = (instrument_of(each, least) for each in told)
            self._instruments = {
                each.instrument: each for each in sorted(found, key=lambda one: one.instrument)
            }
            self._group.start_soon(self.diary.run)
            self._group.start_soon(self.prices.run)
            self._is_ready = True

    async def _readied(self) -> None:
        """Wait for the account to be read, which goes on if the caller waits no longer."""
        if self._preparing is None or self._preparing.ended.is_set():
            self._preparing = _Preparing()
            self._group.start_soon(self._prepare, self._preparing)
        preparing = self._preparing
        await preparing.ended.wait()
        if preparing.failure is not None:
            raise preparing.failure

    async def _prepare(self, preparing: _Preparing) -> None:
        try:
            await self._ready()
        except BrokerError as error:
            preparing.failure = error
        finally:
            preparing.ended.set()

    @property
    def _hedging(self) -> bool:
        return self.diary.book.hedging

    def _now(self) -> int:
        """Return OANDA's time: ours, and how far its heartbeats say that it is ahead."""
        return self._clock.now() + (self.diary.offset_ns or 0)

    # --- reads -------------------------------------------------------------------------------

    async def get_health(self) -> Health:
        line = self.venue.line
        reason = ""
        connected = False
        with anyio.move_on_after(_HEALTH_S):
            try:
                if not self._is_ready:
                    await self._readied()
                if self._clock.monotonic() - line.answered_at > _FRESH_S:
                    await self.venue.ask(AccountSummary(self._settings.account_id))
                connected = True
            except BrokerError as error:
                reason = error.message
        if not connected:
            reason = reason or f"OANDA did not answer within {_HEALTH_S:g} s"
        reason = reason or self._halted()
        offset = self.diary.offset_ns
        transactions = self.diary.age_s
        ages = (
            (Stream.PRICES, self.prices.age_s),
            (Stream.TRANSACTIONS, transactions if transactions < float("inf") else None),
        )
        return Health(
            connected=connected,
            trading_allowed=connected and not reason,
            reason=reason,
            time=self._now(),
            streams=tuple(StreamHealth(stream=name, age_s=age) for name, age in ages),
            latency_p50_ms=line.percentile(0.5),
            latency_p95_ms=line.percentile(0.95),
            time_offset_s=None if offset is None else offset / SECOND,
            rate_limit_left=self.venue.requests_left,
            version=__version__,
            process_id=os.getpid(),
        )

    def _halted(self) -> str:
        """Return why nothing may be traded, empty where it may."""
        if self.diary.unreadable:
            return f"{self.diary.unreadable} of OANDA's transactions can't be read: see the log"
        known = self.prices.tradeable
        if known and not any(known.values()):
            return "the market is closed: OANDA trades none of the instruments asked for"
        return ""

    async def get_capabilities(self) -> Capabilities:
        await self._ready()
        return Capabilities(
            broker=self.name,
            environment=self._settings.kind,
            order_types=tuple(ORDER_TYPES),
            time_in_force=tuple(TIMES_IN_FORCE),
            position_mode=PositionMode.HEDGING if self._hedging else PositionMode.NETTING,
            features=tuple(
                each for each in Feature if not (self._hedging and each in _NETTED_ONLY)
            ),
            settling_window_s=self._settings.settling_window_s,
            verified_against="mtquant's v20 simulator, held against OANDA's OpenAPI description"
            " (2018); not yet OANDA's own hosts",
        )

    async def list_accounts(self) -> Accounts:
        return Accounts(accounts=(await self.get_account(),))

    async def get_account(self, account_id: str | None = None) -> Account:
        if account_id not in {None, self._settings.account_id}:
            raise Refused(
                ErrorCode.NOT_FOUND, "this server has no such account", field="account_id"
            )
        await self._ready()
        return self._account(await self.diary.state())

    def _account(self, told: Json) -> Account:
        return Account(
            account_id=self._settings.account_id,
            currency=str(told["currency"]),
            environment=self._settings.kind,
            position_mode=PositionMode.HEDGING if self._hedging else PositionMode.NETTING,
            balance=number(told["balance"]),
            equity=number(told["NAV"]),
            margin_used=number(told["marginUsed"]),
            margin_available=number(told["marginAvailable"]),
            time=self._now(),
            margin_call=bool(told.get("marginCallEnterTime")),
        )

    async def search_instruments(
        self, query: str, limit: int = 100, cursor: str | None = None
    ) -> Instruments:
        start = _number(cursor, "cursor")
        await self._ready()
        wanted = query.casefold()
        found = [
            each
            for each in self._instruments.values()
            if wanted in each.instrument.casefold() or wanted in each.description.casefold()
        ]
        end = start + limit
        return Instruments(
            instruments=tuple(found[start:end]),
            next_cursor=str(end) if end < len(found) else None,
        )

    async def get_instrument(self, instrument: str) -> Instrument:
        await self._ready()
        return self._instrument(instrument)

    def _instrument(self, name: str) -> Instrument:
        if name not in self._instruments:
            raise unknown_instrument(name, self._instruments, "this account")
        return self._instruments[name]

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        await self._ready()
        for each in instruments:
            self._instrument(each)
        found = await self.prices.get(instruments)
        return Quotes(quotes=tuple(found[each] for each in instruments if each in found))

    async def get_bars(
        self,
        instrument: str,
        timeframe: Timeframe,
        from_: int | None = None,
        to: int | None = None,
        count: int = 500,
        price: PriceSide = PriceSide.MID,
    ) -> Bars:
        await self._ready()
        name = self._instrument(instrument).instrument
        span: Json = {"from_": from_, "to": to, "count": count}
        return await bars_of(self.venue, name, timeframe, **span, price=price, now=self._now)

    async def _trades(self, instrument: str | None = None) -> list[Json]:
        told = await self.venue.ask(OpenTrades(self._settings.account_id))
        return [each for each in told["trades"] if instrument in {None, each["instrument"]}]

    async def get_positions(self, instrument: str | None = None) -> Positions:
        await self._ready()
        if instrument is not None:
            self._instrument(instrument)
        return Positions(
            positions=positions_of(await self._trades(instrument), hedging=self._hedging)
        )

    # --- orders and what became of them ------------------------------------------------------

    async def list_orders(
        self,
        status: OrderStatus | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Orders:
        start = _number(cursor, "cursor")
        await self._ready()
        if status is None or not status.terminal:
            found = [each for each in await self._working() if status in {None, each.status}]
        else:
            await self.diary.fresh()
            book = self.diary.book
            reports = (book.report(each) for each in book.roots())
            found = [self._named(each) for each in reports if each and each.status is status]
        found = [each for each in found if int(each.order_id) > start]
        page = found[:limit]
        return Orders(
            orders=tuple(page), next_cursor=page[-1].order_id if len(found) > limit else None
        )

    async def _pending(self) -> list[Json]:
        told = await self.venue.ask(OrdersPending(self._settings.account_id))
        return list(told["orders"])

    async def _working(self) -> list[OrderReport]:
        """Return the working orders, oldest first, from OANDA itself: levels trail only there."""
        pending = await self._pending()
        await self.diary.fresh()
        book = self.diary.book
        if any(str(each["id"]) not in book.records for each in pending):
            await self.diary.catch_up()
        reports = list[OrderReport]()
        for each in pending:
            record = of_order(each)
            known = book.records.get(record.order_id)
            if known is None:
                book.seed((each,), ())
            else:
                known.level = record.level
            report = book.report(record.order_id)
            if report is not None and not report.status.terminal:
                reports.append(self._named(report))
        return sorted(reports, key=lambda one: int(one.order_id))

    def _named(self, report: OrderReport) -> OrderReport:
        """Return ``report`` with the client order id that OANDA was not given, if we know it."""
        if report.client_order_id is not None:
            return report
        name = self._intents.name_of(report.order_id)
        if name is None:
            return report
        fills = tuple(replace(each, client_order_id=name) for each in report.fills)
        return replace(report, client_order_id=name, fills=fills)

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        await self._ready()
        return await self._look_up(order_id, client_order_id)

    async def _look_up(self, order_id: str | None, client_order_id: str | None) -> OrderReport:
        if (order_id is None) is (client_order_id is None):
            raise _invalid("name one of order_id and client_order_id", "order_id")
        if client_order_id is not None:
            return await self._by_name(client_order_id)
        if order_id is None or not _is_number(order_id):
            raise _no_order()
        await self.diary.fresh()
        report = self.diary.book.report(order_id)
        if report is None:
            report = await self._from_far(order_id)
        return self._named(report)

    async def _by_name(self, client_order_id: str) -> OrderReport:
        """Find an order by its client order id; that there is none is OANDA's own answer.

        The book first, then all transactions up to now, then OANDA's own look-up, which knows
        orders from before the book. Raises OutcomeUnknown where one is like it and no more.
        """
        await self.diary.fresh()
        found = self._in_book(client_order_id)
        if found is None:
            await self.diary.catch_up()
            found = self._in_book(client_order_id)
        if found is None and self._settings.client_extensions:
            try:
                found = await self._from_far(f"@{client_order_id}")
            except Refused as error:
                if error.code is not ErrorCode.NOT_FOUND:
                    raise
        if found is None:
            intent = self._intents.get(client_order_id)
            if intent is None or not self._nameless(intent):
                raise _no_order()
            found = await self._alike(intent)
        return replace(self._named(found), client_order_id=client_order_id)

    def _in_book(self, client_order_id: str) -> OrderReport | None:
        book = self.diary.book
        record = book.find(client_order_id)
        if record is not None:
            return book.report_of(record)
        intent = self._intents.get(client_order_id)
        return book.report(intent.order_id) if intent and intent.order_id else None

    def _nameless(self, intent: Intent) -> bool:
        """Tell whether OANDA is given no client order id with it, and so can't find it by one."""
        return bool(intent.trade_id) or not self._settings.client_extensions

    async def _from_far(self, specifier: str) -> OrderReport:
        """Return the report of an order from before the book; raises Refused (not_found)."""
        account = self._settings.account_id
        book = Book(hedging=self._hedging)
        known = self.diary.book.trades.items()
        book.trades = {key: replace(each) for key, each in known}
        told: Json | None = None
        for _ in range(100):  # a chain of replacements, followed to its end
            request = OrderDetails(account, orderID=specifier)
            told = (await self.venue.ask(request))["order"]
            book.seed((told,), ())
            if not told.get("replacedByOrderID"):
                break
            specifier = str(told["replacedByOrderID"])
        assert told is not None  # noqa: S101 - the loop runs
        record = book.records[str(told["id"])]
        ended = record.state
        for key in ("fillingTransactionID", "cancellingTransactionID"):
            if told.get(key):
                request = TransactionDetails(account, transactionID=told[key])
                book.apply((await self.venue.ask(request))["transaction"])
        record.state = ended if ended in {"FILLED", "CANCELLED"} else record.state
        return book.report_of(record)

    async def _alike(self, intent: Intent) -> OrderReport:
        """Say what became of a send that OANDA was given no client id with.

        A trade is closed whole only once: that is a proof. Anything else that looks like it is
        told and not adopted, because somebody else may have sent it.
        """
        await self.diary.reach(intent.after)
        book = self.diary.book
        for _, order_id, _fill in book.since(intent.after):
            record = book.newest(order_id)
            if record is None or record.client_id or self._intents.name_of(order_id):
                continue
            same = record.trade_id == intent.trade_id if intent.trade_id else not record.trade_id
            if not same or record.instrument != intent.instrument:
                continue
            whole = intent.units == "ALL"
            if not whole and record.units != Decimal(intent.units):
                continue
            if whole and intent.trade_id and record.closes and record.state == "FILLED":
                self._intents.found(intent.client_order_id, order_id)
                return book.report_of(record)
            raise OutcomeUnknown(
                f"order {order_id} is like this one, and OANDA was given no client order id with"
                " it: a person must say whether it is (mtquant reconcile --settle)"
            )
        raise _no_order()

    async def list_fills(
        self,
        since: str | None = None,
        order_id: str | None = None,
        instrument: str | None = None,
        from_: int | None = None,
        to: int | None = None,
        limit: int = 1000,
    ) -> Fills:
        await self._ready()
        if instrument is not None:
            self._instrument(instrument)
        after = await self._after(since)
        book = self.diary.book
        root = book.root(order_id) if order_id else None
        found = [
            (seq, self._fill(fill))
            for seq, _, fill in book.since(after)
            if isinstance(fill, Fill)
            and root in {None, fill.order_id}
            and instrument in {None, fill.instrument}
            and (from_ is None or fill.time >= from_)
            and (to is None or fill.time < to)
        ]
        page, more = found[:limit], len(found) > limit
        return Fills(
            fills=tuple(fill for _, fill in page),
            next_cursor=str(page[-1][0] if more else book.last),
            more=more,
        )

    def _fill(self, fill: Fill) -> Fill:
        if fill.client_order_id is not None:
            return fill
        return replace(fill, client_order_id=self._intents.name_of(fill.order_id))

    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        await self._ready()
        after = await self._after(since)
        if wait_s:
            with anyio.move_on_after(wait_s):
                await self._something(after)
        book = self.diary.book
        found = list(book.since(after))
        page, more = found[:limit], len(found) > limit
        reports = (book.report(each) for each in dict.fromkeys(order for _, order, _ in page))
        return Changes(
            cursor=str(page[-1][0] if more else book.last),
            orders=tuple(self._named(each) for each in reports if each is not None),
            fills=tuple(self._fill(each) for _, _, each in page if isinstance(each, Fill)),
            more=more,
            cash_flows=tuple(each for _, _, each in page if isinstance(each, CashFlow)),
        )

    async def _something(self, after: int) -> None:
        """Return once an order, an execution or a cash flow stands after ``after``."""
        while next(self.diary.book.since(after), None) is None:
            await self.diary.wait(self.diary.book.last)

    async def _after(self, since: str | None) -> int:
        """Read a cursor: a transaction's number; one from ahead is of another account."""
        after = _number(since, "since")
        await self.diary.fresh()
        if after > self.diary.book.last:
            await self.diary.catch_up()
        if after > self.diary.book.last:
            raise _no_cursor("since")
        if since is not None:
            await self.diary.reach(after)
        return after

    # --- commands ----------------------------------------------------------------------------

    async def place_order(self, order: OrderRequest) -> OrderReport:
        await self._ready()
        quote = await self._checked(order)
        body = orders.body_of(order, quote, self._settings)
        intent = Intent(
            order.client_order_id, self.diary.book.last, order.instrument, body["units"]
        )
        return await self._send(
            intent, OrderCreate(self._settings.account_id, data={"order": body})
        )

    async def preview_order(self, order: OrderRequest) -> OrderPreview:
        await self._ready()
        quote = await self._checked(order)
        orders.body_of(order, quote, self._settings)
        instrument = self._instrument(order.instrument)
        params = {"instruments": order.instrument, "includeHomeConversions": "true"}
        pricing = await self.venue.ask(PricingInfo(self._settings.account_id, params=params))
        account = await self.get_account()
        held = (await self.get_positions(order.instrument)).positions
        costs = Costs(
            rate=rate_of(pricing, instrument, account.currency),
            available=account.margin_available,
            held=None if self._hedging or not held else held[0],
            commission=self._commissions.get(order.instrument) or {},
        )
        return preview(order, instrument, quote, costs, account.position_mode)

    async def _checked(self, order: OrderRequest) -> Quote:
        """Return the price that ``order`` meets; raise Refused where it is wrong."""
        instrument = self._instrument(order.instrument)
        quote = (await self.prices.get((order.instrument,))).get(order.instrument)
        if quote is None:
            raise Refused(
                ErrorCode.NO_PRICE,
                "OANDA has no price of this instrument now",
                outcome=Outcome.NOT_SENT,
                retry=Retry.SAFE,
            )
        check_order(order, instrument, quote, self._now())
        await self._check_effect(order)
        return quote

    async def _check_effect(self, order: OrderRequest) -> None:
        """Raise Refused where a market order may not do to what is held what it would do."""
        reduces = order.reduce_only or order.position_effect is PositionEffect.CLOSE
        opens = order.position_effect is PositionEffect.OPEN
        if not (reduces or opens):
            return
        if self._hedging:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                "a hedging account closes a ticket by close_position",
                outcome=Outcome.NOT_SENT,
                retry=Retry.AFTER_FIX,
                field="reduce_only" if order.reduce_only else "position_effect",
            )
        if order.order_type is not OrderType.MARKET:
            return  # when it fills counts, and OANDA looks then
        held = (await self.get_positions(order.instrument)).positions
        against = sum((each.quantity for each in held if each.side is not order.side), Decimal(0))
        if opens and against:
            raise Refused(
                ErrorCode.CONFLICT,
                f"it may only open, and {plain(against)} are held the other way",
                outcome=Outcome.NOT_SENT,
                field="position_effect",
            )
        if reduces and order.quantity > against:
            raise Refused(
                ErrorCode.INVALID_QUANTITY,
                f"it may only reduce, and {plain(against)} are held the other way",
                outcome=Outcome.NOT_SENT,
                field="quantity",
            )

    async def _send(self, intent: Intent, request: APIRequest) -> OrderReport:
        """Send what makes an order, and return what became of it; raise where that is a refusal."""
        self._intents.begin(intent, alone=self._nameless(intent))
        try:
            answer = await self.venue.ask(request)
        except Refused as error:
            if error.broker_code == _ALREADY:
                # It is there already, under the id that OANDA was given: look it up.
                raise _unknown("OANDA has an order of this client order id") from None
            raise
        report = await self._made(intent.client_order_id, answer)
        if report.status is OrderStatus.CANCELED and not report.filled_quantity:
            ended = of_cancel(report.broker_code or "")
            if ended.code is not None:
                raise refusal(ended.code, report.broker_code or "", "", ended.field)
        return report

    async def _made(self, client_order_id: str, answer: Json) -> OrderReport:
        """Return the report of the order that ``answer`` tells of.

        It has been sent and taken: whatever goes wrong from here on leaves its fate unknown.
        """
        try:
            created = next(
                each
                for key, each in answer.items()
                if key.lower().endswith("ordercreatetransaction") and isinstance(each, dict)
            )
            order_id = str(created["id"])
            self._intents.found(client_order_id, order_id)
            await self.diary.take(answer)
            report = self.diary.book.report(order_id)
        except (BrokerError, StopIteration, KeyError, TypeError, ValueError) as error:
            raise _unknown(f"OANDA's answer can't be followed ({type(error).__name__})") from error
        if report is None:
            raise _unknown("OANDA's answer tells of no order")
        return replace(report, client_order_id=client_order_id)

    async def modify_order(self, change: ModifyRequest) -> OrderReport:
        await self._ready()
        before = await self._look_up(change.order_id, None)
        if before.status.terminal:
            raise Refused(
                ErrorCode.CONFLICT,
                f"the order has ended: it is {before.status}",
                outcome=Outcome.NOT_SENT,
                field="order_id",
            )
        record = self.diary.book.newest(change.order_id)
        if record is None or record.kind in DEPENDENT:
            raise Refused(
                ErrorCode.UNSUPPORTED,
                "what protects a position is changed by set_protection",
                outcome=Outcome.NOT_SENT,
                field="order_id",
            )
        wanted = orders.changed(record, change, before.client_order_id or change.client_order_id)
        quote = await self._checked(wanted)
        body = orders.replacement(wanted, record, quote, self._settings)
        request = OrderReplace(
            self._settings.account_id, orderID=record.order_id, data={"order": body}
        )
        try:
            answer = await self.venue.ask(request)
        except Refused as error:
            if error.code is ErrorCode.NOT_FOUND:
                error.code = ErrorCode.CONFLICT  # it was there: it has ended meanwhile
            raise
        await self._follow(answer, "the change was taken, and the line broke")
        report = self.diary.book.report(change.order_id)
        if report is None:
            raise _unknown("the change was taken, and its order isn't found")
        return self._named(report)

    async def _follow(self, answer: Json, problem: str) -> None:
        """Fold what an answer tells of; it was done, so that what fails now is no refusal."""
        try:
            await self.diary.take(answer)
        except (BrokerError, KeyError, TypeError, ValueError) as error:
            raise _unknown(problem) from error

    async def set_protection(self, protection: ProtectionRequest) -> Position:
        await self._ready()
        trades = await self._of_position(protection.position_id)
        (position,) = positions_of(trades, hedging=self._hedging)
        instrument = self._instrument(position.instrument)
        for name in ("stop_loss", "take_profit", "trailing_stop"):
            value = getattr(protection, name)
            check_price(name, value if isinstance(value, Decimal) else None, instrument)
        quote = (await self.prices.get((position.instrument,)))[position.instrument]
        closing = quote.bid if position.side is Side.BUY else quote.ask
        check_protections(protection, instrument, closing, position.side)
        done = 0
        for trade in trades:
            body = orders.protections(protection, trade, self._settings)
            if not body:
                continue
            request = TradeCRCDO(self._settings.account_id, tradeID=str(trade["id"]), data=body)
            try:
                answer = await self.venue.ask(request)
            except Refused as error:
                if not done:
                    raise
                raise _unknown(f"{done} of {len(trades)} trades were changed: {error}") from error
            await self._follow(answer, "the change was taken, and the line broke")
            done += 1
        try:
            trades = await self._of_position(protection.position_id)
        except Refused as error:
            raise _unknown("the change was sent, and the position is gone") from error
        return positions_of(trades, hedging=self._hedging)[0]

    async def _of_position(self, position_id: str) -> list[Json]:
        """Return the open trades of a position; raises Refused (not_found)."""
        key = "id" if self._hedging else "instrument"
        trades = [each for each in await self._trades() if str(each[key]) == position_id]
        if not trades:
            raise Refused(
                ErrorCode.NOT_FOUND,
                "no such position is open",
                outcome=Outcome.NOT_SENT,
                field="position_id",
            )
        return trades

    async def close_position(self, close: CloseRequest) -> OrderReport:
        await self._ready()
        position = await self._to_close(close)
        quantity = close.quantity
        if quantity is not None and quantity > position.quantity:
            raise Refused(
                ErrorCode.INVALID_QUANTITY,
                f"{plain(position.quantity)} are held: no more than that can be closed",
                outcome=Outcome.NOT_SENT,
                retry=Retry.AFTER_FIX,
                field="quantity",
            )
        if quantity is not None:
            self._check_step(quantity, position)
        account, after = self._settings.account_id, self.diary.book.last
        whole = quantity is None or quantity == position.quantity
        if self._hedging:
            units = "ALL" if whole or quantity is None else plain(quantity)
            signed = units if units == "ALL" else plain(-position.side.sign * Decimal(units))
            intent = Intent(
                close.client_order_id, after, position.instrument, signed, position.position_id
            )
            data: Json = {"units": units}
            return await self._send(
                intent, TradeClose(account, tradeID=position.position_id, data=data)
            )
        long = position.side is Side.BUY
        side, other = ("long", "short") if long else ("short", "long")
        units = "ALL" if quantity is None else plain(quantity)
        # Said of both sides: OANDA closes all of a side that isn't named.
        data = {f"{side}Units": units, f"{other}Units": "NONE"}
        carried = orders.extensions(close.client_order_id, close.strategy_id, self._settings)
        if carried:
            data[f"{side}ClientExtensions"] = carried
        sold = units if units == "ALL" else plain(-position.side.sign * Decimal(units))
        intent = Intent(close.client_order_id, after, position.instrument, sold)
        return await self._send(intent, PositionClose(account, position.instrument, data=data))

    def _check_step(self, quantity: Decimal, position: Position) -> None:
        step = self._instrument(position.instrument).quantity_step
        if quantity % step:
            raise Refused(
                ErrorCode.INVALID_QUANTITY,
                f"quantity must be a multiple of {plain(step)} base units",
                outcome=Outcome.NOT_SENT,
                retry=Retry.AFTER_FIX,
                field="quantity",
            )

    async def _to_close(self, close: CloseRequest) -> Position:
        """Return the one position that a request means; raises Refused where there isn't one."""
        if close.instrument is None and close.position_id is None:
            raise _invalid("name a position, by instrument or position_id", "position_id")
        if close.instrument is not None:
            self._instrument(close.instrument)
        held = [
            each
            for each in (await self.get_positions(close.instrument)).positions
            if close.position_id in {None, each.position_id}
        ]
        if not held:
            raise Refused(
                ErrorCode.NOT_FOUND,
                "no such position is open",
                outcome=Outcome.NOT_SENT,
                field="position_id",
            )
        if len(held) > 1:
            raise _invalid("several tickets are open: name one", "position_id")
        return held[0]

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        await self._ready()
        report = await self._look_up(order_id, client_order_id)
        if report.status.terminal:
            return report
        newest = self.diary.book.newest(report.order_id)
        current = report.order_id if newest is None else newest.order_id
        try:
            answer = await self.venue.ask(OrderCancel(self._settings.account_id, orderID=current))
        except Refused as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            await self.diary.catch_up()  # it has ended meanwhile, or it was replaced
        else:
            await self._follow(answer, "the cancel was taken, and the line broke")
        report = await self._look_up(report.order_id, None)
        if not report.status.terminal:
            raise _unknown("the cancel was sent, and the order still works")
        return replace(report, client_order_id=client_order_id or report.client_order_id)

    async def cancel_orders(
        self,
        filter: MassCancel,  # noqa: A002 - the contract's word
        instrument: str | None = None,
        protections: bool = False,  # noqa: FBT001, FBT002 - a field on the wire
    ) -> Canceled:
        if (filter is MassCancel.INSTRUMENT) != (instrument is not None):
            raise _invalid("goes with the filter instrument, and only with it", "instrument")
        await self._ready()
        if instrument is not None:
            self._instrument(instrument)
        book = self.diary.book
        chosen = [
            each
            for each in await self._working()
            if instrument in {None, each.instrument}
            and (protections or _kind(book, each.order_id) not in DEPENDENT)
        ]
        done, failed = list[OrderReport](), list[CancelFailure]()
        for each in chosen:
            try:
                done.append(await self.cancel_order(order_id=each.order_id))
            except BrokerError as error:
                failed.append(
                    CancelFailure(
                        order_id=each.order_id, code=error.code.value, message=error.message
                    )
                )
        return Canceled(orders=tuple(done), failed=tuple(failed))


def _kind(book: Book, order_id: str) -> str:
    record = book.newest(order_id)
    return "" if record is None else record.kind


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _number(cursor: str | None, field: str) -> int:
    if cursor is None:
        return 0
    if _is_number(cursor):
        return int(cursor)
    raise _no_cursor(field)


def _no_cursor(field: str) -> Refused:
    return _invalid("not a cursor that this server has given", field)


def _no_order() -> Refused:
    return Refused(ErrorCode.NOT_FOUND, "this account has no such order", outcome=Outcome.REJECTED)


def _invalid(problem: str, field: str) -> Refused:
    return Refused(
        ErrorCode.INVALID_ARGUMENT,
        f"{field}: {problem}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
        field=field,
    )


def _unknown(problem: str) -> OutcomeUnknown:
    return OutcomeUnknown(problem)
