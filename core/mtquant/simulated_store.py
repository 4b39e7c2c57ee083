"""The account on disk: what SIGKILL at any moment must not lose.

Every command that changes something is one ``BEGIN IMMEDIATE`` transaction, committed (fsync,
WAL, synchronous=FULL) before it is answered. Only what changed is written. Two server processes
may share the file: ``data_version`` tells each that the other has committed, and it reads the
account afresh.

How far a stepped clock has come is kept in a second file, which a step doesn't wait for
(synchronous=NORMAL): it survives a kill of the process. A power loss leaves the file whole and
costs only the last price steps without any execution, which the client's next advance repeats to
the same end.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from pydantic import TypeAdapter

from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.exchange import Change, Exchange, Snapshot
from mtquant.model import CashFlow, Fill, OrderReport, Position, to_json

ORDER, FILL, POSITION = TypeAdapter(OrderReport), TypeAdapter(Fill), TypeAdapter(Position)
FLOW = TypeAdapter(CashFlow)
BUSY_S = 5
"""How long another process may hold the account before a call fails; clients wait longer."""
_LATEST = 2**63 - 1
"""What SQLite can hold; a time beyond the year 2262 is kept as that."""
_ACCOUNT = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY, client_order_id TEXT UNIQUE, body TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY, order_id TEXT NOT NULL, fill TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS fills_by_order ON changes (order_id) WHERE fill IS NOT NULL;
CREATE TABLE IF NOT EXISTS cash_flows (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS positions (position_id TEXT PRIMARY KEY, body TEXT NOT NULL) STRICT;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One entry of what changed: an order's, with its execution if it is one, or a cash flow."""

    seq: int
    order_id: str | None
    fill: Fill | None
    cash_flow: CashFlow | None


