"""``mtquant audit``: verified, told and exported from the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mtquant.anchor import Anchor
from mtquant.assemble import assemble
from mtquant.cli import app
from mtquant.clock import SECOND, ManualClock, seeded
from mtquant.config import load_config
from mtquant.engine import Engine, Observer
from mtquant.errors import JournalError, MtquantError
from mtquant.journal import Journal
from mtquant.plugins import load_catalogue

START = 1_768_219_200 * SECOND
CONFIG = """
[engine]
state_dir = "state"
[brokers.a]
plugin = "paper"
symbols = ["EUR/USD"]
prices = { plugin = "walk", timeframe = "S1", bars = 5000 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mtquant.toml").write_text(CONFIG, encoding="utf-8")
    clock = ManualClock(START)
    journal = Journal(tmp_path / "state", clock)
    signal = {
        "strategy_id": "trend", "instrument": "EUR/USD", "direction": 1, "reason": "up",
        "time": "2026-01-12T12:00:00Z", "stop_distance": None, "take_profit_distance": None,
        "confidence": 1.0,
    }  # fmt: skip
    request = {"quantity": "2000", "stop_loss": "1.09", "strategy_id": "trend"}
    order = {"account": "a", "client_order_id": "C1", "stage": "acknowledged"}
    finding = {"check": "notional", "verdict": "reduced", "code": "gross_notional"}
    entries: list[tuple[str, dict[str, Any]]] = [
        ("signal", signal),
        (
            "verdict",
            {
                "approved": True, "code": "approved", "message": "buy 2,000", "account": "a",
                "signal": signal, "findings": [finding | {"message": "too much"}],
            },
        ),
        (
            "intent",
            {
                "client_order_id": "C1", "account": "a", "instrument": "EUR/USD", "side": "buy",
                "opens": True, "person": "", "request": request,
            },
        ),
        (
            "order",
            order | {
                "order_id": "O7", "status": "filled", "why": "", "filled": "2000",
                "average_price": "1.1",
            },
        ),
    ]  # fmt: skip
    for kind, body in entries:
        clock.set(clock.now() + SECOND)
        journal.append(kind, body)
    journal.close()
    return tmp_path / "mtquant.toml"


def run(file: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words, "--config", str(file)])


def refused(file: Path, *words: str) -> str:
    done = run(file, *words)
    assert isinstance(done.exception, MtquantError), done.output
    return str(done.exception)


@pytest.mark.parametrize("order", ["C1", "O7"])
def test_an_order_is_told_from_its_signal_to_its_last_reply(file: Path, order: str) -> None:
    done = run(file, "show", order)
    assert done.exit_code == 0
    lines = [line.split("  ", 1)[1] for line in done.output.splitlines()]
    assert [line.strip() for line in lines] == [
        "signal          trend wants EUR/USD long: up",
        "verdict         approved: buy 2,000",
        "verdict           notional reduced too much",
        (
            "intent          order C1: buy 2000 EUR/USD, stop loss 1.09 to a, "
            "on disk before it is sent"
        ),
        "order           acknowledged as O7, filled, 2000 at 1.1",
    ]
    told = [json.loads(line) for line in run(file, "show", order, "--json").output.splitlines()]
    assert [each["entry"] for each in told] == [1, 2, 3, 4]


def test_a_journal_that_was_changed_is_told_with_exit_code_1(file: Path) -> None:
    whole = run(file, "verify")
    assert whole.exit_code == 0
    assert "all 4 entries hold" in whole.output
    assert "set engine.anchor" in whole.output
    with closing(sqlite3.connect(file.parent / "state" / "journal.db")) as journal:
        journal.execute("DROP TRIGGER entry_no_update")
        journal.execute("UPDATE entry SET body = replace(body, '2000', '9000') WHERE seq = 3")
        journal.commit()
    broken = run(file, "verify")
    assert broken.exit_code == 1
    assert "BROKEN: entry 3 (intent)" in broken.output
    assert "the 2 entries before it hold" in broken.output
    answer = json.loads(run(file, "verify", "--json").output)
    assert (answer["holds"], answer["entries"]) == (False, 2)


