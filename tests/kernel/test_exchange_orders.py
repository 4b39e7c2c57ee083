"""The exchange's other order types, times in force, costs, hours, margin, hedging and changes."""

# ruff: noqa: ANN401 - settings and fields of many types

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.clock import SECOND, parse_time
from mtquant.errors import ErrorCode, Refused
from mtquant.exchange import Exchange, ExchangeSettings, Snapshot
from mtquant.exchange.record import PROTECTIVE
from mtquant.model import (
    CashFlow,
    CloseRequest,
    Fill,
    ModifyRequest,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionEffect,
    PositionMode,
    ProtectionRequest,
    Reason,
    Side,
    TimeInForce,
)

EUR, JPY, GBP = "EUR/USD", "USD/JPY", "GBP/USD"
BUY, SELL = Side.BUY, Side.SELL
MONDAY = parse_time("2026-01-05T12:00:00Z")
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
MIDS = {EUR: 1.1, JPY: 150.0, GBP: 1.25}
D = Decimal


def exchange(*symbols: str, **table: Any) -> Exchange:
    """Return an exchange with a spread of one pip, quoted on Monday noon."""
    names = symbols or (EUR,)
    made = Exchange(ExchangeSettings.read(table, "test"), names)
    for symbol in names:
        made.set_quote(symbol, MIDS[symbol], MONDAY)
    made.pass_time(MONDAY)
    return made


def order(name: str = "a", **changes: Any) -> OrderRequest:
    for field in (
        "quantity", "limit_price", "stop_price", "stop_loss", "take_profit", "trailing_stop",
        "max_slippage",
    ):  # fmt: skip
        if field in changes:
            changes[field] = D(str(changes[field]))
    defaults: dict[str, Any] = {
        "client_order_id": name,
        "instrument": EUR,
        "side": BUY,
        "order_type": OrderType.MARKET,
        "quantity": D(10_000),
    }
    return OrderRequest(**(defaults | changes))


def limit(name: str, price: Any, **changes: Any) -> OrderRequest:
    return order(name, order_type=OrderType.LIMIT, limit_price=price, **changes)


def stop(name: str, price: Any, **changes: Any) -> OrderRequest:
    return order(name, order_type=OrderType.STOP, stop_price=price, **changes)


def refused(act: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    return caught.value


def fills(made: Exchange) -> list[Fill]:
    return [each.what for each in made.take_changes() if isinstance(each.what, Fill)]


# --- order types -----------------------------------------------------------------------------


def test_a_stop_limit_rests_as_a_limit_once_its_stop_trades() -> None:
    made = exchange()
    wanted = order(order_type=OrderType.STOP_LIMIT, stop_price="1.105", limit_price="1.1045")
    report = made.place(wanted, MONDAY)
    made.on_bar(EUR, 1.1, 1.106, 1.1, 1.1055, MONDAY + MINUTE)
    triggered = made.orders[report.order_id]
    assert (triggered.status, triggered.warnings) == (OrderStatus.NEW, ("stop price reached",))
    made.on_bar(EUR, 1.1055, 1.106, 1.104, 1.105, MONDAY + 2 * MINUTE)
    assert made.orders[report.order_id].average_price == D("1.1045")


def test_a_stop_limit_that_allows_its_stop_price_fills_there() -> None:
    made = exchange()
    wanted = order(order_type=OrderType.STOP_LIMIT, stop_price="1.105", limit_price="1.1052")
    report = made.place(wanted, MONDAY)
    made.on_bar(EUR, 1.1, 1.106, 1.1, 1.1055, MONDAY + MINUTE)
    assert made.orders[report.order_id].average_price == D("1.105")


def test_a_stop_limit_gapped_over_does_not_chase() -> None:
    made = exchange()
    wanted = order(order_type=OrderType.STOP_LIMIT, stop_price="1.105", limit_price="1.1052")
    report = made.place(wanted, MONDAY)
    made.on_bar(EUR, 1.11, 1.112, 1.109, 1.111, MONDAY + MINUTE)
    assert made.orders[report.order_id].status is OrderStatus.NEW
    made.on_bar(EUR, 1.111, 1.111, 1.104, 1.105, MONDAY + 2 * MINUTE)
    assert made.orders[report.order_id].average_price == D("1.1052")


def test_a_touched_order_waits_before_the_market_and_fills_at_it() -> None:
    made = exchange()
    report = made.place(order(order_type=OrderType.MARKET_IF_TOUCHED, stop_price="1.095"), MONDAY)
    made.on_bar(EUR, 1.1, 1.101, 1.096, 1.097, MONDAY + MINUTE)
    assert made.orders[report.order_id].status is OrderStatus.NEW
    made.on_bar(EUR, 1.097, 1.097, 1.094, 1.095, MONDAY + 2 * MINUTE)
    assert made.orders[report.order_id].average_price == D("1.095")


def test_a_trailing_stop_follows_the_best_price_and_never_steps_back() -> None:
    made = exchange()
    report = made.place(
        order(side=SELL, order_type=OrderType.TRAILING_STOP, trailing_stop="0.01"), MONDAY
    )
    assert report.stop_price == D("1.08995")
    made.on_bar(EUR, 1.1, 1.12, 1.1, 1.118, MONDAY + MINUTE)
    assert made.orders[report.order_id].stop_price == D("1.10995")
    made.on_bar(EUR, 1.118, 1.119, 1.112, 1.113, MONDAY + 2 * MINUTE)
    assert made.orders[report.order_id].stop_price == D("1.10995")
    made.on_bar(EUR, 1.113, 1.114, 1.105, 1.106, MONDAY + 3 * MINUTE)
    assert made.orders[report.order_id].average_price == D("1.10995")


def test_a_trailing_stop_fills_at_its_new_level_where_the_bar_ends_beyond_it() -> None:
    made = exchange()
    report = made.place(
        order(side=SELL, order_type=OrderType.TRAILING_STOP, trailing_stop="0.01"), MONDAY
    )
    made.on_bar(EUR, 1.1, 1.13, 1.1, 1.115, MONDAY + MINUTE)
    assert made.orders[report.order_id].average_price == D("1.11995")


def test_a_trailing_stop_at_a_position_closes_it_and_cancels_its_target() -> None:
    made = exchange()
    made.place(order(trailing_stop="0.01", take_profit="1.2"), MONDAY)
    made.on_bar(EUR, 1.1, 1.12, 1.1, 1.119, MONDAY + MINUTE)
    made.on_bar(EUR, 1.119, 1.119, 1.1, 1.101, MONDAY + 2 * MINUTE)
    assert made.positions() == []
    ended = {each.reason: each.status for each in made.orders.values() if each.reason}
    assert ended == {
        Reason.TRAILING_STOP: OrderStatus.FILLED,
        Reason.TAKE_PROFIT: OrderStatus.CANCELED,
    }


@pytest.mark.parametrize(
    ("side", "price", "told"),
    [(BUY, "1.1", "below the ask"), (BUY, "1.2", "below"), (SELL, "1.05", "above the bid")],
)
def test_a_touched_order_on_the_wrong_side_is_refused(side: Side, price: str, told: str) -> None:
    wanted = order(side=side, order_type=OrderType.MARKET_IF_TOUCHED, stop_price=price)
    if price == "1.1":
        wanted = order(side=side, order_type=OrderType.MARKET_IF_TOUCHED, stop_price="1.10005")
    refusal = refused(lambda: exchange().place(wanted, MONDAY))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID_PRICE, "stop_price")
    assert told in refusal.message


