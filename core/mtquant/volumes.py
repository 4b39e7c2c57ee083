"""The files that a journal stands in: the present one, and those archived before it.

Archiving is two renames, ``journal.db`` into the archive and ``journal.next`` into its place, and
whatever is to be on disk before one of them is. A crash leaves ``journal.next`` behind: beside a
``journal.db`` it is undone, without one it is finished (:func:`finish`).
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mtquant.chain import Row
from mtquant.errors import JournalError

PRESENT, NEXT, FOLDER = "journal.db", "journal.next", "archive"
REMOVED = "archive_removed"
"""The kind of the entry that tells that an archive was removed, before it is."""
REMEDY = (
    "Bring back a copy, or go on without it: set another engine.state_dir, with "
    'foreign_positions = "adopt" to take over what is held'
)
"""What to do where a journal is damaged or gone."""
_NAME = re.compile(r"journal-(\d+)-(\d+)\.db", re.ASCII)
_READ_ONLY, _LEAST = 0o400, 512
_SCHEMA = (
    """
    CREATE TABLE entry (
        seq  INTEGER PRIMARY KEY,
        time INTEGER NOT NULL,
        kind TEXT NOT NULL,
        body TEXT NOT NULL,
        hash BLOB NOT NULL
    ) STRICT
    """,
    """
    CREATE TRIGGER entry_no_update BEFORE UPDATE ON entry
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
    """,
    """
    CREATE TRIGGER entry_no_delete BEFORE DELETE ON entry
        BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END
    """,
)


@dataclass(frozen=True, slots=True, order=True)
class Archive:
    """One archived file, and the numbers of the entries it is to hold."""

    first: int
    last: int
    path: Path

    def __str__(self) -> str:
        return f"{FOLDER}/{self.path.name}"


def archive(folder: Path, first: int, last: int) -> Archive:
    """Return where the entries from ``first`` to ``last`` are archived."""
    return Archive(first, last, folder / FOLDER / f"journal-{first}-{last}.db")


def archives(folder: Path) -> list[Archive]:
    """Return the archives that are there, oldest first."""
    place = folder / FOLDER
    paths = place.iterdir() if place.is_dir() else ()
    found = (match for path in paths if (match := _NAME.fullmatch(path.name)))
    return sorted(archive(folder, int(each[1]), int(each[2])) for each in found)


def make(path: Path, rows: Iterable[Row] = ()) -> None:
    """Make a journal's file that holds ``rows``; whole and on disk on return."""
    with closing(sqlite3.connect(path, isolation_level=None)) as made:
        # A file that isn't whole is thrown away: it needs no way back.
        made.execute("PRAGMA journal_mode=MEMORY")
        made.execute("PRAGMA synchronous=FULL")
        made.execute("BEGIN")
        for statement in _SCHEMA:
            made.execute(statement)
        made.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", rows)
        made.execute("COMMIT")
    _sync(path.parent)


def first_row(path: Path) -> Row | None:
    """Return the first entry of a file, None where it holds none. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        query = "SELECT seq, time, kind, body, hash FROM entry ORDER BY seq LIMIT 1"
        found = file.execute(query).fetchone()
    return None if found is None else Row(*found)


def entry_hash(path: Path, seq: int) -> bytes | None:
    """Return the hash of an entry of a file, None where it isn't there. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as file:
        found = file.execute("SELECT hash FROM entry WHERE seq = ?", (seq,)).fetchone()
    return None if found is None else bytes(found[0])


def turn(folder: Path, old: Archive) -> None:
    """Put the present file into the archive and ``journal.next`` into its place.

    The present one must be closed and without a log. Raises OSError; :func:`finish` takes up
    whatever was done of it.
    """
    old.path.parent.mkdir(mode=0o700, exist_ok=True)
    _sync(folder)
    _sync(folder / PRESENT)
    (folder / PRESENT).rename(old.path)
    _sync(old.path.parent)
    _sync(folder)
    finish(folder)


def finish(folder: Path) -> None:
    """Finish or undo what a crash broke off, and make a journal where there is none yet.

    Raises JournalError where the present file is gone, OSError or sqlite3.Error.
    """
    present, fresh = folder / PRESENT, folder / NEXT
    kept = archives(folder)
    for each in kept:
        if each.path.stat().st_mode & 0o777 != _READ_ONLY:
            each.path.chmod(_READ_ONLY)
    if present.exists():
        with present.open("rb") as file:
            # SQLite takes a shorter file for an empty one, and writes a new one over it.
            if len(file.read(_LEAST)) < _LEAST:
                raise JournalError(f"{present} is cut off: no journal is so short. {REMEDY}")
        fresh.unlink(missing_ok=True)
        return
    if kept:
        if not (fresh.exists() and _goes_on(fresh, kept[-1])):
            raise JournalError(f"{present} is missing: it went on after {kept[-1]}. {REMEDY}")
    elif (folder / f"{PRESENT}-wal").exists():
        raise JournalError(f"{present} is missing: its log {PRESENT}-wal is there. {REMEDY}")
    else:
        fresh.unlink(missing_ok=True)
        make(fresh)
    fresh.replace(present)
    _sync(folder)


def _goes_on(fresh: Path, newest: Archive) -> bool:
    try:
        row = first_row(fresh)
    except sqlite3.Error:
        return False
    return row is not None and row.seq == newest.last + 1


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
