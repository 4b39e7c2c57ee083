"""The loss breaker: a latched, graded state folded over one account's equity.

The rules are those of order-safety, section 3.1. Three meters each measure a loss as a fraction
of an anchor: from the start of the trading day, from the start of the trading week and from the
highest equity ever seen. The worst of them counts.

=========  ==============  ==========================================================
level      trips at a loss  clears
=========  ==============  ==========================================================
WARNED     5 %             by itself, after 15 minutes under 4 %
REDUCING   10 %            to WARNED, at a day roll that finds the loss under 8 %
HALTED     15 %            never by itself: a named person resets it
=========  ==============  ==========================================================

*Missed rolls.* A roll's anchor is the last equity seen before it, or the first one after it
where that is higher. So a loss made while nobody looked, over a night, a weekend or a crash,
counts in full against the new day: the state is never re-anchored at an equity that fell in the
dark. A roll that nobody missed is the same rule with a small gap, which is why a restart changes
nothing.

*Cash flows.* A withdrawal looks like a loss. Deposits and withdrawals must be taken out of the
equity before it is stepped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from mtquant.clock import SECOND, format_time, parse_time
from mtquant.contract import BreakerLevel, Settings
from mtquant.model import Number

Share = Annotated[Number, Field(gt=0, lt=1)]
"""A fraction between 0 and 1, both excluded."""

PROBATION_S = 24 * 3600
"""How long an account trades at the warned size after a person's reset."""
_NOON = 12
_TOTAL_LOSS = Decimal(1)
_NO_LOSS = Decimal(0)