# --- time in force ---------------------------------------------------------------------------


def test_a_dated_order_expires_on_its_date() -> None:
    made = exchange()
    wanted = limit("a", "1.05", time_in_force=TimeInForce.GTD, expire_time=MONDAY + HOUR)
    report = made.place(wanted, MONDAY)
    made.pass_time(MONDAY + HOUR - 1)
    assert made.orders[report.order_id].status is OrderStatus.NEW
    made.pass_time(MONDAY + HOUR)
    ended = made.orders[report.order_id]
    assert (ended.status, ended.reason) == (OrderStatus.EXPIRED, Reason.TIME_EXPIRED)


@pytest.mark.parametrize(
    ("placed", "ends"),
    [
        ("2026-01-05T12:00:00Z", "2026-01-05T22:00:00Z"),  # 17:00 in New York, in winter
        ("2026-07-06T12:00:00Z", "2026-07-06T21:00:00Z"),  # in summer
        ("2026-01-05T22:30:00Z", "2026-01-06T22:00:00Z"),  # the next day has begun
        ("2026-01-09T22:30:00Z", "2026-01-12T22:00:00Z"),  # Friday evening: until Monday
    ],
)
def test_a_day_order_ends_with_the_trading_day(placed: str, ends: str) -> None:
    made, end = exchange(), parse_time(ends)
    made.pass_time(parse_time(placed))
    report = made.place(limit("a", "1.05", time_in_force=TimeInForce.DAY), parse_time(placed))
    made.pass_time(end - SECOND)
    assert made.orders[report.order_id].status is OrderStatus.NEW
    made.pass_time(end)
    assert made.orders[report.order_id].status is OrderStatus.EXPIRED


def test_an_expired_order_does_not_fill_in_the_bar_that_ends_after_it() -> None:
    made = exchange()
    wanted = limit("a", "1.05", time_in_force=TimeInForce.GTD, expire_time=MONDAY + 30 * SECOND)
    made.place(wanted, MONDAY)
    made.on_bar(EUR, 1.1, 1.1, 1.0, 1.05, MONDAY + MINUTE)
    assert fills(made) == []


# --- partial fills ---------------------------------------------------------------------------


def test_what_does_not_fit_fills_at_the_next_prices() -> None:
    made = exchange(liquidity="4000")
    made.on_quote(EUR, D("1.09995"), D("1.10005"), MONDAY)
    report = made.place(order(quantity=10_000), MONDAY)
    assert (report.status, report.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, D(4000))
    assert report.remaining_quantity == D(6000)
    made.on_quote(EUR, D("1.10995"), D("1.11005"), MONDAY + SECOND)
    made.on_quote(EUR, D("1.11995"), D("1.12005"), MONDAY + 2 * SECOND)
    done = made.orders[report.order_id]
    assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, D(10_000))
    # 0.4 x 1.10005 + 0.4 x 1.11005 + 0.2 x 1.12005
    assert done.average_price == D("1.10805")
    assert sum(each.quantity for each in done.fills) == D(10_000)
    (position,) = made.positions()
    assert (position.quantity, position.average_price) == (D(10_000), D("1.10805"))