class Store:
    """The files of one simulated account, in ``folder``; in memory where that is None."""

    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = _opened(folder and folder / "account.db", "FULL")
        self._clock = _opened(folder and folder / "clock.db", "NORMAL")
        self._db.executescript(_ACCOUNT)
        self._clock.execute("CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY, at INT)")
        self._version = -1

    def __del__(self) -> None:
        """Close what its holder left open, such as an account in memory."""
        if hasattr(self, "_clock"):
            self.close()

    def close(self) -> None:
        """Close the files."""
        self._db.close()
        self._clock.close()

    def get(self, key: str) -> str | None:
        """Return a setting of the account's own, such as when it was opened."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def time(self) -> int | None:
        """Return how far the clock has come, None at the beginning."""
        row = self._clock.execute("SELECT at FROM clock").fetchone()
        kept = self.get("time")
        known = [int(value) for value in (row[0] if row else None, kept) if value is not None]
        return max(known, default=None)

    def keep_time(self, time: int) -> None:
        """Note how far the clock has come, never backwards, without waiting for the disk."""
        self._clock.execute(
            "INSERT INTO clock VALUES (1, ?) ON CONFLICT DO UPDATE SET at = max(at, excluded.at)",
            (min(time, _LATEST),),
        )

    @contextmanager
    def command(self, exchange: Exchange, now: Callable[[], int]) -> Iterator[None]:
        """Run a command on ``exchange`` as one transaction; what fails leaves no trace.

        The exchange is read afresh first where another process has written. ``now`` is asked at
        the end for the time of what changed. Raises Refused (not_sent) where another process
        holds the account for too long.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            problem = f"the account's file can't be had, so nothing was done: {error}"
            unsent, again = Outcome.NOT_SENT, Retry.SAFE
            raise Refused(ErrorCode.INTERNAL, problem, outcome=unsent, retry=again) from error
        changes: list[Change] = []
        try:
            self.refresh(exchange)
            try:
                yield
            finally:
                changes = exchange.take_changes()
            if changes or exchange.touched:
                self._write(exchange, changes, now())
            else:  # before another process may act on the old time
                self.keep_time(now())
            self._db.execute("COMMIT" if changes or exchange.touched else "ROLLBACK")
            exchange.touched = False
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if changes or exchange.touched or not isinstance(error, Refused):
                self._version = -1  # the exchange did what the file doesn't hold: read it afresh
            raise

    def refresh(self, exchange: Exchange) -> None:
        """Read the account into ``exchange`` if another process has changed it."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN")  # one moment's account, whatever is committed meanwhile
            try:
                self.refresh(exchange)
            finally:
                self._db.execute("ROLLBACK")
            return
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        balance, numbered = self.get("balance"), self.get("numbered")
        (seq,) = self._db.execute(
            "SELECT max(coalesce((SELECT max(seq) FROM changes), 0), "
            "coalesce((SELECT max(seq) FROM cash_flows), 0))"
        ).fetchone()
        orders = self._db.execute("SELECT body FROM orders ORDER BY rowid")
        positions = self._db.execute("SELECT body FROM positions ORDER BY rowid")
        exchange.restore(
            Snapshot(
                balance=exchange.settings.balance if balance is None else Decimal(balance),
                seq=seq,
                numbered=int(numbered or 0),
                orders=[ORDER.validate_json(body) for (body,) in orders],
                positions=[POSITION.validate_json(body) for (body,) in positions],
                time=int(self.get("time") or 0),
            )
        )
        self._version = version

    def set(self, key: str, value: str) -> None:
        """Keep a setting of the account's own, once: a value that is there stays."""
        self._db.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (key, value))

    def _write(self, exchange: Exchange, changes: list[Change], time: int) -> None:
        for change in changes:
            what = change.what
            if isinstance(what, CashFlow):
                body = to_json(FLOW.dump_python(what, mode="json"))
                self._db.execute("INSERT INTO cash_flows VALUES (?, ?)", (change.seq, body))
                continue
            if isinstance(what, Fill):
                row = (change.seq, what.order_id, to_json(FILL.dump_python(what, mode="json")))
                self._db.execute("INSERT INTO changes VALUES (?, ?, ?)", row)
                continue
            body = to_json(ORDER.dump_python(what, mode="json"))
            self._db.execute("INSERT INTO changes VALUES (?, ?, NULL)", (change.seq, what.order_id))
            self._db.execute(
                "INSERT INTO orders VALUES (?, ?, ?) "
                "ON CONFLICT (order_id) DO UPDATE SET body = excluded.body",
                (what.order_id, what.client_order_id, body),
            )
        self._db.execute("DELETE FROM positions")
        for position in exchange.positions():
            body = to_json(POSITION.dump_python(position, mode="json"))
            self._db.execute("INSERT INTO positions VALUES (?, ?)", (position.position_id, body))
        figures = {"balance": exchange.balance, "numbered": exchange.numbered, "time": time}
        for key, value in figures.items():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, str(value)))

    def changes(self, since: int, limit: int) -> list[Recorded]:
        """Return what changed after ``since``, oldest first."""
        rows = self._db.execute(
            "SELECT seq, order_id, fill, NULL FROM changes WHERE seq > ? UNION ALL "
            "SELECT seq, NULL, NULL, body FROM cash_flows WHERE seq > ? ORDER BY seq LIMIT ?",
            (since, since, limit),
        )
        return [
            Recorded(
                seq=seq,
                order_id=order_id,
                fill=fill and FILL.validate_json(fill),
                cash_flow=flow and FLOW.validate_json(flow),
            )
            for seq, order_id, fill, flow in rows
        ]

    def fills(
        self, since: int, order_id: str | None, instrument: str | None, limit: int
    ) -> list[tuple[int, Fill]]:
        """Return executions after ``since``, oldest first, of one order or instrument if named."""
        rows = self._db.execute(
            "SELECT seq, fill FROM changes WHERE seq > ? AND fill IS NOT NULL "
            "AND (? IS NULL OR order_id = ?) "
            "AND (? IS NULL OR json_extract(fill, '$.instrument') = ?) ORDER BY seq LIMIT ?",
            (since, order_id, order_id, instrument, instrument, limit),
        )
        return [(seq, FILL.validate_json(fill)) for seq, fill in rows]


def _opened(path: Path | None, synchronous: str) -> sqlite3.Connection:
    # One thread uses it; another may be the one that collects, and so closes, what was left open.
    if path is None:
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(path, isolation_level=None, timeout=BUSY_S, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
    except sqlite3.Error:
        database.close()
        raise
    return database
