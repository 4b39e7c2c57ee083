"""The journal read as an audit trail, beside the engine that writes it: verified and exported."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.anchor import read_anchor
from mtquant.chain import Row, Verified, verify
from mtquant.clock import format_time
from mtquant.errors import JournalError

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


@contextmanager
def opened(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the journal of ``folder`` for reading.

    Raises JournalError where there is none, or it can't be read.
    """
    file = folder / "journal.db"
    if not file.exists():
        raise JournalError(f"{file}: no engine has run here")
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as journal:
            yield journal
    except sqlite3.Error as error:
        raise JournalError(f"{file} can't be read: {error}") from error


def rows(journal: sqlite3.Connection) -> Iterator[Row]:
    """Yield every entry as it stands, oldest first."""
    query = "SELECT seq, time, kind, body, hash FROM entry ORDER BY seq"
    for row in journal.execute(query):
        yield Row(*row)


def verified(folder: Path, anchor: Path | None = None, trusted: str = "") -> Verified:
    """Follow the chain of a journal, and hold it against an anchor's heads if one is named.

    Raises JournalError where the journal or the anchor can't be read.
    """
    heads = read_anchor(anchor, trusted).heads if anchor is not None else None
    with opened(folder) as journal:
        return verify(rows(journal), heads)


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
    with opened(folder) as journal:
        for row in rows(journal):
            body = json.loads(row.body)
            if not wanted.has(row, body):
                continue
            time, seal = format_time(row.time), row.hash.hex()
            if table:
                parts = (row.seq, time, row.kind, *about(body).values(), row.body, seal)
                yield _csv(parts)
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
    instrument and strategy. Raises JournalError where the journal knows no such order.
    """
    with opened(folder) as journal:
        before: dict[tuple[str, ...], tuple[Row, dict[str, Any]]] = {}
        found: list[tuple[Row, dict[str, Any]]] = []
        orders: set[str] = set()
        for row in rows(journal):
            body = json.loads(row.body)
            known = about(body)
            if row.kind in {"signal", "verdict"} and not found:
                # A later one of the same symbol, strategy and account takes its place.
                topic = (row.kind, known["instrument"], known["strategy"], known["account"])
                before[topic] = (row, body)
            if known["client_order_id"] == client_order_id:
                if row.kind == "intent":
                    found += _causes(before, known)
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


def _causes(
    before: dict[tuple[str, ...], tuple[Row, dict[str, Any]]], known: dict[str, str]
) -> list[tuple[Row, dict[str, Any]]]:
    """Return the signals and the verdict that led to an order, oldest first."""
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
    return sorted(signals + newest, key=lambda each: each[0].seq)
