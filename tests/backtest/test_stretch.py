"""What is reckoned in whole numbers is what would have been played, to the last digit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mtquant import Settings, Strategy
from mtquant.backtest import Result
from mtquant.backtest.lane import Lane
from mtquant.backtest.memory import Memory
from mtquant.backtest.run import Prepared, prepare, run
from mtquant.backtest.setup import configure, table_of, without_risk
from mtquant.backtest.stretch.reckoner import Reckoner
from mtquant.clock import SECOND, parse_time, seeded
from mtquant.contract import Finding, Proposal, RiskState, Wishes
from mtquant.model import Bar, Bars, Signal, Timeframe
from mtquant.model.arrays import BarArrays, Floats
from mtquant.plugins import load_catalogue
from mtquant_risk.order import OrderSize
from mtquant_risk.sizing import FixedQuantity

D = Decimal
START = parse_time("2024-03-04T00:00:00Z")
PRICES = {"EUR/USD": 1.1, "USD/JPY": 145.0, "EUR/JPY": 160.0, "GBP/JPY": 185.0, "XAU/USD": 2000.0}
DIGITS = {"EUR/USD": 5, "USD/JPY": 3, "EUR/JPY": 3, "GBP/JPY": 3, "XAU/USD": 2}
_WEEK, _OPEN = 7 * 86_400, 5 * 86_400


# --- a strategy that says anything -----------------------------------------------------------


class TalkerSettings(Settings):
    """``talk`` is how often it speaks, ``odd`` how often of that it says what makes no sense.

    ``size`` is how far stops and targets stand, in pips; ``stops`` and ``takes`` how many of its
    wishes have one. ``tame``: it wishes nothing twice, and distances that a trader would.
    """

    seed: int = 0
    talk: float = 0.1
    odd: float = 0.0
    size: float = 10.0
    stops: float = 0.5
    takes: float = 0.5
    tame: bool = False
    fails_at: int = 0


class Talker(Strategy[TalkerSettings]):
    """Says whatever its seed draws, whatever the prices do."""

    name = "talker"

    def on_start(self) -> None:
        """Begin to draw."""
        self.drawn = seeded(self.settings.seed)
        self.bars = 0

    def on_bar(self, bar: Bar) -> Wishes:
        """Say something, or nothing."""
        self.bars += 1
        if self.bars == self.settings.fails_at:
            raise RuntimeError("out of ideas")
        if self.drawn.random() >= self.settings.talk:
            return None
        if self.drawn.random() < self.settings.odd:
            return self._odd(bar)
        return self._wish()

    def _wish(self) -> Signal:
        say = self.drawn.choice((self.long, self.short, self.flat, self.long, self.short))
        if self.settings.tame:
            say = self.flat if self.bars % 2 else (self.long, self.short)[self.bars // 2 % 2]
        shares = self.settings.stops, self.settings.takes
        stop, take = (self._distance() if self.drawn.random() < share else None for share in shares)
        return say(
            f"wish {self.bars}",
            stop_distance=stop,
            take_profit_distance=take,
            confidence=self.drawn.choice((1.0, 1.0, 0.25, 1 / 3, 0.0)),
        )

    def _distance(self) -> Decimal:
        """Return a distance of about so many pips, often with digits that no price has."""
        if self.settings.tame:
            return D(repr(self.settings.size)).scaleb(1 - DIGITS[self.instrument])
        pip = 10.0 ** (1 - DIGITS[self.instrument])
        digits = self.drawn.choice((5, 9, 17))
        size = pip * self.settings.size * self.drawn.choice((0.01, 0.2, 1.0, 1.0, 3.0, 20.0))
        return D(max(size * self.drawn.random(), 1e-5)).quantize(D(1).scaleb(-digits)) or D("1E-5")

    def _odd(self, bar: Bar) -> Wishes:
        kind = self.drawn.randrange(6)
        if kind == 0:
            return [self._wish(), self._wish()]
        if kind == 1:
            return self.long("elsewhere", instrument="AUD/USD")
        if kind == 2:
            return replace(self._wish(), direction=2)
        if kind == 3:
            return self.long("no distance", stop_distance=D(-1))
        if kind == 4:
            return self.short("no confidence", confidence=1.5)
        self.state = {"bar": bar.time, "said": self.state.get("said", 0) + 1}
        return []


class Listener(Talker):
    """Speaks of executions, too: it can't be heard ahead."""

    name = "listener"

    def on_fill(self, fill: object) -> Wishes:  # noqa: ARG002 - its base's
        """Say something of every third execution."""
        return self._wish() if self.drawn.random() < 0.3 else None


