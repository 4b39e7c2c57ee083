"""The journal and its archives read as one audit trail, beside the engine that writes it.

What it tells is as good as the chain that :mod:`mtquant.verifying` follows.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mtquant.chain import Row
from mtquant.clock import format_time
from mtquant.decide import digest
from mtquant.errors import JournalError
from mtquant.model import OrderRequest
from mtquant.volumes import NEXT, PRESENT, Archive, archives

Told = tuple[Row, dict[str, Any]]
"""An entry as it stands, and its body read."""
_ORDER = TypeAdapter(OrderRequest)
_COLUMNS = (
    *("entry", "time", "kind", "account", "client_order_id", "instrument", "strategy", "by"),
    *("body", "hash"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries: all conditions that are set must hold; ``since`` and ``until`` in nanoseconds.

    ``order`` is a client order id, ``by`` a person or an agent.
    """

    since: int | None = None
    until: int | None = None
    kinds: tuple[str, ...] = ()
    order: str = ""
    strategy: str = ""
    by: str = ""

    def has(self, row: Row, body: dict[str, Any]) -> bool:
        """Tell whether an entry is wanted."""
        found = about(body)
        return (
            (self.since is None or row.time >= self.since)
            and (self.until is None or row.time < self.until)
            and (not self.kinds or row.kind in self.kinds)
            and (not self.order or found["client_order_id"] == self.order)
            and (not self.strategy or self.strategy in found["strategy"].split("+"))
            and (not self.by or found["by"] == self.by)
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One of the journal's files, open for reading; ``archive`` is None for the present one."""

    file: sqlite3.Connection
    archive: Archive | None

    @property
    def name(self) -> str:
        """What people call it, from the state folder on."""
        return PRESENT if self.archive is None else str(self.archive)

    def rows(self) -> Iterator[Row]:
        """Yield its entries as they stand, oldest first. Raises sqlite3.Error."""
        for row in self.file.execute("SELECT seq, time, kind, body, hash FROM entry ORDER BY seq"):
            yield Row(*row)


def parts(folder: Path, *, newest_first: bool = False) -> Iterator[Part]:
    """Open each file of a journal in turn: the archives by age, then the present one.

    Raises JournalError where there is none, and sqlite3.Error.
    """
    kept, present = archives(folder), folder / PRESENT
    if not present.exists() and kept and (folder / NEXT).exists():
        present = folder / NEXT  # between the two renames of archiving, or after a crash there
    if not present.exists():
        why = f"is missing: {kept[-1]} is there" if kept else "no engine has run here"
        raise JournalError(f"{present}: {why}")
    with _reading(present) as file:
        with suppress(sqlite3.Error):
            file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # From now on nothing is archived, until this is closed.
        if archives(folder) == kept:
            newest, older = Part(file, None), kept[::-1] if newest_first else kept
            if newest_first:
                yield newest
            for each in older:
                with _reading(each.path) as archived:
                    yield Part(archived, each)
            if not newest_first:
                yield newest
            return
    yield from parts(folder, newest_first=newest_first)


def _reading(path: Path) -> closing[sqlite3.Connection]:
    # Where a crash broke SQLite off inside a change of its own, it has to take that back first.
    mode = "rw" if Path(f"{path}-journal").exists() else "ro"
    return closing(sqlite3.connect(f"{path.as_uri()}?mode={mode}", uri=True))


def rows(folder: Path) -> Iterator[Row]:
    """Yield every entry of a journal and its archives as it stands, oldest first.

    Raises JournalError where there is none, or one of its files can't be read.
    """
    last = 0
    try:
        for part in parts(folder):
            for row in part.rows():
                last = row.seq
                yield row
    except sqlite3.Error as error:
        raise JournalError(
            f"{folder}: the journal can't be read after entry {last}: {error}; "
            "`mtquant audit verify` says how much of it holds"
        ) from error


def read(folder: Path) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Yield every entry with its body read; raises as :func:`rows` does."""
    for row in rows(folder):
        try:
            body = json.loads(row.body)
        except (ValueError, TypeError):
            body = None
        if not isinstance(body, dict):
            raise JournalError(
                f"{folder}: entry {row.seq} is not what was written: `mtquant audit verify`"
            )
        yield row, body


def about(body: dict[str, Any]) -> dict[str, str]:
    """Return what an entry is about, empty where it isn't about any."""
    request, signal, fill = (body.get(name) or {} for name in ("request", "signal", "fill"))

    def first(name: str, *places: Any) -> str:  # noqa: ANN401 - JSON
        return next((str(each[name]) for each in (body, *places) if each.get(name)), "")

    return {
        "account": first("account"),
        "client_order_id": first("client_order_id", fill),
        "instrument": first("instrument", request, signal, fill),
        "strategy": first("strategy_id", request, signal),
        "by": first("by") or first("person"),
    }


def export(folder: Path, wanted: Wanted, *, table: bool = False) -> Iterator[str]:
    """Yield the wanted entries, one JSON object a line, or as CSV with a head.

    Bodies are the texts that were hashed, so that whoever gets all of them can follow the chain.
    """
    if table:
        yield _csv(_COLUMNS)
    for row, body in read(folder):
        if not wanted.has(row, body):
            continue
        time, seal = format_time(row.time), row.hash.hex()
        if table:
            yield _csv((row.seq, time, row.kind, *about(body).values(), row.body, seal))
        else:
            line = {"entry": row.seq, "time": time, "nanoseconds": row.time, "kind": row.kind}
            yield json.dumps(line | {"body": row.body, "hash": seal}) + "\n"


def _csv(parts: Iterable[object]) -> str:
    file = io.StringIO()
    csv.writer(file).writerow([_harmless(str(each)) for each in parts])
    return file.getvalue()


def _harmless(text: str) -> str:
    """Return ``text`` so that a spreadsheet takes it for text and not for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "@", "\t", "\r"} else text


def story(folder: Path, client_order_id: str) -> list[tuple[Row, dict[str, Any]]]:
    """Return every entry about one order, oldest first: from the signal to the last execution.

    The signal and the verdict carry no order's id: they are the last before its intent of the same
    instrument and strategy. A suggestion that a person approved is known by its digest: it binds
    exactly this order. Raises JournalError where the journal knows no such order.
    """
    before: dict[tuple[str, ...], Told] = {}
    suggested = _Suggested()
    found: list[Told] = []
    orders: set[str] = set()
    for row, body in read(folder):
        known = about(body)
        if row.kind in {"signal", "verdict"} and not found:
            # A later one of the same symbol, strategy and account takes its place.
            topic = (row.kind, known["instrument"], known["strategy"], known["account"])
            before[topic] = (row, body)
        approval = suggested.hear(row, body)
        if known["client_order_id"] == client_order_id:
            if row.kind == "intent":
                causes = _causes(before, known) + approval
                found += sorted(causes, key=lambda each: each[0].seq)
            found.append((row, body))
            orders |= {str(body["order_id"])} if body.get("order_id") else set()
        elif found and (
            (row.kind in {"change", "cancel_ordered"} and body.get("order_id") in orders)
            or (row.kind == "told" and client_order_id in body["message"])
        ):
            found.append((row, body))
    if not any(row.kind == "intent" for row, _ in found):
        raise JournalError(
            f"the journal knows no order {client_order_id!r}: `mtquant log --kind order` lists them"
        )
    return found


class _Suggested:
    """The suggestions that wait, and the newest that a person approved of each digest."""

    def __init__(self) -> None:
        self._waiting: dict[int, Told] = {}
        self._approved: dict[str, list[Told]] = {}

    def hear(self, row: Row, body: dict[str, Any]) -> list[Told]:
        """Take in an entry; return the suggestion that became it, and its approval, if it was one.

        An approval is good for one order.
        """
        if row.kind == "suggestion":
            self._waiting[body["number"]] = (row, body)
        elif row.kind == "suggestion_ended":
            asked = self._waiting.pop(body["number"], None)
            if asked is not None and body["outcome"] == "approved":
                self._approved[asked[1]["digest"]] = [asked, (row, body)]
        elif row.kind == "intent" and self._approved and body["opens"] and not body["person"]:
            order = _ORDER.validate_python(body["request"])
            return self._approved.pop(digest(body["account"], order), [])
        return []


def _causes(before: dict[tuple[str, ...], Told], known: dict[str, str]) -> list[Told]:
    """Return the signals and the verdict that led to an order."""
    strategies = known["strategy"].split("+")
    signals, verdicts = [], []
    for (kind, symbol, strategy, account), cause in before.items():
        if symbol != known["instrument"]:
            continue
        if kind == "signal" and strategy in strategies:
            signals.append(cause)
        elif kind == "verdict" and account == known["account"]:
            verdicts.append(cause)
    newest = sorted(verdicts, key=lambda each: each[0].seq)[-1:]
    return signals + newest
