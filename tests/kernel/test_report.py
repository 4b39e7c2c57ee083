"""The report page: self-contained, escaped, complete, small, and drawn without losing spikes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mtquant.cli.recorder import Recorder
from mtquant.cli.summary import highest
from mtquant.clock import SECOND, parse_time
from mtquant.contract import BreakerLevel
from mtquant.model import Side
from mtquant.report import (
    FillMark,
    LevelChange,
    Mark,
    PriceChart,
    Row,
    Ruling,
    RunReport,
    Table,
    render,
    write_report,
)
from mtquant.report.scale import COLUMNS, pick, time_ticks, value_ticks, write_values

DAY = 86_400 * SECOND
START = parse_time("1999-01-04T00:00:00Z")
VOID = {"meta", "br", "link", "img", "input", "hr"}
OPTIONAL = {"td", "th", "tr", "li", "p", "thead", "tbody"}


def fill(day: int, side: Side = Side.BUY, *, opens: bool = True) -> FillMark:
    return FillMark(
        time=START + day * DAY,
        side=side,
        price=Decimal("1.08765"),
        quantity=Decimal(12_000),
        account="paper-a",
        opens=opens,
    )


def report(days: int = 300, symbols: Sequence[str] = ("EUR/USD",), fills: int = 4) -> RunReport:
    times = [START + day * DAY for day in range(days)]
    wave = [math.sin(day / 17) + math.sin(day * 1.7) / 9 for day in range(days)]
    marks = [
        fill(index * days // fills, [Side.BUY, Side.SELL][index % 2], opens=index % 2 == 0)
        for index in range(fills)
    ]
    return RunReport(
        title="sma_cross on EUR/USD",
        subtitle="A replay",
        currency="USD",
        times=times,
        equity=[100_000 + 2_000 * each for each in wave],
        charts=[
            PriceChart(
                symbol=symbol,
                times=times,
                prices=[1.1 + each / 20 for each in wave],
                fills=marks,
            )
            for symbol in symbols
        ],
        marks=[
            Mark(time=times[days // 2], label="paper-a killed", until=times[days // 2 + 2]),
            Mark(time=times[days // 2 + 2], label="paper-a back"),
        ],
        summary=[Row(label="Orders sent twice", value="0", hint="by client order id")],
        accounts=Table(head=("Account", "Equity"), rows=(("paper-a", "100,512.00 USD"),)),
        notes=["daily fixings of the ECB, one price a day"],
    )


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
        while self.open and self.open[-1] != tag and self.open[-1] in OPTIONAL:
            self.open.pop()
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def counted(self, tag: str, kind: str) -> int:
        return sum(
            name == tag and kind in (attributes.get("class") or "").split()
            for name, attributes in self.tags
        )


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def points(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="points">(.*?)</script>', page)
    assert found is not None
    charts: list[dict[str, Any]] = json.loads(found[1])
    return charts


def test_the_page_is_well_formed_and_needs_nothing_from_outside(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, report())
    page = path.read_text(encoding="utf-8")
    reader = read(page)
    assert not re.search(
        r"https?://|//[a-z]|@import|url\(", re.sub(r"^ *//.*$", "", page, flags=re.MULTILINE)
    )
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert "default-src 'none'" in page


def test_every_section_shows_what_it_was_given() -> None:
    page = render(report())
    reader = read(page)
    text = " ".join(reader.text)
    for expected in (
        "sma_cross on EUR/USD",
        "A replay",
        "daily fixings of the ECB, one price a day",
        "Net profit",
        "Total return",
        "Sharpe ratio",
        "Deepest drawdown",
        "Orders sent twice",
        "by client order id",
        "100,512.00 USD",
        "All 4 fills",
        "4 Jan 1999: buy 12,000 at 1.08765, opens, paper-a",
    ):
        assert expected in text
    assert reader.counted("svg", "plot") == 3, "equity, drawdown and one instrument"


def test_marks_stand_on_every_chart_and_fills_by_side_and_act() -> None:
    reader = read(render(report(symbols=("EUR/USD", "USD/JPY"))))
    assert reader.counted("svg", "plot") == 4
    assert reader.counted("line", "mark") == 4 * 2
    assert reader.counted("rect", "band") == 4
    assert [text for text in reader.text if text.startswith("paper-a ")].count(
        "paper-a killed"
    ) == 4
    assert (reader.counted("use", "buy"), reader.counted("use", "sell")) == (4, 4)
    assert reader.counted("use", "closes") == 4
    shapes = {
        attributes["d"]
        for tag, attributes in reader.tags
        if attributes.get("id") in {"buy", "sell"} and tag == "path"
    }
    assert len(shapes) == 2, "told apart by shape, not by colour alone"
    labelled = [a for tag, a in reader.tags if tag == "svg" and a.get("role") == "img"]
    assert all(each.get("aria-label") for each in labelled)


def test_hostile_text_stays_text() -> None:
    nasty = '</script><script>alert(1)</script><img src=x onerror="x" \'>'
    base = report(symbols=(nasty,))
    bad_fill = replace(fill(3), account=nasty)
    hostile = replace(
        base,
        title=nasty,
        subtitle=nasty,
        currency=nasty,
        charts=[replace(base.charts[0], fills=[bad_fill])],
        marks=[Mark(time=base.times[5], label=nasty)],
        summary=[Row(label=nasty, value=nasty, hint=nasty)],
        accounts=Table(head=(nasty, nasty), rows=((nasty, nasty),)),
        notes=[nasty],
    )
    page = render(hostile)
    reader = read(page)
    assert "<script>alert" not in page
    assert "img" not in {tag for tag, _ in reader.tags}
    assert [tag for tag, _ in reader.tags].count("script") == 2
    assert nasty in reader.text
    assert points(page)[0]["unit"] == f" {nasty}"


def test_a_long_run_stays_under_its_size_and_keeps_its_extremes() -> None:
    long = report(days=7_000, symbols=("A", "B", "C", "D"), fills=400)
    equity = list(long.equity)
    equity[3_333] = 1.0
    page = render(replace(long, equity=equity))
    assert len(page.encode()) < 1_500_000
    assert min(points(page)[0]["v"]) == 1.0
    assert all(len(chart["t"]) <= 2 * COLUMNS + 2 for chart in points(page))


def test_a_report_with_nothing_in_it_is_still_a_page() -> None:
    empty = RunReport(title="t", subtitle="s", currency="USD", times=[], equity=[])
    reader = read(render(empty))
    assert reader.counted("svg", "plot") == 0
    assert "details" not in {tag for tag, _ in reader.tags}
    one = replace(
        empty,
        times=[START],
        equity=[5.0],
        charts=[
            PriceChart(symbol="X", times=[START], prices=[1.0]),
            PriceChart(symbol="Y", times=[], prices=[]),
        ],
    )
    assert read(render(one)).counted("svg", "plot") == 3


def test_marks_outside_the_run_are_left_out() -> None:
    late = replace(report(), marks=[Mark(time=START + 9_000 * DAY, label="too late")])
    assert "too late" not in render(late)


def test_picking_keeps_short_series_whole_and_every_columns_extremes_of_long_ones() -> None:
    assert pick([3.0, 1.0, 2.0]) == [0, 1, 2]
    values = [math.sin(index / 50) for index in range(20_000)]
    values[12_345] = 9.0
    values[54] = -9.0
    chosen = pick(values)
    assert {0, 54, 12_345, 19_999} <= set(chosen)
    assert chosen == sorted(set(chosen))


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.0, 100.0, ["0", "20", "40", "60", "80", "100"]),
        (-0.31, 0.02, ["\N{MINUS SIGN}0.3", "\N{MINUS SIGN}0.2", "\N{MINUS SIGN}0.1", "0.0"]),
        (99_000.0, 104_500.0, ["100,000", "102,000", "104,000"]),
        (1.0825, 1.0925, ["1.084", "1.086", "1.088", "1.090", "1.092"]),
    ],
)
def test_value_ticks_are_round_and_written_alike(low: float, high: float, texts: list[str]) -> None:
    assert write_values(value_ticks(low, high)) == texts


@pytest.mark.parametrize(
    ("start", "end", "texts"),
    [
        ("1999-01-04", "2026-01-01", ["2000", "2005", "2010", "2015", "2020", "2025"]),
        (
            "2025-01-01",
            "2026-01-01",
            ["Jan 2025", "Mar 2025", "May 2025", "Jul 2025", "Sep 2025", "Nov 2025", "Jan 2026"],
        ),
        ("2026-01-01", "2026-01-08", ["01 Jan", "03 Jan", "05 Jan", "07 Jan"]),
    ],
)
def test_time_ticks_are_round_moments(start: str, end: str, texts: list[str]) -> None:
    ticks = time_ticks(parse_time(f"{start}T00:00:00Z"), parse_time(f"{end}T00:00:00Z"))
    assert [text for _, text in ticks] == texts


def test_time_ticks_within_a_day_are_hours() -> None:
    start = parse_time("2026-01-12T08:10:00Z")
    assert [text for _, text in time_ticks(start, start + 5 * 3600 * SECOND)] == [
        "09:00",
        "10:00",
        "11:00",
        "12:00",
        "13:00",
    ]


# --- risk ----------------------------------------------------------------------------------------


def ruling(day: int, code: str = "order_notional", *, vetoed: bool = True) -> Ruling:
    return Ruling(
        time=START + day * DAY,
        account="paper-a",
        symbol="EUR/USD",
        vetoed=vetoed,
        code=code,
        message="an order worth too much",
    )


def level(day: int, to: BreakerLevel, account: str = "paper-a") -> LevelChange:
    return LevelChange(time=START + day * DAY, account=account, level=to)


def test_vetoes_reductions_and_levels_are_marked_by_account() -> None:
    page = read(
        render(
            replace(
                report(101),
                rulings=[ruling(10), ruling(20, "gross_notional", vetoed=False), ruling(30)],
                levels=[
                    level(0, BreakerLevel.NORMAL),
                    level(25, BreakerLevel.WARNED),
                    level(50, BreakerLevel.HALTED),
                    level(75, BreakerLevel.NORMAL),
                    level(90, BreakerLevel.REDUCING, "paper-b"),
                ],
            )
        )
    )
    bands = [
        (each["class"], each["x"], each["width"])
        for tag, each in page.tags
        if tag == "rect" and (each.get("class") or "").startswith("level") and "y" in each
    ]
    assert bands == [
        ("level warned", "25.00%", "25.00%"),
        ("level halted", "50.00%", "25.00%"),
        ("level reducing", "90.00%", "10.00%"),
    ]
    # One more of each stands in the key.
    assert (page.counted("path", "vetoed"), page.counted("path", "reduced")) == (3, 2)
    text = " ".join(page.text)
    assert "All 3 vetoes and reductions: 2 order_notional, 1 gross_notional" in text
    assert "paper-a: halted, 23 Feb 1999 to 20 Mar 1999" in text
    assert text.count("an order worth too much") == 6, "at its mark and in the table"


def test_where_the_gate_let_all_pass_nothing_is_said_of_risk() -> None:
    plain = render(report())
    assert "<h2>Risk</h2>" not in plain
    assert render(replace(report(), levels=[level(0, BreakerLevel.NORMAL)])) == plain


def test_what_a_check_says_stays_text_in_the_report() -> None:
    hostile = replace(ruling(3, "<b>"), message='"><script>alert(1)</script>', account="<i>")
    page = render(replace(report(), rulings=[hostile]))
    read(page)
    assert "<script>alert" not in page
    assert "<i>" not in page


def test_a_recorder_keeps_rulings_and_changes_of_level() -> None:
    recorder = Recorder()
    finding = {"check": "notional", "code": "order_notional", "message": "too much"}
    signal = {"time": "1999-01-04T00:00:00Z", "instrument": "EUR/USD"}
    verdict = {"approved": False, "account": "a", "signal": signal}
    recorder.on_record("verdict", verdict | {"findings": [finding | {"verdict": "vetoed"}]})
    passed = [
        finding | {"verdict": "approved"},
        finding | {"verdict": "reduced", "check": "breaker", "code": "warned"},
        finding | {"verdict": "reduced", "code": "gross_notional"},
    ]
    recorder.on_record("verdict", verdict | {"approved": True, "findings": passed})
    recorder.on_record("verdict", verdict)  # one that never came to the gate
    assert [(each.vetoed, each.code, each.time) for each in recorder.rulings] == [
        (True, "order_notional", START),
        (False, "gross_notional", START),
    ]
    assert recorder.vetoes == 2
    for name in ("NORMAL", "WARNED", "WARNED", "NORMAL"):
        state = {"level": name, "time": "1999-01-04T00:00:00Z"}
        recorder.on_record("breaker", {"account": "a", "state": state})
    recorder.on_record("breaker", {"account": "b", "state": state})
    assert [(each.account, each.level.name) for each in recorder.levels] == [
        ("a", "NORMAL"),
        ("a", "WARNED"),
        ("a", "NORMAL"),
        ("b", "NORMAL"),
    ]
    assert highest(recorder) == "warned, 1x"
    assert highest(Recorder()) == "normal"