def test_an_anchor_is_compared_if_one_is_configured_or_named(file: Path) -> None:
    place = file.parent / "anchor.jsonl"
    Anchor(place, file.parent / "state" / "anchor.key").note(START, 9, bytes(32))
    for words in (("--anchor", str(place)), ()):
        done = run(file, "verify", *words)
        assert done.exit_code == 1
        assert "the journal ends at entry 4; entry 9 was anchored" in done.output
        text = CONFIG.replace('"state"', '"state"\nanchor = "anchor.jsonl"')
        file.write_text(text, encoding="utf-8")
    assert "none.jsonl" in refused(file, "verify", "--anchor", "none.jsonl")


def test_entries_go_to_a_file_or_to_standard_output(file: Path) -> None:
    lines = run(file, "export", "--order", "C1", "--kind", "intent").output.splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["intent"]
    out = file.parent / "trail.csv"
    done = run(file, "export", "--format", "csv", "--since", "2026-01-12", "--out", str(out))
    assert (done.exit_code, done.output) == (0, "")
    assert len(out.read_text(encoding="utf-8").splitlines()) == 5


def test_what_is_archived_is_verified_told_logged_and_exported_as_before(file: Path) -> None:
    before = {
        words: run(file, *words).output
        for words in (("show", "O7"), ("show", "C1", "--json"), ("export",))
    }
    log = CliRunner().invoke(app, ["log", "--last", "2", "--config", str(file)]).output
    done = run(file, "archive")
    assert (done.exit_code, done.output) == (0, "archive/journal-1-4.db: entries 1 to 4\n")
    assert "all 5 entries in 2 files hold" in run(file, "verify").output
    assert json.loads(run(file, "verify", "--json").output)["files"] == 2
    for words, output in before.items():
        assert run(file, *words).output.startswith(output), words
    assert CliRunner().invoke(app, ["log", "--last", "2", "--config", str(file)]).output == log
    risk = CliRunner().invoke(app, ["risk", "explain", "O7", "--config", str(file), "--json"])
    assert json.loads(risk.output)["verdict"]["message"] == "buy 2,000"
    assert "nothing was written since" in run(file, "archive").output
    assert json.loads(run(file, "archive", "--json").output) == {
        "archive": None,
        "removed": [],
        "problem": "",
    }


def test_the_log_goes_back_into_the_archive_for_what_the_journal_lacks(file: Path) -> None:
    run(file, "archive")
    journal = Journal(file.parent / "state", ManualClock(START))
    journal.append("told", {"level": "info", "message": "a new one"})
    journal.close()
    said = CliRunner().invoke(app, ["log", "--last", "2", "--config", str(file)]).output
    assert [line.split()[2] for line in said.splitlines()] == ["order", "told"]
    words = ["log", "--kind", "intent", "--config", str(file)]
    assert "client_order_id" in CliRunner().invoke(app, words).output
    unknown = CliRunner().invoke(app, ["log", "--kind", "x", "--config", str(file)])
    assert "carried, intent, order, signal, told, verdict" in str(unknown.exception)


def test_archiving_is_refused_while_an_engine_runs_and_where_none_has(file: Path) -> None:
    journal = Journal(file.parent / "state", ManualClock(START))
    assert "another engine" in refused(file, "archive")
    journal.close()
    with closing(sqlite3.connect(file.parent / "state" / "journal.db")) as reader:
        reader.execute("SELECT count(*) FROM entry").fetchone()
        done = run(file, "archive")
        assert (done.exit_code, "somebody reads it; try again" in done.output) == (1, True)
        assert run(file, "archive", "--json").exit_code == 1
    file.write_text(CONFIG.replace('"state"', '"other"'), encoding="utf-8")
    assert "no engine has run here" in refused(file, "archive")
    assert not (file.parent / "other").exists()


def test_archives_that_are_older_than_is_kept_are_removed_and_it_is_told(file: Path) -> None:
    file.write_text(CONFIG.replace('"state"', '"state"\nretention_days = 30'), encoding="utf-8")
    done = run(file, "archive")
    assert "archive/journal-1-4.db is removed: its newest entry is older than 30" in done.output
    told = run(file, "verify")
    assert told.exit_code == 0
    assert "all 2 entries hold" in told.output
    assert "they begin with entry 5: those before it were removed" in told.output
    assert "journal-1-4.db" in run(file, "export", "--kind", "archive_removed").output


