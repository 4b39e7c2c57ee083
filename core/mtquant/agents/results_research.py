"""What the tools of research answer."""

from __future__ import annotations

from dataclasses import dataclass

from mtquant.agents.tool import Told
from mtquant.model import Time

LineRow = tuple[str | float | None, ...]


@dataclass(frozen=True, kw_only=True)
class IndicatorTold(Told):
    """Rows of an opening time and one value for each of lines, None while it warms up."""

    indicator: str
    symbol: str
    account: str
    lines: tuple[str, ...]
    warmup: int
    bars: int
    rows: tuple[LineRow, ...]


@dataclass(frozen=True, kw_only=True)
class PluginRow:
    """One plugin; parameters as name=default (bounds)."""

    name: str
    meaning: str
    parameters: tuple[str, ...]
    usable: bool


@dataclass(frozen=True, kw_only=True)
class PluginsTold(Told):
    """Plugins; usable tells whether your budget allows it."""

    plugins: tuple[PluginRow, ...]


@dataclass(frozen=True, kw_only=True)
class BacktestTold(Told):
    """Figures of a backtest; None where a figure isn't defined. Read the cautions first."""

    cautions: tuple[str, ...]
    bars: int
    start: Time
    end: Time
    currency: str
    start_equity: float
    net_profit: float
    total_return: float | None
    max_drawdown: float | None
    sharpe: float | None
    trades: int
    win_rate: float | None
    profit_factor: float | None
    costs: float
    buy_and_hold: float | None
