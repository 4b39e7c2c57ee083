"""Returns, risk and exposure of a backtest, worked out by hand."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from tests.backtest.statistics_scene import DAY, START, every, fill, rejection, result, trade

from mtquant.backtest.result import Costs
from mtquant.backtest.statistics import Statistics, statistics
from mtquant.clock import parse_time
from mtquant.model import Reason, Side, Timeframe


def at(text: str) -> int:
    return parse_time(f"{text}T00:00:00Z")


def codes(stats: Statistics) -> list[str]:
    return [each.code for each in stats.cautions]


def test_five_days_worked_out_by_hand() -> None:
    stats = statistics(result([110, 99, 99, 121, 115.5]))
    assert (stats.period.start, stats.period.end) == (at("2024-01-01"), at("2024-01-06"))
    assert (stats.period.days, stats.period.trading_days, stats.period.steps) == (5, 5, 5)
    expected = [0.1, -0.1, 0, 121 / 99 - 1, 115.5 / 121 - 1]
    assert stats.daily_returns == pytest.approx(expected)
    assert stats.trading_days.tolist() == [START // DAY + day for day in range(5)]
    earned = stats.returns
    assert (earned.start_equity, earned.end_equity, earned.net_profit) == (100, 115.5, 15.5)
    assert earned.total_return == pytest.approx(0.155)
    assert earned.annual_return == pytest.approx(1.155 ** (365.25 / 5) - 1)
    mean = sum(expected) / 5
    spread = (sum((each - mean) ** 2 for each in expected) / 4) ** 0.5
    down = ((0.1**2 + expected[4] ** 2) / 5) ** 0.5
    assert earned.annual_volatility == pytest.approx(spread * 252**0.5)
    assert earned.sharpe == pytest.approx(mean / spread * 252**0.5)
    assert earned.sortino == pytest.approx(mean / down * 252**0.5)
    assert earned.calmar == pytest.approx((1.155 ** (365.25 / 5) - 1) / 0.1)
    assert earned.best_day is not None
    assert earned.best_day.when == "2024-01-04"
    assert earned.best_day.fraction == pytest.approx(121 / 99 - 1)
    assert earned.worst_day is not None
    assert earned.worst_day.when == "2024-01-02"
    assert earned.worst_day.fraction == pytest.approx(-0.1)


def test_the_annual_return_is_by_the_calendar() -> None:
    time = np.array([at("2024-01-02"), at("2028-01-01")])
    stats = statistics(result([100, 1.1**4 * 100], time=time))
    assert stats.returns.annual_return == pytest.approx(0.1)


def test_drawdowns_have_dates_money_and_an_end() -> None:
    stats = statistics(result([120, 90, 120, 114, 116, 118]))
    deepest, longest = stats.risk.max_drawdown, stats.risk.longest_drawdown
    assert deepest is not None
    assert longest is not None
    assert (deepest.fraction, deepest.money) == (0.25, 30)
    assert (deepest.peak, deepest.trough) == (at("2024-01-02"), at("2024-01-03"))
    assert (deepest.recovered, deepest.days) == (at("2024-01-04"), 2)
    assert longest.fraction == pytest.approx(0.05)
    assert longest.money == 6
    assert (longest.peak, longest.trough) == (at("2024-01-04"), at("2024-01-05"))
    assert (longest.recovered, longest.days) == (None, 3)
    below = [0, 0.25, 0, 6 / 120, 4 / 120, 2 / 120]
    assert stats.drawdown == pytest.approx(below)
    assert stats.risk.average_drawdown == pytest.approx((0.25 + 0.05) / 2)
    assert stats.risk.ulcer_index == pytest.approx((sum(each**2 for each in below) / 6) ** 0.5)


def test_a_loss_at_the_first_step_is_a_drawdown_from_the_start_balance() -> None:
    worst = statistics(result([90, 95])).risk.max_drawdown
    assert worst is not None
    assert worst.fraction == pytest.approx(0.1)
    assert (worst.peak, worst.recovered) == (START, None)


def test_a_drawdown_begins_when_equity_last_stood_at_its_peak() -> None:
    worst = statistics(result([110, 110, 110, 99, 110])).risk.max_drawdown
    assert worst is not None
    assert (worst.peak, worst.days) == (at("2024-01-04"), 2)


def test_a_day_in_twenty_lost_more_than_the_value_at_risk() -> None:
    returns = [-0.05, -0.04, *([0.01] * 19)]
    stats = statistics(result(100 * np.cumprod(1 + np.array(returns))))
    # The 5 % quantile of 21 returns is the second lowest; the shortfall is the mean up to it.
    assert stats.risk.value_at_risk == pytest.approx(0.04)
    assert stats.risk.expected_shortfall == pytest.approx(0.045)


def test_the_bar_that_ends_at_midnight_belongs_to_the_day_and_the_month_that_end() -> None:
    hours = [100.0] * 23 + [110.0] + [110.0] * 23 + [99.0]
    start = at("2024-01-31")
    stats = statistics(result(hours, timeframe=Timeframe.H1, time=every(Timeframe.H1, 48, start)))
    assert stats.daily_returns == pytest.approx([0.1, -0.1])
    assert stats.trading_days.tolist() == [start // DAY, start // DAY + 1]
    assert stats.returns.best_month is not None
    assert stats.returns.best_month.when == "2024-01"
    [year] = stats.monthly_returns
    assert year.months == (pytest.approx(0.1), pytest.approx(-0.1), *([None] * 10))
    assert year.year == 2024
    assert year.total == pytest.approx(-0.01)


def test_months_and_years_compound_from_the_close_before_them() -> None:
    time = np.array([at("2023-12-20"), at("2024-01-01"), at("2024-03-10"), at("2024-03-20")])
    stats = statistics(result([110, 121, 121, 60.5], time=time))
    first, second = stats.monthly_returns
    assert (first.year, second.year) == (2023, 2024)
    assert first.months[11] == pytest.approx(0.21)
    assert first.total == pytest.approx(0.21)
    assert second.months == (None, None, pytest.approx(-0.5), *([None] * 9))
    assert second.total == pytest.approx(-0.5)
    assert stats.returns.worst_month is not None
    assert stats.returns.worst_month.when == "2024-03"


def test_equity_gone_leaves_no_ratio_and_says_so() -> None:
    stats = statistics(result([50, -10, 20, 30]))
    earned = stats.returns
    assert (earned.sharpe, earned.sortino, earned.annual_volatility) == (None, None, None)
    assert earned.net_profit == -70
    assert earned.total_return == pytest.approx(-0.7)
    assert stats.daily_returns.size == 0
    assert stats.risk.max_drawdown is not None
    assert stats.risk.max_drawdown.fraction == pytest.approx(1.1)
    assert "equity_gone" in codes(stats)
    assert "equity_gone" not in codes(statistics(result([50, 60])))
    assert statistics(result([50, 0])).returns.annual_return is None


def test_exposure_is_the_share_of_steps_and_the_gross_value_held_over_equity() -> None:
    day = [START + each * DAY for each in range(5)]
    fills = (
        fill("0.1", "1", time=day[2]),  # held from the second of four steps on
        fill("0.2", "1", time=day[2]),
        fill("0.4", "100", "USD/JPY", day[3] - 5, Side.SELL),
        fill("0.3", "4", time=day[4], side=Side.SELL),
        fill("0.4", "100", "USD/JPY", day[4]),
    )
    prices = {"EUR/USD": [1.0, 2.0, 4.0, 5.0], "USD/JPY": [100.0, 100.0, 80.0, 90.0]}
    stake = statistics(result([1, 1, 2, 1], prices=prices, fills=fills)).exposure
    assert stake.in_market == 0.5
    # Euros: 0.3 x 2 of 1, then 0.3 x 4 of 2. Dollars sold for yen are 0.4 dollars, of 2.
    assert stake.leverage == pytest.approx((0.6 + (1.2 + 0.4) / 2) / 4)
    unknown = statistics(result([1, 1], fills=fills)).exposure
    assert (unknown.in_market, unknown.leverage) == (0.5, None)


def test_leverage_is_of_the_steps_with_equity() -> None:
    held = (fill("10", "1", time=START),)
    stake = statistics(result([10, -10], prices={"EUR/USD": [3.0, 3.0]}, fills=held)).exposure
    assert (stake.in_market, stake.leverage) == (1, 3)


def test_turnover_is_the_value_traded_in_a_year_over_the_mean_equity() -> None:
    stats = statistics(result([100, 100, 200, 100], fills=(fill("50", "1"), fill("100", "4"))))
    assert stats.exposure.turnover == pytest.approx(450 / 120 / (4 / 365.25))


@pytest.mark.parametrize(
    ("prices", "symbol", "value"),
    [
        ({"USD/JPY": [80.0, 100.0]}, "USD/JPY", 10 * 90 / 80),  # yen in dollars, by its own price
        ({"EUR/GBP": [0.8, 0.8], "GBP/USD": [1.25, 1.3]}, "EUR/GBP", 10 * 90 * 1.25),
        (  # yen in francs, and those in dollars
            {"EUR/JPY": [90.0, 95.0], "CHF/JPY": [120.0, 125.0], "USD/CHF": [0.8, 0.9]},
            "EUR/JPY",
            10 * 90 / 120 / 0.8,
        ),
        ({"EUR/GBP": [0.8, 0.8]}, "EUR/GBP", None),  # nothing says what sterling is worth
    ],
)
def test_turnover_is_in_the_currency_of_the_account(
    prices: dict[str, list[float]], symbol: str, value: float | None
) -> None:
    # Filled while the second bar is open: the last price is the close of the first.
    traded = fill("10", "90", symbol, START + DAY + 5)
    stats = statistics(result([100, 100], prices=prices, fills=(traded,)))
    if value is None:
        assert stats.exposure.turnover is None
    else:
        assert stats.exposure.turnover == pytest.approx(value / 100 / (2 / 365.25))


def test_holding_is_measured_from_the_start_balance_and_the_first_price() -> None:
    held = statistics(result([100, 100, 100], prices={"EUR/USD": [1.1, 0.88, 1.21]})).buy_and_hold
    assert held is not None
    assert held.curve == pytest.approx([110, 88, 121])
    assert held.total_return == pytest.approx(0.21)
    assert held.annual_return == pytest.approx(1.21 ** (365.25 / 3) - 1)
    assert held.max_drawdown == pytest.approx(0.2)
    each = np.array([0.1, -0.2, 0.375])
    assert held.sharpe == pytest.approx(each.mean() / each.std(ddof=1) * 252**0.5)


def test_several_symbols_are_held_in_equal_shares() -> None:
    prices = {"EUR/USD": [1.1, 1.2], "USD/JPY": [1.3, 0.6]}
    held = statistics(result([100, 100], prices=prices)).buy_and_hold
    assert held is not None
    assert held.symbols == ("EUR/USD", "USD/JPY")
    assert held.curve == pytest.approx([120, 90])


def test_holding_starts_where_the_run_does_though_prices_were_there_before() -> None:
    whole = result(
        [100, 100],
        prices={"EUR/USD": [1.0, 2.0, 4.0, 3.0]},
        time=every(Timeframe.D1, 2, START + 2 * DAY),
    )
    held = statistics(whole).buy_and_hold
    assert held is not None
    assert held.curve == pytest.approx([200, 150])


@pytest.mark.parametrize("closes", [[], [1.0, float("nan")], [1.0, -1.0]])
def test_holding_is_unknown_where_prices_are(closes: list[float]) -> None:
    assert statistics(result([100, 100], prices={"EUR/USD": closes})).buy_and_hold is None


def test_costs_are_a_share_of_the_profit_before_them() -> None:
    costs = Costs(
        spread=Decimal(2), commission=Decimal(1), slippage=Decimal("0.5"), swap=Decimal("-0.5")
    )
    found = statistics(result([109], costs=costs)).costs
    assert (found.spread, found.commission, found.slippage, found.swap) == (2, 1, 0.5, -0.5)
    assert (found.total, found.before_costs, found.share) == (3, 12, 0.25)
    assert statistics(result([95], costs=costs)).costs.share is None


def test_rejections_are_counted_by_who_and_code_with_the_first_message() -> None:
    found = statistics(
        result(
            [100],
            rejections=(
                rejection("too_large", "first", reduced=True),
                rejection("no_margin", "broke", who="broker"),
                rejection("too_large", "second", reduced=True),
                rejection("too_large", "third"),
            ),
        )
    ).rejections
    assert [(each.who, each.code, each.reduced, each.count, each.example) for each in found] == [
        ("risk", "too_large", True, 2, "first"),
        ("broker", "no_margin", False, 1, "broke"),
        ("risk", "too_large", False, 1, "third"),
    ]


def test_a_run_that_says_little_says_so() -> None:
    assert codes(statistics(result([101], [trade(1)]))) == ["few_trades", "short_run", "one_trade"]


def test_a_run_that_can_be_believed_has_no_caution() -> None:
    whole = result(
        [*([100.0] * 400)],
        [trade(1) for _ in range(30)],
        fills=(fill("1", "1"),),
        costs=Costs(spread=Decimal(1)),
    )
    assert codes(statistics(whole)) == []
    titles = [each.title for each in statistics(whole).rows()]
    assert "Warnings" not in titles


def test_costs_that_nobody_set_are_told() -> None:
    filled = (fill("1", "1"),)
    assert {"no_costs", "no_spread"} <= set(codes(statistics(result([100], fills=filled))))
    commission = Costs(commission=Decimal(1))
    paid = codes(statistics(result([100], fills=filled, costs=commission)))
    assert "no_spread" in paid
    assert "no_costs" not in paid
    quoted = codes(statistics(result([100], fills=filled, costs=commission, spread_in_data=True)))
    assert "no_spread" not in quoted


def test_open_trades_ambiguous_bars_and_a_close_out_are_told() -> None:
    trades = [trade(1), trade(-3, exit_reason="margin_close_out"), trade(7, exit_reason="open")]
    stats = statistics(result([105], trades, ambiguous_bars=6))
    told = {each.code: each.message for each in stats.cautions}
    assert "6 bars" in told["ambiguous_bars"]
    assert "200.0% of the number of trades" in told["ambiguous_bars"]
    assert "1 trade still open" in told["open_trades"]
    assert "7.00" in told["open_trades"]
    assert "1 time." in told["margin_close_out"]
    # A part of a position that was closed out ends no trade.
    part = fill("1", "1", reason=Reason.MARGIN_CLOSE_OUT)
    assert "margin_close_out" in codes(statistics(result([100], fills=(part,))))


def test_one_trade_owes_more_than_half_of_the_profit_or_it_does_not() -> None:
    assert "one_trade" in codes(statistics(result([109], [trade(6), trade(3)])))
    assert "one_trade" not in codes(statistics(result([108], [trade(4), trade(4)])))
    assert "one_trade" not in codes(statistics(result([98], [trade(4), trade(-6)])))


def test_the_dictionary_is_json_with_times_as_text_and_without_arrays() -> None:
    stats = statistics(
        result(
            [120, 90, 120, 110],
            [trade(5)],
            prices={"EUR/USD": [1.1, 1.2]},
            rejections=(rejection("x"),),
        )
    )
    found = stats.to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["period"]["start"] == "2024-01-01T00:00:00Z"
    worst = found["risk"]["max_drawdown"]
    assert (worst["peak"], worst["trough"]) == ("2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z")
    assert worst["recovered"] == "2024-01-04T00:00:00Z"
    assert found["by_symbol"][0]["name"] == "EUR/USD"
    assert found["buy_and_hold"]["total_return"] == pytest.approx(0.2)
    assert {"drawdown", "daily_returns", "trading_days"}.isdisjoint(found)
    assert "curve" not in found["buy_and_hold"]


def test_rows_are_text_under_headings_that_name_the_frequency() -> None:
    stats = statistics(
        result(
            [11_000, 9_900],
            [
                trade(-1000, side="sell"),
                trade(900, exit_reason="stop_loss"),
                trade(1, exit_reason="open"),
            ],
            start_balance=10_000.0,
            rejections=(rejection("too_large", "why", reduced=True),),
        )
    )
    shown = {
        (section.title, row.label): (row.value, row.hint)
        for section in stats.rows()
        for row in section.rows
    }
    assert shown["Return", "Net profit"][0] == "-100.00 USD"
    assert shown["Return", "Total return"][0] == "-1.00%"
    assert shown["Return", "Sharpe"][1].startswith("daily returns")
    assert shown["Risk", "Maximum drawdown"] == (
        "10.00%",
        "peak 2024-01-02 00:00, trough 2024-01-03 00:00, not recovered",
    )
    assert shown["Return", "Best day"] == ("10.00%", "2024-01-01")
    assert shown["Run", "Duration"][0] == "48.0 hours"
    assert shown["Trades", "Open trades"][0] == "1"
    assert shown["Trades", "Trades"] == ("2", "closed: 1 won, 1 lost, 0 even")
    assert shown["By exit", "stop_loss"][0] == "900.00 USD"
    assert shown["Rejected signals", "risk: too_large, made smaller"] == ("1", "why")
    assert shown["Profit per trade", "Expectancy in R"][0] == "\N{EN DASH}"
    assert shown["Warnings", "Few trades"][0].startswith("2 closed trades")
