"""The page around the charts."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from mtquant.clock import SECOND, format_time
from mtquant.metrics import (
    daily_closes,
    drawdowns,
    max_drawdown,
    net_profit,
    sharpe_ratio,
    total_return,
)
from mtquant.model import plain
from mtquant.report.chart import Chart
from mtquant.report.content import FillMark, RunReport, Table
from mtquant.report.risk import risk_section
from mtquant.report.scale import write_day
from mtquant.risk import figure

_DAY = 86_400 * SECOND
_UP, _DOWN = "M0 4L4.5 12L-4.5 12Z", "M0 -4L4.5 -12L-4.5 -12Z"
_KEY = (
    '<p class="key">'
    f'<span><svg viewBox="-6 3 12 11" class="buy"><path d="{_UP}"/></svg>buy</span>'
    f'<span><svg viewBox="-6 -14 12 11" class="sell"><path d="{_DOWN}"/></svg>sell</span>'
    f'<span><svg viewBox="-6 3 12 11" class="buy closes"><path d="{_UP}"/></svg>'
    "hollow: closes a position</span></p>"
)
_OF_ALL = 2
"""The charts of all accounts together, which come first: equity and drawdown."""
_NONE = "\N{EN DASH}"


def write_report(path: Path, report: RunReport) -> None:
    """Write ``report`` to ``path`` as one HTML file that needs nothing else."""
    path.write_text(render(report), encoding="utf-8")


def render(report: RunReport) -> str:
    """Return the page."""
    charts = _charts(report)
    points = [chart.data() | {"unit": f" {chart.unit}".rstrip()} for chart in charts]
    script = _asset("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # No request can leave the page, and no script but ours can run in it.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(report.title)}</title><style>{_asset('style.css')}</style></head>\n",
            f'<body><svg width="0" height="0" aria-hidden="true"><defs><path id="buy" d="{_UP}"/>',
            f'<path id="sell" d="{_DOWN}"/></defs></svg>',
            _header(report),
            f'<main><div class="tiles">{_tiles(report)}</div>',
            *(_figure(chart) for chart in charts[:_OF_ALL]),
            _risk(report, charts),
            *(_figure(chart) for chart in charts[_OF_ALL:]),
            _summary(report),
            _accounts(report.accounts),
            _fills(report),
            "</main><footer>Times are UTC. Written by mtquant.</footer>",
            f'<script type="application/json" id="points">{_data(points)}</script>',
            f"<script>{script}</script></body></html>\n",
        ]
    )


def _risk(report: RunReport, charts: Sequence[Chart]) -> str:
    if not charts:
        return ""
    return risk_section(report.rulings, report.levels, charts[0].start, charts[0].end)


def _asset(name: str) -> str:
    return files("mtquant.report").joinpath(name).read_text(encoding="utf-8")


def _data(points: Sequence[object]) -> str:
    """Return JSON that can't end the element it stands in."""
    return json.dumps(points, separators=(",", ":")).replace("<", "\\u003c")


def _charts(report: RunReport) -> list[Chart]:
    """Return all charts that have something to show, over one common time axis."""
    drawn = [chart for chart in report.charts if chart.times]
    ends = [at for each in (report.times, *(chart.times for chart in drawn)) for at in _ends(each)]
    if not ends:
        return []
    start, end = min(ends), max(ends)
    marks = [mark for mark in report.marks if start <= mark.time <= end]
    charts = []
    if report.times:
        below = [round(-100.0 * float(share), 2) for share in drawdowns(report.equity)]
        charts = [
            Chart(
                name="Equity",
                kind="equity",
                unit=report.currency,
                times=report.times,
                values=report.equity,
                start=start,
                end=end,
                base=report.equity[0],
                marks=marks,
            ),
            Chart(
                name="Drawdown",
                kind="fall",
                unit="%",
                times=report.times,
                values=below,
                start=start,
                end=end,
                base=0.0,
                marks=marks,
            ),
        ]
    return charts + [
        Chart(
            name=chart.symbol,
            kind="price",
            unit="",
            times=chart.times,
            values=chart.prices,
            start=start,
            end=end,
            marks=marks,
            fills=[fill for fill in chart.fills if start <= fill.time <= end],
        )
        for chart in drawn
    ]


