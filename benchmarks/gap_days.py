"""What a gap costs: two famous days, drawn as gaps of their size, through the whole engine.

Real decider, gate, breaker, journal and engine, over MCP in memory to a paper account on the
simulated exchange. Every check is asked, with its defaults, but portfolio_risk (see NOT_ASKED).
Prints the table of docs/gap-days.md.

    python benchmarks/gap_days.py

*The prices are synthetic.* They are drawn, from a seed, through a few points that are on record;
everything between those points is ours. Nobody traded at them.

EUR/CHF, 15 January 2015. At 09:30 UTC the Swiss National Bank gave up its floor of 1.20 francs
(SNB, press release of 15 January 2015, "Swiss National Bank discontinues minimum exchange rate
and lowers interest rate to -0.75%"). The low, about 0.85, was read on some venues only, within
the hour; clients of one broker told of ten minutes without a trade (Business Insider, April
2015). One bank settled stops, one of them placed at 1.1960, at 0.9625 (Finance Magnates, "Saxo
Bank CHF Handling Cleared by Third Danish Authority"). Later that day it stood at 1.02 to 1.04.
Drawn: 1.2010 until 09:30, no quote for five minutes, 0.9625, 0.85 at 09:50, then up to 1.03.

GBP/USD, 7 October 2016 (23:07 UTC of the 6th). From 1.2600 to about 1.1491 and back above 1.24
within half an hour (BIS Markets Committee, "The sterling 'flash event' of 7 October 2016",
Markets Committee Papers No 9, January 2017). Drawn at its worst for a stop: 1.2600 at 23:07:00,
no quote for 40 seconds, 1.1491. In fact sterling was quoted for the first eight seconds, down to
1.2494, at spreads little changed (the same report): a second drawing has those quotes.

The spreads, and the drift and noise between the points, are ours too.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio

from mtquant import Settings, Source, Strategy
from mtquant.audit import Audit, audit
from mtquant.clock import SECOND, Ids, ManualClock, SystemClock, format_time, parse_time, seeded
from mtquant.contract import BreakerLevel, Broker, Check
from mtquant.decide import Decider, Event, Filled
from mtquant.engine import Engine, Observer, Wiring
from mtquant.exchange import PaperSettings
from mtquant.feed import Replay
from mtquant.journal import Journal
from mtquant.ledger import Ledger
from mtquant.link import Link
from mtquant.model import Bar, Bars, Fill, Reason, Signal, Timeframe
from mtquant.plugins import load_catalogue
from mtquant.pool import Session, Watch
from mtquant.risk import BreakerRules, Gate
from mtquant.symbols import Spelling
from mtquant.wire import Remote, serve
from mtquant_paper_server.broker import PaperBroker

BALANCE = Decimal(100_000)
CALM_MINUTES = (*range(2 * 24 * 60, 60, -15), *range(60, -1, -1))
"""When it is quoted before the gap: two days each quarter of an hour, the last hour each minute."""
SEED = 20150115
MINUTE = 60 * SECOND
FRAME = Timeframe.S5
LENGTH = FRAME.seconds * SECOND
ACCOUNT = "paper"
NO_BREAKER = {"warn_at": "0.97", "reduce_at": "0.98", "halt_at": "0.99"}
"""Thresholds so high that the breaker doesn't act."""
NOT_ASKED = {"portfolio_risk"}
"""It takes bars to follow one another; here a quote a minute stands for twelve bars."""


# --- the days ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Knot:
    """A mid price on the way, the spread then, and how many seconds after the one before to quote.

    Between two knots the mid goes straight, with ``noise`` pips; ``every`` None is one jump.
    """

    at: str
    mid: float
    spread_pips: float
    every: int | None = None
    noise: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day: two calm days at ``calm``, then ``knots``, the first after the gap."""

    name: str
    symbol: str
    begins: str
    calm: float
    calm_spread_pips: float
    knots: tuple[Knot, ...]
    stop: str
    """How far from the entry the stop stands, in the quote currency."""

    @property
    def currency(self) -> str:
        """The account's currency: the quote currency, so that no rate has a say."""
        return self.symbol.partition("/")[2]

    @property
    def gap_at(self) -> int:
        """When the calm ends."""
        return parse_time(self.begins)


