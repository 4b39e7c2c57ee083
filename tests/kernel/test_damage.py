"""A journal that is damaged: what it held is there, or nobody trades on it and the remedy is told.

Never a traceback, and never fewer entries than were on disk without a word of it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mtquant.anchor import Anchor, newest_head, read_anchor
from mtquant.archive import archive
from mtquant.book import Book
from mtquant.chain import Row
from mtquant.clock import SECOND, ManualClock, seeded
from mtquant.errors import JournalError
from mtquant.journal import Journal
from mtquant.orders import OrderDesk
from mtquant.recover import recover
from mtquant.trail import Wanted, export, rows, story
from mtquant.verifying import require_anchored, verified

START = 1_768_219_200 * SECOND
PAGE = 4096
MANY = 60


def deaf(_: object) -> None:
    """Nobody listens."""


def append(journal: Journal, number: int) -> None:
    for each in range(number):
        body = {"on": True, "by": "ann", "why": f"{each} " + "so long a reason " * 20}
        journal.append("halt", body, durable=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of some pages, with a log of as many entries again, as a kill leaves both."""
    folder = tmp_path_factory.mktemp("whole")
    journal = Journal(folder / "open", ManualClock(START))
    append(journal, MANY)
    journal.close()
    journal = Journal(folder / "open", ManualClock(START))
    append(journal, MANY)
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(folder / "open" / name, folder / name)
    journal.close()
    return folder