def test_immediate_or_cancel_takes_what_is_there_and_no_more() -> None:
    made = exchange(liquidity="4000")
    made.on_quote(EUR, D("1.09995"), D("1.10005"), MONDAY)
    report = made.place(order(time_in_force=TimeInForce.IOC), MONDAY)
    assert (report.status, report.reason) == (OrderStatus.CANCELED, Reason.NOT_FILLABLE)
    assert (report.filled_quantity, report.remaining_quantity) == (D(4000), D(0))


def test_fill_or_kill_takes_all_or_nothing() -> None:
    made = exchange(liquidity="4000")
    made.on_quote(EUR, D("1.09995"), D("1.10005"), MONDAY)
    report = made.place(order(time_in_force=TimeInForce.FOK), MONDAY)
    assert (report.status, report.filled_quantity) == (OrderStatus.CANCELED, D(0))
    whole = made.place(order("b", time_in_force=TimeInForce.FOK, quantity=4000), MONDAY)
    assert whole.status is OrderStatus.FILLED


def test_a_stop_loss_larger_than_the_market_closes_over_several_prices() -> None:
    made = exchange(liquidity="4000")
    made.on_quote(EUR, D("1.09995"), D("1.10005"), MONDAY, size=D(10_000))
    made.place(order(stop_loss="1.09", take_profit="1.2"), MONDAY)
    for second in range(1, 4):
        made.on_quote(EUR, D("1.08995"), D("1.09005"), MONDAY + second * SECOND)
    assert made.positions() == []
    closing = [each for each in fills(made) if each.reason is Reason.STOP_LOSS]
    assert [each.quantity for each in closing] == [D(4000), D(4000), D(2000)]
    assert all(each.status.terminal for each in made.orders.values())


# --- costs -----------------------------------------------------------------------------------


def test_the_four_commissions_add_up() -> None:
    made = exchange(
        commission_per_million="30",
        commission_per_unit="0.0001",
        commission_per_trade="2",
        commission_rate="0.0005",
    )
    made.place(order(quantity=100_000), MONDAY)
    (fill,) = fills(made)
    # notional 110,005: 30 x 0.110005 + 0.0001 x 100,000 + 2 + 0.0005 x 110,005 = 70.30265
    assert fill.commission == D("70.3026")
    assert made.balance == D(100_000) - fill.commission


def test_a_slip_is_never_in_our_favour_and_repeats_from_its_seed() -> None:
    def prices(seed: int) -> list[Decimal]:
        made = exchange(slippage_pips="0.5", slippage_random_pips="2", seed=seed)
        for number in range(20):
            made.place(order(f"b{number}", side=BUY if number % 2 else SELL), MONDAY)
        return [each.price for each in fills(made)]

    first = prices(1)
    assert first == prices(1)
    assert first != prices(2)
    assert all(each <= D("1.09995") - D("0.00005") for each in first[::2])
    assert all(each >= D("1.10005") + D("0.00005") for each in first[1::2])
    assert len(set(first)) > 5


def test_a_slip_inside_a_bar_stays_in_it_and_a_limit_never_slips() -> None:
    made = exchange(slippage_pips="100")
    made.place(stop("s", "1.105"), MONDAY)
    made.place(limit("l", "1.095"), MONDAY)
    made.on_bar(EUR, 1.1, 1.106, 1.094, 1.1, MONDAY + MINUTE)
    assert {each.client_order_id: each.price for each in fills(made)} == {
        "s": D("1.10605"),
        "l": D("1.095"),
    }


def test_what_would_slip_too_far_is_cancelled() -> None:
    made = exchange(slippage_pips="3")
    report = made.place(order(max_slippage="0.0002"), MONDAY)
    assert (report.status, report.reason) == (OrderStatus.CANCELED, Reason.MAX_SLIPPAGE)
    assert made.place(order("b", max_slippage="0.0003"), MONDAY).status is OrderStatus.FILLED
    gapped = made.place(stop("c", "1.105", max_slippage="0.001"), MONDAY)
    made.on_bar(EUR, 1.11, 1.11, 1.11, 1.11, MONDAY + MINUTE)
    assert made.orders[gapped.order_id].reason is Reason.MAX_SLIPPAGE


