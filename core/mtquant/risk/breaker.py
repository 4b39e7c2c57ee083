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

*Limits of their own.* Each is off unless set, and only ever makes the breaker stricter.

==================  ==========================================================================
limit               a loss at it or above
==================  ==========================================================================
day_loss_limit      in the day's meter: REDUCING at least, until a day roll that finds that
                    meter under the limit (which is as early as REDUCING clears at all)
week_loss_limit     in the week's meter: REDUCING at least, not before the next week's roll
                    that finds that meter under the limit
max_drawdown        from the highest equity: HALTED, which a named person resets
==================  ==========================================================================

They come on top of the clearing rules above: a level clears only where both allow it.

*Cash flows.* Money paid in or out is no profit and no loss. :func:`step` first judges the equity
as if nothing had been paid, then restates equity and anchors by one factor, the equity with the
flow over the equity without it: a fund does the same when it counts units and a price for each.
So no loss, as a fraction, jumps or hides at a flow. The money paid is not simply added to the
anchors, because of what that does to a trader: who is 9 % down and takes half the money out
would find himself 18 % down and halted, and who is 14 % down could pay in ten times the account
and be 1.3 % down. It is also how the Global Investment Performance Standards reckon a return
(time-weighted: linked over the flows, so that their size has no say).
The exception is an account that holds nothing before the flow or after it. There is no factor
then: the money is added, so the loss stays what it was in money; and an account that holds
nothing is HALTED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, field_validator, model_validator

from mtquant.clock import SECOND, format_time, parse_time
from mtquant.contract import BreakerLevel, Settings
from mtquant.model import Number

Share = Annotated[Number, Field(gt=0, lt=1)]
"""A fraction between 0 and 1, both excluded."""


def _fraction(limit: Decimal) -> Decimal:
    if not 0 < limit < 1:
        msg = "a limit is a fraction between 0 and 1, both excluded: write 0.05 for 5 %"
        raise ValueError(msg)
    return limit


Limit = Annotated[Number, AfterValidator(_fraction)]
"""A loss that somebody set, as a fraction: likely to be written in percent by mistake."""

PROBATION_S = 24 * 3600
"""How long an account trades at the warned size after a person's reset."""
_NOON = 12
_TOTAL_LOSS = Decimal(1)
_NO_LOSS = Decimal(0)
_NO_FLOW = Decimal(0)


class BreakerRules(Settings):
    """When the breaker trips and clears. Losses are fractions of the anchor (0.05 is 5 %).

    The trading day starts at ``roll_time`` in the IANA zone ``roll_zone``, once each local day.
    A warned account opens ``warned_size`` times the size it would.

    Limits of their own, each a fraction of its anchor and off where it is None: a loss of
    ``day_loss_limit`` since the start of the day or of ``week_loss_limit`` since that of the
    week puts the account at REDUCING at least, one of ``max_drawdown`` from the highest equity
    at HALTED. A ``day_loss_limit`` above ``reduce_at`` or a ``max_drawdown`` above ``halt_at``
    never acts: the threshold acts first.

    What is done on rising, by others than the breaker, which only says the level:
    ``close_share`` is the share of each open position that is closed on rising to REDUCING
    (0 none, 1 all of it); ``flatten`` closes everything on rising to HALTED; ``cancel_orders``
    takes back the working orders that open or add on rising to REDUCING or above.
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
    day_loss_limit: Limit | None = None
    week_loss_limit: Limit | None = None
    max_drawdown: Limit | None = None
    close_share: Annotated[Number, Field(ge=0, le=1)] = Decimal(0)
    flatten: bool = False
    cancel_orders: bool = True

    @field_validator("roll_zone")
    @classmethod
    def _known_zone(cls, key: str) -> str:
        try:
            ZoneInfo(key)
        except (OSError, ValueError, KeyError) as error:
            msg = f"{key!r} is no IANA time zone, such as America/New_York or UTC"
            raise ValueError(msg) from error
        return key

    @field_validator("roll_time")
    @classmethod
    def _wall_time(cls, roll: time) -> time:
        # A bare number, read as seconds since midnight in UTC, ends here as well.
        if roll.tzinfo is not None:
            msg = "a wall time in roll_zone, without an offset, such as 17:00"
            raise ValueError(msg)
        return roll

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

    def level_of(self, losses: Mapping[str, Decimal]) -> BreakerLevel:
        """Return the level that the meters ``losses`` trip, by the thresholds and the limits."""
        level = self.level_at(max(losses.values()))
        if _reached(losses["peak"], self.max_drawdown):
            return BreakerLevel.HALTED
        limited = _reached(losses["day"], self.day_loss_limit)
        limited = limited or _reached(losses["week"], self.week_loss_limit)
        return max(level, BreakerLevel.REDUCING) if limited else level


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """What the breaker remembers of one broker account. Money is in the account's currency.

    ``day`` names the trading day and ``week`` its week by the Monday. ``below_since`` is since
    when a warned account's loss has been under the clearing threshold, ``probation_until`` until
    when a reset account stays warned. ``week_limited`` says that the week's own limit was
    reached since the week began. ``reset_by`` and ``reset_reason`` are the last reset's.

    ``peak`` and the anchors are restated at cash flows: they compare with ``equity``, and need
    not be an equity that was ever seen.
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
    week_limited: bool = False
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
            "week_limited": self.week_limited,
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
            # Journals from before there was a limit for the week do not tell.
            week_limited=_truth(stored.get("week_limited", False)),
            reset_by=stored["reset_by"],
            reset_reason=stored["reset_reason"],
        )


