"""Real money is only looked at until it is named; old prices pause a symbol."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mtquant.clock import SECOND, ManualClock
from mtquant.config import MarketTable
from mtquant.decide import Event, FeedChanged, HaltSet
from mtquant.feed import Live, _history
from mtquant.model import Bars, Environment, Quote, Timeframe
from mtquant.reconcile import why_forbidden

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def forbidden(environment: Environment | None, number: str, allowed: dict[str, str]) -> str:
    async def account() -> Any:  # noqa: ANN401
        return SimpleNamespace(account_id=number)

    offered = None if environment is None else SimpleNamespace(environment=environment)
    link: Any = SimpleNamespace(name="desk", capabilities=offered, account=account)
    return await why_forbidden(link, allowed)


@pytest.mark.parametrize("environment", [Environment.PAPER, Environment.PRACTICE])
async def test_paper_and_practice_need_no_leave(environment: Environment) -> None:
    assert await forbidden(environment, "77", {}) == ""


@pytest.mark.parametrize("environment", [Environment.LIVE, None])
async def test_what_is_not_plainly_paper_or_practice_is_real_money(
    environment: Environment | None,
) -> None:
    why = await forbidden(environment, "77", {})

    assert 'set brokers.desk.live_account = "77" and run with --live' in why
    assert await forbidden(environment, "77", {"desk": "77"}) == ""


async def test_another_account_than_the_one_that_was_named_is_not_traded() -> None:
    why = await forbidden(Environment.LIVE, "78", {"desk": "77"})

    assert why == "the broker says account 78, the configuration live_account = '77'"


class Prices:
    """An engine of one account that quotes one symbol, and what it is told."""

    def __init__(self, age_s: float | None, *, connected: bool = True) -> None:
        self.clock = ManualClock(1000 * SECOND)
        quotes = {}
        if age_s is not None:
            time = self.clock.now() - int(age_s * SECOND)
            price = Decimal(1)
            quotes = {"X": Quote(instrument="X", bid=price, ask=price, time=time)}
        link = SimpleNamespace(
            name="a", connected=connected, symbols=SimpleNamespace(instruments={"X": None})
        )
        self.wiring = SimpleNamespace(
            clock=self.clock, preference=lambda _: ("a",), links={"a": link}
        )
        book = SimpleNamespace(quotes=quotes)
        self.book = SimpleNamespace(account=lambda _: book, paused={})
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


def paused(engine: Any, stale_s: float = 60, waited_s: float = 60) -> list[str]:  # noqa: ANN401
    live = Live(MarketTable(stale_s=stale_s))
    live._since = engine.clock.now() - int(waited_s * SECOND)
    live._look_at_age(engine, "X")
    return [each.why for each in engine.events if isinstance(each, FeedChanged)]


async def test_a_symbol_pauses_while_its_newest_price_is_old() -> None:
    assert paused(Prices(59)) == []
    assert paused(Prices(61)) == ["the last price of a is of 1970-01-01T00:15:39Z"]
    assert paused(Prices(61), stale_s=0) == []
    assert paused(Prices(None)) == ["no price from a yet"]
    assert paused(Prices(None), waited_s=5) == [], "a price may take a moment to come"
    assert paused(Prices(1, connected=False)) == ["no connected account lists it"]


async def test_a_price_that_the_broker_confirms_isnt_old() -> None:
    engine = Prices(3600)
    quote = engine.book.account("a").quotes["X"]
    held = replace(quote, confirmed=engine.clock.now() - 59 * SECOND)
    engine.book.account("a").quotes["X"] = held
    assert paused(engine) == []
    engine.book.account("a").quotes["X"] = replace(held, confirmed=held.time)
    assert paused(engine) != []


async def test_it_goes_on_when_prices_come_again_and_says_so_once() -> None:
    engine = Prices(1)
    engine.book.paused["X"] = "the last price is old"
    assert paused(engine) == [""]

    still = Prices(90)
    still.book.paused["X"] = "the last price is old"
    assert paused(still) == []


async def test_a_long_warm_up_is_asked_for_in_pages() -> None:
    asked: list[tuple[int, int | None]] = []

    async def bars(symbol: str, timeframe: Timeframe, count: int, to: int | None) -> Bars:
        asked.append((count, to))
        last = 12_000 if to is None else to // SECOND
        first = max(0, last - count)
        ones = (1.0,) * (last - first)
        return Bars(
            instrument=symbol,
            timeframe=timeframe,
            time=tuple(second * SECOND for second in range(first, last)),
            open=ones,
            high=ones,
            low=ones,
            close=ones,
            volume=ones,
        )

    link: Any = SimpleNamespace(bars=bars)
    found = await _history(link, "X", Timeframe.S1, 11_000)

    assert [count for count, _ in asked] == [5000, 5000, 1000]
    assert [bar.time for bar in found] == [second * SECOND for second in range(1000, 12_000)]
    everything = await _history(link, "X", Timeframe.S1, 20_000)
    assert len(everything) == 12_000


class Halting:
    """An engine over a state folder, and how often it was told to halt."""

    def __init__(self, folder: Path) -> None:
        self.wiring = SimpleNamespace(
            clock=ManualClock(1000 * SECOND), status_file=folder / "status.json"
        )
        self.book = SimpleNamespace(halted="")
        self.times = 0

    def emit(self, event: Event) -> None:
        assert isinstance(event, HaltSet)
        assert event.on
        self.book.halted = event.why
        self.times += 1


async def test_a_file_halts_when_it_appears_and_as_long_as_it_lies_there(tmp_path: Path) -> None:
    engine: Any = Halting(tmp_path)
    live = Live(MarketTable())

    def look() -> int:
        live._look_for_halt(engine)
        return int(engine.times)

    assert look() == 0
    (tmp_path / "HALT").touch()
    assert [look(), look(), look()] == [1, 1, 1], "once, not at every look"
    engine.book.halted = ""
    assert look() == 2, "nobody resumes while it lies there"
    (tmp_path / "HALT").unlink()
    assert look() == 2
    (tmp_path / "HALT").touch()
    assert look() == 3, "it appeared again: what has come up since is to be cancelled, too"