@pytest.mark.parametrize(
    ("currency", "swap", "nights", "earned"),
    [
        # 100,000 EUR/USD long at -0.8 pips: 100,000 x -0.00008 = -8 USD a night
        ("USD", {"swap_long": "-0.8"}, 1, "-8"),
        # Monday to Friday noon: Mon, Tue, Wed (three times), Thu = 6 nights
        ("USD", {"swap_long": "-0.8"}, 4, "-48"),
        # in euros, at the mid of 1.1: 8 / 1.1
        ("EUR", {"swap_long": "-0.8"}, 1, "-7.2727"),
        # in yen, over USD/JPY at 150
        ("JPY", {"swap_long": "-0.8"}, 1, "-1200"),
        # 3.65 % a year of 110,000 USD: 11 USD a night
        ("USD", {"swap_long": "-0.0365", "swap_unit": "annual_rate"}, 1, "-11"),
    ],
)
def test_swaps_by_hand(currency: str, swap: dict[str, str], nights: int, earned: str) -> None:
    made = exchange(EUR, JPY, currency=currency, balance="10000000", **swap)
    made.place(order(quantity=100_000), MONDAY)
    before = made.balance
    made.pass_time(MONDAY + nights * DAY)
    assert made.balance - before == D(earned)
    assert made.positions()[0].swap == D(earned)


def test_no_swap_falls_due_on_a_weekend() -> None:
    made = exchange(swap_long="-1")
    friday = parse_time("2026-01-09T21:59:00Z")
    made.pass_time(friday)
    made.place(order(), friday)
    made.pass_time(friday + MINUTE)
    after_friday = made.balance
    made.pass_time(parse_time("2026-01-12T21:59:00Z"))
    assert made.balance == after_friday
    made.pass_time(parse_time("2026-01-12T22:00:00Z"))
    assert made.balance < after_friday


# --- money in three currencies, by hand ------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "profit", "margin"),
    [
        # Bought 100,000 at 1.10005, closed at 1.10995: 0.0099 x 100,000 = 990 USD.
        # Margin before: 100,000 x 1.1 x 0.05 = 5,500 USD.
        ("USD", "990", "5500"),
        # At the mid of the moment: 990 / 1.11 = 891.8919; 5,500 / 1.1 = 5,000.
        ("EUR", "891.8919", "5000"),
        # At USD/JPY 150: 990 x 150; 5,500 x 150.
        ("JPY", "148500", "825000"),
    ],
)
def test_profit_and_margin_by_hand(currency: str, profit: str, margin: str) -> None:
    made = exchange(EUR, JPY, currency=currency, balance="10000000", margin_rate="0.05")
    made.place(order(quantity=100_000), MONDAY)
    assert made.account(MONDAY).margin_used == D(margin)
    made.set_quote(EUR, 1.11, MONDAY + MINUTE)
    assert made.positions()[0].unrealized_profit == D(profit)
    made.close(CloseRequest(client_order_id="c", instrument=EUR), MONDAY + MINUTE)
    assert made.balance == D(10_000_000) + D(profit)


def test_margin_is_that_of_the_class_unless_the_symbol_has_its_own() -> None:
    table = {"margin_rates": {"forex": "0.02"}, "instruments": {GBP: {"margin_rate": "0.1"}}}
    made = exchange(EUR, GBP, **table)
    assert made.instruments[EUR].margin_rate == D("0.02")
    assert made.instruments[GBP].margin_rate == D("0.1")


def test_close_out_at_its_level_takes_the_largest_loss_first() -> None:
    # 5,000 USD of equity carry 100,000 of each: margin 5,500 + 6,250 at a twentieth... at 2 %
    made = exchange(EUR, GBP, balance="5000", margin_rate="0.02", close_out_level="0.5")
    made.place(order("e", quantity=100_000), MONDAY)
    made.place(order("g", quantity=100_000, instrument=GBP), MONDAY)
    made.set_quote(GBP, 1.245, MONDAY + SECOND)  # the pound has lost 500
    # margin 2,200 + 2,490: half is 2,345. The equity is at 5,000 - 10 - 505 - 100,000 x fall.
    made.on_quote(EUR, D("1.08"), D("1.0801"), MONDAY + 2 * SECOND)  # 2,005 lost: 2,490 left
    assert len(made.positions()) == 2
    made.on_quote(EUR, D("1.078"), D("1.0781"), MONDAY + 3 * SECOND)  # 2,205 lost: 2,290 left
    (left,) = made.positions()
    assert left.instrument == GBP
    (closing,) = [each for each in fills(made) if each.reason is Reason.MARGIN_CLOSE_OUT]
    assert (closing.instrument, closing.price) == (EUR, D("1.078"))


def test_at_the_margin_call_no_new_risk_is_taken_and_closing_goes_on() -> None:
    made = exchange(balance="5000", margin_rate="0.02", margin_call_level="2")
    made.place(order(quantity=100_000), MONDAY)
    made.on_quote(EUR, D("1.093"), D("1.0931"), MONDAY + SECOND)  # 4,295 over 2,186
    assert made.account(MONDAY).margin_call
    refusal = refused(lambda: made.place(order("b", quantity=1000), MONDAY + SECOND))
    assert refusal.code is ErrorCode.INSUFFICIENT_MARGIN
    made.close(CloseRequest(client_order_id="c", instrument=EUR), MONDAY + SECOND)
    assert made.positions() == []


# --- hours and distances ---------------------------------------------------------------------

WEEK = {"sessions": ["sun 17:00 - fri 17:00"]}


