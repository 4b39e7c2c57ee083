"""Archiving: the journal begins anew with what it came to, and what was before it is kept."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from mtquant.book import Book
from mtquant.clock import SECOND, Clock, format_time
from mtquant.errors import JournalError
from mtquant.journal import Journal
from mtquant.orders import OrderDesk
from mtquant.recover import fold
from mtquant.snapshot import snapshot
from mtquant.volumes import PRESENT, REMOVED, Archive, archives, first_row

DAY = 86_400 * SECOND


@dataclass(frozen=True, slots=True)
class Archived:
    """What was done: the archive that was made, if any, those removed, and what hindered it."""

    made: Archive | None
    removed: tuple[Archive, ...] = ()
    problem: str = ""


def due(journal: Journal, entries: int) -> bool:
    """Tell whether the journal holds more than ``entries``; 0 is never."""
    return bool(entries) and journal.seq - journal.first + 1 > entries


def archive(journal: Journal, clock: Clock, retention_days: int) -> Archived:
    """Archive what the journal holds, and remove archives that are older than is to be kept.

    ``clock`` is the journal's. Nothing is archived where nothing was written since the last time.
    What hinders it, such as somebody who reads or a disk that refuses, is told of in the answer.
    Raises JournalError where the journal is damaged: it isn't to be traded on.
    """
    made = None
    if journal.seq > journal.first or (journal.seq == journal.first == 1):
        book = Book()
        desk = OrderDesk(journal, clock, book, _deaf, _deaf)
        found = fold(journal, book, desk)
        newest = journal.newest_time() or 0
        try:
            made = journal.archive(snapshot(book, desk, found.step, newest))
        except JournalError as error:
            return Archived(None, problem=str(error))
    removed, problem = _remove_old(journal, clock, retention_days) if retention_days else ((), "")
    return Archived(made, removed, problem)


def _remove_old(
    journal: Journal, clock: Clock, retention_days: int
) -> tuple[tuple[Archive, ...], str]:
    """Remove the archives whose newest entry is too old, oldest first; each is journaled before.

    One that isn't what the next file goes on from is evidence: it stays, and so do all after it.
    """
    removed: list[Archive] = []
    kept = archives(journal.folder)
    following = [*(each.path for each in kept[1:]), journal.folder / PRESENT]
    for each, after in zip(kept, following, strict=True):
        try:
            time, head = _newest(each)
            row = first_row(after)
            known = json.loads(row.body)["before"]["head"] if row else ""
        except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
            return tuple(removed), f"{each} is kept, for it can't be looked at: {error}"
        if time > clock.now() - retention_days * DAY:
            break
        if known != head:
            problem = f"{each} is kept, for it isn't what was archived: `mtquant audit verify`"
            return tuple(removed), problem
        body = {
            "file": each.path.name,
            "first": each.first,
            "last": each.last,
            "head": head,
            "newest": format_time(time),
            "retention_days": retention_days,
        }
        journal.append(REMOVED, body, durable=True)
        try:
            each.path.unlink()
        except OSError as error:
            return tuple(removed), f"{each} can't be removed: {error.strerror}"
        removed.append(each)
    return tuple(removed), ""


def _newest(kept: Archive) -> tuple[int, str]:
    """Return the time and the hash of an archive's last entry. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{kept.path.as_uri()}?mode=ro", uri=True)) as file:
        query = "SELECT time, hash FROM entry WHERE seq = ?"
        time, head = file.execute(query, (kept.last,)).fetchone()
    return int(time), bytes(head).hex()


def _deaf(_: object) -> None:
    """Nobody listens while a journal is folded."""