def trading_day(rules: BreakerRules, at: int) -> date:
    """Return the trading day that ``at`` (nanoseconds, UTC) falls in.

    A day that starts at noon or later is named for the next date, as foreign exchange does:
    Sunday 17:00 in New York opens Monday. As time goes on it never names an earlier day: in an
    hour that a clock repeats, the first pass of the roll time counts.
    """
    seconds = at // SECOND
    local = datetime.fromtimestamp(seconds, ZoneInfo(rules.roll_zone))
    day = local.date()
    if local.time() < rules.roll_time:
        first_pass = datetime.combine(day, rules.roll_time, local.tzinfo)
        if not local.fold or seconds < first_pass.timestamp():
            day -= timedelta(days=1)
    return day + timedelta(days=1) if rules.roll_time.hour >= _NOON else day


def step(
    state: BreakerState | None,
    rules: BreakerRules,
    equity: Decimal,
    at: int,
    *,
    cash_flow: Decimal = _NO_FLOW,
) -> BreakerState:
    """Return the state after ``equity`` was seen at ``at`` (nanoseconds, UTC).

    ``equity`` is balance plus open profit in the account's currency; ``state`` is None before the
    first. A time before the last one may raise the level and never lowers it. An equity that is
    no number is no equity: it puts the level at REDUCING at least, and as a first one it raises
    ValueError.

    ``cash_flow`` is the money paid in (positive) or out (negative) since the last step, which
    ``equity`` holds already. It changes the level in one case: an account it leaves with nothing
    is HALTED. A profit or loss since the last step is taken to have come before the flow, so
    step before a known flow and right after it. With a first equity it says nothing; with one
    that is no number, the last equity plus the flow stands for it until the next. A flow that is
    no number raises ValueError: guessing it would hide a loss or make one up.
    """
    if not cash_flow.is_finite():
        msg = f"the cash flow of an account must be a number, not {cash_flow}"
        raise ValueError(msg)
    if state is None:
        return _after_equity(_first(rules, equity, at), rules, equity, at)
    if equity.is_finite():
        # Judged without the flow, so that no rounding of the restated anchors has a say.
        after = _after_equity(state, rules, equity - cash_flow, at)
        return _restated(after, equity) if cash_flow else after
    dark = replace(
        state,
        level=max(state.level, BreakerLevel.REDUCING),
        time=max(state.time, at),
        below_since=None,
    )
    return _restated(dark, state.equity + cash_flow) if cash_flow else dark


