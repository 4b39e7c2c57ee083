"""One backtest: a configuration and recorded prices -> a result."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from mtquant.backtest.ahead import Ahead, look_ahead, tapes_of
from mtquant.backtest.collect import Witnessed
from mtquant.backtest.history import LateHistory
from mtquant.backtest.lane import Lane
from mtquant.backtest.late import LateCovariance
from mtquant.backtest.memory import Memory, ReadOnce
from mtquant.backtest.once import Once
from mtquant.backtest.quiet import Stillness, day_starts, moves
from mtquant.backtest.result import Result, RunCard
from mtquant.backtest.shell import Shell
from mtquant.backtest.steps import Step, steps_of, times_of
from mtquant.backtest.stretch.reckoner import Reckoner, reckonable
from mtquant.backtest.stretch.screen import volatilities
from mtquant.backtest.tape import Ints, Tape
from mtquant.backtest.tracks import Tracks
from mtquant.backtest.venue import Venue
from mtquant.book import Book
from mtquant.clock import Clock, Ids, ManualClock, SystemClock, format_time, seeded
from mtquant.config import Config, StrategyTable
from mtquant.contract import Source
from mtquant.decide import Decider
from mtquant.errors import ConfigError
from mtquant.exchange import PaperSettings, Recorded
from mtquant.exchange.settings import Faults
from mtquant.making import make_gate, make_rules, make_strategies
from mtquant.model import Mode
from mtquant.model.arrays import BarArrays
from mtquant.plugins import Catalogue
from mtquant.risk import BreakerRules
from mtquant.secrets import masked

Progress = Callable[[int, float], None]
"""Hears, after each step of the market, its time and the equity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration whose plugins are found and whose prices are read, ready to run.

    ``bars`` are what strategies hear, ``market`` what orders are matched against; both are only
    read, so one preparation serves any number of runs. ``tapes`` are the same prices as arrays
    over the ``times`` of the steps, where they can be. ``once`` keeps what follows from the prices.
    """

    config: Config
    catalogue: Catalogue
    account: str
    settings: PaperSettings
    bars: Mapping[str, BarArrays]
    market: Recorded
    steps: Sequence[Step]
    times: Ints
    tapes: Mapping[str, Tape] | None
    once: Once = field(default_factory=Once)


def prepare(config: Config, catalogue: Catalogue, source: Source[Any] | None = None) -> Prepared:
    """Find what ``config`` names and read its prices; ``source`` stands for both of its sources.

    The configuration is that of a replay with one paper account; see
    :func:`mtquant.backtest.setup.configure`. Raises ConfigError or PluginError, which say what to
    change.
    """
    name, settings = _paper(config, catalogue)
    table = config.market.source
    if source is None:
        if table is None:
            raise ConfigError("market.source", "is missing", "Name the source of the prices.")
        source = ReadOnce(
            catalogue.make("source", table.plugin, table.settings, where="market.source")
        )
        prices = dict(settings.prices)
        plugin = str(prices.pop("plugin"))
        same = plugin == table.plugin and prices == table.settings
        priced = source if same else catalogue.make("source", plugin, prices, where="prices")
    else:
        priced = source
    if source.timeframe() is not config.market.timeframe:
        raise ConfigError(
            "market.timeframe",
            f"{config.market.timeframe!s} is not that of the prices",
            f"Set {source.timeframe()}.",
        )
    symbols = config.symbols()
    if not symbols:
        raise ConfigError("strategies", "none is configured", "Name at least one.")
    market = Recorded(settings.symbols or symbols, priced)
    bars = {symbol: source.arrays(symbol) for symbol in symbols}
    steps = steps_of(bars)
    times = times_of(steps)
    return Prepared(
        config=config,
        catalogue=catalogue,
        account=name,
        settings=settings,
        bars=bars,
        market=market,
        steps=steps,
        times=times,
        tapes=tapes_of(market, settings, times),
    )


def repriced(prepared: Prepared, bars: Mapping[str, BarArrays]) -> Prepared:
    """Return ``prepared`` on other prices, which are mids: the spread is that of the terms."""
    return prepare(prepared.config, prepared.catalogue, Memory(bars))


def varied(prepared: Prepared, strategy: str, params: Mapping[str, Any]) -> Prepared:
    """Return ``prepared`` with other settings of a strategy; its prices are read once.

    ``strategy`` is the name of its table in the configuration. Raises ConfigError where there is
    none of that name; what is wrong with a setting is said when it is run.
    """
    config = prepared.config
    if strategy not in config.strategies:
        have = ", ".join(config.strategies)
        raise ConfigError("strategies", f"none is called {strategy!r}", f"There are {have}.")
    table = config.strategies[strategy].model_dump(exclude_unset=True) | dict(params)
    where = f"strategies.{strategy}"
    strategies = dict(config.strategies) | {strategy: StrategyTable.read(table, where)}
    changed = config.model_copy(update={"strategies": strategies})
    return replace(prepared, config=changed)


def _paper(config: Config, catalogue: Catalogue) -> tuple[str, PaperSettings]:
    """Return the one account that is simulated."""
    if len(config.brokers) != 1:
        raise ConfigError(
            "brokers",
            f"a backtest has one account, and {len(config.brokers)} are configured: "
            + ", ".join(config.brokers),
            "Leave one of them.",
        )
    [(name, table)] = config.brokers.items()
    if table.plugin != "paper":
        raise ConfigError(
            f"brokers.{name}",
            "only a paper account can be simulated",
            'Set plugin = "paper", with the terms of your broker.',
        )
    catalogue.get("broker", "paper")
    settings = PaperSettings.read(table.settings, f"brokers.{name}")
    if settings.faults != Faults():
        raise ConfigError(
            f"brokers.{name}.faults", "a backtest has no server that could fail", "Remove it."
        )
    if settings.clock != "stepped":
        raise ConfigError(f"brokers.{name}.clock", "is not stepped", "Remove it.")
    return name, settings.model_copy(update={"account_id": name})


def run(
    prepared: Prepared,
    *,
    seed: int = 0,
    start: int | None = None,
    progress: Progress | None = None,
    stepwise: bool = False,
    watch: Clock | None = None,
) -> Result:
    """Run a prepared backtest and return its result.

    Bars that close before ``start`` (nanoseconds UTC) warm the strategies up and trade nothing.
    ``stepwise`` plays every step in full, where otherwise quiet ones are passed over: the result
    is the same, and a test holds the two against each other. ``watch`` measures how long it takes;
    by default the machine's clock.
    """
    watch = watch or SystemClock()
    began = watch.monotonic()
    first = _first(prepared, start)
    made = _made(prepared, seed, stepwise=stepwise)
    tracks = Tracks(prepared.times)
    _open(made.shell, prepared, first)
    played = _lane(made, prepared, tracks, first) or _each_step(made, prepared, tracks, first)
    for index in played:
        if progress is not None:
            progress(*tracks.at(index))
    return _result(prepared, made, tracks.since(first), seed, watch.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Made:
    """One run's parts; ``ahead`` where the fast way can be gone."""

    shell: Shell
    witness: Witnessed
    rules: BreakerRules
    ahead: Ahead | None


