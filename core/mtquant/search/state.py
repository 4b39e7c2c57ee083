"""What a search has found so far, in one SQLite file: it goes on where it stopped.

Every outcome is committed when it comes, so that a process that is killed loses nothing but what it
was trying; where the power fails, the last few may be tried again.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtquant.backtest.run import Prepared
from mtquant.errors import ConfigError, MtquantError
from mtquant.search.parts import Part
from mtquant.search.trial import Outcome, Task
from mtquant.secrets import masked

FORMAT = "mtquant-search/1"
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outcomes (
    key TEXT PRIMARY KEY, part TEXT NOT NULL, figures TEXT NOT NULL, trades INTEGER NOT NULL,
    problem TEXT NOT NULL, daily BLOB NOT NULL, time BLOB NOT NULL, equity BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looks (
    number INTEGER PRIMARY KEY, part TEXT NOT NULL, key TEXT NOT NULL
);
"""
_REMEDY = "Give another file, or remove this one."


class State(Protocol):
    """Keeps what is known, by task."""

    def get(self, task: Task) -> Outcome | None:
        """Return what ``task`` came to; None where it isn't known."""

    def put(self, task: Task, outcome: Outcome) -> None:
        """Keep what ``task`` came to."""

    def tried(self, part: Part | None) -> list[Outcome]:
        """Return all outcomes on ``part``, in the order of their keys."""

    def look(self, part: Part, task: Task) -> int:
        """Note that the test part is looked at, and return how often it had been before."""

    def close(self) -> None:
        """Let go of the file."""


class Memory:
    """Keeps what is known as long as the process lives."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Part | None, Outcome]] = {}
        self._looks: dict[Part, int] = {}

    def get(self, task: Task) -> Outcome | None:
        """Return what ``task`` came to; None where it isn't known."""
        found = self._known.get(task.key)
        return None if found is None else found[1]

    def put(self, task: Task, outcome: Outcome) -> None:
        """Keep what ``task`` came to."""
        self._known[task.key] = (task.part, outcome)

    def tried(self, part: Part | None) -> list[Outcome]:
        """Return all outcomes on ``part``, in the order of their keys."""
        return [outcome for _, (each, outcome) in sorted(self._known.items()) if each == part]

    def look(self, part: Part, task: Task) -> int:
        """Note that the test part is looked at, and return how often it had been before."""
        del task
        before = self._looks.get(part, 0)
        self._looks[part] = before + 1
        return before

    def close(self) -> None:
        """Forget nothing: there is no file."""


