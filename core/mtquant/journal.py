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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.chain import CARRIED, GENESIS, Chain, Row, before, chained
from mtquant.clock import Clock
from mtquant.errors import JournalError
from mtquant.model import to_json
from mtquant.volumes import (
    NEXT,
    PRESENT,
    REMEDY,
    Archive,
    archive,
    archives,
    finish,
    make,
    turn,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry; ``time`` is the journal clock's, in nanoseconds UTC."""

    seq: int
    time: int
    kind: str
    body: dict[str, Any]


class Journal:
    """The journal of one engine, in ``folder``; a second engine on it is refused.

    ``first`` is the number of the first entry that isn't archived, ``head`` the newest one's hash.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder = folder
        self._clock = clock
        self._lock = None
        self._failure = ""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _locked(folder / "journal.lock", folder / "journal.pid")
            self._open()
        except (OSError, sqlite3.Error, JournalError) as error:
            for opened in (getattr(self, "_db", None), self._lock):
                if opened is not None:
                    opened.close()
            if isinstance(error, JournalError):
                raise
            text = f"{folder}: the journal can't be opened: {error}"
            damaged = isinstance(error, sqlite3.DatabaseError)
            raise JournalError(f"{text}. {REMEDY}" if damaged else text) from error

    def _open(self) -> None:
        finish(self.folder)
        self._db = sqlite3.connect(self.folder / PRESENT, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self.first, self._seq, self.head = self._ends()

    def append(self, kind: str, body: dict[str, Any], *, durable: bool = False) -> Entry:
        """Append an entry; with ``durable`` it, and all before it, are on disk on return.

        Raises JournalError where the disk refuses, once and for all: nothing may be sent then.
        """
        self._require_whole()
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
            raise self.broken(str(error)) from error
        self._seq, self.head = entry.seq, head
        return entry

    def flush(self) -> None:
        """Put what was appended on disk. Raises JournalError as :meth:`append` does."""
        self._require_whole()
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise self.broken(str(error)) from error

    def broken(self, why: str) -> JournalError:
        """Take no entry any more, and return the error that says so.

        Whoever met the failure may have acted on what wasn't written, and SQLite may have undone
        what it held before: what is on disk is the truth, for the next start to begin from.
        """
        self._failure = f"the journal can't be written: {why}"
        return JournalError(self._failure)

    def _require_whole(self) -> None:
        if self._failure:
            raise JournalError(self._failure)

    def entries(self, *kinds: str) -> Iterator[Entry]:
        """Yield the entries of ``kinds``, or all that aren't archived, oldest first.

        Where all are asked for, their chain is followed. Raises JournalError where it is broken,
        or the file damaged.
        """
        where = f"WHERE kind IN ({','.join('?' * len(kinds))})" if kinds else ""
        query = f"SELECT seq, time, kind, body, hash FROM entry {where} ORDER BY seq"  # noqa: S608 - placeholders only
        chain: Chain | None = None
        with self._readable():
            for found in self._db.execute(query, kinds):
                row = Row(*found)
                if not kinds:
                    chain = chain or before(row)
                    if problem := chain.follow(row):
                        raise JournalError(f"{self.folder / PRESENT}: {problem}. {REMEDY}")
                yield Entry(row.seq, row.time, row.kind, json.loads(row.body))

    def newest(self, kinds: Sequence[str], limit: int, *, after: int = 0) -> tuple[Entry, ...]:
        """Return the last ``limit`` entries of ``kinds`` numbered above ``after``, newest first.

        What isn't on disk yet is among them. Raises JournalError where the file is damaged.
        """
        query = (
            "SELECT seq, time, kind, body FROM entry "  # noqa: S608 - placeholders only
            f"WHERE seq > ? AND kind IN ({','.join('?' * len(kinds))}) ORDER BY seq DESC LIMIT ?"
        )
        with self._readable():
            found = self._db.execute(query, (after, *kinds, limit)).fetchall()
            return tuple(
                Entry(seq, time, kind, json.loads(body)) for seq, time, kind, body in found
            )

    @property
    def seq(self) -> int:
        """The number of the newest entry, 0 where there is none."""
        return self._seq

    def _ends(self) -> tuple[int, int, bytes]:
        """Return the first entry's number, and the newest one's number and hash."""
        columns = {name for _, name, *_ in self._db.execute("PRAGMA table_info(entry)")}
        if not columns:
            raise JournalError(f"{self.folder / PRESENT} holds no journal. {REMEDY}")
        if "hash" not in columns:
            raise JournalError(
                f"{self.folder}: the journal is an earlier version's, without hashes. Close what "
                "is open with the version that wrote it, and set another engine.state_dir"
            )
        query = "SELECT seq, time, kind, body, hash FROM entry ORDER BY seq {} LIMIT 1"
        ends = [self._db.execute(query.format(way)).fetchone() for way in ("ASC", "DESC")]
        kept = archives(self.folder)
        archived = kept[-1].last if kept else 0
        if None in ends:
            if kept:
                raise JournalError(f"{self.folder / PRESENT} went on after {kept[-1]}. {REMEDY}")
            return 1, 0, GENESIS
        first, newest = (Row(*each) for each in ends)
        try:
            before(first)
        except ValueError as error:
            raise JournalError(f"{self.folder / PRESENT} {error}. {REMEDY}") from error
        if first.seq <= archived:
            raise JournalError(
                f"{self.folder / PRESENT} begins with entry {first.seq}, which {kept[-1]} holds "
                f"already: it is an old copy. {REMEDY}"
            )
        return first.seq, newest.seq, newest.hash

    def newest_time(self) -> int | None:
        """Return the time of the newest entry, None where there is none.

        Raises JournalError where the file is damaged.
        """
        with self._readable():
            (newest,) = self._db.execute("SELECT max(time) FROM entry").fetchone()
            return None if newest is None else int(newest)

    def hash_of(self, seq: int) -> bytes | None:
        """Return the hash of an entry that isn't archived; None where there is none of that number.

        Raises JournalError where the file is damaged.
        """
        with self._readable():
            query = "SELECT hash FROM entry WHERE seq = ?"
            found = self._db.execute(query, (seq,)).fetchone()
            return None if found is None else bytes(found[0])

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Tell of a file that is damaged in words."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            text = f"{self.folder / PRESENT} can't be read: {error}"
            raise JournalError(f"{text}. {REMEDY}") from error

    def archive(self, state: dict[str, Any]) -> Archive:
        """Put all entries into an archive, and go on in a new file that begins with ``state``.

        Numbers and hashes go on. Whenever it is broken off, the journal is as it was before or
        as it is afterwards. Raises JournalError where somebody reads the journal meanwhile or the
        disk refuses; it is as before then.
        """
        self.flush()
        old = archive(self.folder, self.first, self._seq)
        past = {"entry": self._seq, "head": self.head.hex(), "file": old.path.name}
        text = to_json({"before": past, "state": state})
        seq, time = self._seq + 1, self._clock.now()
        row = Row(seq, time, CARRIED, text, chained(self.head, seq, time, CARRIED, text))
        try:
            (self.folder / NEXT).unlink(missing_ok=True)
            make(self.folder / NEXT, [row])
            # What is in the log goes into the file, and the log goes.
            self._db.execute("PRAGMA journal_mode=DELETE")
            self._db.close()
            turn(self.folder, old)
        except (OSError, sqlite3.Error) as error:
            read = "locked" in str(error)
            why = "somebody reads it; try again when nobody does" if read else str(error)
            raise JournalError(f"{self.folder}: the journal can't be archived: {why}") from error
        finally:
            self._db.close()
            self._open()
        return old

    def close(self) -> None:
        """Flush, close and let another engine in; it is closed where the disk refuses too."""
        try:
            self.flush()
        finally:
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