def _made(prepared: Prepared, seed: int, *, stepwise: bool) -> _Made:
    config, catalogue = prepared.config, prepared.catalogue
    clock = ManualClock(min(int(each.time[0]) for each in prepared.bars.values()))
    gate = make_gate(config, catalogue, clock)
    rules = make_rules(config, passive=False)
    strategies = [
        each for name in config.strategies for each in make_strategies(config, catalogue, name)
    ]
    automatic = all(mode is Mode.AUTO for mode in rules.modes.values())
    ahead = None
    if automatic and prepared.tapes is not None and not stepwise:
        ahead = look_ahead(strategies, prepared.steps, prepared.bars, prepared.once)
    book = Book() if ahead is None else Book(covariance=LateCovariance(prepared.steps))
    heard: Sequence[Any] = strategies if ahead is None else ahead.played
    decider = Decider(heard, gate, Ids(clock, seeded(seed)), book, rules, journaled=False)
    if ahead is not None:
        decider.hearing.larger = ahead.made_larger
    venue = Venue(prepared.account, prepared.settings, prepared.market)
    witness = Witnessed()
    return _Made(
        Shell(decider, venue, clock, config.preference, witness), witness, gate.rules, ahead
    )


def _lane(made: _Made, prepared: Prepared, tracks: Tracks, first: int) -> Iterator[int] | None:
    """Return the fast way, where it can be gone."""
    if made.ahead is None or prepared.tapes is None:
        return None
    exchange = made.shell.venue.exchange
    days = prepared.once.ask(
        ("days", made.rules.roll_zone, made.rules.roll_time),
        lambda: day_starts(made.rules, prepared.times),
        lambda found: found.nbytes,
    )
    tapes = prepared.tapes
    moved = prepared.once.ask(
        "moved",
        lambda: moves(tapes, len(prepared.times)),
        lambda found: 0 if found is None else found.nbytes,
    )
    stillness = Stillness(exchange, tapes, prepared.times, made.rules, days, moved)
    ahead = made.ahead
    lane = Lane(made.shell, ahead, stillness, tracks)
    _reckon(made, prepared, lane, stillness, tracks)
    return lane.play(first)