@pytest.mark.parametrize(
    ("time", "is_open"),
    [
        ("2026-01-05T12:00:00Z", True),
        ("2026-01-09T21:59:00Z", True),
        ("2026-01-09T22:00:00Z", False),
        ("2026-01-10T12:00:00Z", False),
        ("2026-01-11T21:59:00Z", False),
        ("2026-01-11T22:00:00Z", True),
        ("2026-07-10T21:00:00Z", False),  # in summer the week ends an hour earlier
    ],
)
def test_the_market_is_closed_on_weekends(time: str, *, is_open: bool) -> None:
    made = exchange(**WEEK)
    now = parse_time(time)
    made.pass_time(now)
    if is_open:
        assert made.place(order(), now).status is OrderStatus.FILLED
        return
    assert refused(lambda: made.place(order(), now)).code is ErrorCode.MARKET_CLOSED
    assert made.place(limit("b", "1.05"), now).status is OrderStatus.NEW


@pytest.mark.parametrize("text", ["sun 17:00", "xyz 17:00 - fri 17:00", "sun 25:00 - fri 17:00"])
def test_a_session_that_cannot_be_read_is_refused(text: str) -> None:
    from mtquant.errors import ConfigError  # noqa: PLC0415 - only here

    with pytest.raises(ConfigError, match=r"session|time of day"):
        exchange(sessions=[text])


def test_pending_and_protective_prices_keep_their_distance() -> None:
    made = exchange(minimum_stop_pips="10")
    for near, field in (
        (stop("a", "1.1009"), "stop_price"),
        (limit("b", "1.0995"), "limit_price"),
        (order("c", stop_loss="1.0995"), "stop_loss"),
        (order("d", take_profit="1.1005"), "take_profit"),
        (order("e", trailing_stop="0.0009"), "trailing_stop"),
    ):
        refusal = refused(lambda near=near: made.place(near, MONDAY))
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID_PRICE, field)
        assert "0.001" in refusal.message
    assert made.place(order("f", stop_loss="1.098"), MONDAY).status is OrderStatus.FILLED


# --- bars of bid and ask, ticks, ambiguity ---------------------------------------------------


def test_bid_and_ask_bars_fill_each_side_at_its_own_prices() -> None:
    made = exchange()
    made.place(stop("b", "1.105"), MONDAY)
    made.place(stop("s", "1.095", side=SELL), MONDAY)
    bid, ask = (1.1, 1.1045, 1.0955, 1.1), (1.1003, 1.1049, 1.0958, 1.1003)
    made.on_sides(EUR, bid, ask, MONDAY + MINUTE)
    assert fills(made) == []
    bid, ask = (1.1, 1.1045, 1.0949, 1.1), (1.1003, 1.1051, 1.0952, 1.1003)
    made.on_sides(EUR, bid, ask, MONDAY + 2 * MINUTE)
    assert {each.side: each.price for each in fills(made)} == {BUY: D("1.105"), SELL: D("1.095")}


def test_a_crossed_bar_is_no_free_money() -> None:
    made = exchange()
    made.on_sides(EUR, (1.1002,) * 4, (1.1000,) * 4, MONDAY + MINUTE)
    assert (made.quotes[EUR].bid, made.quotes[EUR].ask) == (D("1.1"), D("1.1002"))


def test_ambiguous_bars_are_counted_and_ticks_never_are() -> None:
    made = exchange()
    made.place(order(stop_loss="1.09", take_profit="1.11"), MONDAY)
    made.on_bar(EUR, 1.1, 1.105, 1.095, 1.1, MONDAY + MINUTE)
    assert made.ambiguous_bars == 0
    made.on_bar(EUR, 1.1, 1.12, 1.08, 1.1, MONDAY + 2 * MINUTE)
    assert made.ambiguous_bars == 1
    closing = [each for each in fills(made) if each.reason]
    assert [each.reason for each in closing] == [Reason.STOP_LOSS]  # the adverse comes first
    made.place(order("b", stop_loss="1.09", take_profit="1.11"), MONDAY + 2 * MINUTE)
    made.on_quote(EUR, D("1.08"), D("1.0801"), MONDAY + 3 * MINUTE)
    assert made.ambiguous_bars == 1


# --- hedging ---------------------------------------------------------------------------------


def hedging(**table: Any) -> Exchange:
    return exchange(position_mode="hedging", **table)


def test_each_order_is_a_ticket_and_a_close_names_one() -> None:
    made = hedging()
    for name, side in (("a", BUY), ("b", SELL), ("c", BUY)):
        made.place(order(name, side=side), MONDAY)
    one, two, three = (each.position_id for each in made.positions())
    assert len({one, two, three}) == 3
    refusal = refused(lambda: made.close(CloseRequest(client_order_id="x", instrument=EUR), MONDAY))
    assert one in refusal.message
    made.close(CloseRequest(client_order_id="y", position_id=two), MONDAY)
    assert [each.position_id for each in made.positions()] == [one, three]
    made.close(CloseRequest(client_order_id="z", position_id=one, quantity=D(4000)), MONDAY)
    assert [each.quantity for each in made.positions()] == [D(6000), D(10_000)]


def test_of_hedged_tickets_the_larger_side_binds_margin() -> None:
    made = hedging(margin_rate="0.05")
    made.place(order("a", quantity=100_000), MONDAY)
    assert made.account(MONDAY).margin_used == D(5500)
    made.place(order("b", side=SELL, quantity=60_000), MONDAY)
    assert made.account(MONDAY).margin_used == D(5500)