class ReaderSettings(Settings):
    """At which bars it says long or flat, with protections how far away.

    ``keeps_at``: the bar at which it keeps what is no JSON.
    """

    long: tuple[int, ...] = ()
    flat: tuple[int, ...] = ()
    distance: Decimal | None = None
    keeps_at: int = -1


class Reader(Strategy[ReaderSettings]):
    """Says what it is told to say."""

    name = "reader"

    def on_start(self) -> None:
        """Begin to count."""
        self.bars = -1

    def on_bar(self, bar: Bar) -> Wishes:  # noqa: ARG002 - its base's
        """Read what is to be said at this bar."""
        self.bars += 1
        wanted = self.settings
        if self.bars == wanted.keeps_at:
            self.state = {"close": D(1)}
        if self.bars in wanted.long:
            far = wanted.distance
            return self.long("told so", stop_distance=far, take_profit_distance=far)
        return self.flat("told so") if self.bars in wanted.flat else None


CATALOGUE = load_catalogue()
for each in (Talker, Listener, Reader):
    CATALOGUE.add("strategy", each, "your own", "")


# --- prices ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Walk:
    """How prices go: ``pips`` a bar, and the shares of bars that are wild, still or lack."""

    seed: int = 0
    pips: float = 5.0
    jumps: float = 0.0
    still: float = 0.0
    holes: float = 0.0
    outside: float = 0.0
    weekends: bool = False

    def series(self, symbol: str, timeframe: Timeframe, count: int, skip: int = 0) -> BarArrays:
        """Return ``count`` bars less those that lack; the first ``skip`` lack in any case."""
        drawn = np.random.default_rng([self.seed, *symbol.encode()])
        digits = DIGITS[symbol]
        pip = 10.0 ** (1 - digits)
        moves = drawn.normal(0, self.pips, count)
        moves += np.where(drawn.random(count) < self.jumps, drawn.normal(0, 60, count), 0)
        moves[drawn.random(count) < self.still] = 0
        # Drawn back to where it began, so that no price comes near zero.
        level, close = 0.0, np.zeros(count)
        for index, move in enumerate(moves):
            level = 0.995 * level + move
            close[index] = PRICES[symbol] + pip * level
        gap = np.where(drawn.random(count) < 0.5, 0, drawn.normal(0, self.pips, count)) * pip
        opened = np.concatenate(([PRICES[symbol]], close[:-1])) + np.where(moves == 0, 0, gap)
        opened[drawn.random(count) < self.jumps] += pip * 30
        reach = np.abs(drawn.normal(0, self.pips, (2, count))) * pip * (moves != 0)
        high = np.maximum(opened, close) + reach[0]
        low = np.minimum(opened, close) - reach[1]
        opened += np.where(drawn.random(count) < self.outside, 3 * self.pips * pip, 0)
        seconds = np.arange(count, dtype=np.int64) * timeframe.seconds
        if self.weekends and timeframe.seconds < _OPEN:
            seconds += seconds // _OPEN * (_WEEK - _OPEN)
        keep = drawn.random(count) >= self.holes
        keep[:skip] = False
        keep[-1] = True
        columns = [np.round(each, digits)[keep] for each in (opened, high, low, close)]
        return _arrays(symbol, timeframe, START + seconds[keep] * SECOND, columns)