FRANC = Day(
    name="EUR/CHF, 15 Jan 2015",
    symbol="EUR/CHF",
    begins="2015-01-15T09:30:00Z",
    calm=1.2010,
    calm_spread_pips=1.0,
    stop="0.0020",
    knots=(
        Knot(at="2015-01-15T09:35:00Z", mid=0.9625, spread_pips=80),
        Knot(at="2015-01-15T09:50:00Z", mid=0.8500, spread_pips=80, every=15, noise=10),
        Knot(at="2015-01-15T10:10:00Z", mid=0.9800, spread_pips=40, every=15, noise=10),
        Knot(at="2015-01-15T11:00:00Z", mid=1.0200, spread_pips=8, every=60, noise=5),
        Knot(at="2015-01-15T16:00:00Z", mid=1.0300, spread_pips=5, every=300, noise=5),
    ),
)
_RECOVERY = (
    Knot(at="2016-10-06T23:17:00Z", mid=1.2200, spread_pips=30, every=10, noise=10),
    Knot(at="2016-10-06T23:37:00Z", mid=1.2420, spread_pips=8, every=15, noise=5),
    Knot(at="2016-10-07T04:00:00Z", mid=1.2430, spread_pips=3, every=300, noise=5),
)
STERLING = Day(
    name="GBP/USD, 7 Oct 2016",
    symbol="GBP/USD",
    begins="2016-10-06T23:07:00Z",
    calm=1.2600,
    calm_spread_pips=1.0,
    stop="0.0025",
    knots=(Knot(at="2016-10-06T23:07:40Z", mid=1.1491, spread_pips=60), *_RECOVERY),
)
STERLING_QUOTED = Day(
    name="GBP/USD, quoted on the way",
    symbol="GBP/USD",
    begins="2016-10-06T23:07:00Z",
    calm=1.2600,
    calm_spread_pips=1.0,
    stop="0.0025",
    knots=(
        Knot(at="2016-10-06T23:07:05Z", mid=1.2547, spread_pips=2),
        Knot(at="2016-10-06T23:07:10Z", mid=1.2494, spread_pips=2),
        Knot(at="2016-10-06T23:07:40Z", mid=1.1491, spread_pips=60),
        *_RECOVERY,
    ),
)


def quotes(day: Day) -> list[tuple[int, float, float]]:
    """Return (time, bid, ask) of every quote."""
    rng = seeded(SEED)
    pip = 0.0001
    found = []
    off = 0.0
    for minutes in CALM_MINUTES:
        # It wanders a few pips and is drawn back, to be at the day's price when the gap comes.
        off = 0.9 * off + rng.uniform(-0.8, 0.8)
        mid = day.calm + (off * pip if minutes else 0)
        found.append((day.gap_at - minutes * MINUTE, mid, day.calm_spread_pips))
    for knot in day.knots:
        (start, begin, _), end = found[-1], parse_time(knot.at)
        step = knot.every * SECOND if knot.every else end - start
        for time in range(start + step, end, step):
            share = (time - start) / (end - start)
            mid = begin + (knot.mid - begin) * share + rng.uniform(-knot.noise, knot.noise) * pip
            found.append((time, mid, knot.spread_pips))
        found.append((end, knot.mid, knot.spread_pips))
    return [(time, mid - wide * pip / 2, mid + wide * pip / 2) for time, mid, wide in found]


