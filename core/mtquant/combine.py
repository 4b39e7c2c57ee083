"""What several strategies want of one instrument, made into one wish.

*Rules.* ``weighted``: the mean of direction times confidence, weighted, decides where it goes
beyond ``threshold``; a strategy that wants nothing counts as 0. ``priority``: the strategy with
the greatest weight that wants a position decides. ``unanimous``: any two opposite wishes come to
nothing. The stop and the target are those of the strategy that counts most among those that agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from pydantic import Field

from mtquant.contract import Settings
from mtquant.model import Signal


class CombineRules(Settings):
    """How wishes of several strategies for one instrument become one."""

    rule: Literal["weighted", "priority", "unanimous"] = "weighted"
    threshold: float = Field(0.0, ge=0, lt=1)


@dataclass(frozen=True, slots=True)
class Combined:
    """One wish, and the strategies that agree with it."""

    signal: Signal
    agreeing: tuple[str, ...]


def problem(signal: Signal, instruments: tuple[str, ...]) -> str:
    """Return what is wrong with a signal of a strategy that trades ``instruments``, or nothing."""
    if signal.instrument not in instruments:
        return f"{signal.instrument!r} isn't one of its instruments ({', '.join(instruments)})"
    if signal.direction not in {-1, 0, 1}:
        return f"direction {signal.direction!r} is not 1, -1 or 0"
    if not (math.isfinite(signal.confidence) and 0 <= signal.confidence <= 1):
        return f"a confidence of {signal.confidence} is not in 0 to 1"
    for distance in (signal.stop_distance, signal.take_profit_distance):
        if distance is None:
            continue
        # A stranger's strategy may not have been type-checked.
        number = distance if isinstance(distance, Decimal) else Decimal("NaN")  # type: ignore[redundant-expr]
        if not (number.is_finite() and number > 0):
            return f"a distance of {distance!r} is not a positive Decimal"
    return ""


def combine(
    wishes: Mapping[str, Signal], weights: Mapping[str, float], rules: CombineRules
) -> Combined:
    """Return the one wish that ``wishes``, newest signals by strategy, come to.

    A strategy without a weight counts 1. One strategy alone has its way, unchanged.
    """
    if len(wishes) == 1:
        ((name, signal),) = wishes.items()
        return Combined(signal, (name,))
    counts = {name: weights.get(name, 1.0) for name in wishes}
    score = _score(wishes, counts, rules)
    direction = (score > rules.threshold) - (score < -rules.threshold)
    agreeing = [name for name, each in wishes.items() if each.direction == direction]
    newest = max(wishes.values(), key=lambda each: each.time)
    if not agreeing or direction == 0:
        reason = f"{_voices(wishes, counts)} come to nothing ({rules.rule}, {score:+.2f})"
        signal = replace(
            newest,
            strategy_id="+".join(sorted(wishes)),
            direction=0,
            reason=reason,
            stop_distance=None,
            take_profit_distance=None,
        )
        return Combined(signal, tuple(sorted(agreeing or wishes)))
    first = max(agreeing, key=lambda name: (counts[name] * wishes[name].confidence, name))
    signal = replace(
        wishes[first],
        strategy_id="+".join(sorted(agreeing)),
        time=newest.time,
        direction=direction,
        confidence=min(1.0, abs(score)),
        reason=f"{_voices(wishes, counts)} come to {score:+.2f} ({rules.rule})",
    )
    return Combined(signal, tuple(sorted(agreeing)))


def _score(wishes: Mapping[str, Signal], counts: Mapping[str, float], rules: CombineRules) -> float:
    """Return where the wishes lean, -1 to 1."""
    if rules.rule == "priority":
        wanting = [name for name, each in wishes.items() if each.direction]
        if not wanting:
            return 0.0
        first = max(wanting, key=lambda name: (counts[name], name))
        return wishes[first].direction * wishes[first].confidence
    if rules.rule == "unanimous" and {1, -1} <= {each.direction for each in wishes.values()}:
        return 0.0
    total = sum(counts.values())
    leaning = sum(counts[name] * each.direction * each.confidence for name, each in wishes.items())
    return leaning / total if total else 0.0


def _voices(wishes: Mapping[str, Signal], counts: Mapping[str, float]) -> str:
    words = {1: "long", -1: "short", 0: "flat"}
    return "; ".join(
        f"{name} (weight {counts[name]:g}) {words[each.direction]}: {each.reason}"
        for name, each in sorted(wishes.items())
    )