def _arrays(symbol: str, timeframe: Timeframe, time: Any, columns: list[Floats]) -> BarArrays:  # noqa: ANN401 - an array
    opened, high, low, close = columns
    return BarArrays(
        instrument=symbol,
        timeframe=timeframe,
        time=time,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=np.ones(len(time)),
    )


class TwoSided(Memory):
    """Bars with a bid and an ask of their own, which cross at times."""

    def sides(self, symbol: str) -> tuple[Bars, Bars] | None:
        """Return the bars, and the same some points higher or lower."""
        bars = self.arrays(symbol)
        points = np.random.default_rng(len(bars)).integers(-2, 15, len(bars))
        spread: Floats = points.astype(np.float64) * 10.0 ** -DIGITS[symbol]
        columns = [
            np.round(each + spread, DIGITS[symbol])
            for each in (bars.open, bars.high, bars.low, bars.close)
        ]
        return bars.bars(), _arrays(symbol, bars.timeframe, bars.time, columns).bars()


# --- scenes ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A backtest in the making; ``others`` are symbols that only turn money into money."""

    symbol: str = "EUR/USD"
    others: tuple[str, ...] = ()
    timeframe: Timeframe = Timeframe.H1
    count: int = 600
    late: int = 0
    walk: Walk = Walk()
    two_sided: bool = False
    strategy: str = "talker"
    params: Mapping[str, Any] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    risk: Mapping[str, Any] = field(default_factory=dict)
    checked: bool = True
    start: float = 0.0

    def prepared(self) -> Prepared:
        """Return it ready to run."""
        series = {self.symbol: self.walk.series(self.symbol, self.timeframe, self.count)}
        whole = replace(self.walk, holes=0.0)
        for name in self.others:
            found = whole.series(name, self.timeframe, self.count, self.late)
            series[name] = _at(found, series[self.symbol], self.walk.seed, self.walk.holes)
        source = (TwoSided if self.two_sided else Memory)(series)
        account = dict(self.account)
        if self.others:
            account["symbols"] = [self.symbol, *self.others]
        table = table_of(
            self.strategy,
            (self.symbol,),
            self.timeframe,
            source={"plugin": source.name},
            params=self.params,
            account=account,
            risk=self.risk,
        )
        if not self.checked:
            without_risk(table, CATALOGUE)
            table["risk"].update({key: self.risk[key] for key in self.risk.keys() & {"breaker"}})
        return prepare(configure(table), CATALOGUE, source)


def _at(found: BarArrays, traded: BarArrays, seed: int, holes: float) -> BarArrays:
    """Return those of ``found`` that end when one of ``traded`` does, less some."""
    keep = np.isin(found.time, traded.time)
    keep[:-1] &= np.random.default_rng(seed).random(len(found) - 1) >= holes
    columns = [each[keep] for each in (found.open, found.high, found.low, found.close)]
    return _arrays(found.instrument, found.timeframe, found.time[keep], columns)


