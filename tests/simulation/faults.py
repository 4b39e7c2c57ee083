"""What goes wrong in one run, drawn from its seed: some of the kinds, and a rate for each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from mtquant.clock import Random, seeded

SETTLING_S = 6.0
"""For how long a venue's "not found" may be wrong; it declares that as its settling window."""
LATE_S, STALE_S = 3.0, 2.5
"""For how long an order may be on its way from server to venue, and then unseen by look-ups: both
together are within the settling window, or the venue would break its word."""

ON_THE_WAY = (
    "request_dropped",
    "answer_dropped",
    "answer_late",
    "request_late",
    "request_twice",
    "unlisted",
)
"""Between client and server, one call at a time."""
AT_THE_BROKER = (
    "crash_before",
    "crash_after",
    "crash_acts_late",
    "unknown_acted",
    "unknown_not_acted",
    "unknown_acts_late",
    "rate_limited",
    "slow_broker",
    "stale_look_up",
    "ledger_full",
)
"""At the server's side of the broker, one order at a time."""
FOR_A_WHILE = (
    "no_requests",
    "no_answers",
    "health_lies_fine",
    "health_lies_dead",
    "market_closed",
    "silent_changes",
)
"""At one endpoint or account, from one moment to another."""
OF_A_RUN = (
    "killed",
    "partial_fills",
    "never_back",
    "foreign",
    "ended_beside",
    "reset",
    "clock_jumps",
    "journal_full",
    "torn_write",
    "archived",
)
KINDS = (*ON_THE_WAY, *AT_THE_BROKER, *FOR_A_WHILE, *OF_A_RUN)
TO_OANDA = (
    "http_read_lost",
    "http_request_lost",
    "http_request_late",
    "http_answer_lost",
    "http_answer_late",
    "oanda_drop_after",
    "oanda_error_before",
    "oanda_error_after",
)
"""Between the OANDA server and OANDA, one HTTP request at a time."""
AT_OANDA = (
    "oanda_slow",
    "oanda_streams_cut",
    "oanda_streams_silent",
    "oanda_heartbeats_stale",
)
"""At OANDA, from one moment to another."""
OANDA_KINDS = (*KINDS, *TO_OANDA, *AT_OANDA)

KILL_POINTS = ("time", "append", "sending", "at_broker", "answered")
"""Where our own process is killed: at a moment, or in the middle of the order path."""
_KIND_SHARE = 0.3
_OFTEN = {"stale_look_up": 0.6, "unlisted": 0.6}
_LENGTH_S = 120.0
_KILL_COUNTS = {"time": _LENGTH_S, "append": 250.0}


@dataclass(frozen=True, slots=True)
class Window:
    """A fault that lasts: at ``where`` (an endpoint) from ``begin`` until ``end``, virtual s."""

    kind: str
    where: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Kill:
    """Our process dies at the ``count``-th time that ``point`` is passed, or at ``count`` s."""

    point: str
    count: float


@dataclass(frozen=True, slots=True)
class Reset:
    """A venue is away, all servers of one account with it: from ``begin`` for ``length`` s."""

    account: str
    begin: float
    length: float


@dataclass(slots=True)
class Plan:
    """The faults of one run. ``calm`` ends them all, for good."""

    seed: int
    rates: dict[str, float] = field(default_factory=dict)
    windows: list[Window] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    foreign: list[float] = field(default_factory=list)
    ended_beside: list[float] = field(default_factory=list)
    resets: list[Reset] = field(default_factory=list)
    clock_jumps: list[tuple[float, float]] = field(default_factory=list)
    journal_full: list[int] = field(default_factory=list)
    torn_write: bool = False
    archived: bool = False
    partial_fills: bool = False
    never_back: str = ""
    calm: bool = False
    injected: Counter[str] = field(default_factory=Counter)
    _generators: dict[str, Random] = field(default_factory=dict)

    def generator(self, purpose: str) -> Random:
        """Return the randomness of one purpose: a kind that is new shifts no draw of another."""
        if purpose not in self._generators:
            self._generators[purpose] = _generator(self.seed, f"at work {purpose}")
        return self._generators[purpose]

    def strikes(self, kind: str) -> bool:
        """Draw whether ``kind`` happens now."""
        rate = self.rates.get(kind)
        if self.calm or rate is None or self.generator(kind).random() >= rate:
            return False
        self.injected[kind] += 1
        return True

    def lasts(self, kind: str, where: str, now: float) -> bool:
        """Tell whether ``kind`` holds at ``where`` now; whoever suffers from it counts it."""
        return not self.calm and any(
            each.kind == kind and each.where == where and each.begin <= now < each.end
            for each in self.windows
        )

    def pause(self, least: float, most: float) -> float:
        """Draw a length in seconds."""
        return least + (most - least) * self.generator("pause").random()


