"""The places that the script draws into, each with its title, read-out, key and label."""

from __future__ import annotations

from html import escape

from mtquant.backtest.page.bars import BARS
from mtquant.backtest.page.distribution import drawn, histogram
from mtquant.backtest.page.payload import TRADES
from mtquant.backtest.page.steps import MOST
from mtquant.backtest.result import Result

_UP, _DOWN = "M0 4L4.5 12L-4.5 12Z", "M0 -4L4.5 -12L-4.5 -12Z"
_LINE = (
    '<span><svg viewBox="0 0 20 12" class="stroke {kind}"><path d="M0 6H20"/></svg>{name}</span>'
)
_KEYS = "Arrow keys move, plus and minus zoom, 0 shows all."
_MARKS = (
    f'<span><svg viewBox="-6 3 12 11" class="buy"><path d="{_UP}"/></svg>buy</span>'
    f'<span><svg viewBox="-6 -14 12 11" class="sell"><path d="{_DOWN}"/></svg>sell</span>'
    f'<span><svg viewBox="-6 3 12 11" class="buy closes"><path d="{_UP}"/></svg>'
    "hollow: closes a position</span>"
    + _LINE.format(kind="gain", name="trade that won")
    + _LINE.format(kind="loss", name="trade that lost")
)
_COLUMNS = (
    ("number", "#", ""),
    ("symbol", "Symbol", ""),
    ("side", "Side", ""),
    ("quantity", "Quantity", "n more"),
    ("entered", "Entry", ""),
    ("entry", "at", "n more"),
    ("left", "Exit", "more"),
    ("exit", "at", "n more"),
    ("bars", "Bars", "n more"),
    ("profit", "Profit", "n"),
    ("costs", "Costs", "n more"),
    ("adverse", "MAE %", "n more"),
    ("favourable", "MFE %", "n more"),
    ("why", "Exit by", ""),
    ("reason", "Entry reason", "more"),
)
_FILTERS = (("symbol", "Symbol"), ("side", "Side"), ("why", "Exit"), ("outcome", "Outcome"))
_GIVEN = {
    "side": (("1", "long"), ("-1", "short")),
    "outcome": (("won", "won or even"), ("lost", "lost")),
}


def curves(result: Result, *, held: bool) -> str:
    """Return equity, drawdown and exposure; ``held`` where there is a buy-and-hold line."""
    if len(result.time) <= 1:
        return '<p class="soft">No curve: the run has fewer than two steps.</p>'
    key = _LINE.format(kind="equity", name="equity")
    key += _LINE.format(kind="hold", name="buy and hold") if held else ""
    currency = escape(result.currency)
    parts = [
        chart("equity", "Equity", currency, key=key, reset=True),
        chart("fall", "Drawdown", "% below the highest equity so far"),
        chart("exposure", "Exposure", f"{currency}, above zero long, below short"),
    ]
    whole = len(result.time) <= MOST
    note = "Drag over a stretch to see it closer, double-click for the whole run."
    if not whole:
        note += (
            f" The run has {len(result.time):,} steps: drawn are the lowest and the highest of "
            "each stretch of time, so that no extreme is lost."
        )
    return "".join(parts) + f'<p class="soft fine">{note}</p>'


def prices(result: Result) -> str:
    """Return the price chart; nothing where no symbol has bars."""
    if not any(len(bars) for bars in result.prices.values()):
        return ""
    options = "".join(
        f'<option value="{index}">{escape(name)}</option>'
        for index, name in enumerate(result.prices)
    )
    choice = f'<label>Symbol <select aria-label="Symbol">{options}</select></label>'
    if len(result.prices) == 1:
        choice = f"<b>{escape(next(iter(result.prices)))}</b>"
    total = sum(len(bars) for bars in result.prices.values())
    note = "Wheel or pinch to zoom, drag to move, press a mark to see its trade."
    if total > BARS:
        note += f" Of {total:,} bars this page holds an overview, and those around executions."
    return (
        '<figure class="chart price" data-chart="price"><figcaption><h2>Price and executions</h2>'
        f'<output class="read"></output></figcaption><div class="bar">{choice}'
        f'<div class="ranges" role="group" aria-label="Range"></div></div>'
        f'<p class="key">{_MARKS}</p><div class="box" tabindex="0" role="group" '
        f'aria-label="Price chart with executions. {_KEYS}"></div>'
        '<canvas class="map" aria-hidden="true"></canvas>'
        '<p class="chosen" aria-live="polite"></p><p class="note-bars soft fine"></p>'
        f'<p class="soft fine">{note}</p></figure>\n'
    )


