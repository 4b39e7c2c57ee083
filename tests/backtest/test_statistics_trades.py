"""Trade figures worked out by hand."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from tests.backtest.statistics_scene import DAY, START, result, trade

from mtquant.backtest.result import Trade
from mtquant.backtest.statistics import Group, TradeFigures, statistics
from mtquant.model import Side


def figures(*trades: Trade) -> TradeFigures:
    return statistics(result([100, 100], trades)).trades


def test_seven_trades_worked_out_by_hand() -> None:
    found = figures(*(trade(profit) for profit in (10, -4, 20, 0, -6, -2, 6)))
    assert (found.trades, found.wins, found.losses, found.even) == (7, 3, 3, 1)
    assert found.win_rate == pytest.approx(3 / 7)
    assert (found.profit, found.gross_profit, found.gross_loss) == (24, 36, -12)
    assert found.profit_factor == pytest.approx(3)
    assert found.expectancy == pytest.approx(24 / 7)
    assert found.payoff_ratio == pytest.approx(12 / 4)
    assert (found.average_win, found.average_loss) == (12, -4)
    assert (found.largest_win, found.largest_loss) == (20, -6)
    assert (found.longest_wins, found.longest_losses) == (1, 2)
    assert (found.sqn_of, found.expectancy_r, found.stops) == ("money", None, 0)
    profits = np.array([10, -4, 20, 0, -6, -2, 6])
    assert found.sqn == pytest.approx(profits.mean() / profits.std(ddof=1) * 7**0.5)


def test_streaks_go_by_the_time_of_the_exit_and_an_even_trade_ends_them() -> None:
    days = {3: 1, 0: 1, 4: 1, 1: -1, 2: -1, 5: 0, 6: 1}
    found = figures(*(trade(profit, exit_time=START + day * DAY) for day, profit in days.items()))
    assert (found.longest_wins, found.longest_losses) == (2, 2)


def test_no_loss_leaves_no_profit_factor_and_no_payoff() -> None:
    found = figures(trade(1), trade(2))
    assert (found.profit_factor, found.payoff_ratio) == (None, None)
    assert (found.average_loss, found.largest_loss) == (None, None)
    lost = figures(trade(-1), trade(-2))
    assert (lost.profit_factor, lost.payoff_ratio, lost.average_win) == (0, None, None)


def test_open_trades_are_told_apart_and_counted_nowhere_else() -> None:
    stats = statistics(result([100], [trade(5), trade(-70, exit_reason="open", bars=9)]))
    assert (stats.trades.open_trades, stats.trades.open_profit) == (1, -70)
    assert (stats.trades.trades, stats.trades.profit, stats.trades.average_bars) == (1, 5, 0)
    assert [each.name for each in stats.by_exit_reason] == ["signal"]
    assert [each.profit for each in stats.by_symbol] == [5]


def test_r_is_the_profit_over_what_the_first_stop_risked() -> None:
    stop = Decimal("0.01")  # of 1,000 euros: 10 dollars
    found = figures(trade(30, stop_distance=stop), trade(-10, stop_distance=stop))
    assert (found.stops, found.sqn_of) == (2, "R")
    assert found.expectancy_r == pytest.approx((3 - 1) / 2)
    assert found.sqn == pytest.approx(1 / 8**0.5 * 2**0.5)
    mixed = figures(trade(30, stop_distance=stop), trade(-10), trade(-10, stop_distance=Decimal(0)))
    assert (mixed.stops, mixed.sqn_of) == (1, "money")
    assert mixed.expectancy_r == pytest.approx(3)


def test_r_is_in_the_currency_of_the_account_at_the_time_of_the_entry() -> None:
    yen = trade(
        20,
        instrument="USD/JPY",
        entry_time=START + DAY,
        exit_time=START + 2 * DAY,
        stop_distance=Decimal("0.8"),
    )
    # 1,000 dollars, 0.8 yen away, at 80 yen a dollar, are 10 dollars.
    found = statistics(result([100, 100], [yen], prices={"USD/JPY": [80.0, 100.0]})).trades
    assert (found.stops, found.sqn_of) == (1, "R")
    assert found.expectancy_r == pytest.approx(2)
    # Nothing says what sterling is worth in dollars.
    pound = trade(20, instrument="EUR/GBP", stop_distance=Decimal("0.01"))
    unknown = statistics(result([100, 100], [pound], prices={"EUR/GBP": [0.8, 0.8]})).trades
    assert (unknown.stops, unknown.expectancy_r, unknown.sqn_of) == (0, None, "money")


def test_the_system_quality_number_grows_with_a_hundred_trades_at_most() -> None:
    alternating = [trade(profit) for _ in range(200) for profit in (3, -1)]
    each = np.array([3, -1] * 200)
    assert figures(*alternating).sqn == pytest.approx(each.mean() / each.std(ddof=1) * 10)
    assert figures(trade(3)).sqn is None
    assert figures(trade("0.1"), trade("0.1"), trade("0.1")).sqn is None


def test_excursions_are_fractions_of_the_entry_price() -> None:
    found = figures(
        trade(1, adverse=0.0125, favourable=0.025, bars=4),
        trade(1, entry_price=Decimal(100), adverse=3.0, favourable=0.0, bars=7),
    )
    assert found.average_adverse == pytest.approx((0.01 + 0.03) / 2)
    assert found.average_favourable == pytest.approx(0.01)
    assert found.average_bars == 5.5


def test_groups_are_by_symbol_strategy_exit_and_side() -> None:
    trades = [
        trade(6, instrument="USD/JPY", exit_reason="take_profit"),
        trade(-2, side=Side.SELL, exit_reason="stop_loss"),
        trade(1, strategy_id="dips", side=Side.SELL),
        trade(0, instrument="USD/JPY", exit_reason="stop_loss"),
    ]
    stats = statistics(result([105], trades))
    assert stats.by_symbol == (
        Group(
            name="EUR/USD", trades=2, win_rate=0.5, profit=-1, profit_factor=0.5, expectancy=-0.5
        ),
        Group(name="USD/JPY", trades=2, win_rate=0.5, profit=6, profit_factor=None, expectancy=3),
    )
    assert [(each.name, each.profit) for each in stats.by_strategy] == [("dips", 1), ("trend", 4)]
    assert [(each.name, each.trades, each.profit) for each in stats.by_exit_reason] == [
        ("signal", 1, 1),
        ("stop_loss", 2, -2),
        ("take_profit", 1, 6),
    ]
    assert [(each.name, each.profit) for each in stats.by_side] == [("long", 6), ("short", -1)]
