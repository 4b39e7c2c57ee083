"""What was about to be sent, on disk before it left: where to look for it after a crash.

OANDA finds an order by its client id, but not a close of one trade, nor anything in an account
that is linked with MT4. So the number of the last transaction before each send is kept: what came
of it, if anything did, stands after that number.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
    client_order_id TEXT PRIMARY KEY, after INTEGER NOT NULL, instrument TEXT NOT NULL,
    units TEXT NOT NULL, trade_id TEXT NOT NULL, order_id TEXT NOT NULL
);
"""
_BUSY_S = 5.0


@dataclass(frozen=True, slots=True)
class Intent:
    """One send: the last transaction before it, what it was, and the order it came to.

    ``units`` are signed, ``ALL`` for a close of all; ``order_id`` is empty while it isn't known.
    """

    client_order_id: str
    after: int
    instrument: str
    units: str
    trade_id: str = ""
    order_id: str = ""


class Intents:
    """The intents of one account in one file."""

    def __init__(self, path: Path | None) -> None:
        self._path = ":memory:" if path is None else str(path)
        self._db = sqlite3.connect(
            self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
        )
        with closing(self._db.cursor()) as cursor:
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __del__(self) -> None:
        """Close what its holder left open: a broker may be entered again after it was left."""
        if hasattr(self, "_db"):
            self._db.close()

    def begin(self, intent: Intent, *, alone: bool) -> None:
        """Write down what will be sent next, before it is.

        Where it ``alone`` can tell what came of the send, it is on the disk before this returns;
        otherwise it outlives the process, and OANDA's own look-up outlives the machine.
        """
        self._db.execute(f"PRAGMA synchronous = {'FULL' if alone else 'NORMAL'}")
        self._db.execute(
            "INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?)",
            (
                intent.client_order_id,
                intent.after,
                intent.instrument,
                intent.units,
                intent.trade_id,
                intent.order_id,
            ),
        )

    def found(self, client_order_id: str, order_id: str) -> None:
        """Write down which order it came to."""
        self._db.execute(
            "UPDATE intents SET order_id = ? WHERE client_order_id = ?",
            (order_id, client_order_id),
        )

    def get(self, client_order_id: str) -> Intent | None:
        """Return what was written down under an id."""
        row = self._db.execute(
            "SELECT * FROM intents WHERE client_order_id = ?", (client_order_id,)
        ).fetchone()
        return None if row is None else Intent(*row)

    def name_of(self, order_id: str) -> str | None:
        """Return the client order id that came to an order."""
        row = self._db.execute(
            "SELECT client_order_id FROM intents WHERE order_id = ?", (order_id,)
        ).fetchone()
        return None if row is None else str(row[0])
