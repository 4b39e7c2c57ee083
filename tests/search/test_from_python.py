"""The search as a notebook has it."""

from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.search.scene import prepared

import mtquant.search
from mtquant import Settings, Strategy
from mtquant.errors import ConfigError
from mtquant.model import Bar, Signal
from mtquant.search import optimize

SPACE = {"fast": range(2, 6, 3), "slow": [5, 8]}


def found(**others: Any) -> Any:  # noqa: ANN401 - a Found
    data = prepared(bars=120).bars["EUR/USD"]
    whole: dict[str, Any] = {"where": ["fast < slow"], "min_trades": 1, "workers": 1}
    return optimize(
        others.pop("strategy", "sma_cross"), data, **({"space": SPACE} | whole | others)
    )


def test_three_lines_find_the_best() -> None:
    search = found()
    assert len(search.trials) == 3
    assert search.best.value == max(each.value for each in search.trials)
    assert search.best.outcome.figures["sharpe"] == search.best.value


def test_what_is_not_varied_can_be_set_and_a_state_is_kept_for_it(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = found(params={"stop_atr": 3.0}, state=state)
    assert first.best.value != found().best.value
    with pytest.raises(ConfigError, match="other configuration"):
        found(state=state)


def test_bars_before_the_start_are_not_traded() -> None:
    late = found(start="2024-01-04")
    assert late.best.outcome.daily.size < found().best.outcome.daily.size


class Own(Settings):
    after: int = 3


class Patient(Strategy[Own]):
    """Buys after a number of bars, and sells after as many more."""

    name: ClassVar[str] = "patient"
    Settings = Own

    def on_start(self) -> None:
        self.seen = 0

    def on_bar(self, bar: Bar) -> Signal | None:
        del bar
        self.seen += 1
        if self.settings.after == 9:
            raise ValueError("nine")
        turn, place = divmod(self.seen, self.settings.after)
        if place:
            return None
        return self.long("time", stop_distance=Decimal("0.01")) if turn % 2 else self.flat("time")


def test_a_strategy_of_your_own_is_searched_and_one_that_fails_is_told() -> None:
    search = found(strategy=Patient, space={"after": [4, 9]}, where=[])
    assert search.best.params == (("after", 4),)
    [failed] = search.refused
    assert "patient:EUR/USD failed" in failed.outcome.problem
    assert "nine" in failed.outcome.problem


def test_a_strategy_that_no_other_process_can_have_is_told() -> None:
    class Local(Patient):
        name = "local"

    with pytest.raises(ConfigError, match="can't be sent to another process"):
        found(strategy=Local, space={"after": [4]}, where=[], workers=2)


def test_every_public_name_is_there() -> None:
    for name in mtquant.search.__all__:
        assert getattr(mtquant.search, name).__name__ == name
    with pytest.raises(AttributeError, match="guess"):
        _ = mtquant.search.guess
