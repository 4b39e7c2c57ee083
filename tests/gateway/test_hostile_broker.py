"""A broker that quotes nonsense: no order of an agent opens anything on it, and what refuses it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import trio
from tests.gateway.reading import AGENT, Place, read
from trio.testing import MockClock

from mtquant.clock import SECOND
from mtquant.errors import BrokerError, Refused
from mtquant.jumps import Believed
from mtquant.link import PAGES, Link
from mtquant.model import Quote
from mtquant.pool import ConnectionState
from mtquant.symbols import Spelling

D = Decimal
HOUR = 3600 * 10**9


def crossed(quote: Quote) -> Quote:
    return replace(quote, bid=quote.ask, ask=quote.bid)


def wide(quote: Quote) -> Quote:
    return replace(quote, bid=quote.bid / 2, ask=quote.ask * 2)


def old(quote: Quote) -> Quote:
    return replace(quote, time=quote.time - HOUR, confirmed=None)


def ahead(quote: Quote) -> Quote:
    return replace(quote, time=quote.time + HOUR, confirmed=None)


def another(quote: Quote) -> Quote:
    return replace(quote, instrument="USDJPY", bid=D("150.00"), ask=D("150.02"))


def unreadable(bid: str, ask: str) -> Callable[[Quote], Quote]:
    def bend(quote: Quote) -> Quote:
        return replace(quote, bid=D(bid), ask=D(ask))

    return bend


async def tried(place: Place, bend: Callable[[Quote], Quote]) -> tuple[str, str]:
    """Let an agent order on bent quotes; return the gate's code, or what the wire refused."""
    verdicts: list[str] = []
    record = place.engine.wiring.journal.append

    def append(kind: str, body: dict[str, Any], *, durable: bool = False) -> Any:  # noqa: ANN401
        if kind == "verdict":
            verdicts.append(f"{body['code']}: {body['message']}")
        return record(kind, body, durable=durable)

    def bent(_: str, answer: Any) -> Any:  # noqa: ANN401
        if not hasattr(answer, "quotes"):
            return answer
        return replace(answer, quotes=tuple(map(bend, answer.quotes)))

    place.venues["desk"].bend = bent
    place.engine.wiring.journal.append = append  # type: ignore[method-assign]
    try:
        await place.order(AGENT.source, 1000, 1)
    except BrokerError as error:
        return "wire", str(error)
    assert len(verdicts) == 1
    code, _, message = verdicts[0].partition(": ")
    return code, message


def test_a_proper_quote_is_traded_on(tmp_path: Path) -> None:
    async def use(place: Place) -> None:
        code, _ = await tried(place, lambda quote: quote)
        assert code == "approved"
        assert len(place.engine.desk.tickets) == 1

    anyio.run(read, tmp_path, use)


def times(factor: str) -> Callable[[Quote], Quote]:
    def bend(quote: Quote) -> Quote:
        return replace(quote, bid=quote.bid * D(factor), ask=quote.ask * D(factor))

    return bend


@pytest.mark.parametrize(
    ("bend", "refused"),
    [
        (crossed, "no_price"),
        (wide, "invalid_stop"),
        (old, "stale_price"),
        (ahead, "stale_price"),
        (unreadable("0", "1.1"), "wire"),
        (unreadable("-1.1", "1.1"), "wire"),
        (unreadable("1e300", "1e300"), "wire"),
        (unreadable("NaN", "NaN"), "wire"),
        (unreadable("Infinity", "Infinity"), "wire"),
        (unreadable("1e17", "1e17"), "agent_notional"),
        (unreadable("1e-17", "1e-17"), "invalid_stop"),
    ],
)
def test_nothing_is_opened_on_an_absurd_quote(
    bend: Callable[[Quote], Quote], refused: str, tmp_path: Path
) -> None:
    async def use(place: Place) -> None:
        code, message = await tried(place, bend)
        assert not place.engine.desk.tickets
        assert code == refused, message

    anyio.run(read, tmp_path, use)


@pytest.mark.parametrize("bend", [times("1.5"), times("0.5"), times("1000"), another])
def test_a_price_that_jumps_or_wasnt_asked_for_is_in_no_book(
    bend: Callable[[Quote], Quote], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The order is judged by the price before; where that is old, it is refused."""
    monkeypatch.setattr(Link, "stepped", False)

    async def use(place: Place) -> None:
        book = place.engine.book.account("desk")
        before = dict(book.quotes)
        place.engine.wiring.clock.set(place.engine.wiring.clock.now() + 6 * SECOND)  # type: ignore[attr-defined]
        code, message = await tried(place, bend)
        assert book.quotes == before
        assert code == "stale_price", message
        assert not place.engine.desk.tickets

    anyio.run(read, tmp_path, use)


def quote(price: str, name: str = "X") -> Quote:
    return Quote(instrument=name, bid=D(price), ask=D(price), time=0)


def test_a_price_that_has_stayed_for_a_minute_is_believed() -> None:
    async def test() -> None:
        believed = Believed()

        def takes(price: str) -> bool:
            return bool(believed.take([quote(price)], ("X",)))

        assert takes("1")
        assert takes("1.2")
        assert not takes("2")
        await trio.sleep(59)
        assert not takes("2.1")
        assert takes("1.21")  # it is back: what jumped is forgotten
        assert not takes("2")
        await trio.sleep(59)
        assert not takes("4")  # it jumps on: the minute begins anew
        await trio.sleep(59)
        assert not takes("4")
        await trio.sleep(1)
        assert takes("4")
        assert not believed.take([quote("1", "Y")], ("X",))
        assert believed.take([quote("1", "Y")], ("X", "Y"))

    trio.run(test, clock=MockClock(autojump_threshold=0))


@pytest.mark.parametrize("rows", [0, 1000])
def test_a_list_without_end_is_refused(rows: int) -> None:
    like: Any = SimpleNamespace(instrument="X", base="X", quote="Y")
    asked = 0

    class Session:
        state = ConnectionState.HEALTHY
        untrusted = ""

        async def call(self, use: Any, *, waits: bool = False) -> Any:  # noqa: ANN401, ARG002
            nonlocal asked
            asked += 1
            return SimpleNamespace(instruments=(like,) * rows, orders=(), next_cursor="more")

    session: Any = Session()
    link = Link("desk", [session], Spelling())
    for ask in (link.learn, link.working_orders):
        with pytest.raises(Refused, match="has no end"):
            anyio.run(ask)
    assert asked <= 3 * PAGES
    assert not link.symbols.instruments
