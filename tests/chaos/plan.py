"""What is done to whom, drawn from a seed.

The seed fixes the plan and nothing else: when a signal lands among a few hundred system calls is
the machine's affair, so that a run is never repeated to the byte. For that there is the simulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tests.chaos.proxy import Fault

from mtquant.clock import Random, seeded


class Victim(StrEnum):
    """Who is hit."""

    ENGINE = "engine"
    STDIO = "stdio server"
    HTTP = "http server"


class Blow(StrEnum):
    """How."""

    KILL = "SIGKILL"
    STOP = "SIGSTOP"


@dataclass(frozen=True, slots=True)
class Act:
    """One signal, ``after_s`` from the last one on.

    Where it is ``aimed``, it comes once orders flow again, and ``into_s`` into an order. Who is
    stopped goes on ``for_s`` later; more may happen to it, and to others, meanwhile.
    """

    victim: Victim
    blow: Blow
    aimed: bool
    after_s: float
    into_s: float
    for_s: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """One fault of the network before the HTTP server."""

    fault: Fault
    after_s: float
    for_s: float
    delay_s: float


class Mishap(StrEnum):
    """What a venue does to requests and streams, by the simulated OANDA's own names."""

    DROP_AFTER = "drop_after"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    SLOW = "slow_s"
    CUT_STREAM = "cut_stream_after"
    SILENT_STREAM = "silent_stream_after"
    STALE_HEARTBEAT = "stale_heartbeat_s"


@dataclass(frozen=True, slots=True)
class BadDay:
    """One mishap at the venue; ``faults`` are what its simulator is told."""

    mishap: Mishap
    after_s: float
    for_s: float
    faults: Mapping[str, Any]


_SHARES = {
    (Victim.ENGINE, Blow.KILL): 18,
    (Victim.STDIO, Blow.KILL): 22,
    (Victim.HTTP, Blow.KILL): 22,
    (Victim.ENGINE, Blow.STOP): 12,
    (Victim.STDIO, Blow.STOP): 13,
    (Victim.HTTP, Blow.STOP): 13,
}
_SERVERS = {key: share for key, share in _SHARES.items() if key[0] is not Victim.ENGINE}
# However few there are: a handle that each restart leaves open must show.
_SURELY = (
    (Victim.STDIO, Blow.KILL),
    (Victim.HTTP, Blow.KILL),
    (Victim.STDIO, Blow.KILL),
)
_KINDS = tuple(Fault)
# Mostly orders that acted and weren't answered: of these every one must be found.
_MISHAPS = {
    Mishap.DROP_AFTER: 6,
    Mishap.ERROR_BEFORE: 2,
    Mishap.ERROR_AFTER: 3,
    Mishap.SLOW: 2,
    Mishap.CUT_STREAM: 2,
    Mishap.SILENT_STREAM: 1,
    Mishap.STALE_HEARTBEAT: 1,
}


LATE_ANSWER_S = 1.0
"""The most that a slow venue waits before it acts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``mixed`` hits everybody; through ``servers_only`` one engine lives, and is looked at."""

    mixed: tuple[Act, ...]
    servers_only: tuple[Act, ...]


def plan(seed: int, kills: int) -> Plan:
    """Draw ``kills`` signals; each pair of who and how comes at least once if there's room."""
    rng = seeded(seed)
    last = max(len(_SURELY), kills // 6)
    more = max(0, kills - last - len(_SHARES))
    first = [*_SHARES, *rng.choices([*_SHARES], [*_SHARES.values()], k=more)]
    rng.shuffle(first)
    more = last - len(_SURELY)
    then = [*_SURELY, *rng.choices([*_SERVERS], [*_SERVERS.values()], k=more)]
    mixed = [_act(rng, *each) for each in first[: kills - last]]
    return Plan(tuple(mixed), tuple(_act(rng, *each) for each in then))


def _act(rng: Random, victim: Victim, blow: Blow) -> Act:
    # One in three comes whether or not the last is over: into recoveries and start-ups.
    return Act(
        victim,
        blow,
        aimed=rng.random() < 0.65,
        after_s=rng.uniform(0.05, 2.4),
        into_s=rng.uniform(0.0, 0.06),
        for_s=rng.uniform(0.3, 4.0),
    )


def troubles(
    seed: int, pause_s: tuple[float, float] = (0.5, 5.0), late_s: tuple[float, float] = (2.0, 6.0)
) -> Iterator[Trouble]:
    """Draw faults of the network without end; ``late_s`` is how long requests may be late."""
    rng = seeded(seed)
    while True:
        fault = rng.choice(_KINDS)
        for_s = rng.uniform(*late_s) if fault is Fault.LATE_REQUESTS else rng.uniform(0.1, 3.0)
        yield Trouble(fault, rng.uniform(*pause_s), for_s, rng.uniform(0.05, 0.8))


def bad_days(seed: int) -> Iterator[BadDay]:
    """Draw mishaps at the venue without end; the first is an order that acts unanswered."""
    rng = seeded(seed)
    mishap = Mishap.DROP_AFTER
    while True:
        yield BadDay(mishap, rng.uniform(0.3, 3.0), rng.uniform(0.5, 2.0), _faults(mishap, rng))
        (mishap,) = rng.choices([*_MISHAPS], [*_MISHAPS.values()])


def _faults(mishap: Mishap, rng: Random) -> dict[str, Any]:
    """Draw how bad it is: how many requests, seconds, or lines of a stream."""
    match mishap:
        case Mishap.SLOW:
            return {mishap: rng.uniform(0.1, LATE_ANSWER_S)}
        case Mishap.STALE_HEARTBEAT:
            return {mishap: rng.uniform(1.0, 60.0)}
        case Mishap.CUT_STREAM | Mishap.SILENT_STREAM:
            return {mishap: rng.randrange(1, 30)}
        case _:  # the next orders, whenever they come
            return {"next": [mishap] * rng.randrange(1, 4)}
