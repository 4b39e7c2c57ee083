"""The trail: whatever is changed in a journal is found, and what it tells is what was written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from mtquant.anchor import Anchor, public_key, read_anchor
from mtquant.archive import archive
from mtquant.book import Suggestion
from mtquant.chain import GENESIS, Chain, Row, Verified, chained, verify
from mtquant.clock import SECOND, ManualClock, seeded
from mtquant.decide import digest, signal_body
from mtquant.decide.entries import suggestion_body
from mtquant.errors import JournalError
from mtquant.journal import Journal
from mtquant.model import OrderRequest, OrderType, Side, Signal
from mtquant.trail import Wanted, export, rows, story
from mtquant.verifying import verified

START = 1_768_219_200 * SECOND
ORDER = TypeAdapter(OrderRequest)


def written(folder: Path, count: int, *, seed: int = 1) -> list[Row]:
    """Write a journal of ``count`` entries and return its rows."""
    rng, clock = seeded(seed), ManualClock(START)
    journal = Journal(folder, clock)
    for number in range(count):
        clock.set(clock.now() + rng.randrange(SECOND))
        body = {"n": number, "text": "".join(rng.choices("abc é|\n", k=rng.randrange(12)))}
        journal.append(rng.choice(["order", "fill", "told"]), body)
    journal.close()
    return read(folder)


def read(folder: Path) -> list[Row]:
    return list(rows(folder))


def rewritten(folder: Path, made: list[Row], name: str = "journal.db") -> None:
    """Put other rows in the place of a journal's, as whoever owns the disk can."""
    (folder / name).chmod(0o600)
    with closing(sqlite3.connect(folder / name)) as journal, journal:
        journal.execute("PRAGMA synchronous=OFF")
        journal.execute("DROP TRIGGER IF EXISTS entry_no_delete")
        journal.execute("DELETE FROM entry")
        journal.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", made)


def rehashed(made: list[Row]) -> list[Row]:
    """Return rows numbered and hashed anew, as a forger would."""
    found: list[Row] = []
    for number, row in enumerate(made, 1):
        before = found[-1].hash if found else GENESIS
        fresh = chained(before, number, row.time, row.kind, row.body)
        found.append(row._replace(seq=number, hash=fresh))
    return found


# --- the chain -----------------------------------------------------------------------------------


def test_the_chain_is_sha256_over_what_anybody_can_reckon(tmp_path: Path) -> None:
    made = written(tmp_path, 3)
    head = bytes(32)
    for row in made:
        text = struct.pack(">qqI", row.seq, row.time, len(row.kind)) + row.kind.encode()
        head = hashlib.sha256(head + text + row.body.encode()).digest()
        assert row.hash == head
    assert verified(tmp_path) == Verified(3, head)


def test_a_journal_that_goes_on_later_goes_on_with_its_chain(tmp_path: Path) -> None:
    written(tmp_path, 5)
    written(tmp_path, 5, seed=2)
    assert verified(tmp_path).entries == 10
    assert not verified(tmp_path).problem


def test_an_empty_journal_holds(tmp_path: Path) -> None:
    assert written(tmp_path, 0) == []
    assert verified(tmp_path) == Verified(0, GENESIS)


def flips(row: Row) -> Iterator[Row]:
    """Give every row that differs from ``row`` in one bit of one byte, one for each byte."""
    for place, byte in enumerate(row.hash):
        yield row._replace(hash=row.hash[:place] + bytes([byte ^ 1]) + row.hash[place + 1 :])
    for name in ("kind", "body"):
        text = getattr(row, name)
        for place, letter in enumerate(text):
            other = text[:place] + chr(ord(letter) ^ 1) + text[place + 1 :]
            yield row._replace(**{name: other})
    for name in ("seq", "time"):
        for bit in range(0, 63, 8):
            yield row._replace(**{name: getattr(row, name) ^ (1 << bit)})


def test_every_byte_of_every_entry_counts(tmp_path: Path) -> None:
    made = written(tmp_path, 1000)
    # What precedes an entry doesn't change: the chain can be taken up just before it.
    tried = 0
    for index, row in enumerate(made):
        before = made[index - 1].hash if index else GENESIS
        assert not Chain(index, before).follow(row)
        for other in flips(row):
            tried += 1
            assert Chain(index, before).follow(other)
    assert tried > 60_000


