"""Tools of agents that work something out: indicators and backtests of installed plugins."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any, Literal

import anyio
from anyio import to_thread
from pydantic import Field, WithJsonSchema

from mtquant.agents.backtesting import Trial, Wrong, in_a_process
from mtquant.agents.market import times_told
from mtquant.agents.prices import asked_of, history
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.results_research import (
    BacktestTold,
    IndicatorTold,
    LineRow,
    PluginRow,
    PluginsTold,
)
from mtquant.agents.tool import Caller, agent_tool
from mtquant.contract import AgentScope, Indicator, Parameter, Plugin, parameters
from mtquant.engine import Engine
from mtquant.errors import ConfigError, PluginError
from mtquant.link import Link
from mtquant.model import Instrument, Text, Timeframe
from mtquant.model.arrays import BarArrays, Floats
from mtquant.plugins import Catalogue

TIME_LIMIT_S = 20.0
"""How long a backtest may take, its process's start and all."""
WAIT_S = 5.0
"""How long a backtest waits for the one before it."""
_WARMUPS = 3
"""So many warm-ups of history: what smooths exponentially forgets its start by then."""
_DEEPEST = 20_000
_LARGEST = 100_000
_EXACT = 8
"""Significant digits of an indicator's value."""
_BALANCE = Decimal(100_000)

Given = Annotated[
    dict[str, bool | int | float | str],
    Field(max_length=20),
    WithJsonSchema({"type": "object"}),
]
LastValues = Annotated[int, Field(ge=1, le=50)]
Depth = Annotated[int, Field(ge=100, le=_DEEPEST)]