def _reckon(
    made: _Made, prepared: Prepared, lane: Lane, stillness: Stillness, tracks: Tracks
) -> None:
    """Let trading be reckoned instead of played, where that can be done."""
    if made.ahead is None or made.ahead.stream is None or prepared.tapes is None:
        return
    shell, hearers = made.shell, made.ahead.played
    [(symbol, arrays)] = prepared.bars.items()
    tape = prepared.tapes[symbol]
    if not reckonable(shell, hearers, tape, arrays):
        return
    volatility = prepared.once.ask(
        "volatility", lambda: volatilities(arrays), lambda found: found.nbytes
    )
    prices = made.ahead.stream, tape, volatility
    lane.reckon(Reckoner(shell, hearers[0], prices, stillness, tracks, made.witness))


def _each_step(made: _Made, prepared: Prepared, tracks: Tracks, first: int) -> Iterator[int]:
    """Play one step after the other."""
    for index in range(first, len(prepared.steps)):
        time, bars = prepared.steps[index]
        made.shell.step(time, bars)
        tracks.note(index, made.shell.venue)
        yield index


def _result(prepared: Prepared, made: _Made, tracks: Tracks, seed: int, seconds: float) -> Result:
    witness, venue = made.witness, made.shell.venue
    exchange, prices = venue.exchange, prepared.bars
    account = exchange.account(int(prepared.times[-1]))
    paid = exchange.balance - prepared.settings.balance
    return Result(
        card=_card(prepared, seed),
        currency=prepared.settings.currency,
        start_balance=prepared.settings.balance,
        final_equity=account.equity,
        final_balance=account.balance,
        time=tracks.times,
        equity=tracks.equity,
        balance=tracks.balance,
        exposure=tracks.exposure,
        history=LateHistory(witness, exchange, prices, paid),
        rejections=tuple(witness.rejections),
        signals=tuple(witness.signals),
        prices=prices,
        instruments=venue.instruments,
        ambiguous_bars=exchange.ambiguous_bars,
        spread_in_data=bool(prepared.market.side_arrays or prepared.market.ticks),
        told=tuple(witness.told),
        seconds=seconds,
    )


def _first(prepared: Prepared, start: int | None) -> int:
    """Return the first step at which is traded; raises ConfigError where there is none."""
    first = int(np.searchsorted(prepared.times, start or 0))
    if first == len(prepared.times):
        raise ConfigError("start", f"{format_time(start or 0)} is after the last bar", "Set less.")
    return first


def _open(shell: Shell, prepared: Prepared, first: int) -> None:
    """Warm the strategies up with what came before step ``first``, and open the account."""
    steps = prepared.steps
    for time, bars in steps[:first]:
        shell.warm_up(time, bars)
    if first:
        shell.venue.quiet(steps[first - 1][0])
        shell.clock.set(steps[first - 1][0])
    shell.start(prepared.config.symbols())


def _card(prepared: Prepared, seed: int) -> RunCard:
    bars = prepared.bars
    table = masked(prepared.config.model_dump(mode="json", exclude_none=True))
    return RunCard(
        version=version("mtquant"),
        python=platform.python_version(),
        seed=seed,
        symbols=tuple(bars),
        timeframe=prepared.config.market.timeframe,
        first=min(int(each.time[0]) for each in bars.values()),
        last=max(int(each.time[-1]) for each in bars.values()),
        bars=sum(len(each) for each in bars.values()),
        data={symbol: each.digest() for symbol, each in bars.items()},
        config=table,
    )