def test_nothing_moves_between_the_parts_of_an_entry() -> None:
    assert chained(GENESIS, 1, 2, "ab", "c") != chained(GENESIS, 1, 2, "a", "bc")


def edited(made: list[Row], rng: Random) -> list[Row]:
    index = rng.randrange(len(made))
    body = json.dumps(json.loads(made[index].body) | {"n": -1})
    return [*made[:index], made[index]._replace(body=body), *made[index + 1 :]]


def deleted(made: list[Row], rng: Random) -> list[Row]:
    index = rng.randrange(len(made) - 1)
    return made[:index] + made[index + 1 :]


def deleted_and_numbered(made: list[Row], rng: Random) -> list[Row]:
    return [row._replace(seq=number) for number, row in enumerate(deleted(made, rng), 1)]


def swapped(made: list[Row], rng: Random) -> list[Row]:
    first, second = sorted(rng.sample(range(len(made)), 2))
    found = list(made)
    found[first] = made[second]._replace(seq=made[first].seq)
    found[second] = made[first]._replace(seq=made[second].seq)
    return found


def inserted(made: list[Row], rng: Random) -> list[Row]:
    index = rng.randrange(len(made))
    twice = [*made[: index + 1], made[index], *made[index + 1 :]]
    return [row._replace(seq=number) for number, row in enumerate(twice, 1)]


@pytest.mark.parametrize("change", [edited, deleted, deleted_and_numbered, swapped, inserted])
def test_what_is_changed_is_found_without_an_anchor(
    tmp_path: Path, change: Callable[[list[Row], Random], list[Row]]
) -> None:
    made, rng = written(tmp_path, 200), seeded(7)
    assert not verify(made).problem
    for _ in range(100):
        assert verify(change(made, rng)).problem


def truncated(made: list[Row], rng: Random) -> list[Row]:
    return made[: rng.randrange(len(made))]


def forged(made: list[Row], rng: Random) -> list[Row]:
    return rehashed(edited(made, rng))


@pytest.mark.parametrize("change", [truncated, forged])
def test_a_cut_end_and_a_whole_new_chain_are_found_by_the_anchor_alone(
    tmp_path: Path, change: Callable[[list[Row], Random], list[Row]]
) -> None:
    made, rng = written(tmp_path, 200), seeded(7)
    heads = {row.seq: row.hash for row in made[9::10]}
    for _ in range(100):
        other = change(made, rng)
        assert not verify(other).problem, "the chain alone can't tell"
        assert verify(other, heads).problem


@pytest.mark.slow
@pytest.mark.parametrize("archived", [0, 600])
@pytest.mark.parametrize("change", [edited, deleted, swapped, truncated, forged])
def test_a_hundred_of_a_hundred_forgeries_of_the_stored_files_are_found(
    tmp_path: Path, change: Callable[[list[Row], Random], list[Row]], archived: int
) -> None:
    state, rng = tmp_path / "state", seeded(11)
    made = written(state, archived or 1000)
    if archived:
        journal = Journal(state, ManualClock(START + 600 * SECOND))
        journal.archive({})
        journal.close()
        made = written(state, 1000 - archived - 1)
    place = anchored(state, made[9::10])
    assert verified(state, place) == Verified(1000, made[-1].hash, files=2 if archived else 1)
    for _ in range(100):
        other = change(made, rng)
        rewritten(state, [row for row in other if row.seq > archived])
        if archived:
            rewritten(
                state, [row for row in other if row.seq <= archived], "archive/journal-1-600.db"
            )
        assert verified(state, place).problem


def test_it_says_where_it_broke_and_how_much_before_holds(tmp_path: Path) -> None:
    made = written(tmp_path, 20)
    body = made[11]._replace(body="{}")
    rewritten(tmp_path, [*made[:11], body, *made[12:]])
    found = verified(tmp_path)
    assert (found.entries, found.head) == (11, made[10].hash)
    assert found.problem.startswith(f"entry 12 ({made[11].kind}) is not what was written")
    rewritten(tmp_path, made[:11] + made[12:])
    assert verified(tmp_path).problem == "entry 12 is missing: 13 follows 11"


