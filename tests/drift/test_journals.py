"""Drift reads what a live feed writes, and says in words what it can't read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drift.runs import CATALOGUE, Run, table
from typer.testing import CliRunner

from mtquant.cli import drift as command
from mtquant.clock import SECOND, ManualClock
from mtquant.config import MarketTable
from mtquant.drift import drift_of
from mtquant.drift.recorded import recorded
from mtquant.errors import ConfigError, JournalError, MtquantError
from mtquant.feed import Live
from mtquant.journal import Journal
from mtquant.model import Bar, Timeframe

PRICE = st.floats(1e-6, 1e9, allow_nan=False)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Run(folder=tmp_path_factory.mktemp("paper"), table=table()).write()


# --- what a live run keeps -----------------------------------------------------------------------


class Feeding:
    """An engine that a live feed hands bars to, with its journal."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(100 * 60 * SECOND)
        self.journal = Journal(folder, self.clock)
        self.wiring = SimpleNamespace(clock=self.clock, journal=self.journal)
        self.heard: list[bool] = []

    def emit(self, event: Any) -> None:  # noqa: ANN401 - a BarClosed
        assert self.journal.seq == len(self.heard) + 1, "it is written before it is heard"
        self.heard.append(event.trade)


def minute(number: int, *prices: float) -> Bar:
    opened, high, low, close = prices or (1.0, 1.5, 0.5, 1.25)
    return Bar(
        instrument="EUR/USD",
        timeframe=Timeframe.M1,
        time=number * 60 * SECOND,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=7.0,
    )


def test_a_live_feed_writes_each_bar_and_whether_it_traded(tmp_path: Path) -> None:
    engine: Any = Feeding(tmp_path)
    live = Live(MarketTable())
    live._feed(engine, [minute(97), minute(98)], None)
    live._feed(engine, [minute(50), minute(99, 1.1, 1.2, 1.0, 1.15)])
    written = list(engine.journal.entries("bar"))

    assert [each.body["traded"] for each in written] == engine.heard == [False] * 3 + [True]
    assert written[-1].body == {
        "instrument": "EUR/USD",
        "timeframe": "M1",
        "time": "1970-01-01T01:39:00Z",
        "open": 1.1,
        "high": 1.2,
        "low": 1.0,
        "close": 1.15,
        "volume": 7.0,
        "traded": True,
    }
    engine.journal.close()


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(PRICE, PRICE, PRICE, PRICE), min_size=1, max_size=5))
def test_bars_come_back_to_the_last_digit(
    tmp_path_factory: pytest.TempPathFactory, prices: list[tuple[float, float, float, float]]
) -> None:
    engine: Any = Feeding(tmp_path_factory.mktemp("bars"))
    bars = [minute(number, *each) for number, each in enumerate(prices)]
    engine.journal.append("started", {"config": {}})
    engine.heard.append(True)
    Live(MarketTable())._feed(engine, bars)
    engine.journal.close()

    kept = recorded(engine.journal.folder).first_bars["EUR/USD"]
    assert [kept[bar.time].bar for bar in bars] == bars


# --- the command ---------------------------------------------------------------------------------


def run(*words: str, width: int = 160) -> Any:  # noqa: ANN401 - typer's result
    app = typer.Typer()
    command.register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(app, ["drift", *words], env={"COLUMNS": str(width)})


def test_the_command_ends_with_zero_where_nothing_differs(paper: Path) -> None:
    result = run(str(paper))

    assert result.exit_code == 0
    assert "nothing differs" in result.stdout
    assert "USD of drift" in result.stdout


def test_the_command_ends_with_one_and_shows_what_differs(paper: Path) -> None:
    result = run(str(paper), "--set", "brokers.desk.slippage_pips=0.6")

    assert result.exit_code == 1
    text = " ".join(result.stdout.replace("│", " ").split())
    for expected in (
        "cost EUR/USD trend",
        "slippage 0.2 pips",
        "slippage 0.6 pips",
        "-0.00004",
        "-0.40",
        "brokers.desk.slippage_pips",
        "Cause",
        "conversion and rounding",
    ):
        assert expected in text


def test_a_narrow_window_gets_lines_instead_of_a_table(paper: Path) -> None:
    result = run(str(paper), "--set", "brokers.desk.slippage_pips=0.6", width=80)

    text = " ".join(result.stdout.split())
    assert "cost EUR/USD trend" in text
    assert "in the run: slippage 0.2 pips (-0.00004, -0.40 pips)" in text
    assert "in the replay: slippage 0.6 pips" in text
    assert "slippage: brokers.desk.slippage_pips was 0.2, is 0.6 in the replay" in text


def test_its_json_is_one_object_and_ends_with_the_same_codes(paper: Path) -> None:
    same = run(str(paper / "journal.db"), "--json")
    other = run(str(paper), "--json", "--set", "brokers.desk.commission_per_million=5")

    assert (same.exit_code, other.exit_code) == (0, 1)
    assert json.loads(same.stdout)["differences"] == []
    found = json.loads(other.stdout)
    assert {each["cause"] for each in found["differences"]} <= {"commission", "equity"}
    shown = run(str(paper), "--json", "--set", "brokers.desk.commission_per_million=5")
    assert shown.stdout == other.stdout


