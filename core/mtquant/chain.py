"""The hash chain through the journal: each entry's hash covers the entry and the hash before it.

So an entry that was changed, removed, inserted or moved breaks the chain at its place. What a chain
can't show is that its end was cut off, or that all of it was made anew: for that a head must have
been written down elsewhere (:mod:`mtquant.anchor`).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

GENESIS = bytes(32)
"""What stands for the hash before the first entry."""
_HEAD = struct.Struct(">qqI")


class Row(NamedTuple):
    """An entry as it stands in the journal: ``body`` is its JSON text, ``hash`` 32 bytes."""

    seq: int
    time: int
    kind: str
    body: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a chain holds: ``entries`` of them, to ``head``; ``problem`` is empty if all do."""

    entries: int
    head: bytes
    problem: str = ""


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


def verify(rows: Iterable[Row], heads: dict[int, bytes] | None = None) -> Verified:
    """Follow the chain from the first entry on, and compare it with known ``heads`` by number.

    It stops at the first entry that doesn't hold, and says in words what is wrong with it.
    """
    last, head = 0, GENESIS
    for row in rows:
        if row.seq != last + 1:
            return Verified(last, head, f"entry {last + 1} is missing: {row.seq} follows {last}")
        expected = chained(head, row.seq, row.time, row.kind, row.body)
        if row.hash != expected:
            problem = f"entry {row.seq} ({row.kind}) is not what was written, or what precedes it"
            return Verified(last, head, problem)
        if heads and heads.get(row.seq, expected) != expected:
            problem = f"entry {row.seq} ({row.kind}) is not the one that was anchored"
            return Verified(last, head, problem)
        last, head = row.seq, expected
    if heads and (newest := max(heads)) > last:
        problem = f"the journal ends at entry {last}; entry {newest} was anchored"
        return Verified(last, head, problem)
    return Verified(last, head)