class StateFile:
    """Keeps what is known in a SQLite file.

    ``about`` says what the outcomes depend on besides their parameters; see :func:`about`. Raises
    ConfigError where the file holds a search of something else, naming it, or is none of ours.
    """

    def __init__(self, path: Path, about: Mapping[str, str]) -> None:
        self._path = path
        try:
            self._file = sqlite3.connect(path, isolation_level=None)
        except sqlite3.Error as error:
            raise ConfigError("--state", f"{path} can't be opened: {error}", _REMEDY) from None
        try:
            self._open(about)
        except sqlite3.Error as error:
            self._file.close()
            raise ConfigError("--state", f"{path} can't be used: {error}", _REMEDY) from None
        except ConfigError:
            self._file.close()
            raise

    def _open(self, about: Mapping[str, str]) -> None:
        there = {name for (name,) in self._file.execute("SELECT name FROM sqlite_master")}
        if there and "outcomes" not in there:
            raise ConfigError("--state", f"{self._path} is another program's", _REMEDY)
        # An outcome a millisecond: the disk isn't waited for, and a broken file is impossible.
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = NORMAL")
        self._file.executescript(_TABLES)
        kept = dict(self._file.execute("SELECT name, value FROM about"))
        wanted = {"format": FORMAT} | dict(about)
        other = [name for name in sorted(kept | wanted) if kept.get(name) != wanted.get(name)]
        if kept and other:
            raise ConfigError(
                "--state",
                f"{self._path} holds a search with other " + ", ".join(other),
                "Give another file, or search as it was.",
            )
        rows = wanted.items() - kept.items()
        self._file.executemany("INSERT INTO about VALUES (?, ?)", sorted(rows))

    def get(self, task: Task) -> Outcome | None:
        """Return what ``task`` came to; None where it isn't known."""
        rows = self._file.execute(f"{_SELECT} WHERE key = ?", (task.key,))
        return next(_outcomes(rows), None)

    def put(self, task: Task, outcome: Outcome) -> None:
        """Keep what ``task`` came to, whatever becomes of this process.

        Raises MtquantError where the file can't be written.
        """
        row = (
            task.key,
            _name(task.part),
            json.dumps(dict(outcome.figures)),
            outcome.trades,
            outcome.problem,
            outcome.daily.astype("<f8").tobytes(),
            outcome.time.astype("<i8").tobytes(),
            outcome.equity.astype("<f8").tobytes(),
        )
        try:
            self._file.execute(_INSERT, row)
        except sqlite3.Error as error:
            raise MtquantError(f"{self._path} can't be written: {error}") from None

    def tried(self, part: Part | None) -> list[Outcome]:
        """Return all outcomes on ``part``, in the order of their keys."""
        rows = self._file.execute(f"{_SELECT} WHERE part = ? ORDER BY key", (_name(part),))
        return list(_outcomes(rows))

    def look(self, part: Part, task: Task) -> int:
        """Note that the test part is looked at, and return how often it had been before."""
        counted = self._file.execute("SELECT count(*) FROM looks WHERE part = ?", (_name(part),))
        before = int(counted.fetchone()[0])
        self._file.execute("INSERT INTO looks (part, key) VALUES (?, ?)", (_name(part), task.key))
        return before

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


_INSERT = "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_SELECT = "SELECT figures, trades, problem, daily, time, equity FROM outcomes"


def _name(part: Part | None) -> str:
    return "all" if part is None else f"{part.start}:{part.stop}"


def _outcomes(rows: sqlite3.Cursor) -> Iterator[Outcome]:
    for figures, trades, problem, daily, time, equity in rows:
        yield Outcome(
            figures=json.loads(figures),
            trades=trades,
            problem=problem,
            daily=np.frombuffer(daily, "<f8"),
            time=np.frombuffer(time, "<i8"),
            equity=np.frombuffer(equity, "<f8"),
        )


def about(prepared: Prepared, seed: int, start: int | None) -> dict[str, str]:
    """Return what outcomes depend on besides their parameters, by its name in a message.

    Where the prices came from is not among it: a moved file is the same data.
    """
    config: dict[str, Any] = masked(prepared.config.model_dump(mode="json", exclude_none=True))
    config["market"].pop("source", None)
    for broker in config["brokers"].values():
        broker.pop("prices", None)
    return {
        "prices": _digest(prepared),
        "configuration": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
        "seed": str(seed),
        "start": str(start),
        "version of mtquant": version("mtquant"),
    }


def _digest(prepared: Prepared) -> str:
    """Return the SHA-256 of all prices: those that strategies hear and those orders meet."""
    market, found = prepared.market, hashlib.sha256()
    for symbol in sorted(prepared.bars):
        found.update(f"{symbol} {prepared.bars[symbol].digest()}\n".encode())
    for symbol in market.symbols:
        series = [market.arrays[symbol], *market.side_arrays.get(symbol, ())]
        digests = " ".join(each.digest() for each in series)
        found.update(f"{symbol} {digests}\n".encode())
        if symbol in market.ticks:
            ticks = market.ticks[symbol]
            for column, kind in ((ticks.time, "<i8"), (ticks.bid, "<f8"), (ticks.ask, "<f8")):
                found.update(np.array(column, kind).tobytes())
    return found.hexdigest()