@pytest.mark.parametrize("size", [0, 100, 4096, 6000])
def test_a_damaged_journal_is_told_in_words_by_every_command(file: Path, size: int) -> None:
    path = file.parent / "state" / "journal.db"
    path.write_bytes(path.read_bytes()[:size])
    broken = run(file, "verify")
    assert broken.exit_code == 1
    assert "BROKEN: journal.db" in broken.output
    for words in (("show", "C1"), ("export",), ("archive",)):
        assert "journal" in refused(file, *words)
    log = CliRunner().invoke(app, ["log", "--config", str(file)])
    assert log.exception is None or isinstance(log.exception, MtquantError)


def started(file: Path) -> Engine:
    return assemble(load_config(file), load_catalogue(), seeded(1), Observer()).engine


def test_a_start_archives_a_long_journal_and_goes_on_if_it_cannot(file: Path) -> None:
    state = file.parent / "state"
    text = CONFIG.replace('"state"', '"state"\narchive_entries = 3')
    file.write_text(text, encoding="utf-8")
    passive = assemble(load_config(file), load_catalogue(), seeded(1), Observer(), passive=True)
    assert passive.engine.wiring.journal.first == 1, "one command of a person doesn't wait for it"
    passive.engine.wiring.journal.close()
    with closing(sqlite3.connect(state / "journal.db")) as reader:
        reader.execute("SELECT count(*) FROM entry").fetchone()
        engine = started(file)
        (told,) = engine.wiring.journal.entries("told")
        assert "can't be archived: somebody reads it" in told.body["message"]
        engine.wiring.journal.close()
    engine = started(file)
    assert (engine.wiring.journal.first, engine.wiring.journal.seq) == (6, 6)
    engine.wiring.journal.close()
    assert (state / "archive" / "journal-1-5.db").exists()


def test_a_start_is_refused_where_the_journal_lost_what_was_anchored(file: Path) -> None:
    text = CONFIG.replace('"state"', '"state"\nanchor = "anchor.jsonl"')
    file.write_text(text, encoding="utf-8")
    started(file).wiring.journal.close()
    anchor = Anchor(file.parent / "anchor.jsonl", file.parent / "state" / "anchor.key")
    anchor.note(START, 9, bytes(32))
    with pytest.raises(JournalError, match=r"ends at entry 4; entry 9 was anchored"):
        started(file)
    file.write_text(text.replace("anchor.jsonl", "another.jsonl"), encoding="utf-8")
    started(file).wiring.journal.close()  # knowingly, and the lock was given back


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("export", "--format", "xml"), "--format: 'xml' is none. Write jsonl or csv."),
        (("export", "--since", "yesterday"), "--since: 'yesterday' is no time"),
        (("export", "--out", "none/trail.csv"), "--out: none/trail.csv: No such file"),
        (("show", "C9"), "the journal knows no 'C9'"),
    ],
)
def test_what_is_asked_wrongly_is_told(file: Path, words: tuple[str, ...], problem: str) -> None:
    assert problem in refused(file, *words)


SECRET = "hunter2-canary"  # noqa: S105 - planted, to be looked for


@pytest.mark.anyio
async def test_each_start_says_what_runs_how_it_is_configured_and_no_secret(
    tmp_path: Path, anyio_backend: str
) -> None:
    assert anyio_backend
    text = f"""{CONFIG}
[brokers.b]
server = "https://desk.example/mcp?token={SECRET}"
[brokers.c]
command = ["x", "--token", "{SECRET}"]
[notifiers.file]
path = "told.log"
"""
    file = tmp_path / "mtquant.toml"
    file.write_text(text, encoding="utf-8")
    made = assemble(load_config(file), load_catalogue(), seeded(1), Observer(), passive=True)

    class Enough(Exception):
        pass

    def first(_: Engine) -> None:
        raise Enough

    with pytest.raises(Enough):
        await made.engine.run(lambda _: None, first)  # type: ignore[arg-type, return-value]
    journal = Journal(tmp_path / "state", ManualClock())
    (started,) = journal.entries("started")
    everything = json.dumps([each.body for each in journal.entries()])
    journal.close()
    assert SECRET not in everything
    assert started.body["config"]["brokers"]["a"]["symbols"] == ["EUR/USD"]
    assert started.body["plugins"]["strategy sma_cross"].startswith("mtquant ")
    assert {"mtquant", "python"} <= set(started.body)
