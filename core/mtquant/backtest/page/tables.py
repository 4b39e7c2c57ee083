"""Figures as tables: by month, by section, by group of trades, costs, and what was refused."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from html import escape

from mtquant.backtest.page.text import NONE, money, number, percent, section, signed, table
from mtquant.backtest.result import Result
from mtquant.backtest.statistics import Group, Section, Statistics, YearOfReturns
from mtquant.clock import format_time

FIGURES = ("Return", "Risk", "Exposure", "Trades", "Profit per trade", "Buy and hold")
"""The sections of the statistics that are lists of figures; the others have tables of their own."""
LISTED = 300
"""How many refusals and messages are listed one by one."""
_SHADES = 5


def month_table(years: Sequence[YearOfReturns]) -> str:
    """Return the returns of each month as a heat map; the deepest shade is the largest of them."""
    if not years:
        return ""
    known = [abs(each) for year in years for each in year.months if each is not None]
    most = max(known, default=0.0) or 1.0
    names = [calendar.month_abbr[month] for month in range(1, 13)]
    head = "".join(f'<th scope="col">{name}</th>' for name in ["Year", *names, "All"])
    rows = "".join(
        f'<tr><th scope="row">{year.year}</th>'
        f"{''.join(_cell(each, most, name) for each, name in zip(year.months, names, strict=True))}"
        f'<td class="all"><small aria-hidden="true">All</small>{_short(year.total)}</td></tr>'
        for year in reversed(years)
    )
    return section(
        "Monthly returns",
        f'<div class="wide"><table class="months"><thead><tr>{head}</tr></thead>'
        f'<tbody>{rows}</tbody></table></div><p class="soft fine">Percent of the equity at the end '
        "of the month before.</p>",
    )


def figure_tables(sections: Sequence[Section]) -> str:
    """Return the lists of figures, side by side where there is room."""
    made = "".join(
        f'<div><h3>{escape(each.title)}</h3><table class="summary"><tbody>'
        + "".join(
            f'<tr><th scope="row">{escape(row.label)}'
            f"{f'<small>{escape(signed(row.hint))}</small>' if row.hint else ''}</th>"
            f"<td>{escape(signed(row.value))}</td></tr>"
            for row in each.rows
        )
        + "</tbody></table></div>"
        for each in sections
        if each.title in FIGURES
    )
    return section("Figures", f'<div class="flow">{made}</div>')


def group_tables(figures: Statistics) -> str:
    """Return how closed trades did by side, symbol, strategy and exit."""
    parts = [
        ("Side", figures.by_side),
        ("Symbol", figures.by_symbol),
        ("Exit", figures.by_exit_reason),
        ("Strategy", figures.by_strategy),
    ]
    made = "".join(_groups(name, groups, figures.currency) for name, groups in parts if groups)
    return section("Long and short, by symbol, by exit", made, "groups") if made else ""


def cost_table(figures: Statistics) -> str:
    """Return what trading cost, split by what it was paid for."""
    costs = figures.costs
    paid = [
        ("Spread", costs.spread, "half of it at each market execution, within the prices"),
        ("Commission", costs.commission, "booked by itself"),
        ("Slippage", costs.slippage, "fills worse than the market price, within the prices"),
        ("Swap", costs.swap, "below zero where it was earned"),
    ]
    whole = sum(abs(amount) for _, amount, _ in paid)
    rows = [
        (
            name,
            f"{money(amount)} {figures.currency}",
            percent(amount / whole) if whole else NONE,
            hint,
        )
        for name, amount, hint in paid
    ]
    rows.append(
        (
            "All",
            f"{money(costs.total)} {figures.currency}",
            "",
            f"{money(costs.before_costs)} {figures.currency} of profit before costs",
        )
    )
    return section("Costs", table(("", "Paid", "Share", "What it is"), rows, "costs"))


def refusals(result: Result, figures: Statistics) -> str:
    """Return what was refused or made smaller: how often and why, then one by one."""
    if not figures.rejections:
        return section(
            "Rejected signals", '<p class="soft">None: every signal could be traded.</p>'
        )
    counted = table(
        ("By", "Code", "Times", "The order was", "The first of them said"),
        (
            (
                each.who,
                each.code,
                f"{each.count:,}",
                "made smaller" if each.reduced else "not sent",
                signed(each.example),
            )
            for each in figures.rejections
        ),
        "text",
    )
    listed = result.rejections[:LISTED]
    each = table(
        ("Time", "Symbol", "Strategy", "By", "Code", "What was said"),
        (
            (_time(one.time), one.instrument, one.strategy_id, one.who, one.code, one.message)
            for one in listed
        ),
        "text",
    )
    return section(
        "Rejected signals", counted + _folded(len(result.rejections), "rejections", each)
    )


def messages(result: Result) -> str:
    """Return what people were told while it ran."""
    if not result.told:
        return ""
    listed = table(
        ("Time", "Level", "Message"),
        ((_time(time), level, message) for time, level, message in result.told[:LISTED]),
        "text",
    )
    return section("Messages", _folded(len(result.told), "messages", listed))


def _folded(count: int, noun: str, content: str) -> str:
    named = (
        f"All {count:,} {noun}" if count <= LISTED else f"The first {LISTED:,} of {count:,} {noun}"
    )
    return f"<details><summary>{named}</summary>{content}</details>"


def _groups(name: str, groups: Sequence[Group], currency: str) -> str:
    head = (name, "Trades", "Won", "Profit factor", f"A trade, {currency}", f"Profit, {currency}")
    rows = (
        (
            each.name.replace("_", " ") if name == "Exit" else each.name,
            f"{each.trades:,}",
            percent(each.win_rate),
            number(each.profit_factor),
            money(each.expectancy),
            money(each.profit),
        )
        for each in groups
    )
    return table(head, rows)


def _cell(share: float | None, most: float, month: str) -> str:
    if share is None:
        return '<td class="none"></td>'
    shade = min(_SHADES, round(abs(share) / most * _SHADES + 0.3))
    kind = f"{'l' if share < 0 else 'g'}{shade}" if shade else ""
    return f'<td class="{kind}"><small aria-hidden="true">{month}</small>{_short(share)}</td>'


def _short(share: float | None) -> str:
    return NONE if share is None else signed(f"{share * 100:.1f}")


def _time(at: int) -> str:
    return format_time(at)[:16].replace("T", " ")
