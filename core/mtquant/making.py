"""What decides, made from a configuration: strategies, the gate, and the rules between them.

A running engine and a backtest are made of the same; this imports neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtquant.clock import Clock
from mtquant.config import Config
from mtquant.contract import Indicator
from mtquant.decide import Rules
from mtquant.errors import ConfigError
from mtquant.plugins import Catalogue
from mtquant.resample import check_divides
from mtquant.risk import BreakerRules, Gate


def make_rules(config: Config, *, passive: bool) -> Rules:
    """Return what is configured of deciding; ``passive``: nothing is pursued."""
    return Rules(
        modes={name: each.mode for name, each in config.strategies.items()},
        weights={name: each.weight for name, each in config.strategies.items()},
        combine=config.combine,
        approval=config.approval,
        passive=passive,
    )


def make_gate(config: Config, catalogue: Catalogue, clock: Clock) -> Gate:
    """Return the gate with the sizer and every installed check that isn't switched off."""
    table = config.risk.sizer
    sizer = catalogue.make("sizer", table.plugin, table.settings, where="risk.sizer")
    wanted: dict[str, Any] = {name: {} for name in catalogue.in_order("check")}
    wanted |= config.risk.checks
    checks = [
        catalogue.make("check", name, settings, where=f"risk.checks.{name}")
        for name, settings in wanted.items()
        if settings is not False
    ]
    rules = BreakerRules.read(config.risk.breaker, "risk.breaker")
    return Gate(sizer, checks, rules, clock.monotonic)


def make_strategies(config: Config, catalogue: Catalogue, name: str) -> list[Any]:
    """Make the objects of one configured strategy: one a symbol, or one for all of them."""
    table, where = config.strategies[name], f"strategies.{name}"
    base = config.market.timeframe

    def indicator(kind: str, settings: Mapping[str, Any]) -> Indicator[Any]:
        made: Indicator[Any] = catalogue.make("indicator", kind, settings)
        return made

    together = getattr(catalogue.get("strategy", table.plugin), "together", False)
    groups = [table.symbols] if together else [(symbol,) for symbol in table.symbols]
    made = [
        catalogue.make(
            "strategy",
            table.plugin,
            table.settings,
            where=where,
            strategy_id=name,
            instruments=group,
            timeframe=table.timeframe or base,
            indicators=indicator,
        )
        for group in groups
    ]
    for each in made:
        if wrong := check_divides(base, (timeframe for _, timeframe in each.series)):
            raise ConfigError(f"{where}.timeframe", wrong, "Set a smaller market.timeframe.")
    return made
