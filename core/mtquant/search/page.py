"""The report of a search: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from mtquant.clock import format_time
from mtquant.report.chart import Chart
from mtquant.search.answer import Answer, params_text, value_text
from mtquant.search.chance import PERCENTS, Chances
from mtquant.search.finding import Found, Trial
from mtquant.search.forward import Holdout, WalkForward
from mtquant.search.heat import heat_map

_STYLE = """
.heat { display: block; width: 100%; }
.heat text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
.heat .x { text-anchor: middle; } .heat .y { text-anchor: end; } .heat .name { font-weight: 650; }
.heat .in { fill: var(--ink); } .heat .in.strong { fill: var(--card); }
.heat .above { fill: var(--equity); } .heat .below { fill: var(--fall); }
.heat .best { fill: none; stroke: var(--mark); stroke-width: 3; }
.heat .none { fill: var(--line); }
.warnings { border-left: 4px solid var(--warned); }
.warnings ul { margin: 0; padding-left: 18px; }
section p { margin: 0 0 8px; }
td.params { font-family: ui-monospace, monospace; font-size: .88rem; text-align: left; }
"""
_NONE = "\N{EN DASH}"
Row = Sequence[str]


def write_page(path: Path, answer: Answer, top: int) -> None:
    """Write the page of ``answer``, with the ``top`` best combinations, to ``path``."""
    path.write_text(render(answer, top), encoding="utf-8")


def render(answer: Answer, top: int) -> str:
    """Return the page."""
    chart = None if answer.forward is None else _chart(answer.forward, answer)
    script = _asset("script.js") if chart is not None else ""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # No request can leave the page, and no script but ours can run in it.
    allowed = f"'sha256-{digest}'" if script else "'none'"
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}"
    points = [] if chart is None else [chart.data() | {"unit": f" {chart.unit}"}]
    data = json.dumps(points, separators=(",", ":")).replace("<", "\\u003c")
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(answer.title)}</title>",
            f"<style>{_asset('style.css')}{_STYLE}</style></head>\n<body>",
            _header(answer),
            f'<main><div class="tiles">{"".join(_tiles(answer))}</div>',
            _warned(answer),
            "" if chart is None else _figure(chart),
            "" if answer.forward is None else _windows(answer.forward),
            "" if answer.split is None else _holdout(answer.split, answer),
            "" if answer.found is None else _map(answer.found) + _best(answer.found, top),
            _luck(answer),
            "</main><footer>Times are UTC. Written by mtquant.</footer>",
            f'<script type="application/json" id="points">{data}</script>' if script else "",
            f"<script>{script}</script>" if script else "",
            "</body></html>\n",
        ]
    )


def _asset(name: str) -> str:
    return files("mtquant.report").joinpath(name).read_text(encoding="utf-8")


def _header(answer: Answer) -> str:
    times = answer.prepared.times
    first, last = (format_time(int(time))[:10] for time in (times[0], times[-1]))
    line = f"Search for the best {answer.by} by {answer.method}, seed {answer.seed}"
    return (
        f"<header><h1>{escape(answer.title)}</h1>"
        f'<p class="soft">{escape(line)}; {first} to {last}, {len(times):,} steps</p></header>'
    )


def _tile(label: str, value: str, hint: str) -> str:
    return (
        f'<div class="tile"><small>{escape(label)}</small><b>{escape(value)}</b>'
        f"<small>{escape(hint)}</small></div>"
    )


def _tiles(answer: Answer) -> Iterable[str]:
    if answer.forward is not None:
        yield from _tiles_forward(answer.forward)
    if answer.found is None:
        return
    found = answer.found
    part = "on the train part" if found.part is not None else "on all data"
    yield _tile(
        f"Best {answer.by}",
        value_text(found.best.value if found.best else None),
        f"{params_text(found.best)}, {part}" if found.best else "no candidate",
    )
    if answer.split is not None:
        test = answer.split.test
        hint = "no candidate" if answer.split.chosen is None else params_text(answer.split.chosen)
        figure = None if test is None else test.outcome.figures.get(answer.by)
        yield _tile(f"{answer.by} on the test part", value_text(figure), hint)
    deflated, overfit, stable = found.deflated, found.overfit, found.stability
    yield _tile(
        "Deflated Sharpe ratio",
        f"{deflated.probability:.3f}" if deflated else _NONE,
        f"chance that it is above zero after {deflated.trials} trials" if deflated else "undefined",
    )
    yield _tile(
        "Probability of overfitting",
        f"{overfit.probability:.3f}" if overfit else _NONE,
        f"{overfit.splits:,} splits of {overfit.blocks} blocks" if overfit else "too few days",
    )
    yield _tile(
        "Median of the neighbours",
        value_text(stable.median if stable else None),
        f"worst {value_text(stable.worst)}, {stable.tried} of {stable.neighbours} tried"
        if stable
        else "no optimum",
    )
    yield _tile("Combinations", f"{len(found.trials):,}", f"{found.candidates:,} candidates")


def _tiles_forward(forward: WalkForward) -> Iterable[str]:
    yield _tile("Return out of sample", f"{forward.total_return:+.2%}", "all tests, compounded")
    yield _tile("Sharpe ratio", value_text(forward.sharpe), "daily, out of sample, a year of 252")
    yield _tile("Deepest drawdown", f"{forward.max_drawdown:.2%}", "out of sample")
    efficiency = forward.efficiency
    yield _tile(
        "Efficiency",
        _NONE if efficiency is None else f"{efficiency:.0%}",
        "a year in the tests over a year in the train parts",
    )


def _warned(answer: Answer) -> str:
    if not answer.warnings:
        return ""
    items = "".join(f"<li>{escape(each)}</li>" for each in answer.warnings)
    return f'<section class="warnings"><h2>Before you trade it</h2><ul>{items}</ul></section>'


def _chart(forward: WalkForward, answer: Answer) -> Chart:
    times = forward.time.tolist()
    return Chart(
        name="Equity out of sample",
        kind="equity",
        unit=answer.prepared.settings.currency,
        times=times,
        values=[round(each, 2) for each in forward.equity.tolist()],
        start=times[0],
        end=times[-1],
        base=float(answer.prepared.settings.balance),
        marks=[],
    )


def _figure(chart: Chart) -> str:
    return (
        f'<figure><figcaption><h2>{escape(chart.name)} <span class="soft">{escape(chart.unit)}'
        f'</span></h2><output class="read"></output></figcaption>{chart.svg()}</figure>\n'
    )


def _table(head: Row, rows: Iterable[Row], words: int = 1) -> str:
    """Return a table whose first ``words`` columns are text."""
    heads = "".join(f"<th scope=col>{escape(each)}</th>" for each in head)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=params' if place < words else ''}>{escape(each)}</td>"
            for place, each in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _windows(forward: WalkForward) -> str:
    rows = []
    for each in forward.stretches:
        inside, outside = each.found.best, each.outside
        rows.append(
            (
                params_text(inside) if inside else "no candidate",
                format_time(each.start)[:10],
                format_time(each.end)[:10],
                _percent(inside, "total_return"),
                _percent(outside, "total_return"),
                _percent(outside, "max_drawdown"),
                str(outside.outcome.trades) if outside else _NONE,
                f"{each.found.deflated.probability:.2f}" if each.found.deflated else _NONE,
                f"{each.found.overfit.probability:.2f}" if each.found.overfit else _NONE,
            )
        )
    head = ("Chosen", "Test from", "to", "Return in train", "in test", "Drawdown in test")
    return (
        f"<section><h2>{len(rows)} windows, {forward.lengths.mode}</h2>"
        + _table((*head, "Trades", "DSR", "PBO"), rows)
        + "</section>"
    )


def _percent(trial: Trial | None, name: str) -> str:
    value = None if trial is None else trial.outcome.figures.get(name)
    return _NONE if value is None else f"{value:.2%}"


def _holdout(split: Holdout, answer: Answer) -> str:
    in_train = {each.params: each.value for each in split.found.trials}
    rows = [
        (params_text(each), value_text(in_train.get(each.params)), value_text(each.value))
        for each in split.validated
    ]
    head = ("Combination", f"{answer.by} in train", "in validation")
    return (
        "<section><h2>Chosen on the validation part</h2><p class=soft>The best of the train part, "
        "in the order in which they did on the validation part; the first went to the test.</p>"
        + _table(head, rows)
        + "</section>"
    )


def _map(found: Found) -> str:
    svg, told = heat_map(found)
    if not svg:
        return ""
    return f'<section><h2>Heat map</h2><p class="soft">{escape(told)}</p>{svg}</section>'


def _best(found: Found, top: int) -> str:
    by = found.wanted.by
    names = [name for name in ("sharpe", "profit_factor", "net_profit") if name != by]
    rows = [
        (
            params_text(each) + ("" if each.value is not None else " (no candidate)"),
            value_text(each.outcome.figures.get(by)),
            *(value_text(each.outcome.figures.get(name)) for name in names),
            _percent(each, "max_drawdown"),
            str(each.outcome.trades),
        )
        for each in found.trials[:top]
    ]
    head = ("Combination", by, *names, "max_drawdown", "trades")
    return f"<section><h2>The best {len(rows)}</h2>{_table(head, rows)}</section>"


def _luck(answer: Answer) -> str:
    rows = [
        row
        for name, chances in (
            ("Trades in another order", answer.shuffled),
            ("Days drawn anew", answer.drawn),
        )
        if chances is not None
        for row in _spread(name, chances)
    ]
    if not rows:
        return ""
    either = answer.drawn or answer.shuffled
    ruin = 0.0 if either is None else either.ruin_at
    head = ("Monte Carlo", *(f"{each} %" for each in PERCENTS), "Ends below the start")
    return (
        '<section><h2>What chance might have made of it</h2><p class="soft">Percentiles of the '
        "final equity and of the deepest drawdown.</p>"
        + _table((*head, f"Loses {ruin:.0%}"), rows)
        + "</section>"
    )


def _spread(name: str, chances: Chances) -> Iterable[Row]:
    yield (
        f"{name}: final equity",
        *(f"{each:,.0f}" for each in chances.final_equity),
        f"{chances.loss:.1%}",
        f"{chances.ruin:.1%}",
    )
    yield (f"{name}: drawdown", *(f"{each:.1%}" for each in chances.max_drawdown), "", "")
