"""What is held, how it moves together and what became of it: kept, and right at every moment."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.book import AccountBook, Book, Holding, Working
from mtquant.clock import SECOND
from mtquant.contract import Exposure, Sent, Totals, TradeRecord
from mtquant.covariance import Covariance
from mtquant.exchange import Terms, instrument
from mtquant.exposures import Exposures
from mtquant.model import (
    Account,
    Bar,
    Environment,
    Fill,
    OrderStatus,
    PositionMode,
    Quote,
    Side,
    Timeframe,
)
from mtquant.model.arrays import BarArrays
from mtquant.portfolio import MeasuredPortfolio
from mtquant.trades import DAY

D = Decimal
DAY_S = 86_400 * SECOND
SYMBOLS = ("EUR/USD", "USD/JPY", "EUR/GBP", "GBP/USD", "EUR/JPY")
INSTRUMENTS = {symbol: instrument(symbol, Terms()) for symbol in SYMBOLS}


def quote(symbol: str, mid: str) -> Quote:
    return Quote(instrument=symbol, bid=D(mid), ask=D(mid), time=0)


def account(currency: str = "USD") -> Account:
    return Account(
        account_id="a",
        currency=currency,
        environment=Environment.PAPER,
        position_mode=PositionMode.NETTING,
        balance=D(1000),
        equity=D(1000),
        margin_used=D(0),
        margin_available=D(1000),
        time=0,
    )


def opened(home: str = "USD") -> Exposures:
    made = Exposures()
    made.settle(home, INSTRUMENTS)
    return made


# --- exposures -----------------------------------------------------------------------------------

STEP = st.one_of(
    st.tuples(st.just("quote"), st.sampled_from(SYMBOLS), st.integers(1, 300)),
    st.tuples(st.just("hold"), st.sampled_from(SYMBOLS), st.integers(-5, 5)),
    st.tuples(st.just("buy"), st.sampled_from(SYMBOLS), st.integers(0, 3)),
    st.tuples(st.just("sell"), st.sampled_from(SYMBOLS), st.integers(0, 3)),
)


@settings(max_examples=300, deadline=None)
@given(home=st.sampled_from(["USD", "EUR", "JPY"]), steps=st.lists(STEP, max_size=25))
def test_what_is_kept_is_what_would_be_worked_out_afresh(
    home: str, steps: list[tuple[str, str, int]]
) -> None:
    kept = opened(home)
    quotes: dict[str, Quote] = {}
    held: dict[str, int] = {}
    working: dict[tuple[str, str], int] = {}
    for what, symbol, number in steps:
        if what == "quote":
            quotes[symbol] = quote(symbol, str(number))
            kept.quote([quotes[symbol]])
        elif what == "hold":
            held[symbol] = number * 1000
            kept.hold(symbol, D(number * 1000))
        else:
            before = working.get((what, symbol), 0)
            working[what, symbol] = number * 1000
            kept.work(symbol, Side(what), D(number * 1000 - before))
        kept.totals()  # what is asked for between changes nothing

    fresh = opened(home)
    fresh.quote(quotes.values())
    for symbol, quantity in held.items():
        fresh.hold(symbol, D(quantity))
    for (side, symbol), quantity in working.items():
        fresh.work(symbol, Side(side), D(quantity))

    assert by_symbol(kept) == by_symbol(fresh)
    assert told(kept.totals()) == told(fresh.totals()) == told(Totals.of(fresh.all()))
    assert {each.instrument for each in kept.all()} == {
        symbol for symbol in SYMBOLS if kept.at(symbol)
    }


def by_symbol(kept: Exposures) -> dict[str, str]:
    # As text: NaN is not equal to itself.
    return {each.instrument: str(each) for each in kept.all()}


def told(totals: Totals) -> dict[str, object]:
    def text(number: Decimal) -> str:
        return str(number.normalize() + 0)

    sums: dict[str, object] = {
        name: text(getattr(totals, name)) for name in ("gross", "held_margin", "working_margin")
    }
    for name in ("longest", "shortest"):
        sums[name] = {each: text(value) for each, value in getattr(totals, name).items()}
    return sums


def test_a_rate_that_moves_values_again_what_is_quoted_in_its_currency() -> None:
    kept = opened()
    kept.hold("EUR/JPY", D(1000))
    kept.quote([quote("EUR/JPY", "160"), quote("USD/JPY", "100")])
    assert kept.all()[0].notional_rate == D("1.6")
    kept.quote([quote("USD/JPY", "200")])
    assert kept.all()[0].notional_rate == D("0.8")
    assert kept.totals().gross == 800


def test_a_direct_price_takes_the_place_of_a_way_round() -> None:
    kept = opened()
    kept.quote([quote("EUR/GBP", "0.5"), quote("EUR/USD", "1.2")])
    assert kept.rate("GBP") == D("2.4")
    kept.quote([quote("GBP/USD", "1.3")])
    assert kept.rate("GBP") == D("1.3")


def test_orders_on_both_sides_do_not_cancel_out() -> None:
    kept = opened()
    kept.quote([quote("EUR/USD", "1.1")])
    kept.work("EUR/USD", Side.BUY, D(5000))
    kept.work("EUR/USD", Side.SELL, D(3000))
    (each,) = kept.all()
    assert [each.working, each.opposed, each.buying, each.selling] == [2000, 3000, 5000, 3000]
    totals = kept.totals()
    assert [totals.gross, totals.held_margin, totals.working_margin] == [
        8800,
        0,
        8800 * INSTRUMENTS["EUR/USD"].margin_rate,
    ]
    assert totals.longest == {"EUR": 5500, "USD": 3300}
    assert totals.shortest == {"EUR": -3300, "USD": -5500}


def test_euro_dollar_is_long_euros_and_short_dollars() -> None:
    # The worked example of issue 5: a position of EUR/USD stands on both currencies.
    totals = Totals.of(
        [
            Exposure(
                instrument="EUR/USD",
                quantity=D(10_000),
                working=D(0),
                notional_rate=D("1.1"),
                margin_rate=D("0.05"),
                base="EUR",
                quote="USD",
            )
        ]
    )
    assert totals.longest == totals.shortest == {"EUR": 11_000, "USD": -11_000}


def test_what_has_no_price_is_no_number() -> None:
    kept = opened()
    kept.hold("EUR/USD", D(1000))
    assert kept.totals().gross.is_nan()
    kept.quote([quote("EUR/USD", "1.1")])
    assert kept.totals().gross == 1100


def test_an_order_left_out_is_left_out_for_that_look_only() -> None:
    kept = opened()
    kept.quote([quote("EUR/USD", "1.1")])
    kept.work("EUR/USD", Side.BUY, D(5000))
    assert kept.without("EUR/USD", Side.BUY, D(5000)) == ()
    assert kept.totals().gross == 5500


# --- covariance ----------------------------------------------------------------------------------


def walk(symbols: int, count: int) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    common = rng.normal(0, 0.006, (count, 1))
    returns = common + rng.normal(0, 0.004, (count, symbols))
    return pd.DataFrame(np.exp(np.cumsum(returns, axis=0)), columns=list(SYMBOLS[:symbols]))


def feed(covariance: Covariance, prices: pd.DataFrame, start: int = 0) -> None:
    for number, row in enumerate(prices.itertuples(index=False)):
        for symbol, price in zip(prices.columns, row, strict=True):
            covariance.bar(bar(symbol, (start + number + 1) * DAY_S, price))


def bar(symbol: str, time: int, price: float, timeframe: Timeframe = Timeframe.D1) -> Bar:
    return Bar(
        instrument=symbol,
        timeframe=timeframe,
        time=time,
        open=price,
        high=price,
        low=price,
        close=price,
    )


def test_covariances_are_those_of_pandas() -> None:
    prices = walk(4, 400)
    covariance = Covariance(half_life=40)
    feed(covariance, prices)

    returns = np.log(prices).diff().dropna()
    for first in prices.columns:
        for second in prices.columns:
            product = (returns[first] * returns[second]).ewm(halflife=40).mean().iloc[-1]
            power = (returns[first] ** 2).ewm(halflife=40).mean().iloc[-1]
            other = (returns[second] ** 2).ewm(halflife=40).mean().iloc[-1]
            assert covariance.correlation(first, second) == pytest.approx(
                product / math.sqrt(power * other), rel=1e-12
            )
        assert covariance.volatility(first) == pytest.approx(math.sqrt(260 * power), rel=1e-12)


def test_a_return_over_a_hole_counts_as_one_of_so_many_bars() -> None:
    whole, holes = Covariance(half_life=1e6), Covariance(half_life=1e6)
    rng = np.random.default_rng(5)
    price, minute = 1.0, 60 * SECOND
    for number in range(1, 6001):
        price *= math.exp(rng.normal(0, 0.0001))
        whole.bar(bar("EUR/USD", number * minute, price, Timeframe.M1))
        if number % 5 == 0:
            holes.bar(bar("EUR/USD", number * minute, price, Timeframe.M1))
    assert holes.volatility("EUR/USD") == pytest.approx(whole.volatility("EUR/USD"), rel=0.05)


def test_a_weekend_counts_as_a_day() -> None:
    # Two days and more without a bar: one return of 1 %, of 96 quarters of an hour.
    covariance = Covariance(half_life=1e9, least=1)
    covariance.bar(bar("EUR/USD", DAY_S, 1.0, Timeframe.M15))
    covariance.bar(bar("EUR/USD", 4 * DAY_S, math.exp(0.01), Timeframe.M15))
    assert covariance.volatility("EUR/USD") == pytest.approx(0.01 * math.sqrt(260))


def test_a_bar_of_an_hour_counts_for_the_hours_of_a_year() -> None:
    day, hour = Covariance(), Covariance()
    prices = walk(1, 50)["EUR/USD"]
    for number, price in enumerate(prices):
        day.bar(bar("EUR/USD", (number + 1) * DAY_S, price))
        hour.bar(bar("EUR/USD", (number + 1) * DAY_S // 24, price, Timeframe.H1))
    found, expected = hour.volatility("EUR/USD"), day.volatility("EUR/USD")
    assert found is not None
    assert expected is not None
    assert found == pytest.approx(expected * math.sqrt(24), rel=1e-12)


@pytest.mark.parametrize(("bars", "known"), [(20, False), (21, True)])
def test_too_few_returns_are_none(bars: int, known: bool) -> None:  # noqa: FBT001 - a case
    covariance = Covariance()
    feed(covariance, walk(2, bars))
    assert (covariance.volatility("EUR/USD") is not None) is known
    assert (covariance.correlation("EUR/USD", "USD/JPY") is not None) is known
    assert covariance.volatility("GBP/USD") is None
    assert covariance.correlation("GBP/USD", "EUR/USD") is None


def test_a_symbol_that_lacks_bars_is_seen_where_it_has_them() -> None:
    prices = walk(2, 200)
    whole, gaps = Covariance(), Covariance()
    feed(whole, prices[["EUR/USD"]])
    for number, row in enumerate(prices.itertuples(index=False)):
        gaps.bar(bar("EUR/USD", (number + 1) * DAY_S, row[0]))
        if number % 3:
            gaps.bar(bar("USD/JPY", (number + 1) * DAY_S, row[1]))
    assert gaps.volatility("EUR/USD") == pytest.approx(whole.volatility("EUR/USD"))
    assert gaps.correlation("EUR/USD", "USD/JPY") is not None


def test_a_bar_heard_twice_or_late_changes_nothing() -> None:
    prices = walk(2, 60)
    once, twice = Covariance(), Covariance()
    feed(once, prices)
    feed(twice, prices)
    twice.bar(bar("EUR/USD", 60 * DAY_S, 99.0))
    twice.bar(bar("EUR/USD", 5 * DAY_S, 99.0))
    assert twice.volatility("EUR/USD") == once.volatility("EUR/USD")


@pytest.mark.parametrize("price", [0.0, -1.0, math.nan])
def test_a_price_that_is_none_is_left_out(price: float) -> None:
    covariance = Covariance()
    feed(covariance, walk(1, 60))
    before = covariance.volatility("EUR/USD")
    covariance.bar(bar("EUR/USD", 100 * DAY_S, price))
    assert covariance.volatility("EUR/USD") == before


# --- portfolio -----------------------------------------------------------------------------------


def measured(held: dict[str, int]) -> tuple[MeasuredPortfolio, Exposures, Covariance]:
    covariance, exposures = Covariance(), opened()
    feed(covariance, walk(5, 200))
    exposures.quote([quote(symbol, "1") for symbol in SYMBOLS])
    for symbol, quantity in held.items():
        exposures.hold(symbol, D(quantity))
    return MeasuredPortfolio(exposures, covariance), exposures, covariance


@pytest.mark.parametrize(
    ("held", "symbol", "change"),
    [
        ({}, "EUR/USD", 1000),
        ({"EUR/USD": 1000}, "EUR/USD", 500),
        ({"EUR/USD": 1000, "USD/JPY": -2000, "GBP/USD": 700}, "EUR/GBP", -900),
    ],
)
def test_the_deviation_after_an_order_is_that_of_holding_it(
    held: dict[str, int], symbol: str, change: int
) -> None:
    portfolio, exposures, _ = measured(held)
    expected = portfolio.deviation(symbol, float(change))
    exposures.hold(symbol, D(held.get(symbol, 0) + change))
    assert portfolio.deviation() == pytest.approx(expected, rel=1e-9)


def test_the_deviation_is_the_root_of_w_c_w() -> None:
    held = {"EUR/USD": 1000, "USD/JPY": -2000}
    portfolio, _, covariance = measured(held)
    one, two = (covariance.volatility(symbol) for symbol in held)
    both = covariance.correlation(*held)
    assert one is not None
    assert two is not None
    assert both is not None
    expected = (1000 * one) ** 2 + (2000 * two) ** 2 - 2 * both * one * two * 2_000_000
    assert portfolio.deviation() == pytest.approx(math.sqrt(expected))


def test_nothing_held_deviates_by_nothing() -> None:
    assert measured({})[0].deviation() == 0


def test_working_orders_count_where_they_make_it_larger() -> None:
    portfolio, exposures, _ = measured({"EUR/USD": 1000})
    before = portfolio.deviation()
    assert before is not None
    exposures.work("EUR/USD", Side.SELL, D(500))
    assert portfolio.deviation() == pytest.approx(before)
    exposures.work("EUR/USD", Side.BUY, D(1000))
    assert portfolio.deviation() == pytest.approx(2 * before)


def test_what_cannot_be_valued_has_no_deviation() -> None:
    portfolio, exposures, _ = measured({"EUR/USD": 1000})
    exposures.settle("CHF", INSTRUMENTS)
    assert portfolio.deviation() is None
    assert portfolio.deviation("EUR/USD", 5.0) is None


def test_what_has_no_bars_has_no_deviation() -> None:
    exposures = opened()
    exposures.quote([quote("EUR/USD", "1")])
    portfolio = MeasuredPortfolio(exposures, Covariance())
    assert portfolio.deviation() == 0
    assert portfolio.deviation("EUR/USD", 5.0) is None
    exposures.hold("EUR/USD", D(1000))
    assert portfolio.deviation() is None
    assert portfolio.cluster("EUR/USD", Side.BUY, 0.5) is None


def test_a_cluster_is_what_moves_the_same_way() -> None:
    portfolio, _, covariance = measured({"EUR/USD": 1000, "USD/JPY": 2000, "GBP/USD": -4000})
    found = covariance.correlation("EUR/USD", "USD/JPY")
    assert found is not None
    assert 0.5 < found < 0.9
    assert portfolio.cluster("EUR/USD", Side.BUY, 0.5) == 3000
    assert portfolio.cluster("EUR/USD", Side.BUY, 0.95) == 1000
    assert portfolio.cluster("EUR/USD", Side.SELL, 0.5) == 4000


def test_evidence_is_what_the_deviation_follows_from() -> None:
    portfolio, _, _ = measured({"EUR/USD": 1000, "USD/JPY": -2000})
    found = portfolio.evidence("EUR/GBP")
    after = (
        found["deviation"] ** 2
        + 2 * 300 * found["covariance_with_held"]
        + (300 * found["volatility"]) ** 2
    )
    assert portfolio.deviation("EUR/GBP", 300.0) == pytest.approx(math.sqrt(after))
    assert set(found["correlations"]) == {"EUR/USD", "USD/JPY"}


# --- trades --------------------------------------------------------------------------------------


def fill(number: int, side: Side, quantity: int, profit: str = "0", time: int = 0) -> Fill:
    return Fill(
        execution_id=f"E{number}",
        order_id=f"O{number}",
        client_order_id="ours",
        instrument="EUR/USD",
        side=side,
        quantity=D(quantity),
        price=D("1.1"),
        time=time,
        commission=D(1),
        realized_profit=D(profit),
    )


def sent(name: str) -> Sent:
    return Sent(
        time=0,
        client_order_id=name,
        strategy_id=name,
        instrument="EUR/USD",
        side=Side.BUY,
        quantity=D(1000),
    )


def test_a_trade_belongs_to_who_opened_it_and_is_counted_when_flat() -> None:
    book = AccountBook("a", our_ids={"ours"})
    book.note_sent(sent("trend"))
    book.fold(fill(1, Side.BUY, 1000))
    book.note_sent(sent("other"))
    book.fold(fill(2, Side.BUY, 1000))
    book.fold(fill(3, Side.SELL, 500, "30"))
    assert book.trades.records == {}
    assert book.trades.opened_by == {"EUR/USD": "trend"}
    book.fold(fill(4, Side.SELL, 1500, "-10"))
    # 30 - 10 less four commissions of 1
    assert book.trades.records == {"trend": TradeRecord(wins=1, won=D(16))}
    assert [(each.strategy_id, each.profit) for each in book.trades.closed] == [("trend", D(16))]
    assert book.trades.opened_by == {}


def test_a_trade_that_came_to_nothing_counts_as_lost() -> None:
    book = AccountBook("a", our_ids={"ours"})
    for number, profit in enumerate(["2", "-8"]):
        book.note_sent(sent("trend"))
        book.fold(fill(10 * number, Side.BUY, 1000))
        book.fold(fill(10 * number + 1, Side.SELL, 1000, profit, time=number * 2 * DAY))
    assert book.trades.records == {"trend": TradeRecord(losses=2, lost=D(10))}
    assert len(book.trades.closed) == 1  # the other was more than a day ago


def test_what_nobody_opened_is_nobodys() -> None:
    book = AccountBook("a")
    book.holdings["EUR/USD"] = Holding(D(1000), D("1.1"))
    book.note_sent(sent("trend"))
    book.fold(fill(1, Side.SELL, 1000, "5"))
    assert book.trades.records == {}


def test_the_books_accounts_share_one_covariance() -> None:
    book = Book()
    feed(book.covariance, walk(1, 60))
    for name in ("a", "b"):
        made = book.account(name)
        assert made.portfolio is not None
        assert made.portfolio.volatility("EUR/USD") == book.covariance.volatility("EUR/USD")


def test_an_order_that_is_done_works_no_more() -> None:
    book = AccountBook("a")
    book.see(account())
    book.list_instruments(INSTRUMENTS)
    book.price([quote("EUR/USD", "1.1")])
    order = Working(
        client_order_id="c",
        instrument="EUR/USD",
        side=Side.BUY,
        quantity=D(1000),
        opens=True,
        status=OrderStatus.NEW,
    )
    book.work(order)
    book.work(replace(order, client_order_id="d", opens=False))
    assert book.exposures.totals().gross == 1100
    book.done("d")
    book.done("c")
    assert book.exposures.all() == ()


def arrays_of(series: list[Bar]) -> BarArrays:
    columns: dict[str, Any] = {
        name: np.array([getattr(each, name) for each in series], np.float64)
        for name in ("open", "high", "low", "close", "volume")
    }
    times = np.array([each.time for each in series], np.int64)
    return BarArrays(instrument="EUR/USD", timeframe=Timeframe.H1, time=times, **columns)


@given(
    closes=st.lists(st.floats(0.5, 2.0), min_size=2, max_size=60),
    gaps=st.lists(st.integers(1, 4000), min_size=60, max_size=60),
    cut=st.integers(0, 60),
)
def test_a_series_taken_at_once_leaves_what_its_bars_leave(
    closes: list[float], gaps: list[int], cut: int
) -> None:
    hour, time, series = 3600 * SECOND, 0, []
    for close, gap in zip(closes, gaps, strict=False):
        time += gap * hour
        bar = Bar(
            instrument="EUR/USD",
            timeframe=Timeframe.H1,
            time=time,
            open=close,
            high=close,
            low=close,
            close=close,
        )
        series.append(bar)
    one, other = Covariance(half_life=5, least=3), Covariance(half_life=5, least=3)
    for bar in series:
        one.bar(bar)
    arrays = arrays_of(series)
    other.series(arrays.part(0, cut))
    other.series(arrays.part(cut, len(series)))
    assert one.volatility("EUR/USD") == other.volatility("EUR/USD")
    assert one.version == other.version
    foreign = series[-1]._replace(instrument="USD/JPY", time=time + hour)
    for made in (one, other):
        made.bar(series[-1]._replace(time=time + hour))
        made.bar(foreign)
    assert np.array_equal(one.matrix_now(), other.matrix_now(), equal_nan=True)
