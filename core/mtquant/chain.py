"""The hash chain through the journal: each entry's hash covers the entry and the hash before it.

So an entry that was changed, removed, inserted or moved breaks the chain at its place. What a chain
can't show is that its end was cut off, or that all of it was made anew: for that a head must have
been written down elsewhere (:mod:`mtquant.anchor`).
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

GENESIS = bytes(32)
"""What stands for the hash before the first entry."""
CARRIED = "carried"
"""The kind of the entry that a journal begins with when what was before it is archived."""
_HEAD = struct.Struct(">qqI")


class Row(NamedTuple):
    """An entry as it stands in the journal: ``body`` is its JSON text, ``hash`` 32 bytes."""

    seq: int
    time: int
    kind: str
    body: str
    hash: bytes

    @property
    def whole(self) -> bool:
        """False where a damaged file gave something else than an entry."""
        return [*map(type, self)] == [int, int, str, str, bytes]


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a chain holds: ``entries`` of them from number ``first`` on, to ``head``.

    ``files`` is how many files they stand in; ``problem`` is empty if everything holds.
    """

    entries: int
    head: bytes
    problem: str = ""
    first: int = 1
    files: int = 1


def chained(before: bytes, seq: int, time: int, kind: str, body: str) -> bytes:
    """Return an entry's SHA-256: of the hash before it, its numbers, its kind and its body.

    The kind's length is hashed before it, so that no text can move between kind and body unseen.
    """
    name = kind.encode()
    found = hashlib.sha256(before)
    found.update(_HEAD.pack(seq, time, len(name)))
    found.update(name)
    found.update(body.encode())
    return found.digest()


@dataclass(slots=True)
class Chain:
    """A chain as far as it was followed: to entry ``last``, whose hash is ``head``."""

    last: int = 0
    head: bytes = GENESIS

    def follow(self, row: Row, heads: Mapping[int, bytes] | None = None) -> str:
        """Take the next entry in, and return in words what is wrong with it; empty if it holds.

        It is compared with the known ``heads``, by number. One that doesn't hold isn't taken in.
        """
        if row.seq != self.last + 1:
            return f"entry {self.last + 1} is missing: {row.seq} follows {self.last}"
        try:
            expected = chained(self.head, row.seq, row.time, row.kind, row.body)
        except (AttributeError, TypeError, struct.error):
            return f"entry {row.seq} can't be read"  # a damaged file gives other types
        if row.hash != expected:
            return f"entry {row.seq} ({row.kind}) is not what was written, or what precedes it"
        if heads and heads.get(row.seq, expected) != expected:
            return f"entry {row.seq} ({row.kind}) is not the one that was anchored"
        self.last, self.head = row.seq, expected
        return ""


def before(row: Row) -> Chain:
    """Return the chain as it stands before the first entry of a file.

    That is the very beginning; or, where entries before it were archived, what the entry
    ``carried`` says of them. Raises ValueError where it is neither.
    """
    if row.seq == 1:
        return Chain()
    try:
        known = json.loads(row.body)["before"]
        found = Chain(int(known["entry"]), bytes.fromhex(known["head"]))
    except (ValueError, KeyError, TypeError):
        found = Chain()
    if row.kind != CARRIED or found.last != row.seq - 1:
        raise ValueError(f"begins with entry {row.seq} ({row.kind}), which begins no journal")
    return found


def verify(rows: Iterable[Row], heads: Mapping[int, bytes] | None = None) -> Verified:
    """Follow the chain from the first entry on, and compare it with known ``heads`` by number.

    It stops at the first entry that doesn't hold, and says in words what is wrong with it.
    """
    chain = Chain()
    for row in rows:
        if problem := chain.follow(row, heads):
            return Verified(chain.last, chain.head, problem)
    return Verified(chain.last, chain.head, cut_off(chain.last, heads))


def cut_off(last: int, heads: Mapping[int, bytes] | None) -> str:
    """Return in words that a journal ends before what was anchored, or nothing."""
    if heads and (newest := max(heads)) > last:
        return f"the journal ends at entry {last}; entry {newest} was anchored"
    return ""