# --- the anchor ----------------------------------------------------------------------------------


def anchored(folder: Path, made: list[Row]) -> Path:
    place = folder / "elsewhere" / "anchor.jsonl"
    anchor = Anchor(place, folder / "anchor.key")
    for row in made:
        anchor.note(row.time, row.seq, row.hash)
    return place


def test_an_anchor_tells_a_journal_that_is_whole_from_one_that_was_cut(tmp_path: Path) -> None:
    made = written(tmp_path, 50)
    place = anchored(tmp_path, made[9::10])
    assert not verified(tmp_path, place).problem
    rewritten(tmp_path, made[:45])
    cut = verified(tmp_path, place).problem
    assert cut == "the journal ends at entry 45; entry 50 was anchored"
    rewritten(tmp_path, rehashed(made[5:]))
    assert "is not the one that was anchored" in verified(tmp_path, place).problem


def test_the_key_is_its_owners_alone_and_an_anchor_goes_on_with_it(tmp_path: Path) -> None:
    made = written(tmp_path, 4)
    place = anchored(tmp_path, made[:2])
    anchored(tmp_path, made[2:])
    found = read_anchor(place)
    assert found.heads == {row.seq: row.hash for row in made}
    assert found.public_key == public_key(tmp_path / "anchor.key")
    assert (tmp_path / "anchor.key").stat().st_mode & 0o777 == 0o600
    private = (tmp_path / "anchor.key").read_text(encoding="ascii")
    assert private not in place.read_text(encoding="utf-8")


def test_a_line_that_is_not_ours_is_found(tmp_path: Path) -> None:
    place = anchored(tmp_path, written(tmp_path, 3))
    lines = place.read_text(encoding="utf-8").splitlines()
    forged_line = json.loads(lines[2]) | {"hash": "00" * 32}
    for wrong in (json.dumps(forged_line), "{}", "no json", '{"entry": 2}'):
        text = "\n".join([*lines[:2], wrong, *lines[3:]]) + "\n"
        place.write_text(text, encoding="utf-8")
        with pytest.raises(JournalError, match="line 3 is not what was anchored"):
            read_anchor(place)


def test_an_anchor_signed_by_another_key_is_not_trusted(tmp_path: Path) -> None:
    made = written(tmp_path, 3)
    place = anchored(tmp_path, made)
    ours = public_key(tmp_path / "anchor.key")
    assert read_anchor(place, ours).heads
    (tmp_path / "anchor.key").unlink()
    place.unlink()
    anchored(tmp_path, made)  # all of it made anew, with a key of the forger's
    assert read_anchor(place).heads
    with pytest.raises(JournalError):
        read_anchor(place, ours)


def test_a_torn_last_line_is_no_fault(tmp_path: Path) -> None:
    made = written(tmp_path, 3)
    place = anchored(tmp_path, made)
    whole = place.read_bytes()
    for end in range(whole.rindex(b"\n", 0, -1) + 1, len(whole)):
        place.write_bytes(whole[:end])
        assert list(read_anchor(place).heads) == [1, 2]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(JournalError, match=r"engine\.anchor: .*file/anchor"):
        Anchor(blocked / "anchor", tmp_path / "anchor.key")
    (tmp_path / "anchor.key").write_text("no key", encoding="ascii")
    with pytest.raises(JournalError, match="holds no Ed25519 key"):
        Anchor(tmp_path / "anchor", tmp_path / "anchor.key")


# --- crashes -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_journal_whose_log_is_cut_at_any_byte_holds_all_that_was_on_disk_before(
    tmp_path: Path,
) -> None:
    kept = Journal(tmp_path / "whole", ManualClock(START))
    ends: list[int] = []
    log = tmp_path / "whole" / "journal.db-wal"
    for number in range(12):
        kept.append("order", {"n": number}, durable=True)
        ends.append(log.stat().st_size)
    made = read(tmp_path / "whole")
    content, base = log.read_bytes(), (tmp_path / "whole" / "journal.db").read_bytes()
    kept.close()
    first = ends[0]
    for cut in [*range(first, len(content), 97), *ends, *(end - 1 for end in ends[1:])]:
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "journal.db").write_bytes(base)
        (folder / "journal.db-wal").write_bytes(content[:cut])
        journal = Journal(folder, ManualClock(START))
        on_disk = sum(end <= cut for end in ends)
        assert read(folder) == made[:on_disk], cut
        journal.append("order", {"n": "after"}, durable=True)
        journal.close()
        assert verified(folder).entries == on_disk + 1


