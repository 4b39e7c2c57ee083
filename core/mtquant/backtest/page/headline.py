"""What stands on top: what was run, the figures that count, and what to beware of."""

from __future__ import annotations

from html import escape

from mtquant.backtest.page.text import money, number, percent, section, signed
from mtquant.backtest.result import Result
from mtquant.backtest.statistics import DatedDrawdown, Statistics
from mtquant.metrics import TRADING_DAYS
from mtquant.report.scale import write_day

Tile = tuple[str, str, str]


def run_line(result: Result) -> str:
    """Return what was run, when and on what, as one line of text."""
    card = result.card
    parts = [
        ", ".join(card.symbols),
        card.timeframe.value,
        f"{write_day(card.first)} to {write_day(card.last)}",
        f"{card.bars:,} bars",
        f"{money(float(result.start_balance))} {result.currency} at the start",
    ]
    return " \N{MIDDLE DOT} ".join(parts)


def headline(result: Result, figures: Statistics) -> str:
    """Return the tiles, what the ratios are made of, and the warnings."""
    tiles = "".join(
        f'<div class="tile"><small>{escape(label)}</small><b>{escape(value)}</b>'
        f"<small>{escape(hint)}</small></div>"
        for label, value, hint in _tiles(result, figures)
    )
    days = len(figures.trading_days)
    made_of = (
        f"Sharpe, Sortino, volatility and value at risk are of {days:,} daily returns (UTC days "
        f"with a bar, from close to close), annualised by {TRADING_DAYS} days, with no risk-free "
        "rate. The drawdown looks at every bar."
    )
    return (
        f'<div class="tiles eight">{tiles}</div>{_warnings(figures)}'
        f'<p class="soft fine">{made_of}</p>'
    )


def _tiles(result: Result, figures: Statistics) -> list[Tile]:
    earned, trades, costs = figures.returns, figures.trades, figures.costs
    currency = result.currency
    held = figures.buy_and_hold
    return [
        (
            "Net profit",
            signed(f"{earned.net_profit:+,.2f}"),
            f"{currency}, {percent(earned.total_return)} in all",
        ),
        (
            "CAGR",
            percent(earned.annual_return),
            "a year, by the calendar"
            if held is None
            else f"buy and hold {percent(held.annual_return)}",
        ),
        ("Maximum drawdown", *_fallen(figures.risk.max_drawdown)),
        ("Sharpe", number(earned.sharpe), f"Sortino {number(earned.sortino)}, daily returns"),
        (
            "Profit factor",
            number(trades.profit_factor),
            f"{money(trades.expectancy)} {currency} a trade",
        ),
        (
            "Trades",
            f"{trades.trades:,}",
            f"{percent(trades.win_rate)} won"
            + (f", {trades.open_trades:,} open" if trades.open_trades else ""),
        ),
        (
            "Costs",
            money(costs.total),
            f"{currency}{_of_profit(costs.share)}",
        ),
        (
            "In the market",
            percent(figures.exposure.in_market),
            f"of the time, leverage {number(figures.exposure.leverage)} on average",
        ),
    ]


def _of_profit(share: float | None) -> str:
    if share is None:
        return ""
    # Hundreds of percent tell less than that nothing was left.
    return (
        f", {percent(share)} of the profit before them" if share <= 1 else ", more than was earned"
    )


def _fallen(worst: DatedDrawdown | None) -> tuple[str, str]:
    if worst is None:
        return percent(0.0), "equity never fell"
    return percent(worst.fraction), f"{write_day(worst.peak)} to {write_day(worst.trough)}"


def _warnings(figures: Statistics) -> str:
    if not figures.cautions:
        return ""
    lines = "".join(f"<li>{escape(signed(each.message))}</li>" for each in figures.cautions)
    return section("Before you believe it", f"<ul>{lines}</ul>", "warnings")
