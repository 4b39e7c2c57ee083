"""This machine, as one configuration needs it: looked at, never changed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mtquant.config import Config
from mtquant.errors import ConfigError
from mtquant.secrets import is_reference, secret, secrets_in

_GIB = 1024**3
_LOW_DISK, _NO_DISK = _GIB, 100 * 1024**2
_OTHERS_READ, _OTHERS_WRITE, _OTHERS = 0o044, 0o022, 0o077
_POSIX = sys.platform != "win32"


class State(StrEnum):
    """How one thing is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Look:
    """One thing that was looked at: what, how it is, what was seen, and the remedy."""

    what: str
    state: State
    seen: str
    remedy: str = ""


def look_around(config: Config, path: Path) -> Iterator[Look]:
    """Look at the disk, the state folder, the journal, the secrets and the file at ``path``."""
    folder = Path(config.engine.state_dir)
    yield from _told("disk", lambda: look_at_disk(folder))
    yield from _told("state folder", lambda: _folder(folder))
    yield from _told("journal", lambda: _journal(folder))
    yield from _told("configuration's mode", lambda: _secrets(config, path))


def _told(what: str, look: Callable[[], Iterator[Look]]) -> Iterator[Look]:
    """Yield what ``look`` yields; what the system refuses is told, and stops no other look."""
    try:
        yield from look()
    except OSError as error:
        seen = f"can't be looked at: {error.strerror}: {error.filename}"
        yield Look(what, State.PROBLEM, seen, "Check who owns it, and its mode.")


def look_at_disk(folder: Path) -> Iterator[Look]:
    """Look how much room there is where ``folder`` is, or will be."""
    there = _existing(folder)
    free = shutil.disk_usage(there).free
    state = State.PROBLEM if free < _NO_DISK else State.WARNING if free < _LOW_DISK else State.OK
    remedy = "" if state is State.OK else "Make room: without it no intent can be written down."
    yield Look("disk", state, f"{free / _GIB:,.1f} GiB free at {there}", remedy)


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder


def _folder(folder: Path) -> Iterator[Look]:
    there = _existing(folder)
    mode = stat.S_IMODE(there.stat().st_mode)
    state, seen, remedy = State.OK, f"{folder} is private", ""
    if not there.is_dir():
        state, seen = State.PROBLEM, f"{there} is a file"
        remedy = "Move it, or set another engine.state_dir."
    elif not os.access(there, os.W_OK | os.X_OK):
        state, seen, remedy = State.PROBLEM, f"{there} can't be written", "Check its owner."
    elif there != folder:
        seen = f"{folder} will be made"
    elif mode & _OTHERS and _POSIX:
        state, seen = State.PROBLEM, f"{folder} may be read by others (mode {mode:04o})"
        remedy = f"chmod 700 {folder}"
    yield Look("state folder", state, seen, remedy)


def _journal(folder: Path) -> Iterator[Look]:
    journal = folder / "journal.db"
    if not journal.exists():
        return
    size = f"{journal.stat().st_size / 1024**2:,.1f} MiB"
    if in_use(folder):
        yield Look("journal", State.OK, f"{size}, in use{_by(folder)}")
        return
    try:
        with closing(sqlite3.connect(f"{journal.as_uri()}?mode=ro", uri=True)) as database:
            (entries,) = database.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()
    except sqlite3.Error as error:
        remedy = "Bring back a copy of it, or set another engine.state_dir."
        yield Look("journal", State.PROBLEM, f"{journal} can't be opened: {error}", remedy)
    else:
        yield Look("journal", State.OK, f"{size}, {entries:,} entries, not in use")


def in_use(folder: Path) -> bool:
    """Tell whether a living engine, of this process or another, holds the journal of ``folder``.

    The lock tells, which ends with its holder: the files that say where an engine is outlive one
    that was killed.
    """
    lock = folder / "journal.lock"
    if not lock.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{lock.as_uri()}?mode=ro", uri=True, timeout=0)) as probe:
            probe.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.Error:
        return False
    return False


def _by(folder: Path) -> str:
    """Return which process holds the journal, as its holder wrote it down."""
    try:
        return f" by process {int((folder / 'journal.pid').read_text(encoding='ascii'))}"
    except (OSError, ValueError):
        pass
    try:
        found = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        return f" by process {int(found['process_id'])}"
    except (OSError, ValueError, KeyError, TypeError):
        return " by a running engine"


def _secrets(config: Config, path: Path) -> Iterator[Look]:
    """Look whether every secret can be had, and who may read the file; none is shown."""
    mode = stat.S_IMODE(path.stat().st_mode) if _POSIX else 0
    readable, by_file = bool(mode & _OTHERS_READ), False
    for where, text in secrets_in(config.model_dump(mode="json", exclude_none=True)):
        what = f"secret {where}"
        by_file = by_file or text.startswith("file:")
        if not is_reference(text) and not where.endswith(".token"):
            # What a plugin makes of its own setting isn't known; that it stands there is.
            state = State.PROBLEM if readable else State.WARNING
            remedy = "Write env:NAME, file:PATH or keyring:SERVICE/NAME where its plugin takes it"
            remedy += f", else chmod 600 {path}." if readable else "."
            yield Look(what, state, f"it seems to stand in {path} itself", remedy)
            continue
        try:
            secret(text, where)
        except ConfigError as error:
            yield Look(what, State.PROBLEM, error.problem, error.remedy)
        else:
            yield Look(what, State.OK, f"{text.partition(':')[0]} has it")
    if mode & _OTHERS_WRITE:
        seen = f"{path} may be changed by others (mode {mode:04o})"
        remedy = f"chmod {mode & ~_OTHERS_WRITE:03o} {path}"
        yield Look("configuration's mode", State.PROBLEM, seen, remedy)
    elif readable and by_file:
        seen = f"{path} tells others in which files secrets are (mode {mode:04o})"
        yield Look("configuration's mode", State.WARNING, seen, f"chmod 600 {path}")
