"""The figures as lines of text: label, value and hint, under headings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtquant.backtest.statistics.returns import DatedReturn
from mtquant.backtest.statistics.risk import DatedDrawdown
from mtquant.backtest.statistics.trades import SQN_CAP, Group
from mtquant.clock import format_time
from mtquant.metrics import TRADING_DAYS
from mtquant.report import Row

if TYPE_CHECKING:
    from mtquant.backtest.statistics.figures import Statistics

_NONE = "\N{EN DASH}"
_DAILY = f"daily returns, annualised by {TRADING_DAYS} days"
_FULL_DAYS = 3.0
"""From here on a duration is told in whole days."""

WARNINGS = "Warnings"
"""The title of the section of cautions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows under a heading."""

    title: str
    rows: tuple[Row, ...]


def sections(stats: Statistics) -> tuple[Section, ...]:
    """Return the figures of ``stats`` as text; a section without rows is left out."""
    found = (
        (WARNINGS, _cautions(stats)),
        ("Run", _run(stats)),
        ("Return", _return(stats)),
        ("Risk", _risk(stats)),
        ("Exposure", _exposure(stats)),
        ("Trades", _trades(stats)),
        ("Profit per trade", _sizes(stats)),
        ("Long and short", _groups(stats.by_side, stats.currency)),
        ("By symbol", _groups(stats.by_symbol, stats.currency)),
        ("By strategy", _groups(stats.by_strategy, stats.currency)),
        ("By exit", _groups(stats.by_exit_reason, stats.currency)),
        ("Costs", _costs(stats)),
        ("Rejected signals", _rejections(stats)),
        ("Buy and hold", _holding(stats)),
    )
    made = (Section(title=title, rows=tuple(rows)) for title, rows in found)
    return tuple(each for each in made if each.rows)


def _cautions(stats: Statistics) -> Iterator[Row]:
    for each in stats.cautions:
        yield Row(label=each.code.replace("_", " ").capitalize(), value=each.message)


def _run(stats: Statistics) -> Iterator[Row]:
    period, earned = stats.period, stats.returns
    yield Row(label="Start", value=_time(period.start), hint="UTC")
    yield Row(label="End", value=_time(period.end), hint="UTC")
    yield Row(
        label="Duration",
        value=_days(period.days),
        hint=f"{period.steps:,} steps on {period.trading_days:,} UTC days",
    )
    yield Row(label="Start equity", value=_money(earned.start_equity, stats.currency))
    yield Row(
        label="End equity",
        value=_money(earned.end_equity, stats.currency),
        hint="with the profit of open trades",
    )


def _return(stats: Statistics) -> Iterator[Row]:
    earned = stats.returns
    yield Row(
        label="Net profit",
        value=_money(earned.net_profit, stats.currency),
        hint="after all costs, with the profit of open trades",
    )
    yield Row(label="Total return", value=_percent(earned.total_return))
    yield Row(
        label="CAGR",
        value=_percent(earned.annual_return),
        hint="compound return a year, by the calendar (365.25 days)",
    )
    yield Row(label="Annual volatility", value=_percent(earned.annual_volatility), hint=_DAILY)
    yield Row(label="Sharpe", value=_number(earned.sharpe), hint=f"{_DAILY}, no risk-free rate")
    yield Row(label="Sortino", value=_number(earned.sortino), hint=f"{_DAILY}, target 0")
    yield Row(
        label="Calmar",
        value=_number(earned.calmar),
        hint="CAGR over the maximum drawdown, of the whole run",
    )
    yield _dated("Best day", earned.best_day)
    yield _dated("Worst day", earned.worst_day)
    yield _dated("Best month", earned.best_month)
    yield _dated("Worst month", earned.worst_month)


def _risk(stats: Statistics) -> Iterator[Row]:
    risk = stats.risk
    worst, longest = risk.max_drawdown, risk.longest_drawdown
    yield Row(
        label="Maximum drawdown",
        value=_NONE if worst is None else _percent(worst.fraction),
        hint=_fall(worst),
    )
    yield Row(
        label="Maximum drawdown, money",
        value=_NONE if worst is None else _money(worst.money, stats.currency),
        hint="lost in that drawdown",
    )
    yield Row(
        label="Longest drawdown",
        value=_NONE if longest is None else _days(longest.days),
        hint=_fall(longest),
    )
    yield Row(
        label="Average drawdown",
        value=_percent(risk.average_drawdown),
        hint="mean of the depths of all, daily closes",
    )
    yield Row(
        label="Ulcer index",
        value=_percent(risk.ulcer_index),
        hint="root mean square of the drawdown, daily closes",
    )
    yield Row(
        label="Value at risk 95%",
        value=_percent(risk.value_at_risk),
        hint="daily returns, historical: a day in twenty lost more",
    )
    yield Row(
        label="Expected shortfall 95%",
        value=_percent(risk.expected_shortfall),
        hint="daily returns, historical: what such a day lost on average",
    )


def _exposure(stats: Statistics) -> Iterator[Row]:
    stake = stats.exposure
    yield Row(
        label="Time in the market", value=_percent(stake.in_market), hint="steps with a position"
    )
    yield Row(
        label="Average leverage",
        value=_number(stake.leverage, "x"),
        hint="gross value held over equity, of all steps",
    )
    yield Row(
        label="Turnover",
        value=_number(stake.turnover, "x"),
        hint="value bought and sold in a year, over the mean equity",
    )


def _trades(stats: Statistics) -> Iterator[Row]:
    trades, money = stats.trades, stats.currency
    yield Row(
        label="Trades",
        value=f"{trades.trades:,}",
        hint=f"closed: {trades.wins:,} won, {trades.losses:,} lost, {trades.even:,} even",
    )
    if trades.open_trades:
        yield Row(
            label="Open trades",
            value=f"{trades.open_trades:,}",
            hint=f"at a profit of {_money(trades.open_profit, money)}, in no other trade figure",
        )
    yield Row(label="Win rate", value=_percent(trades.win_rate))
    yield Row(
        label="Profit factor",
        value=_number(trades.profit_factor),
        hint=f"{_money(trades.gross_profit, money)} won, {_money(-trades.gross_loss, money)} lost",
    )
    yield Row(label="Payoff ratio", value=_number(trades.payoff_ratio), hint="mean win over loss")
    yield Row(
        label="SQN",
        value=_number(trades.sqn),
        hint=f"system quality number (Van Tharp) of profits in {trades.sqn_of}, "
        f"as of at most {SQN_CAP} trades",
    )
    yield Row(label="Longest winning streak", value=f"{trades.longest_wins:,}")
    yield Row(label="Longest losing streak", value=f"{trades.longest_losses:,}")
    yield Row(label="Average bars held", value=_number(trades.average_bars))


def _sizes(stats: Statistics) -> Iterator[Row]:
    trades, money = stats.trades, stats.currency
    yield Row(
        label="Expectancy", value=_money(trades.expectancy, money), hint="mean profit of a trade"
    )
    yield Row(
        label="Expectancy in R",
        value=_number(trades.expectancy_r, " R"),
        hint=f"profit over what the first stop risked, {trades.stops:,} trades with a stop",
    )
    yield Row(label="Average win", value=_money(trades.average_win, money))
    yield Row(label="Average loss", value=_money(trades.average_loss, money))
    yield Row(label="Largest win", value=_money(trades.largest_win, money))
    yield Row(label="Largest loss", value=_money(trades.largest_loss, money))
    yield Row(
        label="Average MAE",
        value=_percent(trades.average_adverse),
        hint="maximum adverse excursion, of the entry price",
    )
    yield Row(
        label="Average MFE",
        value=_percent(trades.average_favourable),
        hint="maximum favourable excursion, of the entry price",
    )


def _groups(found: tuple[Group, ...], currency: str) -> Iterator[Row]:
    for each in found:
        yield Row(
            label=each.name,
            value=_money(each.profit, currency),
            hint=f"{each.trades:,} closed, {_percent(each.win_rate)} won, profit factor "
            f"{_number(each.profit_factor)}, expectancy {_money(each.expectancy, currency)}",
        )


def _costs(stats: Statistics) -> Iterator[Row]:
    costs = stats.costs
    hints = {
        "Spread": "half of it at each market execution, within the prices",
        "Commission": "",
        "Slippage": "fills worse than the market price, within the prices",
        "Swap": "below zero where it was earned",
    }
    paid = (costs.spread, costs.commission, costs.slippage, costs.swap)
    for (label, hint), amount in zip(hints.items(), paid, strict=True):
        yield Row(label=label, value=_money(amount, stats.currency), hint=hint)
    yield Row(label="All costs", value=_money(costs.total, stats.currency))
    yield Row(
        label="Share of profit",
        value=_percent(costs.share),
        hint=f"of {_money(costs.before_costs, stats.currency)} before costs",
    )


def _rejections(stats: Statistics) -> Iterator[Row]:
    for each in stats.rejections:
        yield Row(
            label=f"{each.who}: {each.code}" + (", made smaller" if each.reduced else ""),
            value=f"{each.count:,}",
            hint=each.example,
        )


def _holding(stats: Statistics) -> Iterator[Row]:
    held = stats.buy_and_hold
    if held is None:
        return
    equally = ", equal shares" if len(held.symbols) > 1 else ""
    yield Row(
        label="Total return",
        value=_percent(held.total_return),
        hint=f"{', '.join(held.symbols)}{equally}; mid prices, no costs, no leverage",
    )
    yield Row(label="CAGR", value=_percent(held.annual_return))
    yield Row(label="Sharpe", value=_number(held.sharpe), hint=_DAILY)
    yield Row(label="Maximum drawdown", value=_percent(held.max_drawdown))


def _dated(label: str, found: DatedReturn | None) -> Row:
    if found is None:
        return Row(label=label, value=_NONE)
    return Row(label=label, value=_percent(found.fraction), hint=found.when)


def _fall(found: DatedDrawdown | None) -> str:
    if found is None:
        return "equity never fell"
    back = "not recovered" if found.recovered is None else f"recovered {_time(found.recovered)}"
    return f"peak {_time(found.peak)}, trough {_time(found.trough)}, {back}"


def _time(at: int) -> str:
    return format_time(at)[:16].replace("T", " ")


def _days(days: float) -> str:
    return f"{days:,.0f} days" if days >= _FULL_DAYS else f"{days * 24:,.1f} hours"


def _money(amount: float | None, currency: str) -> str:
    return _NONE if amount is None else f"{amount:,.2f} {currency}"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{share:,.2%}"


def _number(number: float | None, unit: str = "") -> str:
    return _NONE if number is None else f"{number:,.2f}{unit}"
