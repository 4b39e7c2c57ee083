"""The page as a whole: one file that makes no request and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path

from mtquant.backtest.page.charts import curves, prices, trade_charts, trade_list
from mtquant.backtest.page.comparison import comparison
from mtquant.backtest.page.definitions import DEFINITIONS
from mtquant.backtest.page.headline import headline, run_line
from mtquant.backtest.page.payload import payload
from mtquant.backtest.page.settings import names_of, run_card
from mtquant.backtest.page.tables import (
    cost_table,
    figure_tables,
    group_tables,
    messages,
    month_table,
    refusals,
)
from mtquant.backtest.result import Result
from mtquant.backtest.statistics import Statistics, statistics
from mtquant.errors import ConfigError

_SCRIPTS = ("decode", "common", "plot", "curves", "price", "scatter", "trades", "main")
"""Ours, in the order they build on one another."""
_FOOTER = (
    "<footer>Times are UTC. Written by mtquant. Charts are drawn by uPlot, copyright 2022 Leon "
    "Sorokin, MIT licence.</footer>"
)


def write_page(path: Path, results: Sequence[Result]) -> None:
    """Write the page of ``results`` to ``path``: whole or not at all.

    Raises ConfigError where there are no results, or the file can't be written.
    """
    page = render(results)
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(page, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        reason = error.strerror or str(error)
        remedy = "Name a file in a folder that exists and may be written to."
        raise ConfigError(str(path), f"can't be written: {reason}", remedy) from None


def render(results: Sequence[Result], title: str = "") -> str:
    """Return one HTML page that shows ``results``: one with all it has, several side by side first.

    ``title`` stands on top, by default the strategies' names and the symbols. The page needs no
    network and no other file. It holds up to 1,000,000 bars, all results and symbols together;
    of more it holds an overview and the bars around executions, and says so. Raises ConfigError
    where there are no results.
    """
    if not results:
        raise ConfigError("results", "are none", "Give the result of at least one backtest.")
    figures = [statistics(result) for result in results]
    names = names_of(results)
    shown = title or _title(results)
    if len(results) == 1:
        body = _header(shown, run_line(results[0])) + _main(_run(results[0], figures[0], 0))
    else:
        told = f"{len(results)} backtests side by side, then each by itself"
        runs = "".join(
            f'<details class="run" id="run-{index}"><summary><b>{escape(names[index])}</b> '
            f'<span class="soft">{escape(run_line(result))}</span></summary>'
            f"{_run(result, figures[index], index)}</details>"
            for index, result in enumerate(results)
        )
        body = _header(shown, told) + _main(comparison(results, figures, names) + runs)
    return _document(shown, body, payload(results, figures, names))


def _run(result: Result, figures: Statistics, place: int) -> str:
    parts = [
        headline(result, figures),
        curves(result, held=figures.buy_and_hold is not None),
        prices(result),
        month_table(figures.monthly_returns),
        figure_tables(figures.rows()),
        group_tables(figures),
        trade_charts(result),
        trade_list(result),
        cost_table(figures),
        refusals(result, figures),
        messages(result),
        run_card(result, place),
    ]
    return f'<div class="one" data-run="{place}">{"".join(parts)}</div>'


def _title(results: Sequence[Result]) -> str:
    strategies = {
        trade.strategy_id: None for result in results for trade in result.round_trips
    } or {"Backtest": None}
    symbols = {symbol: None for result in results for symbol in result.card.symbols}
    return f"{', '.join(strategies)} on {', '.join(symbols)}"


def _header(title: str, line: str) -> str:
    return f'<header><h1>{escape(title)}</h1><p class="soft">{escape(line)}</p></header>'


def _main(content: str) -> str:
    return (
        '<main><noscript><p class="warnings">Charts and the list of trades need JavaScript, which '
        'this page runs without any network.</p></noscript><p id="failed" class="warnings" hidden>'
        f"</p>{content}{DEFINITIONS}</main>"
    )


def _document(title: str, body: str, packed: str) -> str:
    library, own = _asset("uplot.js"), "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in (library, own))
    # No request can leave the page, and no script but ours can run in it.
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}"
    look = files("mtquant.report").joinpath("style.css").read_text(encoding="utf-8")
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_asset('uplot.css')}{look}{_asset('page.css')}",
            f"</style></head>\n<body>{body}{_FOOTER}",
            f"<!-- uPlot, which the script below begins with:\n{_asset('uplot.LICENSE')}-->",
            f'<script type="text/plain" id="data">{packed}</script>',
            f"<script>{library}</script><script>{own}</script></body></html>\n",
        ]
    )


def _asset(name: str) -> str:
    return files("mtquant.backtest.page").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
