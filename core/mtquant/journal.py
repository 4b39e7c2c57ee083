"""The append-only trail: what was decided, sent and answered, on disk before it matters.

SQLite in WAL mode with synchronous=FULL: a commit is an fsync. An entry that must be on disk
before the next act (an order's intent, a breaker's level) is written durably; facts that a broker
can be asked for again ride along with the next durable entry or flush. Each entry carries a hash of
itself and of the one before it (:mod:`mtquant.chain`).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.chain import GENESIS, chained
from mtquant.clock import Clock
from mtquant.errors import JournalError
from mtquant.model import to_json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    seq  INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS entry_no_update BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER IF NOT EXISTS entry_no_delete BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry; ``time`` is the journal clock's, in nanoseconds UTC."""

    seq: int
    time: int
    kind: str
    body: dict[str, Any]


class Journal:
    """The journal of one engine, in ``folder``; a second engine on it is refused."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._clock = clock
        self._lock = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(folder / "journal.lock", folder / "journal.pid")
            self._db = sqlite3.connect(folder / "journal.db", isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            self._seq, self.head = self._newest(folder)
        except (OSError, sqlite3.Error, JournalError) as error:
            for opened in (getattr(self, "_db", None), self._lock):
                if opened is not None:
                    opened.close()
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"{folder}: the journal can't be opened: {error}") from error

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> Entry:
        """Append an entry; with ``durable`` it, and all before it, are on disk on return.

        Raises JournalError where the disk refuses: then nothing may be sent.
        """
        entry = Entry(self._seq + 1, self._clock.now(), kind, body)
        text = to_json(body)
        head = chained(self.head, entry.seq, entry.time, kind, text)
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO entry VALUES (?, ?, ?, ?, ?)",
                (entry.seq, entry.time, kind, text, head),
            )
            if durable:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"the journal can't be written: {error}") from error
        self._seq, self.head = entry.seq, head
        return entry

    def flush(self) -> None:
        """Put what was appended on disk. Raises JournalError where the disk refuses."""
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"the journal can't be written: {error}") from error

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Yield the entries of ``kinds`` (all if none is named), oldest first."""
        where = f"WHERE kind IN ({','.join('?' * len(kinds))})" if kinds else ""
        query = f"SELECT seq, time, kind, body FROM entry {where} ORDER BY seq"  # noqa: S608 - placeholders only
        for seq, time, kind, body in self._db.execute(query, kinds):
            yield Entry(seq, time, kind, json.loads(body))

    @property
    def seq(self) -> int:
        """The number of the newest entry, 0 where there is none."""
        return self._seq

    def _newest(self, folder: Path) -> tuple[int, bytes]:
        """Return the newest entry's number and hash."""
        columns = {name for _, name, *_ in self._db.execute("PRAGMA table_info(entry)")}
        if "hash" not in columns:
            raise JournalError(
                f"{folder}: the journal is an earlier version's, without hashes. Close what is "
                "open with the version that wrote it, and set another engine.state_dir"
            )
        query = "SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1"
        found = self._db.execute(query).fetchone()
        return (0, GENESIS) if found is None else (int(found[0]), bytes(found[1]))

    def newest_time(self) -> int | None:
        """Return the time of the newest entry, None where there is none."""
        (newest,) = self._db.execute("SELECT max(time) FROM entry").fetchone()
        return None if newest is None else int(newest)

    def close(self) -> None:
        """Flush, close and let another engine in."""
        self.flush()
        self._db.close()
        if self._lock is not None:
            self._lock.close()


def _locked(path: Path, holder: Path) -> sqlite3.Connection:
    """Hold an exclusive lock that the system releases when this process dies, however it dies.

    ``holder`` says to others which process it is.
    """
    lock = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        lock.execute("PRAGMA locking_mode=EXCLUSIVE")
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        lock.close()
        raise JournalError(
            f"{path.parent}: another engine{_process(holder)} is using this journal. Stop it, or "
            "set another engine.state_dir"
        ) from None
    holder.write_text(str(os.getpid()), encoding="ascii")
    return lock


def _process(holder: Path) -> str:
    try:
        return f" (process {int(holder.read_text(encoding='ascii'))})"
    except (OSError, ValueError):
        return ""