def draw(seed: int, endpoints: tuple[str, ...], kinds: tuple[str, ...] = KINDS) -> Plan:
    """Return the faults of ``seed``, of ``kinds`` only.

    Leaving a kind out leaves what was drawn of the others as it was.
    """
    plan = Plan(seed)
    for kind in kinds:
        generator = _generator(seed, kind)
        if generator.random() < _KIND_SHARE:
            _DRAWS.get(kind, _rate)(plan, kind, endpoints, generator)
    return plan


def _generator(seed: int, purpose: str) -> Random:
    # Not hash(), which differs between processes.
    return seeded(int.from_bytes(hashlib.sha256(f"{seed} {purpose}".encode()).digest()))


def _rate(plan: Plan, kind: str, _: tuple[str, ...], generator: Random) -> None:
    plan.rates[kind] = _OFTEN.get(kind, 0.03 + 0.25 * generator.random() ** 2)


def _window(plan: Plan, kind: str, endpoints: tuple[str, ...], generator: Random) -> None:
    for _ in range(generator.randint(1, 3)):
        begin = _LENGTH_S * generator.random()
        end = begin + 1 + 40 * generator.random() ** 2
        plan.windows.append(Window(kind, generator.choice(endpoints), begin, end))


def _at_oanda(plan: Plan, kind: str, _at: tuple[str, ...], generator: Random) -> None:
    _window(plan, kind, ("oanda",), generator)


def _kill(plan: Plan, _kind: str, _at: tuple[str, ...], generator: Random) -> None:
    for _ in range(generator.randint(1, 3)):
        point = generator.choice(KILL_POINTS)
        most = _KILL_COUNTS.get(point, 20.0)
        plan.kills.append(Kill(point, 1 + int(most * generator.random())))


def _never_back(plan: Plan, _kind: str, endpoints: tuple[str, ...], generator: Random) -> None:
    # One of the two before the same account: the other must be enough.
    plan.never_back = generator.choice(endpoints[:2])


def _partial_fills(plan: Plan, _kind: str, _at: tuple[str, ...], _generator: Random) -> None:
    plan.partial_fills = True


def _foreign(plan: Plan, _kind: str, _at: tuple[str, ...], generator: Random) -> None:
    plan.foreign = sorted(_LENGTH_S * generator.random() for _ in range(generator.randint(1, 3)))


def _ended_beside(plan: Plan, _kind: str, _at: tuple[str, ...], generator: Random) -> None:
    plan.ended_beside = sorted(_LENGTH_S * generator.random() for _ in range(5))


def _reset(plan: Plan, _kind: str, endpoints: tuple[str, ...], generator: Random) -> None:
    account = generator.choice(endpoints).split("#", maxsplit=1)[0]
    plan.resets = [Reset(account, _LENGTH_S * generator.random(), 5 + 40 * generator.random())]


def _clock_jumps(plan: Plan, _kind: str, _at: tuple[str, ...], generator: Random) -> None:
    for _ in range(generator.randint(1, 4)):
        jump = generator.choice((-1, 1)) * 3600 * generator.random()
        plan.clock_jumps.append((_LENGTH_S * generator.random(), jump))


def _journal_full(plan: Plan, _kind: str, _at: tuple[str, ...], generator: Random) -> None:
    plan.journal_full = sorted(1 + int(250 * generator.random()) for _ in range(2))


def _torn_write(plan: Plan, _kind: str, endpoints: tuple[str, ...], generator: Random) -> None:
    # Something must die while it writes, for that.
    plan.torn_write = True
    _kill(plan, "killed", endpoints, generator)


def _archived(plan: Plan, _kind: str, endpoints: tuple[str, ...], generator: Random) -> None:
    # It is done at a start, and there must be a second one.
    plan.archived = True
    _kill(plan, "killed", endpoints, generator)


_DRAWS: dict[str, Callable[[Plan, str, tuple[str, ...], Random], None]] = {
    **dict.fromkeys(FOR_A_WHILE, _window),
    **dict.fromkeys(AT_OANDA, _at_oanda),
    "killed": _kill,
    "never_back": _never_back,
    "partial_fills": _partial_fills,
    "foreign": _foreign,
    "ended_beside": _ended_beside,
    "reset": _reset,
    "clock_jumps": _clock_jumps,
    "journal_full": _journal_full,
    "torn_write": _torn_write,
    "archived": _archived,
}