def test_a_journal_of_before_the_hashes_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.db")) as old:
        old.execute("CREATE TABLE entry (seq INTEGER PRIMARY KEY, time, kind, body)")
    with pytest.raises(JournalError, match=r"an earlier version's.*set another engine\.state_dir"):
        Journal(tmp_path, ManualClock())


# --- what it tells -------------------------------------------------------------------------------


def traded(folder: Path) -> None:
    """Write what an order leaves behind, among what isn't about it."""
    clock = ManualClock(START)
    journal = Journal(folder, clock)
    signal = {
        "strategy_id": "trend", "instrument": "EUR/USD", "direction": 1, "reason": "it crossed",
    }  # fmt: skip
    other = signal | {"strategy_id": "revert"}
    verdict: dict[str, Any] = {
        "approved": True, "code": "approved", "message": "buy 2,000", "account": "a",
        "signal": signal, "findings": [],
    }  # fmt: skip
    request = {"quantity": "2000", "strategy_id": "trend", "stop_loss": "1.09"}
    intent: dict[str, Any] = {
        "client_order_id": "C1", "account": "a", "instrument": "EUR/USD", "side": "buy",
        "opens": True, "person": "", "request": request,
    }  # fmt: skip
    order: dict[str, Any] = {
        "account": "a", "client_order_id": "C1", "stage": "acknowledged", "status": "filled",
        "why": "", "order_id": "O1",
    }  # fmt: skip
    fill = {
        "execution_id": "E1", "client_order_id": "C1", "instrument": "EUR/USD", "side": "buy",
        "quantity": "2000", "price": "1.1",
    }  # fmt: skip
    for kind, body in (
        ("signal", signal | {"reason": "an older one"}),
        ("signal", other),
        ("signal", signal),
        ("verdict", verdict | {"account": "b"}),
        ("verdict", verdict),
        ("intent", intent | {"client_order_id": "C0", "instrument": "USD/JPY"}),
        ("intent", intent),
        ("order", order | {"client_order_id": "C0", "order_id": "O0"}),
        ("order", order | {"stage": "in_doubt", "order_id": None, "why": "no answer"}),
        ("order", order),
        ("fill", {"account": "a", "fill": fill}),
        ("cancel_ordered", {"account": "a", "order_id": "O1", "by": "ann"}),
        ("cancel_ordered", {"account": "a", "order_id": "O0", "by": "ann"}),
        ("told", {"level": "info", "message": "order C1 is no longer in doubt"}),
        ("told", {"level": "info", "message": "nothing to do with it"}),
        ("signal", signal | {"reason": "a newer one"}),
    ):
        clock.set(clock.now() + SECOND)
        journal.append(kind, body)
    journal.close()


def test_an_orders_story_is_all_that_is_about_it_and_nothing_else(tmp_path: Path) -> None:
    traded(tmp_path)
    told = [(row.seq, row.kind) for row, _ in story(tmp_path, "C1")]
    assert told == [
        (3, "signal"), (5, "verdict"), (7, "intent"), (9, "order"), (10, "order"), (11, "fill"),
        (12, "cancel_ordered"), (14, "told"),
    ]  # fmt: skip


