"""OANDA's two streams, kept open: what happens to the account, and prices.

A stream can die with no word. Silence for longer than two heartbeats ends it, and it is opened
again after a pause that grows, with jitter, so that a thousand clients don't come back at once.
Nothing is lost meanwhile: transactions have numbers, and what came after the last is asked for; a
price that no living stream vouches for is asked for anew, and never served as if it were fresh.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
from oandapyV20.endpoints.accounts import AccountChanges, AccountDetails
from oandapyV20.endpoints.pricing import PricingInfo, PricingStream
from oandapyV20.endpoints.transactions import (
    TransactionIDRange,
    TransactionsSinceID,
    TransactionsStream,
)

from mtquant.clock import Clock, Random
from mtquant.errors import BrokerError, ErrorCode, Outcome, Refused, Retry
from mtquant.model import Quote
from mtquant_oanda_server.book import Book
from mtquant_oanda_server.settings import OandaSettings
from mtquant_oanda_server.venue import Venue
from mtquant_oanda_server.words import moment, number

_PAGE = 1000
"""OANDA answers no more transactions at once."""
_REST_FRESH_S = 0.25
"""How long a price that was asked for is served again while no stream vouches for it."""
_OFFSETS = 12
_ASK_S = 1.0
"""How often a wait for changes asks while no stream lives."""
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_log = logging.getLogger(__name__)
Json = dict[str, Any]


class Pauses:
    """The pauses before one stream is opened again: doubling, with jitter."""

    def __init__(self, rng: Random) -> None:
        self._rng, self._tries = rng, 0

    def reset(self) -> None:
        """Begin anew: the stream has brought something."""
        self._tries = 0

    def next(self) -> float:
        """Return the next pause in seconds: between half of it and all of it."""
        longest = min(_LONGEST_PAUSE_S, _PAUSE_S * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return longest * (0.5 + self._rng.random() / 2)


class Diary:
    """Keeps a book of the account current, by the stream and by asking since the last number."""

    def __init__(self, settings: OandaSettings, venue: Venue, clock: Clock, pauses: Pauses) -> None:
        self._settings, self._venue, self._clock, self._pauses = settings, venue, clock, pauses
        self._lock = anyio.Lock()
        self._changed = anyio.Event()
        self._heard_at = -math.inf
        self._open = False
        self.book = Book(hedging=False)
        self.account: Json = {}
        self._offsets: deque[int] = deque(maxlen=_OFFSETS)
        self.unreadable = 0
        """Transactions that could not be understood: what they did isn't in the book."""

    @property
    def alive(self) -> bool:
        """Return True while the stream is open, caught up, and not silent for too long."""
        return self._open and self.age_s <= self._settings.silence_s

    @property
    def age_s(self) -> float:
        """Return how many seconds ago the stream said anything, heartbeats included."""
        return self._clock.monotonic() - self._heard_at

    @property
    def offset_ns(self) -> int | None:
        """How far OANDA's clock is ahead of ours, by the heartbeat that was delayed least."""
        return max(self._offsets, default=None)

    async def load(self, first: int | None = None) -> None:
        """Read the account, and its transactions after ``first``; raises BrokerError."""
        account = self._settings.account_id
        details = (await self._venue.ask(AccountDetails(account)))["account"]
        last = int(details["lastTransactionID"])
        if first is None:
            first = max(0, last - self._settings.history)
        book = Book(hedging=bool(details.get("hedgingEnabled")), first=first)
        while book.last < last:
            span = {"from": str(book.last + 1), "to": str(min(last, book.last + _PAGE))}
            answer = await self._venue.ask(TransactionIDRange(account, params=span))
            self._apply(book, answer["transactions"])
            if int(span["to"]) == last:
                break  # what is missing yet, if anything, is asked for since the last
            book.last = max(book.last, int(span["to"]))
        book.seed(details.get("orders") or (), details.get("trades") or ())
        self.account = {key: details[key] for key in details if key not in {"orders", "trades"}}
        if book.last >= self.book.last:
            self.book = book
        self._wake()

    async def state(self) -> Json:
        """Return the account as it is now: what it was, and what OANDA says has changed since.

        The same answer brings the transactions, so that money and executions are of one moment.
        Raises BrokerError.
        """
        async with self._lock:
            before = self.book.last
            since = {"sinceTransactionID": str(before)}
            request = AccountChanges(self._settings.account_id, params=since)
            answer = await self._venue.ask(request)
            self._apply(self.book, answer["changes"].get("transactions") or ())
            if self.book.last > before:
                self._wake()
            return self.stand(answer["state"])

    def stand(self, state: Json) -> Json:
        """Take in the account's state as it is after the book's last transaction; return it all."""
        told = {key: each for key, each in state.items() if isinstance(each, str)}
        self.account |= told
        return self.account

    async def reach(self, after: int) -> None:
        """Make the book begin at ``after`` at the latest."""
        if after < self.book.first:
            await self.load(after)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Ask for all transactions after the last that is in the book; raises BrokerError."""
        async with self._lock:
            before = self.book.last
            while True:
                since = self.book.last
                request = TransactionsSinceID(self._settings.account_id, params={"id": str(since)})
                answer = await self._venue.ask(request)
                self._apply(self.book, answer["transactions"])
                last = int(answer["lastTransactionID"])
                # What the number promises and the answer lacks is asked for again, never skipped.
                if self.book.last >= last or self.book.last == since:
                    break
            if (
                self.book.last > before
            ):  # who waits asks by himself: none may wake another for nothing
                self._wake()

    async def fresh(self) -> None:
        """Make sure that the book is of now: by the stream while it lives, else by asking."""
        if not self.alive:
            await self.catch_up()

    async def take(self, answer: Json) -> None:
        """Fold the transactions of an answer to a request; ask for what it doesn't show."""
        found = [
            each
            for key, each in answer.items()
            if key.endswith("Transaction") and isinstance(each, dict) and "id" in each
        ]
        async with self._lock:
            for each in sorted(found, key=lambda one: int(one["id"])):
                if self.book.follows(each):
                    self._apply(self.book, (each,))
            self._wake()
        if self.book.last < int(answer.get("lastTransactionID") or self.book.last + 1):
            await self.catch_up()

    async def wait(self, after: int) -> None:
        """Return once the book is beyond ``after``; while no stream lives, ask every second."""
        while self.book.last <= after:
            if self.alive:
                await self._changed.wait()
                continue
            with anyio.move_on_after(_ASK_S):
                await self._changed.wait()
            if self.book.last <= after and not self.alive:
                await self.catch_up()

    def _apply(self, book: Book, transactions: Iterable[Json]) -> None:
        for each in sorted(transactions, key=lambda one: int(one["id"])):
            try:
                if book.apply(each) and book is self.book:
                    self._note(each)
            except (BrokerError, KeyError, TypeError, ValueError, ArithmeticError):
                # It must not be met again and again; health tells that the book lacks something.
                _log.exception("transaction %s can't be read", each.get("id"))
                self.unreadable += 1
                book.last = max(book.last, int(each["id"]))

    def _note(self, transaction: Json) -> None:
        """Follow what a transaction says of the account itself."""
        if transaction.get("accountBalance") is not None:
            self.account["balance"] = transaction["accountBalance"]
        if transaction.get("type") == "MARGIN_CALL_ENTER":
            self.account["marginCallEnterTime"] = transaction["time"]
        elif transaction.get("type") == "MARGIN_CALL_EXIT":
            self.account.pop("marginCallEnterTime", None)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def run(self) -> None:
        """Read the stream of transactions until cancelled."""
        while True:
            try:
                await self._read()
            except BrokerError as error:
                _log.warning("the stream of transactions: %s", error.message)
            finally:
                self._open = False
                self._wake()  # who waits asks by himself from now on
            await anyio.sleep(self._pauses.next())

    async def _read(self) -> None:
        request = TransactionsStream(self._settings.account_id)
        async with self._venue.streaming(request) as lines:
            await self.catch_up()  # only now: what happens meanwhile is in the stream already
            self._open, self._heard_at = True, self._clock.monotonic()
            async for line in lines:
                self._heard_at = self._clock.monotonic()
                self._pauses.reset()
                if line.get("type") == "HEARTBEAT":
                    self._offsets.append(moment(line.get("time")) - self._clock.now())
                    # A stream that beats and brings nothing is found out by the number it tells.
                    if int(line.get("lastTransactionID") or 0) > self.book.last:
                        await self.catch_up()
                elif "id" in line and self.book.follows(line):
                    async with self._lock:
                        self._apply(self.book, (line,))
                        self._wake()
                else:
                    await self.catch_up()


