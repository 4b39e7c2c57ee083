"""Backtests: the fast way is the whole way, and what comes of it adds up."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant import Settings, Strategy
from mtquant.backtest import Result, backtest
from mtquant.backtest.api import prepared_of
from mtquant.backtest.run import Prepared, prepare, run, varied
from mtquant.backtest.setup import configure, table_of
from mtquant.clock import format_time
from mtquant.errors import ConfigError, PluginError
from mtquant.model import Bar, Signal
from mtquant.plugins import load_catalogue

CATALOGUE = load_catalogue()
D = Decimal
MARKETS: dict[str, dict[str, Any]] = {
    "EUR/USD": {"price": 1.1, "volatility": 0.4, "decimals": 5},
    "USD/JPY": {"price": 145.0, "volatility": 0.4, "decimals": 3},
    "EUR/JPY": {"price": 160.0, "volatility": 0.3, "decimals": 3},
}
COSTS: dict[str, Any] = {
    "commission_per_million": "20",
    "slippage_pips": "0.2",
    "slippage_random_pips": "0.4",
    "swap_long": "-0.5",
    "swap_short": "0.1",
    "seed": 7,
}


def prepared(
    strategy: str = "sma_cross",
    symbols: tuple[str, ...] = ("EUR/USD",),
    *,
    bars: int = 600,
    timeframe: str = "H1",
    seed: int = 1,
    params: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    risk: Mapping[str, Any] | None = None,
) -> Prepared:
    """Return a backtest on a random walk."""
    markets = {symbol: MARKETS[symbol] for symbol in symbols}
    source = {
        "plugin": "walk",
        "markets": markets,
        "bars": bars,
        "timeframe": timeframe,
        "seed": seed,
    }
    table = table_of(
        strategy, symbols, timeframe, source=source, params=params, account=account, risk=risk
    )
    return prepare(configure(table), CATALOGUE)


def same(one: Result, other: Result) -> None:
    """Require that two results are the same, to the last digit."""
    for name in ("fills", "orders", "round_trips", "rejections", "costs", "told", "final_equity"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.ambiguous_bars == other.ambiguous_bars
    for name in ("time", "equity", "balance", "exposure"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


STRATEGIES = {
    "sma_cross": {"fast": 3, "slow": 8},
    "ema_cross": {"fast": 3, "slow": 8},
    "macd": {},
    "rsi_reversion": {},
    "bollinger_breakout": {},
    "donchian": {},
    "buy_and_hold": {},
}


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_passing_over_quiet_bars_changes_nothing(strategy: str) -> None:
    made = prepared(strategy, params=STRATEGIES[strategy], account=COSTS)
    fast = run(made)
    assert fast.fills
    same(fast, run(made, stepwise=True))


def test_two_legs_are_passed_over_alike() -> None:
    symbols = ("EUR/USD", "USD/JPY")
    made = prepared("pairs", symbols, params={"period": 20, "entry": 1.0}, account=COSTS)
    fast = run(made)
    assert {each.instrument for each in fast.fills} == set(symbols)
    same(fast, run(made, stepwise=True))


def test_larger_bars_are_passed_over_alike() -> None:
    made = prepared(params={"fast": 2, "slow": 4, "timeframe": "H4"}, account=COSTS)
    fast = run(made)
    assert fast.fills
    same(fast, run(made, stepwise=True))


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    fast=st.integers(2, 6),
    slow=st.integers(7, 20),
    currency=st.sampled_from(["USD", "JPY", "EUR"]),
    spread=st.sampled_from(["0", "0.3", "1", "2.5"]),
    swap=st.sampled_from(["0", "-1.3", "0.7"]),
    fraction=st.sampled_from(["0.002", "0.02", "0.05"]),
    warn=st.sampled_from(["0.01", "0.05"]),
    timeframe=st.sampled_from(["M15", "H1", "D1"]),
)
def test_whatever_the_terms_the_fast_way_is_the_whole_way(
    *,
    seed: int,
    fast: int,
    slow: int,
    currency: str,
    spread: str,
    swap: str,
    fraction: str,
    warn: str,
    timeframe: str,
) -> None:
    made = prepared(
        symbols=("EUR/USD", "USD/JPY", "EUR/JPY"),
        bars=150,
        seed=seed,
        timeframe=timeframe,
        params={"fast": fast, "slow": slow, "take_profit_atr": 3.0},
        account={"currency": currency, "spread_pips": spread, "swap_long": swap},
        risk={
            "sizer": {"plugin": "fixed_fraction", "fraction": fraction},
            "breaker": {
                "warn_at": warn,
                "warn_clears_under": str(D(warn) / 2),
                "day_loss_limit": "0.2",
            },
        },
    )
    same(run(made), run(made, stepwise=True))


class Cheeky(Strategy[Settings]):
    """Wishes nothing, and breaks at a bar."""

    name = "cheeky"

    def on_start(self) -> None:
        """Begin to count."""
        self.bars = 0

    def on_bar(self, bar: Bar) -> Signal | None:  # noqa: ARG002 - its base's
        """Break at the twentieth bar that it hears."""
        self.bars += 1
        if self.bars == 20:
            raise RuntimeError("out of ideas")
        return None


def test_a_strategy_that_raises_is_heard_no_more_and_said_so_at_its_bar() -> None:
    made = prepared_of(Cheeky, prepared().bars)
    fast, whole = run(made), run(made, stepwise=True)
    same(fast, whole)
    [(time, level, message)] = fast.told
    assert time == fast.time[19]
    assert level == "alarm"
    assert "out of ideas" in message


class Vague(Strategy[Settings]):
    """Says what it wants in a word."""

    name = "vague"

    def on_bar(self, bar: Bar) -> Any:  # noqa: ANN401, ARG002 - what it returns is wrong
        """Say a word."""
        return ["long"]


def test_a_strategy_that_returns_no_signal_is_told_so_and_heard_no_more() -> None:
    made = prepared_of(Vague, prepared().bars)
    fast = run(made)
    same(fast, run(made, stepwise=True))
    [(_, level, message)] = fast.told
    assert level == "alarm"
    assert "'long' is no signal: return self.long(...)" in message
    assert fast.stats.cautions[0].code == "strategy_failed"


class Dreamer(Strategy[Settings]):
    """Wants a profit that no price has."""

    name = "dreamer"

    def on_bar(self, bar: Bar) -> Signal | None:
        """Dream."""
        if bar.time % (50 * 3600 * 10**9):
            return None
        return self.long("one day", stop_distance=D("0.01"), take_profit_distance=D("1E+40"))


def test_a_target_beyond_every_price_is_vetoed() -> None:
    made = prepared_of(Dreamer, prepared().bars)
    fast = run(made)
    same(fast, run(made, stepwise=True))
    assert {each.code for each in fast.rejections} == {"invalid_stop"}


def test_money_adds_up() -> None:
    result = run(prepared(account=COSTS, params={"fast": 3, "slow": 8}))
    earned = sum((each.profit for each in result.round_trips), start=D(0))
    assert result.start_balance + earned == result.final_equity
    paid = sum((each.costs.commission for each in result.round_trips), start=D(0))
    assert paid == result.costs.commission
    assert sum((each.costs.swap for each in result.round_trips), start=D(0)) == result.costs.swap
    assert result.costs.swap
    assert result.costs.slippage > 0
    assert result.equity[-1] == float(result.final_equity)


def test_without_costs_nothing_is_paid() -> None:
    result = run(prepared(account={"spread_pips": "0"}, params={"fast": 3, "slow": 8}))
    assert result.fills
    assert result.costs.total == 0


def test_a_stop_ends_a_trade_and_is_told_as_its_reason() -> None:
    sizer = {"plugin": "fixed_quantity", "quantity": "10000"}
    params = {"fast": 3, "slow": 8, "stop_atr": 0.5}
    result = run(prepared(params=params, risk={"sizer": sizer}))
    stopped = [each for each in result.round_trips if each.exit_reason == "stop_loss"]
    assert stopped
    for each in stopped:
        assert each.profit < 0
        assert each.stop_distance is not None
        assert each.adverse >= float(each.stop_distance) * 0.5


def test_a_run_that_the_breaker_stopped_is_told_so() -> None:
    breaker = {"warn_at": "0.002", "warn_clears_under": "0.001", "reduce_at": "0.004"}
    breaker |= {"reduce_clears_under": "0.001", "halt_at": "0.006"}
    params = {"fast": 3, "slow": 8}
    result = run(prepared(params=params, risk={"breaker": breaker}))
    [told] = [each.message for each in result.stats.cautions if each.code == "breaker"]
    last = result.fills[-1].time
    first = next(each.time for each in result.rejections if each.time > last)
    assert f"From {format_time(first)} to the end" in told


def test_bars_before_the_start_only_warm_up() -> None:
    made = prepared(params={"fast": 3, "slow": 8})
    whole = run(made)
    start = int(whole.time[300])
    late = run(made, start=start)
    assert late.time[0] == start
    assert all(each.time >= start for each in late.fills)
    assert late.fills
    same(late, run(made, start=start, stepwise=True))


def test_a_start_after_the_end_is_refused() -> None:
    made = prepared(bars=50)
    with pytest.raises(ConfigError, match=r"start: .* is after the last bar"):
        run(made, start=10**19 // 2)


def test_other_parameters_need_no_other_preparation() -> None:
    made = prepared(params={"fast": 3, "slow": 8})
    other = varied(made, "sma_cross", {"fast": 5, "slow": 20})
    assert other.bars is made.bars
    assert run(other).fills != run(made).fills
    same(run(other), run(prepared(params={"fast": 5, "slow": 20})))
    with pytest.raises(ConfigError, match="none is called 'trend'"):
        varied(made, "trend", {})


def test_the_gate_can_be_switched_off() -> None:
    series = prepared(seed=3).bars
    tight = {"checks": {"notional": {"max_order": "0.0001"}}}
    refused = backtest("sma_cross", series, params={"fast": 3, "slow": 8}, risk=tight)
    assert not refused.fills
    told = {each.code: each.message for each in refused.stats.cautions}
    assert "order_notional" in told["all_refused"]
    free = backtest("sma_cross", series, params={"fast": 3, "slow": 8}, risk=False)
    assert free.fills


def test_data_may_be_a_frame_a_mapping_or_bars() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is an extra")
    bars = prepared().bars["EUR/USD"]
    params = {"fast": 3, "slow": 8}
    frame = pandas.DataFrame(
        {name: getattr(bars, name) for name in ("open", "high", "low", "close", "volume")},
        index=pandas.to_datetime(bars.time, unit="ns", utc=True),
    )
    direct = backtest("sma_cross", bars, params=params)
    for data in (frame, {"EUR/USD": frame}, {"EUR/USD": bars}):
        other = backtest("sma_cross", data, symbol="EUR/USD", timeframe="H1", params=params)
        assert other.fills == direct.fills
        assert other.card.data == direct.card.data
    assert len(direct.trades) == len(direct.round_trips)
    assert direct.trades["profit"].sum() == pytest.approx(
        float(direct.final_equity - direct.start_balance)
    )
    assert len(direct.equity_curve) == len(direct.time)


@pytest.mark.parametrize(
    ("data", "given", "message"),
    [
        ("nofile.csv", {"symbol": "EUR/USD", "timeframe": "H1"}, "no such file"),
        ("walk", {"symbol": "EUR/USD"}, "timeframe: is missing"),
        ("walk", {"timeframe": "H1"}, "symbol: is missing"),
        ("walk", {"symbol": "EUR/USD", "timeframe": "H99"}, "'H99' is none"),
        ("walk", {"symbol": "EUR/USD", "timeframe": "H1", "start": "soon"}, "start: 'soon'"),
        ({}, {"symbol": "EUR/USD", "timeframe": "H1"}, "data: there is none"),
    ],
)
def test_what_is_wrong_is_named(data: Any, given: dict[str, Any], message: str) -> None:  # noqa: ANN401 - as backtest takes it
    with pytest.raises(ConfigError, match=message):
        backtest("sma_cross", data, **given)


def test_an_unknown_strategy_is_named_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="did you mean sma_cross"):
        backtest("sma_cros", "walk", symbol="EUR/USD", timeframe="H1")


def test_only_a_paper_account_is_simulated() -> None:
    table = table_of("sma_cross", ("EUR/USD",), "H1", source={"plugin": "walk"})
    table["brokers"]["second"] = dict(table["brokers"]["backtest"])
    with pytest.raises(ConfigError, match="a backtest has one account, and 2 are configured"):
        prepare(configure(table), CATALOGUE)
    del table["brokers"]["second"]
    table["brokers"]["backtest"] = {"plugin": "oanda", "account_id": "1"}
    with pytest.raises(ConfigError, match="only a paper account can be simulated"):
        prepare(configure(table), CATALOGUE)


def test_the_run_card_tells_what_was_run() -> None:
    made = prepared()
    result = run(made, seed=5)
    card = result.card
    assert card.seed == 5
    assert card.bars == 600
    assert format_time(card.first) == "2024-01-01T00:00:00Z"
    assert set(card.data) == {"EUR/USD"}
    assert run(made, seed=5).card == card
    assert run(prepared(seed=2)).card.data != card.data