def test_text_of_strangers_is_shown_as_text(tmp_path: Path) -> None:
    name = "[bold red]x[/]"
    made = table()
    made["strategies"] = {name: made["strategies"]["trend"]}
    folder = Run(folder=tmp_path, table=made).write()
    result = run(str(folder), "--json", "--set", "brokers.desk.slippage_pips=0.6")
    assert {each["strategy"] for each in json.loads(result.stdout)["differences"]} == {name}
    shown = run(str(folder), "--set", "brokers.desk.slippage_pips=0.6")
    assert name in " ".join(shown.stdout.replace("│", " ").split())


# --- journals that can't be read -----------------------------------------------------------------


def test_where_there_is_no_journal_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="no such folder"):
        drift_of(tmp_path / "nowhere")
    with pytest.raises(JournalError, match="no engine has run here"):
        drift_of(tmp_path)


def test_a_file_that_is_no_journal_is_told(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database, however long it is" * 100)
    with pytest.raises(JournalError, match="journal"):
        drift_of(tmp_path)


@pytest.mark.parametrize(
    "act",
    [
        "DELETE FROM entry WHERE seq = (SELECT min(seq) FROM entry WHERE kind = 'fill')",
        "UPDATE entry SET body = replace(body, 'commission', 'other') WHERE kind = 'fill'",
        "UPDATE entry SET body = 'no json' WHERE seq = 5",
    ],
)
def test_a_journal_that_was_changed_is_not_compared(tmp_path: Path, act: str) -> None:
    folder = Run(folder=tmp_path, table=table()).write()
    with closing(sqlite3.connect(folder / "journal.db")) as file, file:
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for (name,) in file.execute(named).fetchall():
            file.execute(f"DROP TRIGGER {name}")
        file.execute(act)
    with pytest.raises(JournalError, match="mtquant audit verify"):
        drift_of(folder)


def written(folder: Path, *entries: tuple[str, dict[str, Any]]) -> Path:
    journal = Journal(folder, ManualClock(SECOND))
    for kind, body in entries:
        journal.append(kind, body)
    journal.close()
    return folder


STARTED = ("started", {"config": {}, "mtquant": "0.1.0", "plugins": {}})


@pytest.mark.parametrize(
    "body",
    [
        ("signal", {"strategy_id": "a"}),
        ("signal", {"strategy_id": "a", "instrument": "X", "time": "never", "direction": 1}),
        ("verdict", {"approved": True, "account": "a", "signal": None}),
        ("intent", {"request": {"quantity": "many"}, "instrument": "X", "account": "a"}),
        ("fill", {"account": "a", "fill": {"price": "-1"}}),
        ("bar", {"instrument": "X", "timeframe": "M7", "time": "2026-01-01T00:00:00Z"}),
        ("step", {"time": "soon"}),
        ("started", {"config": 7}),
        ("halt", {}),
        ("leaving", {"account": "a", "by": "b", "why": "", "cause": "halt", "share": "all"}),
        ("routes", {"routes": ["X"]}),
        ("cash_moved", {"cash_flow": {}}),
    ],
)
def test_an_entry_of_another_shape_is_named(
    tmp_path: Path, body: tuple[str, dict[str, Any]]
) -> None:
    folder = written(tmp_path, STARTED, body)
    with pytest.raises(JournalError, match=rf"entry 2 \({body[0]}\) can't be read"):
        recorded(folder)


def nothing_started(folder: Path) -> Path:
    return written(folder, ("told", {"level": "info", "message": "x"}))


def never_moved(folder: Path) -> Path:
    return written(folder, STARTED)


def unknown_settings(folder: Path) -> Path:
    said = {"config": {"brokers": {"a": {"plugin": "paper"}}, "what": 1}}
    return written(folder, ("started", said), ("step", {"time": SECOND}))


def no_bars(folder: Path) -> Path:
    made = table() | {"market": {"feed": "live", "timeframe": "H1"}}
    return written(folder, ("started", {"config": made}), ("step", {"time": SECOND}))


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (nothing_started, "the journal tells of no start"),
        (never_moved, "the market never moved"),
        (unknown_settings, "what: .*no such setting"),
        (no_bars, "the journal holds no bars of H1"),
    ],
)
def test_a_run_that_cant_be_played_again_says_why(
    tmp_path: Path, write: Callable[[Path], Path], expected: str
) -> None:
    with pytest.raises((JournalError, ConfigError), match=expected):
        drift_of(write(tmp_path), catalogue=CATALOGUE)


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_whatever_a_body_holds_only_our_own_errors_come_out(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    kinds = ("signal", "verdict", "intent", "order", "fill", "bar", "halt", "mode", "opened")
    words = ("account", "instrument", "time", "signal", "request", "client_order_id", "on", "fill")
    odd: list[Any] = [None, True, 0, -7, 1.5, "", "x", "1e999", [], {}, [1], {"time": 1}]
    value = st.sampled_from(odd)
    entries = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(kinds), st.dictionaries(st.sampled_from(words), value, max_size=8)
            ),
            max_size=5,
        )
    )
    folder = written(tmp_path_factory.mktemp("odd"), STARTED, *entries)
    try:
        recorded(folder)
    except MtquantError as error:
        assert "entry" in str(error)  # noqa: PT017 - it may be readable as well