def reset(
    state: BreakerState,
    by: str,
    reason: str,
    *,
    rebase_peak: bool = False,
    at: int | None = None,
) -> BreakerState:
    """Return the state after the person ``by`` lets the account trade again, for ``reason``.

    The account is then warned, at reduced size, for 24 hours at least. They run from ``at``
    (nanoseconds, UTC), the time of the reset, or from the last equity where it is not given or
    earlier: pass it, or the hours in which the engine stood still count. Day and week start anew
    at the last equity, or the same loss would trip the breaker at the next step; the highest
    equity is forgotten only if ``rebase_peak`` says so, so a loss from the peak that still
    stands at a threshold or at ``max_drawdown`` trips it again. Raises ValueError where nothing
    has tripped or the person or the reason is missing.
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
        probation_until=max(state.time, at or state.time) + PROBATION_S * SECOND,
        week_limited=False,
        reset_by=by,
        reset_reason=reason,
    )


def _first(rules: BreakerRules, equity: Decimal, at: int) -> BreakerState:
    if not equity.is_finite():
        msg = "the first equity of an account must be a number"
        raise ValueError(msg)
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


def _after_equity(
    state: BreakerState, rules: BreakerRules, equity: Decimal, at: int
) -> BreakerState:
    """Return the state after a finite ``equity`` that no money was paid into or out of."""
    seen = _rolled(state, rules, equity, at)
    losses = seen.losses
    seen = replace(seen, week_limited=_week_limited(state, seen, rules, losses["week"]))
    tripped = rules.level_of(losses)
    if tripped > state.level:
        return replace(seen, level=tripped, below_since=None)
    if at >= state.time:
        limited = seen.week_limited or tripped >= BreakerLevel.REDUCING
        return _cleared(seen, rules, rolled=seen.day > state.day and not limited)
    # The clock went back: no time has passed that could calm anything, but a relapse is one.
    relapsed = max(losses.values()) >= rules.warn_clears_under
    return replace(seen, below_since=None) if relapsed else seen


def _rolled(state: BreakerState, rules: BreakerRules, equity: Decimal, at: int) -> BreakerState:
    """Return ``state`` with its equity, peak, day, week and anchors as of ``at``."""
    now = max(state.time, at)
    # The day only advances, whatever zone and roll time a restart brings.
    day = max(state.day, trading_day(rules, now))
    week = day - timedelta(days=day.weekday())
    opening = max(state.equity, equity)
    return replace(
        state,
        time=now,
        equity=equity,
        peak=max(state.peak, equity),
        day=day,
        day_anchor=opening if day > state.day else state.day_anchor,
        week=week,
        week_anchor=opening if week > state.week else state.week_anchor,
    )


def _week_limited(
    before: BreakerState, seen: BreakerState, rules: BreakerRules, loss: Decimal
) -> bool:
    """Whether the week's own limit was reached in the running week, now or earlier in it."""
    if rules.week_loss_limit is None:
        return False
    earlier = before.week_limited and seen.week == before.week
    return earlier or loss >= rules.week_loss_limit


def _cleared(state: BreakerState, rules: BreakerRules, *, rolled: bool) -> BreakerState:
    """Lower the level by one where its rule allows; one step at a time, so size comes back last.

    ``rolled`` says that a day began under no limit of its own.
    """
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


def _restated(state: BreakerState, equity: Decimal) -> BreakerState:
    """Return ``state`` where a cash flow alone has made its equity ``equity``."""
    without = state.equity

    def anchor(before: Decimal) -> Decimal:
        if without > 0 and equity > 0:
            return before * equity / without
        return before + (equity - without)

    moved = replace(
        state,
        equity=equity,
        # The factor is rounded: a peak must not end a hair under its own equity.
        peak=max(anchor(state.peak), equity),
        day_anchor=anchor(state.day_anchor),
        week_anchor=anchor(state.week_anchor),
    )
    if equity > 0:
        return moved
    return replace(moved, level=BreakerLevel.HALTED, below_since=None)


def _reached(loss: Decimal, limit: Decimal | None) -> bool:
    return limit is not None and loss >= limit


def _loss(anchor: Decimal, equity: Decimal) -> Decimal:
    """Return the loss as a fraction of ``anchor``; an account worth nothing has lost it all."""
    if anchor <= 0:
        return _TOTAL_LOSS
    return max(_NO_LOSS, (anchor - equity) / anchor)


def _written(at: int | None) -> str | None:
    return None if at is None else format_time(at)


def _read(text: str | None) -> int | None:
    return None if text is None else parse_time(text)


def _truth(stored: object) -> bool:
    if not isinstance(stored, bool):
        msg = f"{stored!r} is neither true nor false"
        raise TypeError(msg)
    return stored