def test_reduce_only_means_nothing_there_and_is_refused() -> None:
    made = hedging()
    made.place(order(), MONDAY)
    for wanted in (
        order("b", side=SELL, reduce_only=True),
        order("c", side=SELL, position_effect=PositionEffect.CLOSE),
    ):
        refusal = refused(lambda wanted=wanted: made.place(wanted, MONDAY))
        assert refusal.code is ErrorCode.UNSUPPORTED
        assert "close_position" in refusal.message


def test_protections_belong_to_their_ticket() -> None:
    made = hedging()
    made.place(order("a", stop_loss="1.09"), MONDAY)
    made.place(order("b", stop_loss="1.08"), MONDAY)
    made.on_bar(EUR, 1.1, 1.1, 1.085, 1.086, MONDAY + MINUTE)
    (left,) = made.positions()
    assert left.stop_loss == D("1.08")
    working = [each for each in made.orders.values() if not each.status.terminal]
    assert [each.position_id for each in working] == [left.position_id]


def test_first_in_first_out() -> None:
    made = hedging(fifo=True)
    made.place(order("a"), MONDAY)
    made.place(order("b"), MONDAY)
    first, second = (each.position_id for each in made.positions())
    close = CloseRequest(client_order_id="x", position_id=second)
    refusal = refused(lambda: made.close(close, MONDAY))
    assert first in refusal.message
    made.close(CloseRequest(client_order_id="y", position_id=first), MONDAY)
    made.close(CloseRequest(client_order_id="z", position_id=second), MONDAY)
    assert made.positions() == []


# --- effects, changes, previews --------------------------------------------------------------


def test_an_order_may_only_open_or_only_close() -> None:
    made = exchange()
    made.place(order("a", position_effect=PositionEffect.OPEN), MONDAY)
    only_opens = order("b", side=SELL, position_effect=PositionEffect.OPEN)
    assert refused(lambda: made.place(only_opens, MONDAY)).code is ErrorCode.CONFLICT
    closes = order("c", side=SELL, position_effect=PositionEffect.CLOSE)
    assert made.place(closes, MONDAY).status is OrderStatus.FILLED
    assert made.positions() == []


def test_a_resting_order_that_may_only_open_is_cancelled_when_it_would_close() -> None:
    made = exchange()
    rests = made.place(limit("a", "1.12", side=SELL, position_effect=PositionEffect.OPEN), MONDAY)
    made.place(order("b"), MONDAY)
    made.on_bar(EUR, 1.1, 1.13, 1.1, 1.12, MONDAY + MINUTE)
    assert made.orders[rests.order_id].status is OrderStatus.CANCELED
    assert len(made.positions()) == 1


def test_a_resting_reduce_only_order_closes_no_more_than_is_left() -> None:
    made = exchange()
    made.place(order("a"), MONDAY)
    rests = made.place(limit("b", "1.12", side=SELL, reduce_only=True), MONDAY)
    made.place(order("c", side=SELL, quantity=4000), MONDAY)
    made.on_bar(EUR, 1.1, 1.13, 1.1, 1.12, MONDAY + MINUTE)
    assert made.positions() == []
    ended = made.orders[rests.order_id]
    assert (ended.filled_quantity, ended.status) == (D(6000), OrderStatus.CANCELED)
    assert ended.reason is Reason.POSITION_CLOSED


def test_a_change_keeps_what_it_leaves_out() -> None:
    made = exchange()
    placed = made.place(limit("a", "1.05", stop_loss="1.04", take_profit="1.2"), MONDAY)
    changed = made.modify(
        ModifyRequest(client_order_id="m", order_id=placed.order_id, limit_price=D("1.06")),
        MONDAY,
    )
    assert (changed.limit_price, changed.quantity) == (D("1.06"), placed.quantity)
    assert (changed.stop_loss, changed.take_profit) == (D("1.04"), D("1.2"))
    cleared = made.modify(
        ModifyRequest(client_order_id="n", order_id=placed.order_id, stop_loss=None), MONDAY
    )
    assert (cleared.stop_loss, cleared.take_profit) == (None, D("1.2"))
    made.on_bar(EUR, 1.1, 1.1, 1.055, 1.06, MONDAY + MINUTE)
    (position,) = made.positions()
    assert (position.stop_loss, position.take_profit) == (None, D("1.2"))


def test_a_limit_changed_to_beyond_the_market_fills() -> None:
    made = exchange()
    placed = made.place(limit("a", "1.05"), MONDAY)
    change = ModifyRequest(client_order_id="m", order_id=placed.order_id, limit_price=D("1.2"))
    filled = made.modify(change, MONDAY)
    assert (filled.status, filled.average_price) == (OrderStatus.FILLED, D("1.10005"))


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"quantity": D(1500)}, "invalid_quantity", "quantity"),
        ({"limit_price": D("1.0500001")}, "invalid_price", "limit_price"),
        ({"stop_price": D("1.2")}, "invalid_argument", "stop_price"),
        ({"time_in_force": TimeInForce.GTD}, "invalid_argument", "expire_time"),
        ({"stop_loss": D("1.06")}, "invalid_price", "stop_loss"),
    ],
    ids=["quantity", "grid", "stop", "gtd", "protection"],
)
def test_a_wrong_change_is_refused_and_changes_nothing(
    change: dict[str, Any], code: str, field: str
) -> None:
    made = exchange()
    placed = made.place(limit("a", "1.05"), MONDAY)
    request = ModifyRequest(client_order_id="m", order_id=placed.order_id, **change)
    refusal = refused(lambda: made.modify(request, MONDAY))
    assert (refusal.code, refusal.field) == (ErrorCode(code), field)
    assert made.orders[placed.order_id] == placed


