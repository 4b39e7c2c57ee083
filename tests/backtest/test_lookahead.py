"""Changing the future shows who knew it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mtquant import Indicator, Settings, Strategy
from mtquant.backtest.api import prepared_of
from mtquant.backtest.lookahead import check_lookahead
from mtquant.backtest.run import Prepared, prepare, repriced
from mtquant.backtest.setup import configure, table_of
from mtquant.errors import ConfigError
from mtquant.model import Bar, Signal
from mtquant.model.arrays import BarArrays
from mtquant.plugins import load_catalogue

SOURCE = {
    "plugin": "walk",
    "markets": {"EUR/USD": {"price": 1.1, "volatility": 0.4, "decimals": 5}},
    "bars": 300,
}


class Next(Indicator[Settings]):
    """The next bar's close: what nobody can know."""

    name = "next_close"

    @property
    def warmup(self) -> int:
        """It takes one bar."""
        return 1

    def compute(self, bar: Bar) -> float:
        """Return what is known: this bar's close."""
        return bar.close

    def batch(self, bars: BarArrays) -> Mapping[str, NDArray[np.float64]]:
        """Return each bar's next close."""
        return {"value": np.append(bars.close[1:], bars.close[-1:])}


class Cheat(Strategy[Settings]):
    """Buys what is about to rise."""

    name = "cheat"

    def on_start(self) -> None:
        """Take what nobody can know."""
        self.tomorrow = self.indicator("next_close")
        self.side = 0

    def on_bar(self, bar: Bar) -> Signal | None:
        """Hold the side of the next move."""
        side = int(math.copysign(1, self.tomorrow[0] - bar.close))
        if side == self.side:
            return None
        self.side = side
        return self.long("it will rise") if side > 0 else self.short("it will fall")


def cheating() -> Prepared:
    catalogue = load_catalogue()
    catalogue.add("indicator", Next, "a test", "")
    catalogue.add("strategy", Cheat, "a test", "")
    table = table_of("cheat", ["EUR/USD"], "H1", source=SOURCE)
    table["risk"] = {"sizer": {"plugin": "fixed_quantity"}}
    return prepare(configure(table), catalogue)


def test_a_strategy_that_peeks_is_caught_where_it_did() -> None:
    peeks = check_lookahead(cheating(), moments=4)
    assert {each.how for each in peeks} == {"cut", "turned"}
    for each in peeks:
        assert each.time <= each.moment
        assert each.strategy_id == "cheat"
        assert each.known != each.unknown
    assert "where the bars after" in str(peeks[0])


@pytest.mark.parametrize("strategy", ["sma_cross", "rsi_reversion", "donchian"])
def test_an_honest_strategy_says_the_same(strategy: str) -> None:
    made = prepared_of(
        strategy, "walk", symbol="EUR/USD", timeframe="H1", settings=["market.source.bars=300"]
    )
    runs: list[tuple[int, int]] = []
    found = check_lookahead(made, moments=3, progress=lambda done, all_: runs.append((done, all_)))
    assert found == ()
    assert runs[-1][0] == runs[-1][1] == len(runs)


def test_too_little_data_is_said() -> None:
    made = cheating()
    [(symbol, bars)] = made.bars.items()
    columns: dict[str, Any] = {
        name: getattr(bars, name)[:2] for name in ("time", "open", "high", "low", "close", "volume")
    }
    with pytest.raises(ConfigError, match="2 steps, too few"):
        check_lookahead(repriced(made, {symbol: replace(bars, **columns)}))