def laid(folder: Path, base: bytes, log: bytes = b"") -> Path:
    """Lay a journal's files into a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "journal.db").write_bytes(base)
    if log:
        (folder / "journal.db-wal").write_bytes(log)
    return folder


def on_start(folder: Path, anchor: Path | None = None) -> tuple[int, str]:
    """Return how many entries a start finds, and why it is refused; as an engine starts."""
    try:
        journal = Journal(folder, ManualClock(START))
    except JournalError as error:
        return 0, str(error)
    book = Book()
    try:
        if anchor is not None:
            assert not require_anchored(journal, anchor, anchor.parent / "anchor.key")
        journal.newest_time()
        desk = OrderDesk(journal, ManualClock(), book, deaf, deaf)
        return recover(journal, book, desk).entries, ""
    except JournalError as error:
        return 0, str(error)
    finally:
        journal.close()


def cuts(size: int, step: int) -> Iterator[int]:
    """Yield where a file is cut: at the ends of its pages, just beside them, and in between."""
    pages = {each for page in range(0, size, PAGE) for each in (page - 1, page, page + 1)}
    yield from sorted(each for each in pages | set(range(0, size, step)) if 0 <= each < size)


REMEDIES = ("Bring back a copy", "bring back the whole journal")


def refused(problem: str) -> bool:
    return any(each in problem for each in REMEDIES)


@pytest.mark.parametrize("step", [1013, pytest.param(7, marks=pytest.mark.slow)])
def test_a_journal_that_is_cut_at_any_byte_is_not_traded_on(
    tmp_path: Path, whole: Path, step: int
) -> None:
    content = (whole / "journal.db").read_bytes()
    assert on_start(laid(tmp_path / "cut", content)) == (MANY, "")
    for cut in cuts(len(content), step):
        folder = laid(tmp_path / "cut", content[:cut])
        found, problem = on_start(folder)
        assert (found, refused(problem)) == (0, True), (cut, problem)
        assert (folder / "journal.db").stat().st_size == cut, "SQLite makes a short one anew"


@pytest.mark.parametrize("step", [1013, pytest.param(101, marks=pytest.mark.slow)])
def test_a_journal_that_is_cut_before_its_log_is_whole_or_not_traded_on(
    tmp_path: Path, whole: Path, step: int
) -> None:
    content, log = ((whole / name).read_bytes() for name in ("journal.db", "journal.db-wal"))
    assert on_start(laid(tmp_path / "cut", content, log)) == (2 * MANY, "")
    for cut in cuts(len(content), step):
        found, problem = on_start(laid(tmp_path / "cut", content[:cut], log))
        assert found == 2 * MANY or (found == 0 and refused(problem)), (cut, found, problem)


@pytest.mark.parametrize("count", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_with_an_anchor_no_cut_of_both_files_loses_what_was_anchored_without_a_word(
    tmp_path: Path, whole: Path, count: int
) -> None:
    content, log = ((whole / name).read_bytes() for name in ("journal.db", "journal.db-wal"))
    made = list(rows(laid(tmp_path / "all", content, log)))
    place = tmp_path / "anchor.jsonl"
    anchor = Anchor(place, tmp_path / "anchor.key")
    for row in made[9::10]:
        anchor.note(row.time, row.seq, row.hash)
    assert on_start(tmp_path / "all", place) == (2 * MANY, "")
    rng, lost = seeded(3), 0
    for _ in range(count):
        base = content[: rng.choice((len(content), rng.randrange(len(content))))]
        folder = laid(tmp_path / "cut", base, log[: rng.randrange(len(log))])
        found, problem = on_start(folder, place)
        assert found == 2 * MANY or (found == 0 and refused(problem)), (found, problem)
        lost += "entry 120 was anchored" in problem
    assert lost > count // 5


def garbage(content: bytes, seed: int) -> bytes:
    page = seeded(seed).randrange(len(content) // PAGE) * PAGE
    return content[:page] + seeded(seed).randbytes(PAGE) + content[page + PAGE :]


def flipped(content: bytes, seed: int) -> bytes:
    place = seeded(seed).randrange(len(content))
    return content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :]


@pytest.mark.parametrize("harm", [garbage, flipped])
@pytest.mark.parametrize("count", [25, pytest.param(1000, marks=pytest.mark.slow)])
def test_bytes_that_changed_are_noticed_or_change_nothing(
    tmp_path: Path, whole: Path, harm: Callable[[bytes, int], bytes], count: int
) -> None:
    content = (whole / "journal.db").read_bytes()
    made = list(rows(laid(tmp_path / "all", content)))
    for seed in range(count):
        folder = laid(tmp_path / "harmed", harm(content, seed))
        told = told_of(folder)
        found, problem = on_start(folder)
        assert found == MANY or refused(problem), (seed, problem)
        if found:
            # A byte of a page's unused part, or of the file's head.
            assert read(folder) == made, seed
        elif told == "":
            assert "is not what was written" not in problem, "verify has to find it as well"


def told_of(folder: Path) -> str:
    """Return what reading it for people says of a journal: nothing, or a sentence."""
    with suppress(JournalError):
        list(export(folder, Wanted()))
    with suppress(JournalError):
        story(folder, "C1")
    return verified(folder).problem


def read(folder: Path) -> list[Row]:
    return list(rows(folder))


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda _: b"", "journal.db holds no journal"),
        (lambda content: content[: len(content) // 2], "journal.db can't be read after entry"),
        (lambda content: content[:50], "journal.db can't be read after entry 0: "),
        (lambda content: garbage(content, 2), "journal.db can't be read after entry"),
    ],
)
def test_verify_says_in_words_what_is_damaged(
    tmp_path: Path, whole: Path, harm: Callable[[bytes], bytes], problem: str
) -> None:
    content = (whole / "journal.db").read_bytes()
    assert problem in verified(laid(tmp_path / "harmed", harm(content))).problem


def test_a_log_without_its_journal_is_not_taken_for_a_new_one(tmp_path: Path, whole: Path) -> None:
    folder = laid(tmp_path / "gone", b"", (whole / "journal.db-wal").read_bytes())
    (folder / "journal.db").unlink()
    assert "its log journal.db-wal is there. Bring back a copy" in on_start(folder)[1]


# --- the anchor, before anything is traded -------------------------------------------------------


@pytest.fixture
def anchored(tmp_path: Path) -> Iterator[tuple[Journal, Path, Path]]:
    """A journal with its anchor and key, anchored at entry 3 of 5."""
    journal = Journal(tmp_path / "state", ManualClock(START))
    place, key = tmp_path / "anchor.jsonl", tmp_path / "state" / "anchor.key"
    append(journal, 3)
    Anchor(place, key).note(START, journal.seq, journal.head)
    append(journal, 2)
    yield journal, place, key
    journal.close()


def test_a_journal_that_holds_what_was_anchored_may_be_traded_on(
    anchored: tuple[Journal, Path, Path],
) -> None:
    journal, place, key = anchored
    assert require_anchored(journal, place, key) == ""
    archive(journal, ManualClock(START), 0)
    assert require_anchored(journal, place, key) == "", "the archive is looked into"
    for each in (journal.folder / "archive").iterdir():
        each.unlink()
    assert require_anchored(journal, place, key) == "", "it can't be, and the chain goes on from it"
    assert require_anchored(journal, place.parent / "none", key) == "", "nothing was anchored yet"


def test_one_that_lost_what_was_anchored_or_is_another_may_not(
    anchored: tuple[Journal, Path, Path], tmp_path: Path
) -> None:
    journal, place, key = anchored
    Anchor(place, key).note(START, 9, bytes(32))
    with pytest.raises(JournalError, match=r"ends at entry 5; entry 9 was anchored.*whole journal"):
        require_anchored(journal, place, key)
    other = tmp_path / "other.jsonl"
    Anchor(other, key).note(START, 4, bytes(32))
    for _ in range(2):
        with pytest.raises(
            JournalError, match=r"entry 4 is not the one that was anchored.*name an"
        ):
            require_anchored(journal, other, key)
        archive(journal, ManualClock(START), 0)


def test_an_archive_that_was_exchanged_for_another_is_noticed_at_the_start(
    anchored: tuple[Journal, Path, Path],
) -> None:
    journal, place, key = anchored
    made = archive(journal, ManualClock(START), 0).made
    assert made is not None
    made.path.chmod(0o600)
    made.path.write_bytes(b"rubbish that is no database")
    with pytest.raises(JournalError, match=r"can't be read.*trading doesn't need it"):
        require_anchored(journal, place, key)


def test_an_anchor_of_another_key_or_that_cannot_be_read_is_told(
    anchored: tuple[Journal, Path, Path], tmp_path: Path
) -> None:
    journal, place, key = anchored
    Anchor(place, tmp_path / "evil.key").note(START, 3, bytes(32))
    with pytest.raises(JournalError, match=r"isn't signed with .*anchor\.key"):
        require_anchored(journal, place, key)
    (tmp_path / "folder").mkdir()
    told = require_anchored(journal, tmp_path / "folder", key)
    assert told.startswith("the journal isn't compared with its anchor")


def test_the_newest_line_is_found_behind_torn_ones_and_without_reading_it_all(
    anchored: tuple[Journal, Path, Path],
) -> None:
    journal, place, key = anchored
    anchor = Anchor(place, key)
    for number in range(600):
        anchor.note(START, number, journal.head)
    assert place.stat().st_size > 100_000
    with place.open("ab") as file:
        file.write(b'{"time": "2026-01-12T12:00:00Z", "ent')
    assert newest_head(place, key) == (599, journal.head)
    Anchor(place, key).note(START, 600, journal.head)
    assert newest_head(place, key) == (600, journal.head), "the torn line was ended first"
    assert max(read_anchor(place).heads) == 600
    lines = place.read_bytes().splitlines()
    assert json.loads(lines[-1])["entry"] == 600
