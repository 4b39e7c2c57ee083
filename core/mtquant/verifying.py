"""Whether a journal is what was written: its chain followed through all archives and the present.

An archive may lack at the beginning where an entry tells that it was removed, and nowhere else.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field, replace
from pathlib import Path

from mtquant.anchor import newest_head, read_anchor
from mtquant.chain import GENESIS, Chain, Row, Verified, before, cut_off
from mtquant.errors import JournalError
from mtquant.journal import Journal
from mtquant.trail import Part, parts
from mtquant.volumes import FOLDER, PRESENT, REMOVED, archives, entry_hash

_KNOWINGLY = "to go on knowingly, name another file in engine.anchor and keep this one"


def verified(folder: Path, anchor: Path | None = None, trusted: str = "") -> Verified:
    """Follow the chain of a journal, and hold it against an anchor's heads if one is named.

    It stops at the first thing that doesn't hold, and says in words what is wrong with it.
    ``trusted`` is the public key that the anchor must be signed with. Raises JournalError where
    there is no journal, or the anchor can't be read.
    """
    heads = read_anchor(anchor, trusted).heads if anchor is not None else {}
    found = _Verifier(heads)
    part, problem = None, ""
    try:
        for part in parts(folder):
            if problem := found.part(part):
                break
    except sqlite3.Error as error:
        problem = _unreadable(part, found.chain, error)
    except JournalError as error:
        if not archives(folder):
            raise
        problem = str(error)
    problem = problem or found.unexplained() or cut_off(found.chain.last, heads)
    entries = found.chain.last - found.begin.last
    return Verified(entries, found.chain.head, problem, found.begin.last + 1, found.files)


def require_anchored(journal: Journal, anchor: Path, key_file: Path) -> str:
    """See to it that a journal holds what was anchored last, before anything is traded on it.

    Returns in words why that can't be looked at, empty if it could. Raises JournalError, with the
    remedy, where the journal lost what it had acknowledged, or isn't the one that was anchored.
    """
    try:
        newest = newest_head(anchor, key_file)
    except OSError as error:
        return f"the journal isn't compared with its anchor {anchor}: {error.strerror}"
    if newest is None:
        return ""
    seq, head = newest
    if seq > journal.seq:
        raise JournalError(
            f"{journal.folder}: {cut_off(journal.seq, {seq: head})} in {anchor}. What is lost may "
            f"be orders: bring back the whole journal; or, {_KNOWINGLY}"
        )
    known = journal.hash_of(seq) if seq >= journal.first else _archived(journal.folder, seq)
    if known not in {None, head}:
        raise JournalError(
            f"{journal.folder}: entry {seq} is not the one that was anchored in {anchor}. "
            f"`mtquant audit verify` says more; {_KNOWINGLY}"
        )
    return ""


def _archived(folder: Path, seq: int) -> bytes | None:
    """Return the hash of an archived entry, None where its archive isn't there any more."""
    for each in archives(folder):
        if each.first <= seq <= each.last:
            try:
                return entry_hash(each.path, seq)
            except sqlite3.Error as error:
                raise JournalError(
                    f"{each.path} can't be read: {error}. Bring back a copy, or move it away: "
                    "trading doesn't need it"
                ) from error
    return None


@dataclass(slots=True)
class _Verifier:
    """Follows the chain file by file; ``begin`` is how it stood before the oldest one."""

    heads: dict[int, bytes]
    begin: Chain = field(default_factory=Chain)
    chain: Chain = field(default_factory=Chain)
    files: int = 0
    _before: str = ""
    _removed: dict[int, tuple[int, str]] = field(default_factory=dict)

    def part(self, part: Part) -> str:
        """Follow one file to its end, and return in words what is wrong; empty if it holds."""
        where = f"{part.name}: " if part.archive else ""
        begun = False
        for row in part.rows():
            if not begun and (problem := self._begin(part, row)):
                return problem
            begun = True
            if problem := self.chain.follow(row, self.heads):
                return where + problem
            if row.kind == REMOVED:
                told = json.loads(row.body)
                self._removed[told["first"]] = (told["last"], told["head"])
        if problem := self._end(part, begun=begun):
            return problem
        self.files += 1
        self._before = part.name
        return ""

    def _begin(self, part: Part, row: Row) -> str:
        """Set a file's first entry beside its name, and beside the end of the file before it."""
        if not row.whole:
            damaged = f"after entry {self.chain.last}: its first entry is damaged"
            return f"{part.name} can't be read {damaged}"
        if part.archive and part.archive.first != row.seq:
            return f"{part.name} begins with entry {row.seq}: it isn't the file of that name"
        return self._go_on(part.name, row)

    def _go_on(self, name: str, row: Row) -> str:
        try:
            start = before(row)
        except ValueError:
            return ""  # the chain itself says what is wrong
        if not self.files:
            self.begin, self.chain = start, replace(start)
        elif start.last > self.chain.last:
            lacks = f"entries {self.chain.last + 1} to {start.last} are missing"
            return f"{lacks}: {FOLDER}/{json.loads(row.body)['before']['file']} isn't there"
        elif start.last < self.chain.last:
            return f"{name} begins with entry {row.seq}, which {self._before} holds already"
        elif start.head != self.chain.head:
            return f"{name} doesn't go on from {self._before}: one of them isn't what was written"
        return ""

    def _end(self, part: Part, *, begun: bool) -> str:
        if part.archive is None:
            after = f": it went on after {self._before}"
            return f"{part.name} holds no entry{after}" if self.files and not begun else ""
        first, last = part.archive.first, part.archive.last
        if not begun:
            return f"{part.name} holds no entry; {first} to {last} are missing"
        if self.chain.last < last:
            missing = f"entries {self.chain.last + 1} to {last} are missing"
            return f"{part.name} ends at entry {self.chain.last}: {missing}"
        if self.chain.last > last:
            return f"{part.name} ends at entry {self.chain.last}: it isn't the file of that name"
        return ""

    def unexplained(self) -> str:
        """Return in words that entries lack at the beginning without one that tells why."""
        expected, head = 1, GENESIS.hex()
        while expected in self._removed:
            last, head = self._removed[expected]
            expected = last + 1
        if self.begin.last >= expected:
            lacks = f"entries {expected} to {self.begin.last} are missing"
            return f"{lacks}: their archive isn't there, and no entry tells that it was removed"
        # What is told of and still there was about to be removed when the engine died.
        if self.begin.last == expected - 1 and head != self.begin.head.hex():
            return f"what follows entry {self.begin.last} doesn't go on from what was removed"
        return ""


def _unreadable(part: Part | None, chain: Chain, error: sqlite3.Error) -> str:
    name = part.name if part else PRESENT
    if "no such table" in str(error):
        return f"{name} holds no journal"
    holds = (
        f"; it is to hold {part.archive.first} to {part.archive.last}"
        if part and part.archive
        else ""
    )
    return f"{name} can't be read after entry {chain.last}: {error}{holds}"
