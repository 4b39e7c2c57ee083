"""The page of a backtest: needs nothing else, escapes what it is told, says what it leaves out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.backtest.scenes import empty, hostile, result
from tests.backtest.test_page_pack import column, unpacked

from mtquant.backtest.page import render, write_page
from mtquant.backtest.page.distribution import histogram
from mtquant.backtest.page.marks import NONE, bar_at, marks
from mtquant.backtest.page.settings import differing, names_of, settings_of
from mtquant.backtest.page.tables import LISTED, month_table
from mtquant.backtest.page.text import signed
from mtquant.backtest.result import Traded
from mtquant.backtest.statistics import YearOfReturns, statistics
from mtquant.clock import SECOND
from mtquant.errors import ConfigError
from mtquant.model import Side, Timeframe

VOID = {"meta", "br", "link", "img", "input", "hr"}
NASTY = '</script><script>alert(1)</script><img src=x onerror="x" \'>--><!--'


class Reader(HTMLParser):
    """Reads a page strictly: what is opened must be closed in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def charts(self) -> list[str | None]:
        return [each["data-chart"] for _, each in self.tags if "data-chart" in each]


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def packed(page: str) -> str:
    found = re.search(r'<script type="text/plain" id="data">([A-Za-z0-9+/=]*)</script>', page)
    assert found is not None
    return found[1]