class Drawn(Source[Settings]):
    """A day's quotes, each a bar of five seconds that opens, stands and ends at one price."""

    name = "drawn"
    description = "a day drawn through its points"

    def __init__(self, day: Day) -> None:
        super().__init__(Settings())
        self._day = day
        self._quotes = quotes(day)

    def symbols(self) -> Sequence[str]:
        return (self._day.symbol,)

    def timeframe(self) -> Timeframe:
        return FRAME

    def bars(self, symbol: str) -> Bars:
        return self._bars(symbol, [(bid + ask) / 2 for _, bid, ask in self._quotes])

    def sides(self, symbol: str) -> tuple[Bars, Bars]:
        bids, asks = ([each[side] for each in self._quotes] for side in (1, 2))
        return self._bars(symbol, bids), self._bars(symbol, asks)

    def _bars(self, symbol: str, prices: Sequence[float]) -> Bars:
        # The simulated exchange rounds a bid down and an ask up: the noise of floats stays out.
        flat = tuple(round(each, 5) for each in prices)
        return Bars(
            instrument=symbol,
            timeframe=FRAME,
            time=tuple(time - LENGTH for time, _, _ in self._quotes),
            open=flat,
            high=flat,
            low=flat,
            close=flat,
            volume=(0.0,) * len(flat),
        )


# --- the trader ----------------------------------------------------------------------------------


class CarrySettings(Settings):
    """``stop`` is the stop's distance, ``buys_from`` when it buys, ``dip_from`` when it buys again.

    Both are nanoseconds; ``dip_stop`` is the stop's distance then, as a part of the price.
    """

    stop: Decimal | None
    buys_from: int
    dip_from: int | None = None
    dip_stop: Decimal = Decimal("0.02")


class Carry(Strategy[CarrySettings]):
    """Buys once; where ``dip_from`` says so, asks to be long at every quote after the fall."""

    name = "carry"

    def on_start(self) -> None:
        self.state = {"bought": False}

    def on_bar(self, bar: Bar) -> Signal | None:
        now, wanted = bar.time + LENGTH, self.settings
        if not self.state["bought"] and now >= wanted.buys_from:
            self.state["bought"] = True
            return self.long("carry", stop_distance=wanted.stop)
        if wanted.dip_from is not None and now >= wanted.dip_from:
            distance = Decimal(str(round(bar.close, 5))) * wanted.dip_stop
            return self.long("it is cheap now", stop_distance=distance)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How the position is sized, what stands before it, and what the trader does after."""

    name: str
    sizer: tuple[str, Mapping[str, Any]]
    checks: Mapping[str, Mapping[str, Any]] | None = None
    """Settings of the checks, all of which but NOT_ASKED are asked; None asks none of them."""
    breaker: bool = True
    stop: bool = True
    margin_rate: str = "0.0333"
    buys_on: bool = False


def _times_equity(times: int, day: Day) -> dict[str, str]:
    """Return the quantity that is worth so many times the equity, in whole thousands."""
    return {"quantity": str(int(times * float(BALANCE) / day.calm) // 1000 * 1000)}


def variants(day: Day) -> tuple[Variant, ...]:
    """Return what is tried on ``day``."""
    risked = ("fixed_fraction", {"fraction": "0.01"})
    fifty = ("fixed_quantity", _times_equity(45, day))
    once = ("fixed_quantity", _times_equity(1, day))
    return (
        Variant(name="gate, 1 % at the stop", sizer=risked, checks={}),
        Variant(name="no limits, 50:1, a stop", sizer=fifty, margin_rate="0.02"),
        Variant(name="no limits, 50:1, no stop", sizer=fifty, margin_rate="0.02", stop=False),
        Variant(name="gate, no leverage", sizer=once, checks={}),
        Variant(name="the same, buys on: gate", sizer=once, checks={}, buys_on=True),
        Variant(name="the same, buys on: breaker alone", sizer=once, buys_on=True),
        Variant(name="the same, buys on: nothing", sizer=once, breaker=False, buys_on=True),
    )


# --- a run ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen(Observer):
    """Keeps what a run is judged by."""

    fills: list[Fill] = field(default_factory=list)
    vetoes: list[tuple[int, str]] = field(default_factory=list)
    levels: list[tuple[int, BreakerLevel]] = field(default_factory=list)
    equity: list[tuple[int, Decimal]] = field(default_factory=list)
    _now: int = 0

    def on_record(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "verdict" and not body["approved"]:
            self.vetoes.append((self._now, str(body["code"])))

    def on_event(self, event: Event) -> None:
        self._now = max(self._now, event.time)
        if isinstance(event, Filled):
            self.fills.append(event.fill)

    def on_step(self, time: int, engine: Engine) -> None:
        book = engine.book.account(ACCOUNT)
        equity = book.equity()
        assert equity is not None
        assert book.breaker is not None
        self.equity.append((time, equity))
        level = book.breaker.level
        if not self.levels or self.levels[-1][1] is not level:
            self.levels.append((time, level))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one variant on one day."""

    day: Day
    variant: Variant
    seen: Seen
    stop: Decimal | None
    audited: Audit
    broker_balance: Decimal
    broker_equity: Decimal

    @property
    def entry(self) -> Fill:
        return self.seen.fills[0]

    @property
    def exit(self) -> Fill:
        """The execution that ended the first position."""
        return self.seen.fills[1]

    @property
    def notional(self) -> Decimal:
        """The first position over the equity."""
        return self.entry.price * self.entry.quantity / BALANCE

    @property
    def planned_loss(self) -> Decimal | None:
        return None if self.stop is None else (self.entry.price - self.stop) * self.entry.quantity

    @property
    def gap_loss(self) -> Decimal:
        """What the first position lost."""
        return -(self.exit.realized_profit or Decimal(0))

    @property
    def loss(self) -> Decimal:
        """What the whole day cost."""
        return BALANCE - self.broker_equity

    @property
    def slippage_pips(self) -> Decimal | None:
        return None if self.stop is None else (self.stop - self.exit.price) / Decimal("0.0001")

    @property
    def highest_level(self) -> BreakerLevel:
        return max(level for _, level in self.seen.levels)

    @property
    def level_at(self) -> int:
        """When the highest level was reached."""
        return next(time for time, level in self.seen.levels if level is self.highest_level)

    @property
    def openings_after(self) -> list[Fill]:
        """What was bought after the first position had ended."""
        return [each for each in self.seen.fills[2:] if each.side is self.entry.side]

    @property
    def vetoes_after(self) -> Counter[str]:
        return Counter(code for time, code in self.seen.vetoes if time > self.day.gap_at)

    @property
    def lowest_equity(self) -> Decimal:
        return min(equity for _, equity in self.seen.equity)


