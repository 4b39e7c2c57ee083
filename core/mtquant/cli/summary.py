"""A finished run as a table, as JSON and as a report page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtquant.audit import Audit
from mtquant.cli.recorder import Recorder
from mtquant.contract import BreakerLevel
from mtquant.engine import Engine
from mtquant.metrics import daily_closes, max_drawdown, net_profit, sharpe_ratio
from mtquant.model import Bars, plain
from mtquant.orders import Stage
from mtquant.report import FillMark, Mark, PriceChart, Row, RunReport, Table, write_report


def currency(engine: Engine) -> str:
    """Return the accounts' currency, or a dash where they differ or none is known."""
    found = {book.account.currency for book in engine.book.accounts.values() if book.account}
    return found.pop() if len(found) == 1 else "-"


def rows(engine: Engine, recorder: Recorder, audit: Audit) -> list[Row]:
    """Return the summary's lines."""
    tickets = list(engine.desk.tickets.values())
    doubted = [each for each in tickets if each.was_in_doubt]
    found = sum(each.stage is Stage.ACKNOWLEDGED for each in doubted)
    absent = sum(each.stage is Stage.PROVEN_ABSENT for each in doubted)
    money = currency(engine)
    sharpe = sharpe_ratio(daily_closes(recorder.times, recorder.equity))
    worst = max_drawdown(recorder.equity) if recorder.equity else None
    return [
        Row(label="Orders", value=f"{len(tickets):,}", hint="sent to a broker, each once"),
        Row(
            label="Fills",
            value=f"{len(recorder.fills):,}",
            hint="executions, with those of protective stops",
        ),
        Row(label="Vetoes", value=f"{recorder.vetoes:,}", hint="refused by the risk gate"),
        Row(
            label="Made smaller",
            value=f"{sum(not each.vetoed for each in recorder.rulings):,}",
            hint="orders that a limit reduced",
        ),
        Row(
            label="Loss breaker",
            value=highest(recorder),
            hint="the highest level that an account's came to",
        ),
        Row(
            label="Failovers",
            value=f"{engine.failovers:,}",
            hint="opening orders that went to another account than the first choice",
        ),
        Row(
            label="In doubt, resolved",
            value=f"{found + absent} of {len(doubted)}",
            hint=f"{found} found at the broker, {absent} proven absent",
        ),
        Row(label="Lost", value=str(len(audit.lost)), hint="orders whose fate is not known"),
        Row(
            label="Duplicated",
            value=str(len(audit.duplicated)),
            hint="client order ids under which more than one order lived",
        ),
        Row(
            label="Net profit",
            value=f"{net_profit(recorder.equity):,.2f} {money}" if recorder.equity else "-",
            hint="all accounts, open positions at their closing price",
        ),
        Row(
            label="Sharpe",
            value="-" if sharpe is None else f"{sharpe:.2f}",
            hint="daily returns, annualised by 252 days, no risk-free rate",
        ),
        Row(
            label="Maximum drawdown",
            value="-" if worst is None else f"{worst.fraction:.2%}",
            hint="from a peak of equity to the lowest point after it",
        ),
        Row(
            label="Books",
            value="agree" if audit.clean else "DIFFER",
            hint="our book against the brokers' own record of executions",
        ),
    ]


def highest(recorder: Recorder) -> str:
    """Return the highest level that a loss breaker came to, and how often it rose."""
    levels = [each.level for each in recorder.levels]
    top = max(levels, default=BreakerLevel.NORMAL)
    if top is BreakerLevel.NORMAL:
        return "normal"
    return f"{top.name.lower()}, {levels.count(top)}x"


def accounts(engine: Engine) -> Table:
    """Return each account's money and what it holds."""
    lines = []
    for name in engine.wiring.links:
        book = engine.book.account(name)
        equity = book.equity()
        held = ", ".join(
            f"{plain(holding.quantity)} {symbol}" for symbol, holding in book.holdings.items()
        )
        lines.append(
            (
                name,
                f"{book.balance:,.2f}",
                "-" if equity is None else f"{equity:,.2f}",
                held or "flat",
            )
        )
    money = currency(engine)
    return Table(
        head=("Account", f"Balance ({money})", f"Equity ({money})", "Holds"), rows=tuple(lines)
    )


def as_json(engine: Engine, recorder: Recorder, audit: Audit) -> dict[str, Any]:
    """Return the run's figures for machines: numbers as numbers, money in ``currency``."""
    tickets = list(engine.desk.tickets.values())
    worst = max_drawdown(recorder.equity) if recorder.equity else None
    return {
        "orders": len(tickets),
        "fills": len(recorder.fills),
        "vetoes": recorder.vetoes,
        "reductions": sum(not each.vetoed for each in recorder.rulings),
        "highest_breaker_level": max(
            (each.level for each in recorder.levels), default=BreakerLevel.NORMAL
        ).name,
        "failovers": engine.failovers,
        "in_doubt": sum(each.was_in_doubt for each in tickets),
        "in_doubt_resolved": sum(each.was_in_doubt and each.settled for each in tickets),
        "lost": list(audit.lost),
        "duplicated": list(audit.duplicated),
        "differences": list(audit.differences),
        "executions_at_brokers": audit.executions,
        "currency": currency(engine),
        "net_profit": net_profit(recorder.equity) if recorder.equity else None,
        "sharpe": sharpe_ratio(daily_closes(recorder.times, recorder.equity)),
        "maximum_drawdown": worst and worst.fraction,
        "clean": audit.clean,
    }


def write_page(  # noqa: PLR0913 - what a page is made of
    path: Path,
    engine: Engine,
    recorder: Recorder,
    bars: Mapping[str, Bars],
    *,
    title: str,
    subtitle: str,
    summary: Sequence[Row],
    marks: Sequence[Mark] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write the report page of a run."""
    charts = [
        PriceChart(
            symbol=symbol,
            times=series.time,
            prices=series.close,
            fills=[
                FillMark(
                    time=each.fill.time,
                    side=each.fill.side,
                    price=each.fill.price,
                    quantity=each.fill.quantity,
                    account=each.account,
                    opens=each.opens,
                )
                for each in recorder.fills
                if each.fill.instrument == symbol
            ],
        )
        for symbol, series in bars.items()
    ]
    write_report(
        path,
        RunReport(
            title=title,
            subtitle=subtitle,
            currency=currency(engine),
            times=recorder.times,
            equity=recorder.equity,
            charts=charts,
            marks=marks,
            rulings=recorder.rulings,
            levels=recorder.levels,
            summary=summary,
            accounts=accounts(engine),
            notes=notes,
        ),
    )
