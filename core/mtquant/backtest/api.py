"""Backtests from Python: three lines in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtquant.backtest.memory import Memory
from mtquant.backtest.result import Result
from mtquant.backtest.run import Prepared, prepare, run
from mtquant.backtest.setup import configure, source_of, table_of, timeframe_named, without_risk
from mtquant.clock import parse_time
from mtquant.contract import Strategy
from mtquant.errors import ConfigError
from mtquant.model import Bars
from mtquant.model.arrays import BarArrays
from mtquant.plugins import Catalogue, load_catalogue

Data = str | Path | Bars | BarArrays | Mapping[str, Any]
"""A file, the name of a source plugin, bars, a DataFrame, or any of the last three by symbol."""


def backtest(  # noqa: PLR0913 - what a backtest is made of
    strategy: str | type[Strategy[Any]],
    data: Any,  # noqa: ANN401 - Data, or a DataFrame of a library that isn't imported here
    *,
    symbol: str | Sequence[str] = "",
    timeframe: str = "",
    params: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    risk: Mapping[str, Any] | bool | None = None,
    settings: Sequence[str] = (),
    start: str | None = None,
    seed: int = 0,
) -> Result:
    """Trade a strategy over history, and return what came of it.

    ``strategy`` is the name of a plugin or a class of your own, ``params`` its settings. ``data``
    is a file, the name of a source plugin, a DataFrame, :class:`Bars` or :class:`BarArrays`, or a
    mapping from symbol to one of these. ``symbol`` (one or several, such as ``EUR/USD``) and
    ``timeframe`` (``H1``) may be left out where the data says so itself. ``account`` are the terms
    of the simulated account (``{"spread_pips": "0.8", "currency": "EUR"}``), ``risk`` the table of
    a configuration, or False for no checks. ``settings`` are further ones as ``KEY=VALUE``.
    Bars that close before ``start`` (RFC 3339) only warm the strategy up. The same ``seed`` gives
    the same run.

    Raises ConfigError or PluginError, which say what to change.
    """
    prepared = prepared_of(
        strategy,
        data,
        symbol=symbol,
        timeframe=timeframe,
        params=params,
        account=account,
        risk=risk,
        settings=settings,
    )
    return run(prepared, seed=seed, start=None if start is None else time_named(start))


def prepared_of(  # noqa: PLR0913 - as above
    strategy: str | type[Strategy[Any]],
    data: Any,  # noqa: ANN401 - as above
    *,
    symbol: str | Sequence[str] = "",
    timeframe: str = "",
    params: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    risk: Mapping[str, Any] | bool | None = None,
    settings: Sequence[str] = (),
) -> Prepared:
    """Return a backtest that is ready to run, any number of times; see :func:`backtest`."""
    catalogue = load_catalogue()
    name = strategy if isinstance(strategy, str) else _taken(catalogue, strategy)
    symbols = [symbol] if isinstance(symbol, str) and symbol else list(symbol)
    source: Memory | None = None
    table: Mapping[str, Any]
    if isinstance(data, str | Path):
        known = catalogue.names("source")
        if not timeframe:
            raise ConfigError("timeframe", "is missing", "Say that of the file, such as H1.")
        table = source_of(str(data), symbols, timeframe, known)
    else:
        source = Memory(_series(data, symbols, timeframe))
        table = {"plugin": source.name}
        symbols, timeframe = symbols or list(source.symbols()), source.timeframe()
    if not symbols:
        raise ConfigError("symbol", "is missing", "Say which is to be traded, such as EUR/USD.")
    wanted = table_of(
        name,
        symbols,
        timeframe_named(timeframe),
        source=table,
        params=params,
        account=account,
        risk=risk if isinstance(risk, Mapping) else None,
    )
    if risk is False:
        without_risk(wanted, catalogue)
    return prepare(configure(wanted, settings), catalogue, source)


def _taken(catalogue: Catalogue, strategy: type[Strategy[Any]]) -> str:
    """Take a class of the caller's own into the catalogue, and return its name."""
    catalogue.add("strategy", strategy, "your own", "")
    name = str(getattr(strategy, "name", None) or strategy.__name__)
    catalogue.get("strategy", name)  # raises PluginError where it is in quarantine
    return name


def _series(data: Any, symbols: Sequence[str], timeframe: str) -> dict[str, BarArrays]:  # noqa: ANN401 - as above
    if isinstance(data, Mapping):
        return {name: _arrays(each, name, timeframe) for name, each in data.items()}
    name = getattr(data, "instrument", None) or (symbols[0] if len(symbols) == 1 else "")
    if not name:
        raise ConfigError("symbol", "must name the one that the data is of", "Such as EUR/USD.")
    return {name: _arrays(data, name, timeframe)}


def _arrays(data: Any, symbol: str, timeframe: str) -> BarArrays:  # noqa: ANN401 - as above
    if isinstance(data, BarArrays):
        return data
    if isinstance(data, Bars):
        return BarArrays.of(data)
    from mtquant.data.frames import arrays_of_frame  # noqa: PLC0415 - only where one is given

    if not timeframe:
        raise ConfigError("timeframe", "is missing", "Say that of the DataFrame, such as H1.")
    return arrays_of_frame(data, symbol, timeframe_named(timeframe))


def time_named(text: str) -> int:
    """Return the time that ``text`` names: RFC 3339, or a date; raises ConfigError."""
    whole = f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text
    try:
        return parse_time(whole)
    except ValueError as error:
        raise ConfigError("start", f"{text!r} is {error}", "Or write a date.") from None
