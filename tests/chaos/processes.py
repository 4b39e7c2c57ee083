"""What the system says of processes: whose child each is, what it holds open, and signals to it.

The runner makes itself the reaper of its descendants: a process whose parent was killed becomes
ours instead of init's, so that no orphan can hide.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Process:
    """One process; ``started`` tells it from another that gets its number later."""

    pid: int
    parent: int
    state: str
    started: int
    command: str

    @property
    def zombie(self) -> bool:
        return self.state == "Z"

    @property
    def stopped(self) -> bool:
        return self.state in {"T", "t"}


def become_reaper() -> None:
    """Have every orphan below this process become its child."""
    if ctypes.CDLL(None, use_errno=True).prctl(_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: PR_SET_CHILD_SUBREAPER")


def look(pid: int) -> Process | None:
    """Return what is known of a process, None where there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold anything
    words = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return Process(pid, int(fields[1]), fields[0], int(fields[19]), words)


def below(pid: int) -> list[Process]:
    """Return every descendant of a process, parents first."""
    every = [look(int(each.name)) for each in _PROC.iterdir() if each.name.isdigit()]
    children: dict[int, list[Process]] = {}
    for each in every:
        if each is not None:
            children.setdefault(each.parent, []).append(each)
    found: list[Process] = []
    waiting = [pid]
    while waiting:
        mine = children.get(waiting.pop(), [])
        found += mine
        waiting += [each.pid for each in mine]
    return found


def send(process: Process, number: signal.Signals) -> bool:
    """Send a signal to this very process, never to one that got its number; False if it's gone."""
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        now = look(process.pid)
        if now is None or now.zombie or now.started != process.started:
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def bury(mine: Iterable[int]) -> int:
    """Take the exit codes of orphans that have ended; not of ``mine``, whose owner waits."""
    known, count = set(mine), 0
    for each in below(os.getpid()):
        if each.zombie and each.parent == os.getpid() and each.pid not in known:
            try:
                count += os.waitpid(each.pid, os.WNOHANG)[0] != 0
            except ChildProcessError:
                continue
    return count


def handles(pid: int) -> Counter[str]:
    """Count what a process holds open, by kind: socket, pipe, file, other."""
    found: Counter[str] = Counter()
    try:
        for each in (_PROC / str(pid) / "fd").iterdir():
            found[_kind(each)] += 1
    except OSError:
        return Counter()
    return found


def _kind(handle: Path) -> str:
    try:
        target = str(handle.readlink())
    except OSError:
        return "other"
    kind = target.partition(":")[0]
    return kind if kind in {"socket", "pipe"} else "file" if target.startswith("/") else "other"


def marked(name: str, value: str) -> set[int]:
    """Return the processes whose environment says that they belong to a run."""
    wanted = f"{name}={value}".encode()
    found = set()
    for each in _PROC.iterdir():
        if each.name.isdigit():
            try:
                variables = (each / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if wanted in variables:
                found.add(int(each.name))
    return found
