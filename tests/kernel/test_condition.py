"""A condition is one thing, whether it is stepped or told from arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mtquant import Settings, Strategy
from mtquant.contract import Crossing
from mtquant.model import Bar, Signal, Timeframe
from mtquant.plugins import load_catalogue

PRICES = st.lists(st.sampled_from([0.9, 1.0, 1.0 + 1e-10, 1.1, 1.2]), min_size=1, max_size=40)


class Shown:
    """A line of which the test says what it shows."""

    value = 0.0

    def __getitem__(self, back: int) -> float:
        return self.value


def bar(close: float, number: int = 0) -> Bar:
    return Bar("EUR/USD", Timeframe.M1, number * 60 * 10**9, close, close, close, close)


@given(one=PRICES, other=PRICES, before=st.sampled_from([-1, 0, 1]), to_a_line=st.booleans())
def test_arrays_tell_the_sides_that_stepping_comes_to(
    one: list[float], other: list[float], before: int, *, to_a_line: bool
) -> None:
    count = min(len(one), len(other))
    shown, against = Shown(), Shown()
    whole = [1.0] * count if not to_a_line else other[:count]
    stepped = Crossing(shown, against if to_a_line else 1.0, 1e-9)  # type: ignore[arg-type]
    stepped.side = before
    sides = stepped.batch(
        np.array(one[:count]), np.array(whole) if to_a_line else 1.0, np.ones(count)
    )
    assert sides.shape == (count,)
    for index in range(count):
        last = stepped.side
        shown.value, against.value = one[index], whole[index]
        holds = stepped.step(bar(1.0))
        assert stepped.side == sides[index]
        assert holds == (last not in {0, stepped.side})


class Asked(Strategy[Settings]):
    """Notes when it is asked."""

    name = "asked"

    def on_start(self) -> None:
        """Declare two conditions."""
        average = self.indicator("sma", period=2)
        self.above_one = self.crossing(average, 1)
        self.above_two = self.crossing(average, 2.0)
        self.asked: list[float] = []

    def on_bar(self, bar: Bar) -> Signal | None:
        """Note it."""
        self.asked.append(bar.close)
        return None


def test_a_strategy_is_asked_where_a_condition_holds_and_nowhere_else() -> None:
    catalogue = load_catalogue()
    made = Asked(
        Settings(),
        strategy_id="asked",
        instruments=("EUR/USD",),
        timeframe=Timeframe.M1,
        indicators=lambda kind, settings: catalogue.make("indicator", kind, settings),
    )
    for number, close in enumerate([0.5, 0.5, 0.5, 1.8, 1.9, 2.4, 2.5, 0.2, 0.1]):
        made.take_bar(bar(close, number))
    assert made.asked == [1.8, 2.4, 0.2, 0.1]
    assert (made.above_one.side, made.above_two.side) == (-1, -1)