def same(one: Result, other: Result) -> None:
    """Require that two results are the same, to the last digit."""
    for name in (
        "fills",
        "orders",
        "rejections",
        "signals",
        "told",
        "round_trips",
        "costs",
        "final_equity",
        "final_balance",
        "ambiguous_bars",
    ):
        assert getattr(one, name) == getattr(other, name), name
    for name in ("time", "equity", "balance", "exposure"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def both(scene: Scene) -> Result:
    """Run a scene both ways, require that they agree, and return what came of it."""
    made = scene.prepared()
    start = int(made.times[int(scene.start * (len(made.times) - 1))]) if scene.start else None
    fast, whole = run(made, start=start), run(made, start=start, stepwise=True)
    same(fast, whole)
    return whole


@st.composite
def some(draw: st.DrawFn, /, most: int, **choices: st.SearchStrategy[Any]) -> dict[str, Any]:
    """Draw at most so many settings."""
    names = draw(st.lists(of(*choices), max_size=most, unique=True))
    return {name: draw(choices[name]) for name in names}


def of(*values: Any) -> st.SearchStrategy[Any]:  # noqa: ANN401 - whatever a setting takes
    """Draw one of ``values``."""
    return st.sampled_from(values)


MARKETS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("EUR/USD", "USD", ()),
    ("EUR/USD", "EUR", ()),
    ("EUR/USD", "JPY", ("USD/JPY",)),
    ("USD/JPY", "USD", ()),
    ("USD/JPY", "JPY", ()),
    ("USD/JPY", "EUR", ("EUR/JPY",)),
    ("USD/JPY", "EUR", ("EUR/USD",)),
    ("GBP/JPY", "USD", ("USD/JPY",)),
    ("GBP/JPY", "EUR", ("EUR/USD", "USD/JPY")),
    ("EUR/JPY", "USD", ("USD/JPY",)),
    ("XAU/USD", "USD", ()),
)
WALKS = st.builds(
    Walk,
    seed=st.integers(0, 10**6),
    pips=of(0.3, 2.0, 5.0, 15.0, 60.0),
    jumps=of(0.0, 0.0, 0.02, 0.2),
    still=of(0.0, 0.0, 0.3, 0.9),
    holes=of(0.0, 0.0, 0.1, 0.6),
    outside=of(0.0, 0.0, 0.2),
    weekends=st.booleans(),
)
PARAMS = st.fixed_dictionaries(
    {"seed": st.integers(0, 10**6), "talk": of(0.003, 0.03, 0.2, 0.9)},
    optional={
        "odd": of(0.02, 0.3),
        "size": of(1.0, 10.0, 100.0),
        "stops": of(0.0, 1.0, 0.9),
        "takes": of(0.0, 1.0),
        "tame": st.booleans(),
        "fails_at": of(0, 0, 0, 40, 600),
    },
)
ACCOUNTS = some(
    6,
    balance=of("100", "3000", "10000", "1000000", "12345.6789", "1000.00005"),
    spread_pips=of("0", "0.3", "2.5", "11", "0.123"),
    commission_per_million=of("20", "33.3333"),
    commission_per_unit=of("0.00002", "0.0000137"),
    commission_per_trade=of("1.5", "0.00005"),
    commission_rate=of("0.00002", "0.0000123"),
    slippage_pips=of("0.2", "3"),
    slippage_random_pips=of("0.4", "7"),
    swap_long=of("-0.5", "0.7"),
    swap_short=of("0.1", "-1.3"),
    swap_unit=of("pips", "annual_rate"),
    margin_rate=of("0.02", "0.5", "1"),
    margin_call_level=of("2"),
    close_out_level=of("0.9", "0"),
    minimum_stop_pips=of("2", "7.5"),
    quantity_step=of("1", "0.01"),
    quantity_min=of("1000", "5000"),
    quantity_max=of("20000", "2000000"),
    seed=of(7),
)
ADJUSTED = some(
    3,
    by_confidence=st.booleans(),
    by_correlation=of(True),
    drawdown_to=of("0.02"),
)