def trade_charts(result: Result) -> str:
    """Return the distribution of profits, and profit against both excursions."""
    if not result.round_trips:
        return ""
    currency = escape(result.currency)
    found = histogram([float(trade.profit) for trade in result.round_trips])
    first = (
        f'<figure class="distribution"><figcaption><h2>Distribution of profits '
        f'<span class="soft">trades by profit in {currency}</span></h2></figcaption>'
        f"{drawn(found, result.currency)}</figure>"
    )
    pair = "".join(
        chart(name, title, f"{currency} of profit, by {what} in % of the entry price")
        for name, title, what in (
            ("adverse", "Profit and MAE", "how far the price went against the trade"),
            ("favourable", "Profit and MFE", "how far it went its way"),
        )
    )
    return f'{first}<div class="pair">{pair}</div>'


def trade_list(result: Result) -> str:
    """Return the list of trades; the script fills it, a page at a time."""
    count = len(result.round_trips)
    if not count:
        return '<section><h2>Trades</h2><p class="soft">None.</p></section>'
    several = {trade.strategy_id for trade in result.round_trips}
    filters = [*_FILTERS, *([("strategy", "Strategy")] if len(several) > 1 else [])]
    cut = f" Listed are the first {TRADES:,} of {count:,}." if count > TRADES else ""
    head = "".join(
        f'<th scope="col" data-sort="{name}" aria-sort="none"{f" class={kind!r}" if kind else ""}>'
        f'<button type="button">{title}</button></th>'
        for name, title, kind in _COLUMNS
    ).replace("'", '"')
    buttons = {"first": "First", "back": "Back", "on": "Next", "last": "Last"}
    pager = [
        f'<button type="button" data-go="{name}">{title}</button>'
        for name, title in buttons.items()
    ]
    pager.insert(2, "<output></output>")
    return (
        f'<section class="list"><h2>Trades</h2><div class="bar">{"".join(map(_filter, filters))}'
        '<span class="count" role="status"></span></div>'
        f'<div class="wide"><table class="text trades"><thead><tr>{head}</tr></thead><tbody>'
        '</tbody></table></div><nav class="pager" aria-label="Pages of trades">'
        f"{''.join(pager)}</nav>"
        '<p class="soft fine">Profit and costs are in the account\'s currency, profit is net of '
        "costs. Press a trade to see it in the price chart, a heading to sort by it."
        f"{cut}</p></section>\n"
    )


def chart(name: str, title: str, unit: str, *, key: str = "", reset: bool = False) -> str:
    """Return a place to draw the chart ``name`` in; ``unit`` and ``key`` are HTML."""
    button = '<button type="button" class="reset" hidden>Whole run</button>' if reset else ""
    shown = f'<p class="key">{key}</p>' if key else ""
    return (
        f'<figure class="chart {name}" data-chart="{name}"><figcaption><h2>{escape(title)} '
        f'<span class="soft">{unit}</span></h2>{button}<output class="read"></output></figcaption>'
        f'{shown}<div class="box" tabindex="0" role="group" '
        f'aria-label="{escape(title)}. {_KEYS}"></div></figure>\n'
    )


def _filter(named: tuple[str, str]) -> str:
    name, title = named
    options = "".join(
        f'<option value="{value}">{text}</option>' for value, text in _GIVEN.get(name, ())
    )
    return (
        f'<label>{title} <select data-filter="{name}"><option value="">all</option>{options}'
        "</select></label>"
    )