class BreakerRules(Settings):
    """When the breaker trips and clears. Losses are fractions of the anchor (0.05 is 5 %).

    The trading day starts at ``roll_time`` in the IANA zone ``roll_zone``, once each local day.
    A warned account opens ``warned_size`` times the size it would.
    """

    warn_at: Share = Decimal("0.05")
    reduce_at: Share = Decimal("0.10")
    halt_at: Share = Decimal("0.15")
    warn_clears_under: Share = Decimal("0.04")
    warn_clears_after_s: Annotated[int, Field(ge=0)] = 900
    reduce_clears_under: Share = Decimal("0.08")
    warned_size: Share = Decimal("0.5")
    roll_zone: str = "America/New_York"
    roll_time: time = time(17)

    @field_validator("roll_zone")
    @classmethod
    def _known_zone(cls, key: str) -> str:
        try:
            ZoneInfo(key)
        except (OSError, ValueError, KeyError) as error:
            msg = f"{key!r} is no IANA time zone, such as America/New_York or UTC"
            raise ValueError(msg) from error
        return key

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        rising = self.warn_at < self.reduce_at < self.halt_at
        if not rising:
            msg = "warn_at, reduce_at and halt_at must rise"
            raise ValueError(msg)
        if self.warn_clears_under >= self.warn_at or self.reduce_clears_under >= self.reduce_at:
            msg = "a level must clear under the loss that trips it"
            raise ValueError(msg)
        return self

    def level_at(self, loss: Decimal) -> BreakerLevel:
        """Return the level that ``loss`` trips; a loss equal to a threshold trips it."""
        thresholds = (self.warn_at, self.reduce_at, self.halt_at)
        return BreakerLevel(sum(loss >= threshold for threshold in thresholds))


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """What the breaker remembers of one broker account. Money is in the account's currency.

    ``day`` names the trading day and ``week`` its week by the Monday. ``below_since`` is since
    when a warned account's loss has been under the clearing threshold, ``probation_until`` until
    when a reset account stays warned. ``reset_by`` and ``reset_reason`` are the last reset's.
    """

    level: BreakerLevel
    time: int
    equity: Decimal
    peak: Decimal
    day: date
    day_anchor: Decimal
    week: date
    week_anchor: Decimal
    below_since: int | None = None
    probation_until: int | None = None
    reset_by: str = ""
    reset_reason: str = ""

    @property
    def losses(self) -> dict[str, Decimal]:
        """The three meters, ``day``, ``week`` and ``peak``, as fractions of their anchors."""
        return {
            "day": _loss(self.day_anchor, self.equity),
            "week": _loss(self.week_anchor, self.equity),
            "peak": _loss(self.peak, self.equity),
        }

    @property
    def loss(self) -> Decimal:
        """The worst meter: the loss that counts."""
        return max(self.losses.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the state JSON-ready and exact: decimals as strings, times as RFC 3339."""
        return {
            "level": self.level.name,
            "time": format_time(self.time),
            "equity": str(self.equity),
            "peak": str(self.peak),
            "day": self.day.isoformat(),
            "day_anchor": str(self.day_anchor),
            "week": self.week.isoformat(),
            "week_anchor": str(self.week_anchor),
            "below_since": _written(self.below_since),
            "probation_until": _written(self.probation_until),
            "reset_by": self.reset_by,
            "reset_reason": self.reset_reason,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> BreakerState:
        """Return the state that :meth:`to_dict` wrote.

        Raises KeyError, TypeError, ValueError or ArithmeticError where ``stored`` is none.
        """
        return cls(
            level=BreakerLevel[stored["level"]],
            time=parse_time(stored["time"]),
            equity=Decimal(stored["equity"]),
            peak=Decimal(stored["peak"]),
            day=date.fromisoformat(stored["day"]),
            day_anchor=Decimal(stored["day_anchor"]),
            week=date.fromisoformat(stored["week"]),
            week_anchor=Decimal(stored["week_anchor"]),
            below_since=_read(stored["below_since"]),
            probation_until=_read(stored["probation_until"]),
            reset_by=stored["reset_by"],
            reset_reason=stored["reset_reason"],
        )


def trading_day(rules: BreakerRules, at: int) -> date:
    """Return the trading day that ``at`` (nanoseconds, UTC) falls in.

    A day that starts at noon or later is named for the next date, as foreign exchange does:
    Sunday 17:00 in New York opens Monday.
    """
    local = datetime.fromtimestamp(at // SECOND, ZoneInfo(rules.roll_zone))
    day = local.date()
    if local.time() < rules.roll_time:
        day -= timedelta(days=1)
    return day + timedelta(days=1) if rules.roll_time.hour >= _NOON else day


def step(
    state: BreakerState | None,
    rules: BreakerRules,
    equity: Decimal,
    at: int,
) -> BreakerState:
    """Return the state after ``equity`` was seen at ``at`` (nanoseconds, UTC).

    ``equity`` is balance plus open profit in the account's currency; ``state`` is None before the
    first. A time before the last one may raise the level and never lowers it. An equity that is
    no number is no equity: it puts the level at REDUCING at least, and as a first one it raises
    ValueError.
    """
    if not equity.is_finite():
        if state is None:
            msg = "the first equity of an account must be a number"
            raise ValueError(msg)
        return replace(
            state,
            level=max(state.level, BreakerLevel.REDUCING),
            time=max(state.time, at),
            below_since=None,
        )
    if state is None:
        state = _first(rules, equity, at)
    now = max(state.time, at)
    # The day only advances: in the hour that a clock repeats, its wall time passes a roll twice.
    day = max(state.day, trading_day(rules, now))
    week = day - timedelta(days=day.weekday())
    opening = max(state.equity, equity)
    seen = replace(
        state,
        time=now,
        equity=equity,
        peak=max(state.peak, equity),
        day=day,
        day_anchor=opening if day > state.day else state.day_anchor,
        week=week,
        week_anchor=opening if week > state.week else state.week_anchor,
    )
    tripped = rules.level_at(seen.loss)
    if tripped > state.level:
        return replace(seen, level=tripped, below_since=None)
    if at < state.time:
        return seen
    return _cleared(seen, rules, rolled=day > state.day)


def reset(
    state: BreakerState,
    by: str,
    reason: str,
    *,
    rebase_peak: bool = False,
) -> BreakerState:
    """Return the state after the person ``by`` lets the account trade again, for ``reason``.

    The account is then warned, at reduced size, for 24 hours at least. Day and week start anew
    at the last equity, or the same loss would trip the breaker at the next step; the highest
    equity is forgotten only if ``rebase_peak`` says so, so a loss from the peak that still
    stands at a threshold trips it again. Raises ValueError where nothing has tripped or the
    person or the reason is missing.
    """
    if state.level < BreakerLevel.REDUCING:
        msg = f"the breaker is {state.level.name}: there is nothing to reset"
        raise ValueError(msg)
    if not by.strip() or not reason.strip():
        msg = "a reset needs the name of a person and a reason"
        raise ValueError(msg)
    return replace(
        state,
        level=BreakerLevel.WARNED,
        peak=state.equity if rebase_peak else state.peak,
        day_anchor=state.equity,
        week_anchor=state.equity,
        below_since=None,
        probation_until=state.time + PROBATION_S * SECOND,
        reset_by=by,
        reset_reason=reason,
    )


def _first(rules: BreakerRules, equity: Decimal, at: int) -> BreakerState:
    day = trading_day(rules, at)
    return BreakerState(
        level=BreakerLevel.NORMAL,
        time=at,
        equity=equity,
        peak=equity,
        day=day,
        day_anchor=equity,
        week=day - timedelta(days=day.weekday()),
        week_anchor=equity,
    )


def _cleared(state: BreakerState, rules: BreakerRules, *, rolled: bool) -> BreakerState:
    """Lower the level by one where its rule allows; one step at a time, so size comes back last."""
    if state.level is BreakerLevel.REDUCING:
        if rolled and state.loss < rules.reduce_clears_under:
            return replace(state, level=BreakerLevel.WARNED, below_since=None)
        return state
    if state.level is not BreakerLevel.WARNED:
        return state
    if state.loss >= rules.warn_clears_under:
        return replace(state, below_since=None)
    since = state.time if state.below_since is None else state.below_since
    calm = state.time - since >= rules.warn_clears_after_s * SECOND
    if calm and state.time >= (state.probation_until or 0):
        return replace(state, level=BreakerLevel.NORMAL, below_since=None, probation_until=None)
    return replace(state, below_since=since)


def _loss(anchor: Decimal, equity: Decimal) -> Decimal:
    """Return the loss as a fraction of ``anchor``; an account worth nothing has lost it all."""
    if anchor <= 0:
        return _TOTAL_LOSS
    return max(_NO_LOSS, (anchor - equity) / anchor)


def _written(at: int | None) -> str | None:
    return None if at is None else format_time(at)


def _read(text: str | None) -> int | None:
    return None if text is None else parse_time(text)