def test_an_approved_order_is_told_with_what_was_suggested_and_who_approved(
    tmp_path: Path,
) -> None:
    clock = ManualClock(START)
    journal = Journal(tmp_path, clock)
    order = OrderRequest(
        client_order_id="S1", instrument="EUR/USD", side=Side.BUY, order_type=OrderType.MARKET,
        quantity=Decimal(2000), strategy_id="trend",
    )  # fmt: skip
    signal = Signal(strategy_id="trend", instrument="EUR/USD", time=START, direction=1, reason="up")
    suggestion = Suggestion(
        number=1, account="a", order=order, signal=signal, price=Decimal("1.1"), created=START,
        expires=START + SECOND, digest=digest("a", order), verdict="buy 2,000",
    )  # fmt: skip
    request = ORDER.dump_python(order, mode="json", exclude_none=True)
    intent: dict[str, Any] = {
        "account": "a", "instrument": "EUR/USD", "side": "buy", "opens": True, "person": "",
    }  # fmt: skip
    waits = suggestion_body(suggestion)
    other = suggestion_body(replace(suggestion, number=2, digest="other"))
    approved = {"outcome": "approved", "by": "ann", "why": "", "text": "approved by ann"}
    for kind, body in (
        ("signal", signal_body(signal)),
        ("suggestion", waits | {"number": 3}),
        ("suggestion_ended", approved | {"number": 3, "outcome": "rejected"}),
        ("suggestion", waits),
        ("suggestion", other),
        ("suggestion_ended", approved | {"number": 2}),
        ("suggestion_ended", approved | {"number": 1}),
        (
            "intent",
            intent | {"client_order_id": "C1", "request": request | {"client_order_id": "C1"}},
        ),
        ("suggestion", waits | {"number": 4}),
        ("suggestion_ended", approved | {"number": 4, "outcome": "rejected"}),
        (
            "intent",
            intent | {"client_order_id": "C2", "request": request | {"client_order_id": "C2"}},
        ),
    ):
        journal.append(kind, body)
    archive(journal, clock, 0)
    journal.append("order", {"client_order_id": "C1", "account": "a"})
    journal.close()
    told = [(row.seq, row.kind) for row, _ in story(tmp_path, "C1")]
    assert told == [
        (1, "signal"), (4, "suggestion"), (7, "suggestion_ended"), (8, "intent"), (13, "order"),
    ]  # fmt: skip
    again = [row.kind for row, _ in story(tmp_path, "C2")]
    assert again == ["signal", "intent"], "an approval is good once"


def test_an_order_that_nobody_knows_has_no_story(tmp_path: Path) -> None:
    traded(tmp_path)
    with pytest.raises(JournalError, match="knows no order 'C9'"):
        story(tmp_path, "C9")
    with pytest.raises(JournalError, match="no engine has run here"):
        story(tmp_path / "none", "C1")


@pytest.mark.parametrize(
    ("wanted", "entries"),
    [
        (Wanted(), list(range(1, 17))),
        (Wanted(order="C1"), [7, 9, 10, 11]),
        (Wanted(strategy="revert"), [2]),
        (Wanted(strategy="trend", kinds=("intent",)), [6, 7]),
        (Wanted(by="ann"), [12, 13]),
        (Wanted(since=START + 15 * SECOND), [15, 16]),
        (Wanted(until=START + 3 * SECOND), [1, 2]),
        (Wanted(since=START + 3 * SECOND, until=START + 4 * SECOND), [3]),
    ],
)
def test_entries_are_exported_by_time_kind_order_strategy_and_person(
    tmp_path: Path, wanted: Wanted, entries: list[int]
) -> None:
    traded(tmp_path)
    assert [json.loads(line)["entry"] for line in export(tmp_path, wanted)] == entries
    table = list(csv.reader(io.StringIO("".join(export(tmp_path, wanted, table=True)))))
    assert [int(line[0]) for line in table[1:]] == entries
    assert len({len(line) for line in table}) == 1


def test_whoever_has_the_export_can_follow_the_chain(tmp_path: Path) -> None:
    made = written(tmp_path, 50)
    lines = [json.loads(line) for line in export(tmp_path, Wanted())]
    again = [
        Row(
            each["entry"],
            each["nanoseconds"],
            each["kind"],
            each["body"],
            bytes.fromhex(each["hash"]),
        )
        for each in lines
    ]
    assert again == made
    assert not verify(again).problem


def test_a_cell_of_the_table_is_never_a_formula(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ManualClock(START))
    journal.append("halt", {"by": '=HYPERLINK("http://evil")', "why": "x"})
    journal.close()
    (_, line) = csv.reader(io.StringIO("".join(export(tmp_path, Wanted(), table=True))))
    assert line[7].startswith("'=")