def sizer(plugin: str, **choices: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw the table of a sizer."""
    own = st.fixed_dictionaries({"plugin": st.just(plugin)}, optional=choices)
    plain = st.tuples(own, st.one_of(st.just({}), ADJUSTED))
    return plain.map(lambda each: each[0] | each[1])


SIZERS = st.one_of(
    sizer("fixed_quantity", quantity=of("1000", "33333", "1000000")),
    sizer("fixed_fraction", fraction=of("0.001", "0.02", "0.3")),
    sizer("kelly", min_trades=of(3, 30), start_fraction=of("0.02")),
    sizer("volatility_target", target=of("0.05", "0.5")),
)


def _levels(part: Decimal, halt: Decimal) -> dict[str, Any]:
    """Return thresholds of the breaker from so small a loss on."""
    return {
        "warn_at": str(part),
        "warn_clears_under": str(part / 2),
        "warn_clears_after_s": 3600,
        "reduce_at": str(part * 2),
        "reduce_clears_under": str(part * D("1.9")),
        "halt_at": str(part * halt),
    }


LEVELS = st.builds(_levels, of(D("0.001"), D("0.005"), D("0.02")), of(D("2.5"), D(20)))
LIMITS = some(
    3,
    day_loss_limit=of("0.002", "0.02"),
    week_loss_limit=of("0.004", "0.05"),
    max_drawdown=of("0.03", "0.2"),
    close_share=of("0.37", "1"),
    flatten=of(True),
    warned_size=of("0.31"),
    roll_time=of("09:15"),
)
BREAKERS = st.builds(lambda one, other: one | other, st.one_of(st.just({}), LEVELS), LIMITS)
CHECKS = some(
    2,
    notional=of({"max_order": "0.5"}, {"max_gross": "2"}),
    throttle=of({"per_day": 3}, {"per_day": 17}, {"per_minute": 1}),
    repeated_order=of({"count": 2, "window_s": "86400"}, {"count": 3, "window_s": "400000"}),
    duplicate=of({"window_s": "7200"}, {"window_s": "300000"}),
    portfolio_risk=of({"max_volatility": "0.05"}, {"max_cluster": "1"}, {"required": True}),
    spread=of({"max_fraction": "0.00003"}, False),
    currency_exposure=of({"max_net": "0.8"}),
    budgets=of({"others": {"max_loss": "0.001"}}, {"others": {"per_day": 2}}),
    position_limit=of({"max_quantity": "7000"}),
    order_size=of({"max_quantity": "9000"}),
    margin=of({"min_level": "20"}, False),
    stop_required=of({"required": True}),
    regulatory=of({"profile": "us"}, {"profile": "esma"}),
    price_collar=of({"spreads": "0.1", "fraction": "0.00005"}),
    trading_hours=of({"calendars": {"forex": "forex"}}),
    open_orders=of({"max_orders": 1}),
)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Draw a scene."""
    symbol, currency, others = draw(of(*MARKETS))
    account = draw(ACCOUNTS)
    risk: dict[str, Any] = {"sizer": draw(SIZERS)}
    risk |= draw(some(1, breaker=BREAKERS))
    checks = {"portfolio_risk": {"max_volatility": "100"}} | draw(CHECKS)
    return Scene(
        symbol=symbol,
        others=others,
        timeframe=Timeframe(draw(of("M1", "M15", "H1", "H1", "D1"))),
        count=draw(of(40, 300, 700, 1100)),
        late=draw(of(0, 0, 0, 30)) if others else 0,
        walk=draw(WALKS),
        two_sided=draw(of(False, False, False, True)) and not others,
        strategy=draw(of("talker", "talker", "talker", "talker", "talker", "talker", "listener")),
        params=draw(PARAMS),
        account={"balance": "10000000" if currency == "JPY" else "100000"}
        | account
        | {"currency": currency},
        risk=risk | {"checks": checks},
        checked=draw(of(True, True, True, False)),
        start=draw(of(0.0, 0.0, 0.3)),
    )


# --- tests -----------------------------------------------------------------------------------


def counted(patch: pytest.MonkeyPatch) -> list[int]:
    """Note in the list the steps that are played with the live objects."""
    found: list[int] = []
    play = Lane._play_one

    def noted(lane: Lane, index: int) -> None:
        found.append(index)
        play(lane, index)

    patch.setattr(Lane, "_play_one", noted)
    return found


ORDINARY = Scene(
    count=3000,
    timeframe=Timeframe.M15,
    walk=Walk(seed=5, holes=0.02, weekends=True),
    params={"seed": 2, "talk": 0.2, "stops": 1.0, "tame": True, "size": 20.0},
    account={"balance": "1000000", "slippage_random_pips": "0.4", "commission_per_million": "20"},
    risk={"sizer": {"plugin": "fixed_fraction", "fraction": "0.0005"}},
)
QUANTITY = {"sizer": {"plugin": "fixed_quantity", "quantity": "20000"}}


@pytest.mark.parametrize(
    "scene",
    [
        ORDINARY,
        replace(ORDINARY, symbol="GBP/JPY", others=("EUR/USD", "USD/JPY"), risk=QUANTITY),
        replace(ORDINARY, two_sided=True, start=0.3, risk=QUANTITY),
    ],
    ids=["home", "abroad", "two_sided"],
)
def test_most_is_reckoned_and_little_played(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    made = scene.prepared()
    played = counted(monkeypatch)
    start = int(made.times[int(scene.start * len(made.times))])
    fast = run(made, start=start)
    assert len(fast.fills) > 150
    assert {each.exit_reason for each in fast.round_trips} >= {"signal", "stop_loss", "take_profit"}
    assert len(played) < len(fast.fills) / 4
    same(fast, run(made, start=start, stepwise=True))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(scene=scenes())
def test_whatever_is_said_and_set_what_is_reckoned_is_what_is_played(scene: Scene) -> None:
    both(scene)


@st.composite
def on_the_edge(draw: st.DrawFn) -> Scene:
    """Draw a scene whose account bears what it holds, but little more."""
    symbol, currency, others = draw(of(*MARKETS[:-1]))
    base = symbol.partition("/")[0]
    # What a unit of each currency is worth in dollars, about.
    worth = {"USD": 1.0, "EUR": 1.1, "GBP": 1.276, "JPY": 1 / 145}
    part = draw(of(0.03, 0.2, 0.7))
    balance = 20_000 * worth[base] / worth[currency] * part * draw(of(1.02, 1.1, 1.5))
    return Scene(
        symbol=symbol,
        others=others,
        timeframe=Timeframe(draw(of("M15", "H1", "D1"))),
        count=draw(of(200, 500)),
        walk=draw(WALKS),
        params=draw(PARAMS),
        account={
            "currency": currency,
            "balance": str(round(balance, 2)),
            "margin_rate": str(part),
            "close_out_level": draw(of("0.5", "0.9", "0.99", "1")),
            "slippage_pips": draw(of("0", "2")),
            "swap_long": draw(of("0", "-1.1")),
        },
        risk=QUANTITY,
        checked=False,
    )


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(scene=on_the_edge())
def test_an_account_is_closed_out_where_it_would_be(scene: Scene) -> None:
    both(scene)


@dataclass(slots=True)
class Interrupted:
    """Stops reckoning after a few steps each time, and counts how often that led somewhere."""

    seed: int
    stretches: int = 0

    def install(self, patch: pytest.MonkeyPatch, longest: int) -> None:
        """Let the reckoner go ``longest`` steps at most, and the players go on at any time."""
        drawn, go, still = seeded(self.seed), Reckoner.go, Lane._still

        def short(reckoner: Reckoner, first: int) -> Iterator[int]:
            last = reckoner._last
            reckoner._last = min(last, first + drawn.randint(1, longest))
            reckoner._ahead = drawn.randint(1, longest)
            reckoner._wait = 0
            try:
                for come in go(reckoner, first):
                    yield come
                    self.stretches += 1
            finally:
                reckoner._last = last

        def moved(lane: Lane) -> bool:
            return drawn.random() < 0.5 and still(lane)

        patch.setattr(Reckoner, "go", short)
        patch.setattr(Lane, "_still", moved)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(scene=scenes(), seed=st.integers(0, 10**6), longest=of(1, 3, 10, 40))
def test_the_players_can_take_over_anywhere(scene: Scene, seed: int, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        Interrupted(seed).install(patch, longest)
        both(scene)


@pytest.mark.parametrize("longest", [1, 7, 50])
def test_hundreds_of_turns_leave_no_trace(longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = Interrupted(longest)
    interrupted.install(monkeypatch, longest)
    params = dict(ORDINARY.params) | {"takes": 1.0, "tame": False, "size": 20.0}
    whole = both(replace(ORDINARY, count=800, params=params, risk=QUANTITY))
    assert {"stop_loss", "take_profit"} <= {each.exit_reason for each in whole.round_trips}
    assert interrupted.stretches > 30


# --- one thing at a time ---------------------------------------------------------------------


BUSY = Scene(
    params={"seed": 3, "talk": 0.3, "stops": 1.0, "takes": 1.0},
    account={"balance": "1000000"},
    risk=QUANTITY,
)


@pytest.mark.parametrize("symbol", ["EUR/JPY", "GBP/JPY", "USD/JPY"])
def test_what_a_bar_fills_is_paid_at_the_rate_of_that_moment(symbol: str) -> None:
    """Symbols have their prices of a moment one after the other, in the order of their names."""
    currency, other = ("EUR", "EUR/USD") if symbol == "USD/JPY" else ("USD", "USD/JPY")
    account = BUSY.account | {"currency": currency, "commission_rate": "0.0000123"}
    whole = both(replace(BUSY, symbol=symbol, others=(other,), account=account))
    assert {"stop_loss", "take_profit"} <= {each.exit_reason for each in whole.round_trips}


def test_a_close_out_may_come_between_the_prices_of_two_symbols() -> None:
    """Both fall at one time: half-way the margin is gone, and neither before nor after."""
    frame, drop = Timeframe.H1, np.repeat([0, 1], [300, 100])
    series = {
        name: _arrays(
            name, frame, START + np.arange(400) * frame.seconds * SECOND, [before + by * drop] * 4
        )
        for name, before, by in (("GBP/JPY", 185.0, -2.0), ("USD/JPY", 145.0, 55.0))
    }
    account = {"balance": "1000", "spread_pips": "0", "close_out_level": "0.9"}
    table = table_of(
        "reader",
        ("GBP/JPY",),
        frame,
        source={"plugin": Memory.name},
        params={"long": [2]},
        account=account | {"symbols": list(series)},
        risk=QUANTITY,
    )
    without_risk(table, CATALOGUE)
    made = prepare(configure(table), CATALOGUE, Memory(series))
    whole = run(made, stepwise=True)
    assert [each.exit_reason for each in whole.round_trips] == ["margin_close_out"]
    same(run(made), whole)


def test_nothing_is_opened_before_a_rate_is_known() -> None:
    account = BUSY.account | {"currency": "USD"}
    scene = replace(BUSY, symbol="GBP/JPY", others=("USD/JPY",), account=account, late=100)
    whole = both(scene)
    assert "no_rate" in {each.code for each in whole.rejections}
    assert whole.fills


def test_volatility_is_that_of_every_bar() -> None:
    risk = QUANTITY | {"checks": {"portfolio_risk": {"max_volatility": "0.001"}}}
    whole = both(replace(BUSY, walk=Walk(seed=1, holes=0.2), risk=risk))
    assert "portfolio_volatility" in {each.code for each in whole.rejections}


@pytest.mark.parametrize(
    "account",
    [
        {"quantity_step": "0.01"},
        {"quantity_step": "1", "commission_per_million": "33.333333333333"},
        {"quantity_step": "1", "commission_rate": "0.000012345678901234"},
        {"balance": "987654321098765.4321"},
        {"balance": "1000000000000.0001"},
        {"balance": "1000.00005"},
    ],
)
def test_numbers_of_many_digits_are_reckoned_or_left_to_others(account: dict[str, Any]) -> None:
    sizer = {"plugin": "fixed_quantity", "quantity": "7770.11", "by_confidence": True}
    made = replace(BUSY, account=BUSY.account | account, risk={"sizer": sizer})
    assert both(made).fills


@pytest.mark.parametrize(
    "distance", ["0.001", "0.001000000000000000000000000001", "0.0009999999999999999999999999999"]
)
def test_protections_stand_where_the_gate_puts_them(distance: str) -> None:
    bars = list(range(0, 600, 6))
    params = {"long": bars, "flat": [each + 3 for each in bars], "distance": distance}
    assert both(replace(BUSY, strategy="reader", params=params)).fills


def test_a_state_that_cannot_be_kept_fails_the_strategy_at_its_bar() -> None:
    params = {"long": [20, 150, 400], "flat": [100, 200], "keeps_at": 300}
    whole = both(replace(BUSY, strategy="reader", params=params))
    [(time, _, message)] = whole.told
    assert time == whole.time[300]
    assert "is not JSON serializable" in message
    assert len(whole.fills) == 4


@pytest.mark.parametrize("check", [{"duplicate": {}}, {"repeated_order": {"count": 1}}])
@pytest.mark.parametrize("window", ["86400", "300000", "1000000"])
def test_a_window_may_be_longer_than_a_day(check: dict[str, Any], window: str) -> None:
    """The second order comes in another part of a stretch than the first."""
    [(name, wanted)] = check.items()
    checks = {name: wanted | {"window_s": window}}
    params = {"long": [253, 257], "flat": [254, 258]}
    scene = replace(BUSY, timeframe=Timeframe.D1, strategy="reader", params=params)
    whole = both(replace(scene, risk=QUANTITY | {"checks": checks}))
    assert len(whole.fills) == (2 if window == "1000000" else 4)


def test_what_was_refused_is_tried_again_at_the_next_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    Interrupted(1).install(monkeypatch, 1)
    account = {"currency": "EUR", "balance": "765.6", "margin_rate": "0.03", "slippage_pips": "2"}
    scene = Scene(
        symbol="GBP/JPY",
        others=("EUR/USD", "USD/JPY"),
        count=200,
        walk=Walk(seed=1, pips=2.0, jumps=0.2, holes=0.1, weekends=True),
        params={"seed": 61, "talk": 0.9},
        account=account | {"close_out_level": "0.9"},
        risk=QUANTITY,
        checked=False,
    )
    assert "insufficient_margin" in {each.code for each in both(scene).rejections}


class Weekday(OrderSize):
    """A stranger's check, made of another: it doesn't take an order at every third hour either."""

    name = "weekday"

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Look at the hour."""
        if state.time // (3600 * SECOND) % 3 == 0:
            return self.veto("third", "nothing is opened at every third hour")
        return super().review(proposal, state)


class Half(FixedQuantity):
    """A stranger's sizer, made of another: half of it by night."""

    name = "half"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
        """Look at the hour."""
        night = state.time // (3600 * SECOND) % 24 < 6
        return super().size(signal, state, price) * (D("0.5") if night else 1)


def test_a_promise_of_another_class_is_none() -> None:
    catalogue = load_catalogue()
    catalogue.add("check", Weekday, "tests", "0")
    catalogue.add("sizer", Half, "tests", "0")
    source = {"plugin": "walk", "bars": 600, "timeframe": "H1"}
    params = {"fast": 3, "slow": 8}
    for risk in (
        {"checks": {"weekday": {}}, "sizer": {"plugin": "fixed_quantity"}},
        {"sizer": {"plugin": "half"}, "checks": {"weekday": False}},
    ):
        table = table_of("sma_cross", ["EUR/USD"], "H1", source=source, params=params, risk=risk)
        made = prepare(configure(table), catalogue)
        fast = run(made)
        whole = run(made, stepwise=True)
        codes = {each.code for each in whole.rejections}
        assert len({each.quantity for each in whole.fills}) > 1 or "third" in codes
        same(fast, whole)