class ResearchTools:
    """Works out what installed plugins say of the accounts' own history. No code comes in."""

    def __init__(self, engine: Engine, catalogue: Catalogue) -> None:
        self._engine = engine
        self._catalogue = catalogue
        self._one = anyio.Semaphore(1)

    @agent_tool("Indicator values", AgentScope.READ)
    async def get_indicator(
        self,
        caller: Caller,  # noqa: ARG002 - every tool is told who calls
        name: Text,
        symbol: Text,
        timeframe: Timeframe,
        parameters: Given | None = None,
        last: LastValues = 5,
    ) -> IndicatorTold:
        """Work an indicator out over closed bars and return its last values, oldest first.

        list_plugins names the indicators and their parameters.
        """
        link, _ = asked_of(self._engine, symbol)
        made = self._indicator(name, parameters or {})
        depth = min(_DEEPEST, _WARMUPS * made.warmup + 100 + last)
        series = await history(link, symbol, timeframe, depth)
        lines = await to_thread.run_sync(_lines, made, series)
        rows = _rows(series, lines, last)
        ready = None not in rows[-1]
        state = "ready" if ready else f"it takes {made.warmup} bars to warm up, so null"
        return IndicatorTold(
            summary=f"{name} of {symbol} {timeframe} over {len(series)} bars: {state}.",
            units=f"rows: opening time UTC, {', '.join(made.lines)}",
            indicator=name,
            symbol=symbol,
            account=link.name,
            lines=made.lines,
            warmup=made.warmup,
            bars=len(series),
            rows=rows,
        )

    def _indicator(self, name: str, given: Mapping[str, Any]) -> Indicator[Any]:
        plugin = self._plugin("indicator", name)
        _check_given(plugin, given)
        try:
            made: Indicator[Any] = self._catalogue.make(
                "indicator", name, given, where="parameters"
            )
        except ConfigError as error:
            raise AgentRefused.of(error) from None
        if made.warmup > _DEEPEST:
            message = f"{name} needs {made.warmup} bars"
            raise AgentRefused("too_long", message, f"At most {_DEEPEST}: take a shorter period.")
        return made

    def _plugin(self, kind: str, name: str) -> type[Plugin[Any]]:
        try:
            return self._catalogue.get(kind, name)
        except PluginError as error:
            step = f"list_plugins names each {kind} there is."
            raise AgentRefused("unknown_plugin", str(error), step, field=kind) from None

    @agent_tool("Installed strategies or indicators", AgentScope.READ)
    async def list_plugins(
        self, caller: Caller, kind: Literal["strategy", "indicator"]
    ) -> PluginsTold:
        """List the strategies for run_backtest or the indicators for get_indicator.

        Each with its parameters, their defaults and bounds.
        """
        plays = caller.agent.budget.plays
        rows = tuple(
            PluginRow(
                name=name,
                meaning=_meaning(found := self._catalogue.get(kind, name)),
                parameters=tuple(map(_words, parameters(found.Settings))),
                usable=kind == "indicator" or plays(name),
            )
            for name in self._catalogue.names(kind)
        )
        usable = sum(each.usable for each in rows)
        return PluginsTold(
            summary=f"{len(rows)} installed of kind {kind}, {usable} usable.",
            units="periods in bars; parameters: name=default (bounds)",
            plugins=rows,
        )

    @agent_tool("Backtest of an installed strategy", AgentScope.READ)
    async def run_backtest(
        self,
        caller: Caller,
        strategy: Text,
        symbol: Text,
        timeframe: Timeframe,
        bars: Depth = 2000,
        parameters: Given | None = None,
    ) -> BacktestTold:
        """Trade an installed strategy over an account's history: profit, risk, costs, cautions.

        Simulated with today's spread and the default risk checks; the past promises nothing.
        """
        self._require_play(caller, strategy)
        _check_given(self._plugin("strategy", strategy), parameters or {})
        link, instrument = asked_of(self._engine, symbol)
        series = await history(link, symbol, timeframe, bars)
        trial = Trial(
            strategy=strategy,
            parameters=parameters or {},
            series=series,
            account=self._terms(link, symbol, instrument),
        )
        async with self._alone():
            found = await _figures(trial)
        return BacktestTold(
            summary=f"{strategy} on {symbol} {timeframe}: {found['net_profit']:+,.2f} "
            f"{found['currency']} in {found['trades']} trades over {len(series)} bars, "
            f"{len(found['cautions'])} cautions.",
            units="money in currency; returns, drawdown and win_rate in %; sharpe a year",
            bars=len(series),
            **found | {"cautions": tuple(found["cautions"])},
        )

    def _require_play(self, caller: Caller, strategy: str) -> None:
        plays = caller.agent.budget.plays
        if plays(strategy):
            return
        allowed = [each for each in self._catalogue.names("strategy") if plays(each)]
        step = f"You may backtest {', '.join(allowed)}." if allowed else "Ask the person for it."
        message = f"your budget has no strategy {strategy!r}"
        raise AgentRefused("not_in_budget", message, step, field="strategy")

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let one backtest run at a time; whoever waits too long is told to come again."""
        try:
            with anyio.fail_after(WAIT_S):
                await self._one.acquire()
        except TimeoutError:
            message = "another backtest runs, one at a time does"
            raise AgentRefused("busy", message, "Call again in a while.") from None
        try:
            yield
        finally:
            self._one.release()

    def _terms(self, link: Link, symbol: str, instrument: Instrument) -> dict[str, Any]:
        """Return the simulated account: the broker's sizes, spread and margin, our equity.

        It is kept in the symbol's quote currency, so that nothing needs a rate.
        """
        book = self._engine.book.account(link.name)
        quote, equity, rate = (
            book.quotes.get(symbol),
            book.equity(),
            book.rate(instrument.quote),
        )
        terms: dict[str, Any] = {
            name: getattr(instrument, name)
            for name in (
                *("contract_size", "quantity_min", "quantity_step", "quantity_max"),
                *("pip_size", "price_step", "margin_rate"),
            )
        }
        if quote is not None and quote.spread >= 0:
            terms["spread_pips"] = round(quote.spread / instrument.pip_size, 2)
        balance = equity / rate if equity and rate else _BALANCE
        return terms | {
            "currency": instrument.quote,
            "balance": round(balance, 2) if balance >= 1 else _BALANCE,
        }


async def _figures(trial: Trial) -> dict[str, Any]:
    """Return what came of ``trial``; raises AgentRefused where nothing did."""
    try:
        found = await in_a_process(trial, TIME_LIMIT_S)
    except TimeoutError:
        message = f"it took longer than {TIME_LIMIT_S:g} s"
        raise AgentRefused("too_slow", message, "Ask for fewer bars.", field="bars") from None
    if found is None:
        message = "the process that ran it died"
        raise AgentRefused("failed", message, "Ask for fewer bars, or tell the person.")
    if isinstance(found, Wrong):
        raise AgentRefused("invalid_argument", found.problem, found.remedy, field=found.where)
    return found


def _check_given(plugin: type[Plugin[Any]], given: Mapping[str, bool | float | str]) -> None:
    """Refuse what could be more than a figure: text only where it is one of a few words.

    A plugin may take a file's name or an address; no agent names one.
    """
    choices = {each.name: each.choices for each in parameters(plugin.Settings)}
    for name, value in given.items():
        if isinstance(value, str):
            if value not in choices.get(name, ()):
                have = ", ".join(choices.get(name, ())) or "a number"
                message, step = "takes no such text", f"Give {have}."
                raise AgentRefused("invalid_argument", message, step, field="parameters")
        elif not (math.isfinite(value) and abs(value) <= _LARGEST):
            step = f"Give numbers up to {_LARGEST:,}."
            raise AgentRefused("invalid_argument", "is too large", step, field="parameters")


def _lines(made: Indicator[Any], series: BarArrays) -> Mapping[str, Floats]:
    try:
        return made.batch(series)
    except Exception as error:  # noqa: BLE001 - a stranger's indicator may raise anything
        message = f"{made.name} failed with {type(error).__name__}"
        raise AgentRefused("failed", message, "Try other parameters.") from None


def _rows(series: BarArrays, lines: Mapping[str, Floats], last: int) -> tuple[LineRow, ...]:
    times = times_told(series.part(max(0, len(series) - last), len(series)))
    columns = [[_told(value) for value in line[-last:].tolist()] for line in lines.values()]
    return tuple(zip(times, *columns, strict=True))


def _told(value: float) -> float | None:
    return float(f"{value:.{_EXACT}g}") if math.isfinite(value) else None


def _meaning(plugin: type[Plugin[Any]]) -> str:
    return (plugin.__doc__ or "").partition("\n")[0].replace("``", "")


def _words(parameter: Parameter) -> str:
    default = "required" if parameter.required else _default(parameter.default)
    return f"{parameter.name}={default}" + (f" ({parameter.bounds})" if parameter.bounds else "")


def _default(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(value)