def run(day: Day, variant: Variant) -> Outcome:
    """Run ``variant`` through ``day`` in a folder that is thrown away."""
    with tempfile.TemporaryDirectory() as name:
        return anyio.run(_run, day, variant, Path(name))


async def _run(day: Day, variant: Variant, folder: Path) -> Outcome:
    source, seen, rng, clock = Drawn(day), Seen(), seeded(SEED), ManualClock()
    bars = {day.symbol: source.bars(day.symbol)}
    clock.set(bars[day.symbol].time[0])
    buys_from = day.gap_at - 30 * MINUTE
    strategy = Carry(
        CarrySettings(
            stop=Decimal(day.stop) if variant.stop else None,
            buys_from=buys_from,
            dip_from=day.gap_at + 1 if variant.buys_on else None,
        ),
        strategy_id="carry",
        instruments=(day.symbol,),
        timeframe=FRAME,
        indicators=_no_indicator,
    )
    session = Session(ACCOUNT, _venue(day, variant, source, folder), Watch(), rng)
    link = Link(ACCOUNT, [session], Spelling())
    engine = Engine(
        Wiring(
            clock=clock,
            journal=Journal(folder / "journal", clock),
            decider=Decider([strategy], _gate(variant), Ids(clock, rng)),
            links={ACCOUNT: link},
            preference=lambda _: (ACCOUNT,),
            symbols=(day.symbol,),
            observer=seen,
        )
    )
    found: list[Outcome] = []

    async def feed(running: Engine) -> None:
        await Replay(bars, clock)(running)
        account = await link.account()
        entry = await link.order(seen.fills[0].client_order_id or "")
        found.append(
            Outcome(
                day=day,
                variant=variant,
                seen=seen,
                stop=entry.stop_loss,
                audited=await audit(running),
                broker_balance=account.balance,
                broker_equity=account.equity,
            )
        )

    await engine.run(feed)
    return found[0]


