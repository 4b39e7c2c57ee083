"""The two streams: prices and transactions, one JSON a line, a heartbeat when there is no news."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import anyio
import anyio.lowlevel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mtquant.clock import SECOND, Clock
from mtquant_simulators.oanda import market
from mtquant_simulators.oanda.account import Account
from mtquant_simulators.oanda.answers import FORBIDDEN, MISSING, Problem, invalid
from mtquant_simulators.oanda.asked import form_of
from mtquant_simulators.oanda.faults import FaultMaker
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import Moment, rendered
from mtquant_simulators.oanda.venue import Price, Venue

CHUNK = 32_768
"""How many bytes of lines are sent at a time, at most by one line more."""


class Streams:
    """Serves the streams of a venue, at most as many at a time as its limits allow."""

    def __init__(self, venue: Venue, clock: Clock, faults: FaultMaker) -> None:
        self._venue, self._clock, self._faults = venue, clock, faults
        self._open = 0

    async def pricing(self, request: Request) -> Response:
        """GET: each price of the instruments named as it comes, the newest first of all."""
        account, form = self._account(request), form_of(request)
        names = [each for each in request.query_params.get("instruments", "").split(",") if each]
        if not names:
            raise Problem(400, MISSING)
        if set(names) - self._venue.names.keys():
            raise invalid("instruments")
        snapshot = request.query_params.get("snapshot", "true").lower()
        if snapshot not in {"true", "false"}:
            raise invalid("snapshot")
        self._venue.sync()
        prices = _Prices(self._venue, account, names, self._venue.settings.conflate_s)
        if snapshot == "true":
            prices.take_all()
        return self._stream(prices, form)

    async def transactions(self, request: Request) -> Response:
        """GET: each transaction of the account from now on."""
        account, form = self._account(request), form_of(request)
        self._venue.sync()
        return self._stream(_Transactions(account, len(account.ledger.entries)), form)

    def _account(self, request: Request) -> Account:
        account = self._venue.accounts.get(request.path_params["account_id"])
        if account is None:
            raise Problem(401, FORBIDDEN)
        limits = self._venue.settings.limits
        if limits.on and self._open >= limits.streams:
            text = f"Rate limit exceeded: more than {limits.streams} streams"
            raise Problem(429, text, headers={"Retry-After": str(limits.retry_after_s)})
        return account

    def _stream(self, news: _Prices | _Transactions, form: str) -> Response:
        lines = self._lines(news, form)
        return StreamingResponse(lines, media_type="application/octet-stream")

    async def _lines(self, news: _Prices | _Transactions, form: str) -> AsyncIterator[bytes]:
        settings, faults = self._venue.settings, self._faults
        self._open += 1
        sent, last = 0, self._clock.monotonic()
        try:
            while True:
                now = self._clock.monotonic()  # before the prices: a heartbeat follows them
                self._venue.sync()
                chunk = b""
                for each in () if _silent(sent, faults) else news.take():
                    chunk += _line(each, form)
                    sent += 1
                    if _cut(sent, faults) or _silent(sent, faults):
                        break
                    if len(chunk) > CHUNK:
                        yield chunk
                        chunk = b""
                        await (
                            anyio.lowlevel.checkpoint()
                        )  # a connection that has gone is noticed only then
                if chunk:
                    yield chunk
                if _cut(sent, faults):
                    return
                due = not sent or now - last >= settings.heartbeat_s
                if due and not _silent(sent, faults):
                    yield _line(self._heartbeat(news), form)
                    sent, last = sent + 1, now
                await anyio.sleep(settings.poll_s)
        finally:
            self._open -= 1

    def _heartbeat(self, news: _Prices | _Transactions) -> Json:
        late = round(self._faults.settings.stale_heartbeat_s * SECOND)
        beat: Json = {"type": "HEARTBEAT", "time": Moment(max(0, self._venue.time - late))}
        if isinstance(news, _Transactions):
            beat["lastTransactionID"] = news.account.ledger.last
        return beat


class _Prices:
    """The prices of ``names`` that a stream hasn't sent, at most one each in ``conflate_s``."""

    def __init__(self, venue: Venue, account: Account, names: list[str], conflate_s: float) -> None:
        self._venue, self._account = venue, account
        self._names, self._gap = dict.fromkeys(names), round(conflate_s * SECOND)
        self._seen = venue.published
        self._sent: dict[str, int] = {}
        self._held: dict[str, Price] = {}

    def take_all(self) -> None:
        """Let the newest price of each instrument be sent first."""
        for name in self._names:
            self._held[name] = self._venue.latest(self._venue.names[name])

    def take(self) -> Iterator[Json]:
        """Return what is due to be sent."""
        fresh = self._venue.since(self._seen)
        self._seen = self._venue.published
        for price in fresh:
            if price.name in self._names:
                self._held[price.name] = price
                yield from self._due(price.name, price.time)
        for name in list(self._held):
            yield from self._due(name, self._venue.time)

    def _due(self, name: str, now: int) -> Iterator[Json]:
        last = self._sent.get(name)
        if last is not None and now - last < self._gap:
            return
        self._sent[name] = now
        symbol = self._venue.names[name]
        yield market.priced(self._account, symbol, self._held.pop(name), units=False)


@dataclass
class _Transactions:
    """The transactions of an account that a stream hasn't sent."""

    account: Account
    seen: int

    def take(self) -> Iterator[Json]:
        """Return what is due to be sent."""
        while self.seen < len(self.account.ledger.entries):
            self.seen += 1
            yield self.account.ledger.entries[self.seen - 1]


def _silent(sent: int, faults: FaultMaker) -> bool:
    after = faults.settings.silent_stream_after
    return after is not None and sent >= after


def _cut(sent: int, faults: FaultMaker) -> bool:
    after = faults.settings.cut_stream_after
    return after is not None and sent >= after


def _line(entry: Json, form: str) -> bytes:
    return json.dumps(rendered(entry, form), separators=(",", ":")).encode() + b"\n"
