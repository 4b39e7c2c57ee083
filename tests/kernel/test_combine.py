"""Several strategies' wishes become one, by a rule that is written down."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.combine import CombineRules, combine, problem
from mtquant.model import Signal

D = Decimal
SYMBOL = "EUR/USD"


def signal(direction: int, confidence: float = 1.0, name: str = "s", **more: Any) -> Signal:  # noqa: ANN401
    return Signal(
        strategy_id=name,
        instrument=SYMBOL,
        time=more.pop("time", 1),
        direction=direction,
        reason=f"{name} says",
        confidence=confidence,
        **more,
    )


def of(**directions: int) -> dict[str, Signal]:
    return {name: signal(each, name=name) for name, each in directions.items()}


def rules(rule: str = "weighted", threshold: float = 0.0) -> CombineRules:
    return CombineRules.model_validate({"rule": rule, "threshold": threshold})


def test_one_strategy_has_its_way_unchanged() -> None:
    only = signal(1, 0.3, stop_distance=D("0.01"))

    found = combine({"s": only}, {"s": 7}, rules("unanimous", 0.9))

    assert found.signal is only
    assert found.agreeing == ("s",)


@pytest.mark.parametrize(
    ("wishes", "weights", "rule", "threshold", "expected"),
    [
        (of(a=1, b=-1), {"a": 2, "b": 1}, "weighted", 0, 1),
        (of(a=1, b=-1), {"a": 1, "b": 1}, "weighted", 0, 0),
        (of(a=1, b=-1), {"a": 1, "b": 3}, "weighted", 0, -1),
        (of(a=1, b=0), {}, "weighted", 0, 1),
        (of(a=1, b=0), {}, "weighted", 0.5, 0),
        (of(a=1, b=0), {"a": 2}, "weighted", 0.5, 1),
        (of(a=1, b=1, c=-1), {}, "weighted", 0.3, 1),
        (of(a=1, b=-1), {"a": 1, "b": 3}, "priority", 0, -1),
        (of(a=0, b=-1), {"a": 9, "b": 1}, "priority", 0, -1),
        (of(a=0, b=0), {}, "priority", 0, 0),
        (of(a=1, b=-1), {"a": 9, "b": 1}, "unanimous", 0, 0),
        (of(a=1, b=1, c=0), {}, "unanimous", 0, 1),
    ],
)
def test_the_rule_decides(
    wishes: dict[str, Signal],
    weights: dict[str, float],
    rule: str,
    threshold: float,
    expected: int,
) -> None:
    assert combine(wishes, weights, rules(rule, threshold)).signal.direction == expected


def test_confidence_weighs_too_and_becomes_the_whole_ones() -> None:
    wishes = {"a": signal(1, 0.9, "a"), "b": signal(-1, 0.3, "b")}

    found = combine(wishes, {}, rules()).signal

    assert found.direction == 1
    assert found.confidence == pytest.approx(0.3)


def test_the_stop_is_that_of_the_one_that_counts_most_among_those_that_agree() -> None:
    wishes = {
        "a": signal(1, 0.5, "a", stop_distance=D(1)),
        "b": signal(1, 0.9, "b", stop_distance=D(2)),
        "c": signal(-1, 1.0, "c", stop_distance=D(3)),
    }

    found = combine(wishes, {}, rules())

    assert found.signal.stop_distance == D(2)
    assert found.agreeing == ("a", "b")
    assert found.signal.strategy_id == "a+b"


def test_every_voice_is_in_the_reason() -> None:
    reason = combine(of(trend=1, revert=-1), {"trend": 2}, rules()).signal.reason

    assert "trend (weight 2) long: trend says" in reason
    assert "revert (weight 1) short: revert says" in reason
    assert "+0.33" in reason


WISHES = st.dictionaries(
    st.sampled_from("abcdef"),
    st.builds(signal, st.sampled_from([-1, 0, 1]), st.floats(0, 1)),
    min_size=2,
)
WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.01, 100))
RULES = st.builds(rules, st.sampled_from(["weighted", "priority", "unanimous"]), st.floats(0, 0.99))


@given(WISHES, WEIGHTS, RULES)
def test_nothing_is_wanted_that_nobody_wants_and_the_mirror_is_the_mirror(
    wishes: dict[str, Signal], weights: dict[str, float], rule: CombineRules
) -> None:
    found = combine(wishes, weights, rule)
    mirrored = {name: replace(each, direction=-each.direction) for name, each in wishes.items()}

    assert found.signal.direction in {0, *(each.direction for each in wishes.values())}
    assert 0 <= found.signal.confidence <= 1
    assert combine(mirrored, weights, rule).signal.direction == -found.signal.direction
    if found.signal.direction:
        assert all(wishes[name].direction == found.signal.direction for name in found.agreeing)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"instrument": "GBP/USD"}, "isn't one of its instruments"),
        ({"direction": 2}, "direction 2 is not"),
        ({"confidence": float("nan")}, "a confidence of nan"),
        ({"confidence": 1.5}, "a confidence of 1.5"),
        ({"stop_distance": D(0)}, "is not a positive Decimal"),
        ({"stop_distance": 0.5}, "0.5 is not a positive Decimal"),
        ({"take_profit_distance": D("NaN")}, "is not a positive Decimal"),
        ({}, ""),
    ],
)
def test_a_signal_that_makes_no_sense_is_told_so(change: dict[str, Any], wrong: str) -> None:
    assert wrong in problem(replace(signal(1), **change), (SYMBOL,))
    assert bool(wrong) == bool(problem(replace(signal(1), **change), (SYMBOL,)))
