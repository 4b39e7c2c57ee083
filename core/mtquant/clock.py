"""Time and randomness, injected: the only module that reads the machine's clock.

Times are integer nanoseconds since 1970-01-01 UTC inside, RFC 3339 at the edges.
"""

from __future__ import annotations

import os
import random
import re
import time
from datetime import UTC, datetime
from typing import Protocol

SECOND = 1_000_000_000
_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
Random = random.Random
"""A seeded generator, for annotations; :func:`seeded` makes one."""
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [one + other for one in _CROCKFORD for other in _CROCKFORD]
_SHIFTS = range(120, -1, -10)


def parse_time(text: str) -> int:
    """Return the nanoseconds since the epoch that an RFC 3339 ``text`` names.

    Raises ValueError where ``text`` is no RFC 3339 time with an offset.
    """
    msg = "not an RFC 3339 time with an offset, such as 2026-01-31T09:30:00Z"
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError(msg)
    date, clock, fraction, offset = match.groups()
    try:
        local = datetime.fromisoformat(f"{date}T{clock}{offset.upper().replace('Z', '+00:00')}")
        moment = local.astimezone(UTC)
    except (ValueError, OverflowError):  # no such day; or, in UTC, outside the years 1 to 9999
        raise ValueError(msg) from None
    whole = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return whole * SECOND + int((fraction or "0").ljust(9, "0"))


def format_time(nanoseconds: int) -> str:
    """Return ``nanoseconds`` since the epoch as RFC 3339 UTC, with a fraction only if needed."""
    whole, fraction = divmod(nanoseconds, SECOND)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else text + "Z"


class Clock(Protocol):
    """What time it is."""

    def now(self) -> int:
        """Return the time in nanoseconds since the epoch, UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go backwards, for measuring durations."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Return the machine's time in nanoseconds since the epoch, UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is set: replays, backtests and tests."""

    def __init__(self, now: int = 0) -> None:
        self._now = now

    def now(self) -> int:
        """Return the time last set, in nanoseconds since the epoch, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the time last set, in seconds."""
        return self._now / SECOND

    def set(self, now: int) -> None:
        """Move to ``now``; a clock never goes backwards, so an earlier time is ignored."""
        self._now = max(self._now, now)


class PassingClock:
    """A market's time: it passes ``speed`` times as fast as ``clock``, from ``begin`` on.

    ``opened`` is what ``clock`` showed then; both in nanoseconds since the epoch, UTC.
    """

    def __init__(self, clock: Clock, opened: int, begin: int, speed: float) -> None:
        self._clock, self._opened, self._begin, self._speed = clock, opened, begin, speed

    def now(self) -> int:
        """Return the market's time in nanoseconds UTC."""
        return self._begin + round((self._clock.now() - self._opened) * self._speed)

    def seconds_until(self, time: int) -> float:
        """Return how many real seconds pass until the market's ``time``."""
        return max(0.0, (time - self.now()) / SECOND / self._speed)


class Ids:
    """Makes client order ids: 26 characters that sort by time (the ULID layout).

    ``rng`` is seeded by whoever wants a run to repeat; by default it is the system's.
    """

    def __init__(self, clock: Clock, rng: Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or seeded(None)

    def new(self) -> str:
        """Return an id that no other call returns."""
        return id_text(self.number(self._clock.now()))

    def number(self, time: int) -> int:
        """Return the next id at ``time`` as a number, of which :func:`id_text` makes the text."""
        return ((time // 1_000_000) & (1 << 48) - 1) << 80 | self._rng.getrandbits(80)


def id_text(number: int) -> str:
    """Return an id's 26 characters."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def seeded(seed: int | None) -> Random:
    """Return a random generator: repeatable from ``seed``, or the system's where it is None."""
    return random.Random(os.urandom(32) if seed is None else seed)  # noqa: S311 - not for secrets
