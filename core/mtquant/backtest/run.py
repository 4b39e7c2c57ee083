"""One backtest: a configuration and recorded prices -> a result."""

from __future__ import annotations

import hashlib
import platform
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import numpy as np

from mtquant.assemble import make_gate, make_rules, make_strategies
from mtquant.backtest.collect import Witnessed, costs_of, round_trips
from mtquant.backtest.result import Result, RunCard
from mtquant.backtest.shell import Shell
from mtquant.backtest.venue import Venue
from mtquant.clock import SECOND, Clock, Ids, ManualClock, SystemClock, format_time, seeded
from mtquant.config import Config, StrategyTable
from mtquant.contract import Source
from mtquant.decide import Decider
from mtquant.errors import ConfigError
from mtquant.exchange import PaperSettings, Recorded
from mtquant.exchange.settings import Faults
from mtquant.model import Bar
from mtquant.model.arrays import BarArrays
from mtquant.plugins import Catalogue
from mtquant.secrets import masked

Progress = Callable[[int, float], None]
"""Hears, after each step of the market, its time and the equity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A configuration whose plugins are found and whose prices are read, ready to run.

    ``bars`` are what strategies hear, ``market`` what orders are matched against; both are only
    read, so one preparation serves any number of runs.
    """

    config: Config
    catalogue: Catalogue
    account: str
    settings: PaperSettings
    bars: Mapping[str, BarArrays]
    market: Recorded
    steps: tuple[tuple[int, tuple[Bar, ...]], ...]


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
        source = catalogue.make("source", table.plugin, table.settings, where="market.source")
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
    bars = {symbol: BarArrays.of(source.bars(symbol)) for symbol in symbols}
    return Prepared(
        config=config,
        catalogue=catalogue,
        account=name,
        settings=settings,
        bars=bars,
        market=market,
        steps=_steps(bars),
    )


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


def _steps(bars: Mapping[str, BarArrays]) -> tuple[tuple[int, tuple[Bar, ...]], ...]:
    """Return the bars that end at each time, as a replay hears them."""
    grouped: dict[int, list[Bar]] = defaultdict(list)
    for series in bars.values():
        length = series.timeframe.seconds * SECOND
        for index in range(len(series)):
            bar = series.bar(index)
            grouped[bar.time + length].append(bar)
    return tuple((time, tuple(found)) for time, found in sorted(grouped.items()))


def run(
    prepared: Prepared,
    *,
    seed: int = 0,
    start: int | None = None,
    progress: Progress | None = None,
    watch: Clock | None = None,
) -> Result:
    """Run a prepared backtest and return its result.

    Bars that close before ``start`` (nanoseconds UTC) warm the strategies up and trade nothing.
    ``watch`` measures how long it takes; by default the machine's clock.
    """
    config, catalogue = prepared.config, prepared.catalogue
    watch = watch or SystemClock()
    began = watch.monotonic()
    clock = ManualClock(min(int(each.time[0]) for each in prepared.bars.values()))
    gate = make_gate(config, catalogue, clock)
    strategies = [
        each for name in config.strategies for each in make_strategies(config, catalogue, name)
    ]
    ids = Ids(clock, seeded(seed))
    decider = Decider(strategies, gate, ids, rules=make_rules(config, passive=False))
    venue = Venue(prepared.account, prepared.settings, prepared.market)
    witness = Witnessed()
    shell = Shell(decider, venue, clock, config.preference, witness)
    times, equity, balance, exposure = _play(shell, prepared, start, progress)
    exchange = venue.exchange
    prices = prepared.bars
    card = _card(prepared, seed)
    swap = exchange.balance - prepared.settings.balance - _booked(witness)
    return Result(
        card=card,
        currency=prepared.settings.currency,
        start_balance=prepared.settings.balance,
        final_equity=equity[-1],
        final_balance=balance[-1],
        time=np.array(times, np.int64),
        equity=np.array(equity, np.float64),
        balance=np.array(balance, np.float64),
        exposure=np.array(exposure, np.float64),
        round_trips=round_trips(witness.fills, exchange, witness.intents, prices),
        orders=tuple(exchange.orders.values()),
        fills=tuple(witness.fills),
        rejections=tuple(witness.rejections),
        costs=costs_of(witness.fills, exchange, swap),
        prices=prices,
        instruments=venue.instruments,
        ambiguous_bars=exchange.ambiguous_bars,
        spread_in_data=bool(prepared.market.sides or prepared.market.ticks),
        told=tuple(witness.told),
        seconds=watch.monotonic() - began,
    )


def _play(
    shell: Shell, prepared: Prepared, start: int | None, progress: Progress | None
) -> tuple[list[int], list[Decimal], list[Decimal], list[float]]:
    """Play every step, and return what the account was worth after each."""
    times: list[int] = []
    equity: list[Decimal] = []
    balance: list[Decimal] = []
    exposure: list[float] = []
    steps = prepared.steps
    first = next((index for index, (time, _) in enumerate(steps) if time >= (start or 0)), None)
    if first is None:
        raise ConfigError("start", f"{format_time(start or 0)} is after the last bar", "Set less.")
    for time, bars in steps[:first]:
        shell.warm_up(time, bars)
    if first:
        shell.venue.quiet(steps[first - 1][0])
        shell.clock.set(steps[first - 1][0])
    shell.start(prepared.config.symbols())
    for time, bars in steps[first:]:
        shell.step(time, bars)
        account = shell.venue.exchange.account(time)
        times.append(time)
        equity.append(account.equity)
        balance.append(account.balance)
        exposure.append(float(shell.venue.exposure()))
        if progress is not None:
            progress(time, float(account.equity))
    return times, equity, balance, exposure


def _booked(witness: Witnessed) -> Decimal:
    """Return what the executions alone did to the balance."""
    return sum((each.realized_profit - each.commission for each in witness.fills), start=Decimal(0))


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
        data={symbol: digest(each) for symbol, each in bars.items()},
        config=table,
    )


def digest(bars: BarArrays) -> str:
    """Return the SHA-256 of a series: its times, then its columns, little-endian."""
    found = hashlib.sha256(bars.time.astype("<i8").tobytes())
    columns: Sequence[Any] = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    for column in columns:
        found.update(column.astype("<f8").tobytes())
    return found.hexdigest()
