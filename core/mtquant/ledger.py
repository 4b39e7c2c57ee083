"""The ledger before a broker: one client order id acts at most once, whatever crashes between.

Every row is written before its order is sent (``pending``) and again when the answer is known.
A row whose answer never came is ``unknown``: it is looked up at the broker, never sent again.

    (none) ─▶ pending ─▶ done | refused | free (not sent: the id may be used again)
                 └─ crash, time-out ─▶ unknown ─▶ done | void (proven absent, fenced for ever)
    (none) | free ─ cancelled by its id ─▶ void

Calls into SQLite block for a millisecond and run inline: threads would cost more than they save,
and would make simulations depend on the scheduler.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from mtquant.clock import SECOND, Clock
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import (
    CloseRequest,
    ModifyRequest,
    OrderRequest,
    ProtectionRequest,
    to_json,
)

BUSY_S = 5
"""How long another process may hold the file before a call fails."""
SENDING_S = 30
"""A call into a broker that runs longer than this counts as unknown, though it still runs."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (
    account TEXT NOT NULL, client_order_id TEXT NOT NULL, digest TEXT NOT NULL,
    instrument TEXT,  -- NULL where the request names none: it may be any instrument
    state TEXT NOT NULL, owner INTEGER NOT NULL,
    time INTEGER NOT NULL,  -- since when it has its state
    body TEXT NOT NULL, UNIQUE (account, client_order_id)
);
CREATE INDEX IF NOT EXISTS by_state ON orders (state, account);
"""
Request = OrderRequest | CloseRequest | ModifyRequest | ProtectionRequest
"""What acts at most once under its client order id."""
_ANY = TypeAdapter[Any](Request)


class State(StrEnum):
    """What the ledger knows of a client order id."""

    PENDING = "pending"
    UNKNOWN = "unknown"
    DONE = "done"
    REFUSED = "refused"
    FREE = "free"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Row:
    """One client order id; ``body`` is the report, or the refusal, as JSON.

    ``unknown_s`` is for how long this process has seen it unknown, in seconds that no setting of
    the clock changes: a wall clock that jumps must not make "not found" a proof.
    """

    digest: str
    state: State
    body: str
    unknown_s: float = 0.0


class Ledger:
    """What was sent to one account, in one SQLite file.

    Several server processes may share the file: each holds a lock that dies with it, so that a
    pending row of a process that lives is told from one that a crash left behind.
    """

    def __init__(self, path: str | Path, clock: Clock, *, account: str = "") -> None:
        self.clock = clock
        self._path, self._account = str(path), account
        self._sending: set[str] = set()
        self._unknown_since: dict[str, float] = {}
        # One thread uses it; which one collects it, and so closes it, isn't ours to say.
        self._db = sqlite3.connect(
            path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
        )
        with closing(self._hold("opening", BUSY_S)):  # two that set WAL at once: one would fail
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        self._lock, self._owner = self._claim()
        self._forsake()
        for (client_order_id,) in self._db.execute(
            "SELECT client_order_id FROM orders WHERE state = 'unknown' AND account = ?", (account,)
        ).fetchall():
            self._unknown_since[client_order_id] = clock.monotonic()

    def close(self) -> None:
        """Close the file and give up the lock."""
        self._db.close()
        self._lock.close()

    def __del__(self) -> None:
        """Close what its holder left open, such as a server's ledger in memory."""
        if hasattr(self, "_lock"):
            self.close()

    def begin(self, request: Request) -> Row | None:
        """Write ``request`` down as pending and return None: the caller alone may send it now.

        Return the row instead where its id is taken. Raise where risk may not be added now.
        """
        try:
            with self._transaction():
                row = self._row(request.client_order_id)
                if row is not None and (row.state is not State.FREE or row.digest != _sum(request)):
                    return row
                if isinstance(request, OrderRequest) and not request.reduce_only:
                    self._check_instrument(request.instrument)
                name, digest = request.client_order_id, _sum(request)
                instrument = getattr(request, "instrument", None)
                self._insert(name, digest, instrument, State.PENDING, "")
        except sqlite3.Error as error:
            problem = "the server's ledger can't be written, so nothing is sent"
            unsent, again = Outcome.NOT_SENT, Retry.SAFE
            raise Refused("internal", problem, outcome=unsent, retry=again) from error
        self._sending.add(request.client_order_id)
        return None

    def matches(self, row: Row, request: Request) -> bool:
        """Return True where ``row`` was written for the same request, or learnt by its id."""
        return row.digest in ("", _sum(request))

    def end(self, client_order_id: str, state: State, body: str) -> None:
        """Write down how the sending that :meth:`begin` allowed has ended."""
        self._sending.discard(client_order_id)
        if state is State.UNKNOWN:
            self._unknown_since[client_order_id] = self.clock.monotonic()
        self.move(client_order_id, State.PENDING, state, body)

    def move(self, client_order_id: str, old: State, new: State, body: str) -> bool:
        """Change a row's state; True where this call, and no other, made the change."""
        changed = self._db.execute(
            "UPDATE orders SET state = ?, body = ?, time = ?"
            " WHERE account = ? AND client_order_id = ? AND state = ?",
            (new, body, self.clock.now(), self._account, client_order_id, old),
        )
        if old is State.UNKNOWN:
            self._unknown_since.pop(client_order_id, None)
        return changed.rowcount == 1

    def find(self, client_order_id: str) -> Row | None:
        """Return what is known of an id."""
        return self._row(client_order_id)

    def fence(self, client_order_id: str) -> Row:
        """Make an id that was never sent void for ever; return what is known of it then."""
        with self._transaction():
            row = self._row(client_order_id)
            if row is None or row.state is State.FREE:
                self._insert(client_order_id, "", None, State.VOID, "")
                row = Row("", State.VOID, "")
            return row

    def learn(self, client_order_id: str, body: str) -> None:
        """Write down an order that the broker knows and this file, made anew, does not."""
        with self._transaction():
            if self._row(client_order_id) is None:
                self._insert(client_order_id, "", None, State.DONE, body)

    def unknown(self) -> int:
        """Count the orders whose fate is not known."""
        self._forsake()
        return len(self._unsettled())

    def _insert(
        self, client_order_id: str, digest: str, instrument: str | None, state: State, body: str
    ) -> None:
        now, owner = self.clock.now(), self._owner
        self._db.execute(
            "INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (self._account, client_order_id, digest, instrument, state, owner, now, body),
        )

    def _row(self, client_order_id: str) -> Row | None:
        self._forsake()
        found = self._db.execute(
            "SELECT digest, state, body FROM orders WHERE account = ? AND client_order_id = ?",
            (self._account, client_order_id),
        ).fetchone()
        if found is None:
            return None
        digest, state, body = found
        now = self.clock.monotonic()
        since = self._unknown_since.setdefault(client_order_id, now) if state == "unknown" else now
        return Row(digest, State(state), body, now - since)

    def _check_instrument(self, instrument: str) -> None:
        for client_order_id, where in self._unsettled():
            if where is None or where == instrument:
                raise Refused(
                    ErrorCode.CONFLICT,
                    f"the fate of order {client_order_id} is not known, so this instrument takes"
                    " no new risk: look that order up first, with get_order",
                    outcome=Outcome.NOT_SENT,
                    retry=Retry.SAFE,
                    verify={"tool": "get_order", "args": {"client_order_id": client_order_id}},
                )

    def _unsettled(self) -> list[tuple[str, str | None]]:
        return self._db.execute(
            "SELECT client_order_id, instrument FROM orders"
            " WHERE state IN ('pending', 'unknown') AND account = ?"
            " AND (state = 'unknown' OR time < ?)",
            (self._account, self.clock.now() - SENDING_S * SECOND),
        ).fetchall()

    def _forsake(self) -> None:
        """Turn pending rows that nobody is sending any more into unknown ones."""
        for account, client_order_id, owner in self._db.execute(
            "SELECT account, client_order_id, owner FROM orders WHERE state = 'pending'"
        ).fetchall():
            ours = owner == self._owner
            if client_order_id in self._sending if ours else self._lives(owner):
                continue
            self._unknown_since[client_order_id] = self.clock.monotonic()
            self._db.execute(
                "UPDATE orders SET state = 'unknown', time = ?"
                " WHERE account = ? AND client_order_id = ? AND state = 'pending' AND owner = ?",
                (self.clock.now(), account, client_order_id, owner),
            )

    def _claim(self) -> tuple[sqlite3.Connection, int]:
        """Take the first owner's lock that is free."""
        owner = 0
        while (lock := self._try(owner)) is None:
            owner += 1
        return lock, owner

    def _lives(self, owner: int) -> bool:
        lock = self._try(owner)
        if lock is not None:
            lock.close()
        return lock is None

    def _try(self, owner: int) -> sqlite3.Connection | None:
        try:
            return self._hold(f"owner{owner}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                return None
            raise

    def _hold(self, name: str, timeout: float = 0) -> sqlite3.Connection:
        """Take a lock that other processes see, and that is free when this one ends, however."""
        path = self._path if self._path == ":memory:" else f"{self._path}.{name}"
        lock = sqlite3.connect(path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            lock.close()
            raise
        return lock

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _sum(request: Request) -> str:
    # Defaults stay out, so that a field that is added one day changes no sum of today.
    canonical = to_json(_ANY.dump_python(request, mode="json", exclude_defaults=True))
    return hashlib.sha256(f"{type(request).__name__}{canonical}".encode()).hexdigest()
