"""How a recorded run is played again: its configuration, with one simulated account and prices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from statistics import median
from typing import Any

from mtquant.backtest.memory import Memory
from mtquant.backtest.run import Prepared, prepare
from mtquant.config import Config
from mtquant.drift.recorded import Recorded, series
from mtquant.errors import ConfigError
from mtquant.model import Timeframe, plain
from mtquant.model.arrays import BarArrays
from mtquant.plugins import Catalogue
from mtquant.secrets import masked

_OF_A_SERVER = {"clock", "speed", "rebase", "history", "faults"}
_OF_INSTRUMENT = (
    *("pip_size", "price_step", "quantity_min", "quantity_max", "quantity_step"),
    *("contract_size", "margin_rate", "swap_long", "swap_short", "swap_unit"),
)
_COMPARED = ("strategies", "risk", "combine", "approval", "market.timeframe", "market.source")


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting that was another one in the run: its dotted key, and both values as text."""

    key: str
    recorded: str
    replayed: str

    def __str__(self) -> str:
        """Say it in a sentence's part."""
        return f"{self.key} was {self.recorded}, is {self.replayed} in the replay"


def differing(recorded: Mapping[str, Any], replayed: Mapping[str, Any]) -> list[Setting]:
    """Return the settings that bear on trading and aren't the same in two configurations."""
    one, other = dict(_flat(recorded)), dict(_flat(replayed))
    return [
        Setting(key, _said(one.get(key)), _said(other.get(key)))
        for key in dict.fromkeys((*one, *other))
        if key.startswith(_COMPARED) and _same(one.get(key)) != _same(other.get(key))
    ]


def account_settings(
    recorded: Mapping[str, Any], replayed: Mapping[str, Any], traded: str, account: str
) -> list[Setting]:
    """Return the terms of a paper account that aren't the same in two configurations.

    It is called ``traded`` in the run and ``account`` in the replay.
    """
    both = [
        recorded.get("brokers", {}).get(traded, {}),
        replayed.get("brokers", {}).get(account, {}),
    ]
    if any(each.get("plugin") != "paper" for each in both):
        return []
    one, other = (dict(_flat(each, f"brokers.{account}")) for each in both)
    left_out = {f"brokers.{account}.{name}" for name in (*_OF_A_SERVER, "balance")}
    return [
        Setting(key, _said(one.get(key)), _said(other.get(key)))
        for key in dict.fromkeys((*one, *other))
        if ".".join(key.split(".")[:3]) not in left_out
        and _same(one.get(key)) != _same(other.get(key))
    ]


def _flat(value: Any, where: str = "") -> Iterator[tuple[str, object]]:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _flat(each, f"{where}.{key}".lstrip("."))
    elif not isinstance(value, Mapping):
        yield where, value


def _same(value: object) -> object:
    """Return what is equal for values that mean the same: 0.5, "0.50" and 5e-1."""
    if not isinstance(value, bool):
        with suppress(InvalidOperation):
            return Decimal(str(value)).normalize()
    return json.dumps(value, sort_keys=True)


