"""The journal: on disk when it says so, one writer, append-only."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from mtquant.clock import ManualClock
from mtquant.errors import JournalError
from mtquant.journal import Journal

WRITER = """
import os, signal, sys
from pathlib import Path
from mtquant.clock import ManualClock
from mtquant.journal import Journal
journal = Journal(Path(sys.argv[1]), ManualClock())
journal.append("a", {"n": 1})
journal.append("b", {"n": 2}, durable=True)
journal.append("c", {"n": 3})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_durable_survives_a_kill_and_takes_what_came_before_along(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    journal = Journal(tmp_path, ManualClock())
    assert [(each.seq, each.kind, each.body) for each in journal.entries()] == [
        (1, "a", {"n": 1}),
        (2, "b", {"n": 2}),
    ]
    assert journal.append("d", {}).seq == 3
    journal.close()


def test_entries_can_be_chosen_and_keep_their_time(tmp_path: Path) -> None:
    clock = ManualClock(5)
    journal = Journal(tmp_path, clock)
    assert journal.newest_time() is None
    journal.append("a", {})
    clock.set(9)
    journal.append("b", {"x": "é"})
    assert [(each.time, each.body) for each in journal.entries("b")] == [(9, {"x": "é"})]
    assert journal.newest_time() == 9
    journal.close()


def test_a_second_engine_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    first = Journal(tmp_path, ManualClock())
    with pytest.raises(
        JournalError, match=rf"another engine \(process {os.getpid()}\) is using this journal"
    ):
        Journal(tmp_path, ManualClock())
    first.close()
    Journal(tmp_path, ManualClock()).close()


@pytest.mark.parametrize("change", ["UPDATE entry SET kind = 'x'", "DELETE FROM entry"])
def test_nothing_in_it_can_be_changed(tmp_path: Path, change: str) -> None:
    journal = Journal(tmp_path, ManualClock())
    journal.append("a", {}, durable=True)
    journal.close()
    database = sqlite3.connect(tmp_path / "journal.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(change)
    database.close()


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="can't be opened"):
        Journal(tmp_path / "file", ManualClock())


def test_a_full_disk_ends_a_journal_for_good_and_harms_nothing_on_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ManualClock())
    journal.append("a", {}, durable=True)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (tmp_path / "journal.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        journal.append("b", {})
        with pytest.raises(JournalError, match="the journal can't be written"):
            journal.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # There is room again, and what was appended may be gone: to go on would leave a gap.
    for write in (lambda: journal.append("c", {}), journal.flush, journal.close):
        with pytest.raises(JournalError, match="the journal can't be written"):
            write()
    again = Journal(tmp_path, ManualClock())
    assert [each.kind for each in again.entries()] == ["a"]
    assert again.append("d", {}, durable=True).seq == 2
    again.close()