def _ends(times: Sequence[int]) -> Iterable[int]:
    return (times[0], times[-1]) if times else ()


def _header(report: RunReport) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f'<header><h1>{escape(report.title)}</h1><p class="soft">{escape(report.subtitle)}</p>'
        f"{f'<ul>{notes}</ul>' if notes else ''}</header>"
    )


def _tiles(report: RunReport) -> str:
    gain, change = net_profit(report.equity), total_return(report.equity)
    sharpe = sharpe_ratio(daily_closes(report.times, report.equity))
    deepest = max_drawdown(report.equity)
    fills = [fill for chart in report.charts for fill in chart.fills]
    tiles = [
        ("Net profit", _signed(f"{gain:+,.2f}"), f"{report.currency}, last equity less first"),
        (
            "Total return",
            _signed(f"{change:+.2%}") if change is not None else _NONE,
            "of the first equity",
        ),
        (
            "Sharpe ratio",
            _signed(f"{sharpe:.2f}") if sharpe is not None else _NONE,
            "daily returns, a year of 252",
        ),
        (
            "Deepest drawdown",
            f"{deepest.fraction:.2%}" if deepest else "0.00%",
            f"{write_day(report.times[deepest.peak])} to {write_day(report.times[deepest.trough])}"
            if deepest
            else "equity never fell",
        ),
        ("Fills", f"{len(fills):,}", f"{sum(fill.opens for fill in fills):,} opened a position"),
    ]
    return "".join(
        f'<div class="tile"><small>{escape(label)}</small><b>{escape(value)}</b>'
        f"<small>{escape(hint)}</small></div>"
        for label, value, hint in tiles
    )


def _figure(chart: Chart) -> str:
    unit = f' <span class="soft">{escape(chart.unit)}</span>' if chart.unit else ""
    return (
        f"<figure><figcaption><h2>{escape(chart.name)}{unit}</h2>"
        f'<output class="read"></output></figcaption>{_KEY if chart.fills else ""}'
        f"{chart.svg()}</figure>\n"
    )


def _summary(report: RunReport) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(row.label)}"
        f"{f'<small>{escape(row.hint)}</small>' if row.hint else ''}</th>"
        f"<td>{escape(row.value)}</td></tr>"
        for row in report.summary
    )
    if not rows:
        return ""
    return (
        f'<section><h2>Summary</h2><table class="summary"><tbody>{rows}</tbody></table></section>'
    )


def _accounts(table: Table) -> str:
    if not table.rows:
        return ""
    head = "".join(f"<th scope=col>{escape(each)}</th>" for each in table.head)
    rows = "".join(
        f"<tr><th scope=row>{escape(name)}</th>"
        f"{''.join(f'<td>{escape(each)}</td>' for each in others)}</tr>"
        for name, *others in table.rows
    )
    return (
        f'<section><h2>Accounts</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _fills(report: RunReport) -> str:
    fills = sorted(
        ((fill, chart.symbol) for chart in report.charts for fill in chart.fills),
        key=lambda pair: pair[0].time,
    )
    if not fills:
        return ""
    daily = all(fill.time % _DAY == 0 for fill, _ in fills)
    rows = "".join(_fill(fill, symbol, daily=daily) for fill, symbol in fills)
    return (
        f"<section><details><summary>All {len(fills):,} fills</summary>"
        '<div class="wide"><table class="text"><thead><tr><th>Time<th>Symbol<th>Side<th>Does'
        '<th class="n">Quantity<th class="n">Price<th>Account</thead>'
        f"<tbody>{rows}</tbody></table></div></details></section>"
    )


def _fill(fill: FillMark, symbol: str, *, daily: bool) -> str:
    time = format_time(fill.time)[: 10 if daily else 19].replace("T", " ")
    return (
        f"<tr><td>{time}<td>{escape(symbol)}<td>{fill.side}<td>"
        f'{"opens" if fill.opens else "closes"}<td class="n">{figure(fill.quantity)}'
        f'<td class="n">{plain(fill.price)}<td>{escape(fill.account)}'
    )


def _signed(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