class Prices:
    """The newest quotes of the instruments that were asked for, and who vouches for them."""

    def __init__(self, settings: OandaSettings, venue: Venue, clock: Clock, pauses: Pauses) -> None:
        self._settings, self._venue, self._clock, self._pauses = settings, venue, clock, pauses
        self._quotes: dict[str, Quote] = {}
        self._confirmed: dict[str, float] = {}
        self._wanted: set[str] = set()
        self._streamed: frozenset[str] = frozenset()
        self._more = anyio.Event()
        self._reading: anyio.CancelScope | None = None
        self._heard_at = -math.inf
        self._moved_at: float | None = None
        self.tradeable: dict[str, bool] = {}

    @property
    def alive(self) -> bool:
        """Return True while the stream is open and not silent for too long."""
        silent_s = self._clock.monotonic() - self._heard_at
        return bool(self._streamed) and silent_s <= self._settings.silence_s

    @property
    def age_s(self) -> float | None:
        """Return how many seconds ago the stream brought a price; heartbeats don't count."""
        return None if self._moved_at is None else self._clock.monotonic() - self._moved_at

    async def get(self, instruments: tuple[str, ...]) -> dict[str, Quote]:
        """Return the quotes of those that have a price, each vouched for within its limit.

        Raises Refused (not_connected) where neither the stream nor OANDA's answer does.
        """
        if not instruments:
            return {}
        self._want(instruments)
        now = self._clock.monotonic()
        doubtful = [each for each in instruments if now >= self._good_until(each)]
        if doubtful:
            await self._ask(doubtful)
        return {each: self._quotes[each] for each in instruments if each in self._quotes}

    def _good_until(self, instrument: str) -> float:
        streamed = self.alive and instrument in self._streamed
        limit = self._settings.quote_age_s if streamed else _REST_FRESH_S
        return self._confirmed.get(instrument, -math.inf) + limit

    async def _ask(self, instruments: list[str]) -> None:
        request = PricingInfo(
            self._settings.account_id, params={"instruments": ",".join(instruments)}
        )
        answer = await self._venue.ask(request)
        missed = False
        for each in answer["prices"]:
            before = self._quotes.get(str(each.get("instrument")))
            self.put(each, answer.get("time"))
            after = self._quotes.get(str(each.get("instrument")))
            if before is not None and after is not None and self.alive:
                moved = replace(before, confirmed=after.confirmed) != after
                missed = missed or (moved and after.instrument in self._streamed)
        if missed:  # it beats, but brings no prices: a stream is judged by what it ought to bring
            self._reopen()

    @property
    def known(self) -> tuple[Quote, ...]:
        """Return the newest quote of each instrument that had one, whoever vouches for it."""
        return tuple(self._quotes.values())

    def newest(self, instrument: str) -> Decimal | None:
        """Return the newest bid that is known, whoever vouches for it; None where there is none."""
        quote = self._quotes.get(instrument)
        return None if quote is None else quote.bid

    def put(self, price: Mapping[str, Any], told_at: object = None) -> None:
        """Take a price, and OANDA's time of its answer; one that is known is only confirmed."""
        name = str(price["instrument"])
        self._confirmed[name] = self._clock.monotonic()
        self.tradeable[name] = bool(
            price.get("tradeable", price.get("status", "tradeable") == "tradeable")
        )
        bids, asks = price.get("bids") or (), price.get("asks") or ()
        if not bids or not asks:
            return
        quote = Quote(
            instrument=name,
            bid=number(bids[0]["price"]),
            ask=number(asks[0]["price"]),
            time=moment(price["time"]),
            confirmed=moment(told_at) if told_at else None,
        )
        known = self._quotes.get(name)
        if known is not None and quote.confirmed is None and quote.time == known.time:
            quote = replace(quote, confirmed=known.confirmed)
        if quote.bid <= quote.ask and (known is None or quote.time >= known.time):
            self._quotes[name] = quote

    def _want(self, instruments: Iterable[str]) -> None:
        new = set(instruments) - self._wanted
        if new:
            self._wanted |= new
            self._reopen()

    def _reopen(self) -> None:
        self._more.set()
        if self._reading is not None:
            self._reading.cancel()

    async def run(self) -> None:
        """Read the stream of prices until cancelled, over all instruments asked for so far.

        A stepped simulator's prices stand still between steps, and each step brings them all.
        """
        if self._settings.stepped:
            return
        while True:
            if not self._wanted:
                await self._more.wait()
            self._more = anyio.Event()
            with anyio.CancelScope() as self._reading:
                try:
                    await self._read()
                except BrokerError as error:
                    _log.warning("the stream of prices: %s", error.message)
                finally:
                    self._streamed = frozenset()
            failed = not self._reading.cancelled_caught
            self._reading = None
            if failed:
                with anyio.move_on_after(self._pauses.next()):
                    await self._more.wait()

    async def _read(self) -> None:
        wanted = frozenset(self._wanted)
        request = PricingStream(
            self._settings.account_id,
            params={"instruments": ",".join(sorted(wanted)), "snapshot": "true"},
        )
        async with self._venue.streaming(request) as lines:
            self._streamed, self._heard_at = wanted, self._clock.monotonic()
            async for line in lines:
                self._heard_at = self._clock.monotonic()
                self._pauses.reset()
                if line.get("type") == "PRICE" or "bids" in line:
                    self._moved_at = self._heard_at
                    try:
                        self.put(line)
                    except (KeyError, TypeError, ValueError) as error:
                        raise _unreadable() from error


def _unreadable() -> Refused:
    return Refused(
        ErrorCode.NOT_CONNECTED,
        "the stream of prices has a line that can't be read",
        outcome=Outcome.NOT_SENT,
        retry=Retry.SAFE,
    )