def test_protections_are_moved_cleared_and_refused() -> None:
    made = exchange()
    made.place(order(stop_loss="1.09", take_profit="1.12"), MONDAY)

    def protect(**changes: Any) -> Any:
        return made.protect(
            ProtectionRequest(client_order_id="p", position_id=EUR, **changes), MONDAY
        )

    moved = protect(stop_loss=D("1.095"))
    assert (moved.stop_loss, moved.take_profit) == (D("1.095"), D("1.12"))
    assert protect(take_profit=None).take_profit is None
    assert refused(lambda: protect(stop_loss=D("1.2"))).field == "stop_loss"
    working = {each.reason: each for each in made.orders.values() if not each.status.terminal}
    assert set(working) == {Reason.STOP_LOSS}
    assert working[Reason.STOP_LOSS].stop_price == D("1.095")


def test_a_preview_tells_cost_and_loss_and_changes_nothing() -> None:
    made = exchange(commission_per_million="20", margin_rate="0.05")
    wanted = order(quantity=100_000, stop_loss="1.09")
    before = (made.seq, made.numbered, made.balance)
    preview = made.preview(wanted, MONDAY)
    assert (made.seq, made.numbered, made.balance) == before
    assert preview.price == D("1.10005")
    assert preview.notional == D("110005")
    assert preview.margin_required == D("5500")
    assert preview.commission == D("2.2001")
    assert preview.spread_cost == D("5")  # half the spread of a pip on 100,000
    # 100,000 x (1.10005 - 1.09) and two commissions
    assert preview.loss_at_stop == D("1005") + 2 * D("2.2001")
    placed = made.place(wanted, MONDAY)
    assert placed.fees == preview.commission
    assert made.account(MONDAY).margin_used == preview.margin_required


# --- conservation over random histories of everything ----------------------------------------

ACTIONS = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from([EUR, JPY]),
        st.sampled_from(Side),
        st.sampled_from(OrderType),
        st.sampled_from(TimeInForce),
        st.integers(1, 30),
        st.integers(-300, 300),
        st.sampled_from([None, 50, 200]),
        st.sampled_from([None, 50, 200]),
        st.sampled_from([None, 80]),
    ),
    st.tuples(
        st.just("bar"), st.sampled_from([EUR, JPY]), *[st.integers(-400, 400) for _ in range(4)]
    ),
    st.tuples(st.just("tick"), st.sampled_from([EUR, JPY]), st.integers(-400, 400)),
    st.tuples(st.just("close"), st.integers(0, 5), st.sampled_from([None, 1, 3])),
    st.tuples(st.just("cancel"), st.integers(1, 12)),
    st.tuples(st.just("modify"), st.integers(1, 12), st.integers(1, 30), st.integers(-300, 300)),
    st.tuples(st.just("time"), st.integers(1, 48)),
)
TICK = {EUR: D("0.00001"), JPY: D("0.001")}
BASE = {EUR: 110_000, JPY: 150_000}


def price(symbol: str, away: int) -> Decimal:
    return (BASE[symbol] + away) * TICK[symbol]


def act(made: Exchange, number: int, action: tuple[Any, ...]) -> None:
    now = made.time
    match action:
        case ("place", symbol, side, kind, tif, thousands, away, loss, profit, trail):
            at = price(symbol, away)
            guard = TICK[symbol] * side.sign
            wants_stop = kind in (
                OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED,
            )  # fmt: skip
            made.place(
                OrderRequest(
                    client_order_id=f"c{number}",
                    instrument=symbol,
                    side=side,
                    order_type=kind,
                    quantity=D(thousands * 1000),
                    time_in_force=tif,
                    expire_time=now + DAY if tif is TimeInForce.GTD else None,
                    limit_price=at if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
                    stop_price=at if wants_stop else None,
                    stop_loss=None if loss is None else at - guard * (loss + 350),
                    take_profit=None if profit is None else at + guard * (profit + 350),
                    trailing_stop=TICK[symbol] * trail
                    if trail
                    else (TICK[symbol] * 100 if kind is OrderType.TRAILING_STOP else None),
                ),
                now,
            )
        case ("bar", symbol, *aways):
            opened, one, two, closed = (float(price(symbol, each)) for each in aways)
            top, low = max(opened, one, two, closed), min(opened, one, two, closed)
            made.on_bar(symbol, opened, top, low, closed, now + MINUTE)
        case ("tick", symbol, away):
            bid = price(symbol, away)
            made.on_quote(symbol, bid, bid + 10 * TICK[symbol], now + SECOND)
        case ("close", index, thousands):
            held = made.positions()
            if index < len(held):
                quantity = None if thousands is None else D(thousands * 1000)
                request = CloseRequest(
                    client_order_id=f"c{number}",
                    position_id=held[index].position_id,
                    quantity=quantity,
                )
                made.close(request, now)
        case ("cancel", index):
            made.cancel(f"O{index}", now)
        case ("modify", index, thousands, away):
            report = made.orders.get(f"O{index}")
            if report is not None:
                priced = report.limit_price and price(report.instrument, away)
                made.modify(
                    ModifyRequest(
                        client_order_id=f"c{number}",
                        order_id=f"O{index}",
                        quantity=D(thousands * 1000),
                        limit_price=priced,
                    ),
                    now,
                )
        case ("time", hours):
            made.pass_time(now + hours * HOUR)