def _said(value: object) -> str:
    return "not set" if value is None else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A replay that is ready: ``config`` is JSON-ready, ``notes`` say what was assumed.

    ``traded`` is the run's account that it stands for, by its name there. ``from_journal`` is true
    where its prices are the bars that the journal holds.
    """

    prepared: Prepared
    traded: str
    config: Mapping[str, Any]
    from_journal: bool
    notes: tuple[str, ...]


def set_up(found: Recorded, config: Config, catalogue: Catalogue, *, given: bool) -> Setup:
    """Return what plays ``found`` again under ``config``; ``given``: it isn't the journal's own.

    Raises ConfigError or PluginError where that can't be run.
    """
    notes: list[str] = []
    whole = masked(config.model_dump(mode="json", exclude_none=True))
    traded = _traded(found, config)
    account = traded if traded in config.brokers else _preferred(config)
    table = config.model_dump(mode="json", exclude_unset=True)
    replays = config.market.feed == "replay" and config.market.source is not None
    source = None if replays else _source(found, config.market.timeframe)
    broker = table["brokers"][account]
    if broker.get("plugin") == "paper":
        broker = {key: each for key, each in broker.items() if key not in _OF_A_SERVER}
    else:
        broker = _terms(found, traded)
        notes.append(
            f"{account} is simulated by its instruments' terms in the journal, without commission "
            "and slippage; --config FILE with a paper account says what you assume"
        )
    if source is not None:
        held = [each for each in source.symbols() if each in config.symbols()]
        broker |= {"symbols": held, "instruments": _only(broker.get("instruments", {}), held)}
        table["market"] = {"feed": "replay", "timeframe": config.market.timeframe.value}
    opening = found.openings.get(traded)
    if opening is not None and opening.balance > 0:
        broker["balance"] = plain(opening.balance)
        if opening.positions:
            notes.append(f"{traded} held positions when it was first seen; the replay has none")
    table |= {"brokers": {account: broker}, "route": {}}
    prepared = prepare(Config.read(table, "replay: "), catalogue, source)
    notes += _more(found, traded, given=given)
    return Setup(
        prepared=prepared,
        traded=traded,
        config=whole,
        from_journal=source is not None,
        notes=tuple(notes),
    )


def _only(table: Mapping[str, Any], symbols: Sequence[str]) -> dict[str, Any]:
    return {symbol: each for symbol, each in table.items() if symbol in symbols}


def _more(found: Recorded, traded: str, *, given: bool) -> list[str]:
    others = {order.account for order in found.story.orders.values()} - {traded}
    notes = []
    if others:
        told = ", ".join(sorted(others))
        notes.append(f"orders at {told} are compared with those of the one account of the replay")
    if not found.whole:
        notes.append("the journal's first part is gone: the replay begins with what is left")
    if found.live and not given:
        notes.append("bid and ask are those of the journal where it has them")
    return notes


def _traded(found: Recorded, config: Config) -> str:
    """Return the run's account that is replayed: the one that most orders went to."""
    sent = Counter(order.account for order in found.story.orders.values())
    if sent:
        return sent.most_common(1)[0][0]
    return next((name for name in found.openings if name in config.brokers), _preferred(config))


def _preferred(config: Config) -> str:
    """Return the account that takes the first symbol's orders."""
    symbols = config.symbols()
    return config.preference(symbols[0])[0] if symbols else next(iter(config.brokers))


def _source(found: Recorded, timeframe: Timeframe) -> Memory:
    """Return the bars that the journal holds as a source of prices."""
    held = {
        symbol: _arrays(symbol, timeframe, [told.bar for told in bars])
        for symbol, bars in series(found, timeframe)
    }
    if not held:
        raise ConfigError(
            str(found.folder),
            f"the journal holds no bars of {timeframe}, and its prices are nowhere else",
            "Runs of earlier versions kept none: name a source of prices with --config FILE.",
        )
    return Memory(held)


def _arrays(symbol: str, timeframe: Timeframe, bars: list[Any]) -> BarArrays:
    import numpy as np  # noqa: PLC0415 - only where the journal has bars

    columns = {
        name: np.array([getattr(bar, name) for bar in bars], np.float64)
        for name in ("open", "high", "low", "close", "volume")
    }
    time = np.array([bar.time for bar in bars], np.int64)
    return BarArrays(instrument=symbol, timeframe=timeframe, time=time, **columns)


def _terms(found: Recorded, account: str) -> dict[str, Any]:
    """Return the terms of a paper account that are those the journal tells of a broker's."""
    table: dict[str, Any] = {"plugin": "paper", "instruments": {}}
    if (opening := found.openings.get(account)) is not None:
        table["currency"] = opening.currency
    for (name, symbol), spreads in found.story.spreads.items():
        if name != account:
            continue
        known = found.story.terms[account, symbol]
        pip = Decimal(known["pip_size"])
        terms = {key: known[key] for key in _OF_INSTRUMENT if known.get(key) is not None}
        terms["spread_pips"] = plain(median(spreads) / pip)
        terms["minimum_stop_pips"] = plain(Decimal(known["minimum_stop_distance"]) / pip)
        table["instruments"][symbol] = terms
    return table