def test_the_page_is_well_formed_and_needs_nothing_from_outside() -> None:
    page = render([result()])
    reader = read(page)
    assert not {"link", "img", "iframe", "object", "base", "form"} & {tag for tag, _ in reader.tags}
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|eval\(", page)
    for _, attributes in reader.tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_only_the_pages_own_scripts_may_run() -> None:
    page = render([result()])
    policy = read(page).named("meta")[1]["content"] or ""
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_every_section_is_there() -> None:
    reader = read(render([result()]))
    text = " ".join(reader.text)
    for expected in (
        "sma_cross on EUR/USD, USD/JPY",
        "Net profit",
        "Before you believe it",
        "In 3 bars a stop and a limit were both within reach",
        "daily returns",
        "Monthly returns",
        "Profit factor",
        "stop loss",
        "All 17 rejections",
        "insufficient_margin",
        "1,200.00 USD of margin missing",
        "the loss breaker is at warned",
        "strategies.0.parameters.stop_pips",
        "SHA-256 of USD/JPY",
        "Slippage",
        "What the words mean",
    ):
        assert expected in text
    assert reader.charts() == [
        "equity",
        "fall",
        "exposure",
        "price",
        "adverse",
        "favourable",
    ]


def test_every_chart_is_named_and_reached_by_keyboard() -> None:
    reader = read(render([result()]))
    boxes = [each for each in reader.named("div") if each.get("class") == "box"]
    assert len(boxes) == len(reader.charts())
    assert all(each["tabindex"] == "0" and each["aria-label"] for each in boxes)
    assert all(each.get("aria-label") for each in reader.named("svg") if "role" in each)
    sortable = [each for each in reader.named("th") if "data-sort" in each]
    assert len(sortable) == 15
    assert all(each["aria-sort"] == "none" for each in sortable)


def test_hostile_text_stays_text() -> None:
    page = render([hostile(NASTY)], NASTY)
    reader = read(page)
    assert "<script>alert" not in page
    assert "img" not in {tag for tag, _ in reader.tags}
    assert len(reader.named("script")) == 3
    assert reader.text.count(NASTY) > 20
    head, _ = unpacked(packed(page))
    assert head["runs"][0]["trades"]["why_in"]["texts"] == [NASTY]


def test_hostile_text_stays_text_in_a_comparison() -> None:
    other = replace(hostile(NASTY), card=replace(hostile(NASTY).card, config={NASTY: NASTY * 2}))
    page = render([hostile(NASTY), other])
    assert "<script>alert" not in page
    assert "img" not in {tag for tag, _ in read(page).tags}


def test_a_run_without_a_trade_is_still_a_page() -> None:
    reader = read(render([empty()]))
    assert reader.charts() == ["equity", "fall", "exposure", "price"]
    text = " ".join(reader.text)
    assert "None: every signal could be traded." in text
    assert "0 closed trades" in text


def test_a_run_without_a_bar_is_still_a_page() -> None:
    whole = empty()
    none = np.zeros(0)
    bars = whole.prices["EUR/USD"]
    cut = replace(
        bars,
        time=bars.time[:0],
        open=none,
        high=none,
        low=none,
        close=none,
        volume=none,
    )
    nothing = replace(
        whole,
        time=whole.time[:0],
        equity=none,
        balance=none,
        exposure=none,
        prices={"EUR/USD": cut},
    )
    reader = read(render([nothing]))
    assert reader.charts() == []
    assert "No curve: the run has fewer than two steps." in " ".join(reader.text)


def test_the_script_gets_every_trade_and_execution() -> None:
    run = result(400, ("EUR/USD", "USD/JPY"), 24)
    head, content = unpacked(packed(render([run])))
    trades = head["runs"][0]["trades"]
    profit = column(content, trades["columns"]["profit"])
    np.testing.assert_array_equal(profit, [float(each.profit) for each in run.round_trips])
    entered = column(content, trades["columns"]["entered"]) * SECOND
    np.testing.assert_array_equal(entered, [each.entry_time for each in run.round_trips])
    reasons = column(content, trades["why_out"]["at"])
    told = [trades["why_out"]["texts"][int(at)] for at in reasons]
    assert told == [each.exit_reason for each in run.round_trips]
    steps = head["runs"][0]["steps"]
    np.testing.assert_allclose(column(content, steps["equity"]), run.equity)
    fall = statistics(run).drawdown * -100
    np.testing.assert_allclose(column(content, steps["fall"]), fall, atol=1e-4)
    assert sum(each["bar"]["n"] for each in head["runs"][0]["fills"]) == len(run.fills)


def test_a_trade_stands_at_the_bars_it_was_entered_and_left_in() -> None:
    run = result(400, ("EUR/USD",), 12)
    head, content = unpacked(packed(render([run])))
    columns = head["runs"][0]["trades"]["columns"]
    for name, wanted in (("first", "entry_time"), ("final", "exit_time")):
        at = column(content, columns[name]).astype(np.int64)
        opened = run.prices["EUR/USD"].time[at]
        assert opened.tolist() == [getattr(each, wanted) for each in run.round_trips]


def test_small_runs_make_small_pages_fast_runs_of_many_bars_bearable_ones() -> None:
    assert len(render([result(5_000, ("EUR/USD",), 300)])) < 350_000
    long = render([result(200_000, ("EUR/USD",), 2_000, timeframe=Timeframe.M1)])
    assert len(long) < 1_700_000


def test_bars_left_out_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    run = result(3_000, ("EUR/USD",), 3)
    assert "this page holds an overview" not in render([run])
    monkeypatch.setattr("mtquant.backtest.page.payload.BARS", 2_000)
    monkeypatch.setattr("mtquant.backtest.page.charts.BARS", 2_000)
    page = render([run])
    assert "Of 3,000 bars this page holds an overview, and those around executions." in page
    head, _ = unpacked(packed(page))
    first, *others = head["prices"][0]["blocks"]
    assert first == [0, 3, 1000]
    assert others
    assert not head["prices"][0]["whole"]


def test_trades_left_out_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtquant.backtest.page.payload.TRADES", 10)
    monkeypatch.setattr("mtquant.backtest.page.charts.TRADES", 10)
    run = result(3_000, ("EUR/USD",), 40)
    page = render([run])
    assert "Listed are the first 10 of 40." in page
    head, content = unpacked(packed(page))
    assert head["runs"][0]["trades"]["columns"]["profit"]["n"] == 10
    for each in head["runs"][0]["fills"]:
        assert column(content, each["opened"]).max() < 10


def test_refusals_left_out_are_said() -> None:
    run = result()
    many = replace(run, rejections=run.rejections * 40)
    assert f"The first {LISTED} of 680 rejections" in render([many])


# --- comparison ----------------------------------------------------------------------------------


def test_runs_are_compared_with_what_differs_marked() -> None:
    runs = [result(600, trades=40, seed=1, parameters={"fast": fast}) for fast in (5, 8, 13)]
    page = render(runs)
    reader = read(page)
    assert re.findall("<mark>(.*?)</mark>", page) == ["5", "8", "13"]
    text = " ".join(reader.text)
    assert "A: fast 5" in text
    assert "strategies.0.parameters.fast" in text
    assert reader.charts()[:2] == ["gains", "falls"]
    assert reader.charts().count("price") == 3
    assert [each["id"] for each in reader.named("details") if "id" in each] == [
        "run-0",
        "run-1",
        "run-2",
    ]
    labels = [each["id"] for each in reader.named("pre")]
    assert labels == ["card-0", "card-1", "card-2"]


def test_runs_of_the_same_prices_share_them() -> None:
    runs = [result(600, trades=40, parameters={"fast": fast}) for fast in (5, 8)]
    head, _ = unpacked(packed(render(runs)))
    assert len(head["prices"]) == 2
    assert [run["prices"] for run in head["runs"]] == [[0, 1], [0, 1]]
    card = replace(runs[1].card, data={"EUR/USD": "b" * 64, "USD/JPY": "c" * 64})
    head, _ = unpacked(packed(render([runs[0], replace(runs[1], card=card)])))
    assert len(head["prices"]) == 4


def test_what_differs_is_found_wherever_it_stands() -> None:
    first = result(50, trades=4)
    assert differing([first, first]) == {}
    assert names_of([first, first]) == ["A", "B"]
    other = replace(first, card=replace(first.card, seed=9, config={"account": {"leverage": 30}}))
    found = differing([first, other])
    assert found["seed"] == ("1", "9")
    assert found["account.leverage"] == ("\N{EN DASH}", "30")
    assert found["strategies.0.parameters.fast"] == ("10", "\N{EN DASH}")
    assert "timeframe" not in found


def test_settings_are_named_by_where_they_stand() -> None:
    config = {"a": {"b": [1, 2], "c": []}, "d": [{"e": True}, {"e": None}], "f": {}}
    card = replace(result(50, trades=4).card, config=config)
    told = settings_of(replace(result(50, trades=4), card=card))
    assert {name: told[name] for name in ("a.b", "a.c", "d.0.e", "d.1.e", "f")} == {
        "a.b": "1, 2",
        "a.c": "\N{EN DASH}",
        "d.0.e": "yes",
        "d.1.e": "\N{EN DASH}",
        "f": "\N{EN DASH}",
    }


def test_the_27th_run_has_a_name_too() -> None:
    assert names_of([empty()] * 28)[25:] == ["Z", "Run 27", "Run 28"]


# --- files ---------------------------------------------------------------------------------------


def test_a_page_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("an older one")
    write_page(path, [empty()])
    read(path.read_text(encoding="utf-8"))
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_where_a_page_cant_be_written_the_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing/page\.html: can't be written: No such file"):
        write_page(tmp_path / "missing" / "page.html", [empty()])
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="can't be written"):
        write_page(tmp_path / "folder", [empty()])
    assert sorted(each.name for each in tmp_path.iterdir()) == ["folder"]


