"""What is done to whom, drawn from a seed.

The seed fixes the plan and nothing else: when a signal lands among a few hundred system calls is
the machine's affair, so that a run is never repeated to the byte. For that there is the simulation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

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


def troubles(seed: int) -> Iterator[Trouble]:
    """Draw faults of the network without end."""
    rng = seeded(seed + 1)
    while True:
        fault = rng.choice(_KINDS)
        # Late ones must outlast a time-out, the look-up and the fence.
        for_s = rng.uniform(2.0, 6.0) if fault is Fault.LATE_REQUESTS else rng.uniform(0.1, 3.0)
        yield Trouble(fault, rng.uniform(0.5, 5.0), for_s, rng.uniform(0.05, 0.8))