def _venue(day: Day, variant: Variant, source: Drawn, folder: Path) -> Any:  # noqa: ANN401 - a context manager's maker
    settings = PaperSettings.read(
        {
            "account_id": ACCOUNT,
            "currency": day.currency,
            "balance": str(BALANCE),
            "margin_rate": variant.margin_rate,
        },
        ACCOUNT,
    )

    @asynccontextmanager
    async def connected() -> AsyncIterator[Broker]:
        wall = SystemClock()
        broker = PaperBroker(settings, source, folder / ACCOUNT, wall)
        ledger = Ledger(folder / ACCOUNT / "ledger.db", wall)
        async with Remote(serve(broker, ledger=ledger)) as remote:
            yield remote

    return connected


def _gate(variant: Variant) -> Gate:
    catalogue = load_catalogue()
    plugin, settings = variant.sizer
    checks: list[Check[Any]] = []
    if variant.checks is not None:
        checks = [
            catalogue.make("check", name, variant.checks.get(name, {}))
            for name in catalogue.in_order("check")
            if name not in NOT_ASKED
        ]
    rules = BreakerRules() if variant.breaker else BreakerRules.read(NO_BREAKER, "breaker")
    return Gate(catalogue.make("sizer", plugin, dict(settings)), checks, rules)


def _no_indicator(name: str, settings: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the port's
    raise LookupError(f"{name} {settings}")


# --- the table -----------------------------------------------------------------------------------

HEAD = (
    "Day",
    "Variant",
    "Position / equity",
    "Planned loss",
    "Loss in the gap",
    "Past the stop, pips",
    "Lowest equity",
    "Equity at the end",
    "Breaker",
    "Vetoes after the gap",
    "Bought after",
)


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return one line of the table."""
    planned, slipped = outcome.planned_loss, outcome.slippage_pips
    closed_out = outcome.exit.reason is Reason.MARGIN_CLOSE_OUT
    lost = outcome.gap_loss / BALANCE * 100
    level, at = outcome.highest_level, format_time(outcome.level_at)[11:19]
    vetoes = ", ".join(f"{count} {code}" for code, count in outcome.vetoes_after.most_common())
    return (
        outcome.day.name,
        outcome.variant.name,
        f"{outcome.notional:.1f}",
        "no stop" if planned is None else f"{planned:,.0f}",
        f"{outcome.gap_loss:,.0f} ({lost:.0f} %)",
        "margin close-out" if closed_out or slipped is None else f"{slipped:,.0f}",
        f"{outcome.lowest_equity:,.0f}",
        f"{outcome.broker_equity:,.0f}",
        "off" if not outcome.variant.breaker else level.name if not level else f"{level.name} {at}",
        vetoes or "none",
        str(len(outcome.openings_after)),
    )


def runs() -> list[Outcome]:
    """Run everything that the table shows."""
    made = [run(day, variant) for day in (FRANC, STERLING) for variant in variants(day)]
    return [*made, run(STERLING_QUOTED, variants(STERLING_QUOTED)[0])]


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the table's lines, as Markdown."""
    rows = [HEAD, tuple("---" for _ in HEAD), *map(row, outcomes)]
    return [f"| {' | '.join(each)} |" for each in rows]


SAVED = ("Day", "What stood before the orders", "Vetoes", "Saved at the end", "Saved at the worst")


def worth(outcomes: Sequence[Outcome]) -> list[str]:
    """Return, as Markdown, what was saved where the trader buys on, against nothing at all."""
    rows = [SAVED, tuple("---" for _ in SAVED)]
    for day in (FRANC, STERLING):
        mine = [each for each in outcomes if each.day is day and each.variant.buys_on]
        bare = mine[-1]
        rows += [
            (
                day.name,
                each.variant.name.rpartition(": ")[2],
                str(each.vetoes_after.total()),
                f"{each.broker_equity - bare.broker_equity:,.0f}",
                f"{each.lowest_equity - bare.lowest_equity:,.0f}",
            )
            for each in mine[:-1]
        ]
    return [f"| {' | '.join(each)} |" for each in rows]


def main() -> None:
    found = runs()
    print("\n".join([*table(found), "", *worth(found)]))


if __name__ == "__main__":
    main()