def test_no_results_make_no_page() -> None:
    with pytest.raises(ConfigError, match="at least one backtest"):
        render([])


# --- parts ---------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(-(10**8), 10**8), min_size=1, max_size=200))
@example([19_900] * 300 + [-100])
def test_a_histogram_counts_every_trade_and_never_mixes_losers_with_winners(
    cents: list[int],
) -> None:
    profits = [each / 100 for each in cents]
    found = histogram(profits)
    assert sum(found.counts) == len(profits)
    assert len(found.edges) == len(found.counts) + 1 <= 50
    assert 0.0 in found.edges
    lost = sum(n for edge, n in zip(found.edges, found.counts, strict=False) if edge < 0)
    assert lost == sum(each < 0 for each in profits)


def test_marks_know_what_they_opened_and_closed() -> None:
    run = result(300, ("EUR/USD",), 6)
    made = marks(run)
    assert [mark.opened for mark in made if mark.opened != NONE] == list(range(6))
    assert [mark.closed for mark in made if mark.closed != NONE] == list(range(6))
    assert all((mark.opened == NONE) != (mark.closed == NONE) for mark in made)


def test_a_position_that_turns_closes_one_trade_and_opens_another() -> None:
    run = result(300, ("EUR/USD",), 2)
    first, second = run.round_trips
    first = replace(first, side=Side.BUY, quantity=Decimal(10), exit_time=first.exit_time)
    second = replace(second, entry_time=first.exit_time)
    buy = replace(run.fills[0], side=Side.BUY, quantity=Decimal(10))
    half = replace(buy, side=Side.SELL, quantity=Decimal(4), time=buy.time + SECOND)
    turn = replace(buy, side=Side.SELL, quantity=Decimal(16), time=first.exit_time)
    history = Traded(round_trips=(first, second), fills=(buy, half, turn))
    turned = replace(run, history=history)
    found = [(mark.opened, mark.closed) for mark in marks(turned)]
    assert found == [(0, NONE), (NONE, 0), (1, 0)]


def test_a_moment_between_two_bars_belongs_to_the_one_that_runs() -> None:
    bars = result(20, ("EUR/USD",), 0).prices["EUR/USD"]
    times = [int(bars.time[3]) - 1, int(bars.time[3]), int(bars.time[3]) + 1, 0, 2**62]
    assert bar_at(bars, times).tolist() == [2, 3, 3, 0, 19]


def test_the_deepest_shade_is_the_largest_month() -> None:
    months: tuple[float | None, ...] = (0.10, -0.05, 0.001, None, 0.0, *([None] * 7))
    page = month_table((YearOfReturns(year=2020, months=months, total=0.05),))
    kinds = re.findall(r'<td class="([^"]*)">', page)
    assert kinds == ["g5", "l3", "", "none", "", *(["none"] * 7), "all"]
    assert "\N{MINUS SIGN}5.0" in page


def test_a_minus_is_a_minus_and_a_date_keeps_its_hyphens() -> None:
    assert signed("-1.5 at 2020-01-02, up-3, -.5") == (
        "\N{MINUS SIGN}1.5 at 2020-01-02, up-3, \N{MINUS SIGN}.5"
    )


def test_the_run_card_can_be_copied_as_json() -> None:
    run = result(300, ("EUR/USD",), 6)
    reader = read(render([run]))
    button = next(each for each in reader.named("button") if "data-copy" in each)
    assert button["data-copy"] == "card-0"
    text = next(each for each in reader.text if each.startswith('{\n  "format"'))
    assert json.loads(text)["config"] == dict(run.card.config)