def test_a_trailing_stop_that_closes_a_position_ends_the_other_that_the_bar_reached() -> None:
    made = exchange()
    own = order("b", side=SELL, order_type=OrderType.TRAILING_STOP, trailing_stop="0.0010")
    made.place(own, MONDAY)
    made.place(order(trailing_stop="0.0010"), MONDAY)
    mid = MIDS[EUR]
    # Up first, so that both follow; the end lies beyond where they have come to stand.
    made.on_bar(EUR, mid, mid + 0.0050, mid, mid + 0.0010, MONDAY + MINUTE)
    assert not made.positions()
    ended = sorted(each.status.value for each in made.orders.values())
    assert ended == ["canceled", "filled", "filled"]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(ACTIONS, min_size=20, max_size=60),
    st.sampled_from(PositionMode),
    st.sampled_from([None, "7000"]),
    st.sampled_from(["100000", "300"]),
)
def test_money_positions_and_orders_are_conserved(
    history: list[tuple[Any, ...]], mode: PositionMode, liquidity: str | None, balance: str
) -> None:
    table: dict[str, Any] = {
        "position_mode": mode,
        "liquidity": liquidity,
        "balance": balance,
        "commission_per_trade": "0.5",
        "slippage_random_pips": "1",
        "swap_long": "-0.3",
        "swap_short": "0.1",
    }
    made = exchange(EUR, JPY, **{key: each for key, each in table.items() if each is not None})
    booked, swaps = D(balance), D(0)
    held: dict[str, Decimal] = defaultdict(D)
    ended: set[str] = set()
    closed_by: dict[str, set[Reason]] = defaultdict(set)
    seq = 0
    for number, action in enumerate(history):
        before = made.balance
        with suppress(Refused):
            act(made, number, action)
        changes = made.take_changes()
        gained = paid = D(0)
        for change in changes:
            seq += 1
            assert change.seq == seq
            what = change.what
            if isinstance(what, Fill):
                assert what.order_id not in ended
                held[what.instrument] += what.side.sign * what.quantity
                gained += what.realized_profit - what.commission
                report = made.orders[what.order_id]
                if report.limit_price is not None:
                    assert what.side.sign * (report.limit_price - what.price) >= 0
                if what.reason is not None:
                    closed_by[str(what.position_id)].add(what.reason)
            elif isinstance(what, CashFlow):
                paid += what.amount
            elif what.status.terminal:
                assert what.order_id not in ended
                ended.add(what.order_id)
            else:
                assert what.quantity == what.filled_quantity + what.remaining_quantity
        booked += gained
        swaps += paid
        assert made.balance == before + gained + paid
        check(made, held)
    assert made.balance == booked + swaps
    again = exchange(EUR, JPY, **{key: each for key, each in table.items() if each is not None})
    again.quotes.update(made.quotes)
    again.restore(
        Snapshot(
            balance=made.balance,
            seq=made.seq,
            numbered=made.numbered,
            orders=list(made.orders.values()),
            positions=made.positions(),
            time=made.time,
        )
    )
    assert again.account(0) == made.account(0)
    assert again.next_due() == made.next_due()


def check(made: Exchange, held: dict[str, Decimal]) -> None:
    """Check the identities that hold at every moment."""
    positions = made.positions()
    for symbol in (EUR, JPY):
        signed = sum(
            (each.side.sign * each.quantity for each in positions if each.instrument == symbol),
            D(0),
        )
        assert signed == held[symbol]
    account = made.account(0)
    profit = sum((each.unrealized_profit for each in positions), D(0))
    assert account.equity == made.balance + profit
    assert account.margin_available == max(account.equity - account.margin_used, D(0))
    by_position: dict[str | None, list[OrderReport]] = defaultdict(list)
    for each in made.orders.values():
        if each.reason in PROTECTIVE and not each.status.terminal:
            by_position[each.position_id].append(each)
        if each.filled_quantity:
            assert each.average_price is not None
            assert sum((one.quantity for one in each.fills), D(0)) == each.filled_quantity
    ids = {each.position_id: each for each in positions}
    assert set(by_position) <= set(ids)  # no protection outlives its position
    for position_id, guards in by_position.items():
        position = ids[str(position_id)]
        assert len({each.reason for each in guards}) == len(guards)
        assert {each.remaining_quantity for each in guards} == {position.quantity}
