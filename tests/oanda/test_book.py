"""The account folded from its transactions."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oanda.double import TIME, Json, cancel, fill, limit, market, transaction

from mtquant.model import (
    CashFlow,
    CashFlowKind,
    OrderReport,
    OrderStatus,
    OrderType,
    Reason,
    Side,
)
from mtquant_oanda_server.book import Book
from mtquant_oanda_server.words import next_id, plain_id


def folded(*transactions: Json, hedging: bool = False) -> Book:
    book = Book(hedging=hedging)
    for each in transactions:
        assert book.apply(each)
    return book


def report(book: Book, order_id: str) -> OrderReport:
    found = book.report(order_id)
    assert found is not None
    return found


def test_a_market_order_that_fills_is_filled_with_its_price_and_id() -> None:
    found = report(folded(market(1, "a"), fill(2, 1)), "1")
    assert (found.status, found.client_order_id) == (OrderStatus.FILLED, "a")
    assert (found.filled_quantity, found.average_price) == (Decimal(1000), Decimal("1.1001"))
    assert [each.execution_id for each in found.fills] == ["2"]
    assert found.position_id == "EUR_USD"


def test_in_a_hedging_account_the_position_is_the_trade() -> None:
    assert report(folded(market(1, "a"), fill(2, 1), hedging=True), "1").position_id == "2"


def test_an_order_that_the_venue_ended_is_canceled_with_its_reason() -> None:
    found = report(folded(market(1, "a"), cancel(2, 1, "INSUFFICIENT_LIQUIDITY")), "1")
    assert (found.status, found.reason) == (OrderStatus.CANCELED, Reason.NOT_FILLABLE)
    assert found.broker_code == "INSUFFICIENT_LIQUIDITY"
    assert found.remaining_quantity == 0


def test_time_that_is_up_is_expired_where_a_date_was_and_unfillable_where_now_was() -> None:
    dated = limit(1, "a") | {"timeInForce": "GFD"}
    book = folded(dated, cancel(2, 1, "TIME_IN_FORCE_EXPIRED"))
    assert report(book, "1").status is OrderStatus.EXPIRED
    book = folded(limit(1, "a") | {"timeInForce": "IOC"}, cancel(2, 1, "TIME_IN_FORCE_EXPIRED"))
    assert report(book, "1").status is OrderStatus.CANCELED
    assert report(book, "1").reason is Reason.NOT_FILLABLE


def test_a_part_that_filled_stays_filled_when_the_rest_is_given_up() -> None:
    some = fill(2, 1, "400", tradeOpened={"tradeID": "2", "units": "400"})
    book = folded(market(1, "a") | {"timeInForce": "IOC"}, some)
    found = report(book, "1")
    assert (found.status, found.filled_quantity) == (OrderStatus.CANCELED, Decimal(400))


def replaced_twice() -> Book:
    return folded(
        limit(1, "a"),
        cancel(2, 1, "CLIENT_REQUEST_REPLACED", replacedByOrderID="3"),
        limit(3, "a~1", "2000", replacesOrderID="1"),
        cancel(4, 3, "CLIENT_REQUEST_REPLACED", replacedByOrderID="5"),
        limit(5, "a~2", "3000", replacesOrderID="3"),
    )


def test_an_order_that_is_being_replaced_lives_on_before_its_successor_is_read() -> None:
    gone = cancel(2, 1, "CLIENT_REQUEST_REPLACED", replacedByOrderID="3")
    assert report(folded(limit(1, "a"), gone), "1").status is OrderStatus.NEW


def test_an_order_that_is_changed_stays_one_order_under_its_first_ids() -> None:
    book = replaced_twice()
    for order_id in "135":
        found = report(book, order_id)
        assert (found.order_id, found.client_order_id) == ("1", "a")
        assert (found.status, found.quantity) == (OrderStatus.NEW, Decimal(3000))
    assert list(book.roots()) == ["1"]
    newest = book.find("a")
    assert newest is not None
    assert newest.order_id == "5"


def test_an_execution_of_a_replacement_is_of_the_first_order() -> None:
    book = replaced_twice()
    book.apply(fill(6, 5, "3000"))
    (found,) = report(book, "1").fills
    assert (found.order_id, found.client_order_id) == ("1", "a")


def test_what_is_issued_anew_after_a_part_has_filled_is_the_same_order() -> None:
    part = fill(2, 1, "400", tradeOpened={"tradeID": "2", "units": "400"})
    book = folded(limit(1, "a"), part)
    found = report(book, "1")
    assert (found.status, found.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, Decimal(400))
    assert found.remaining_quantity == Decimal(600)
    book.apply(limit(3, "a", "600"))
    found = report(book, "1")
    assert (found.order_id, found.quantity) == ("1", Decimal(1000))
    assert (found.status, found.remaining_quantity) == (OrderStatus.PARTIALLY_FILLED, Decimal(600))
    book.apply(fill(4, 3, "600", price="1.20010"))
    found = report(book, "1")
    assert (found.status, found.filled_quantity) == (OrderStatus.FILLED, Decimal(1000))
    assert found.average_price == Decimal("1.1601")
    assert len(found.fills) == 2


def test_what_protects_a_trade_has_its_size_and_the_other_side() -> None:
    stop = transaction(3, "STOP_LOSS_ORDER", tradeID="2", price="1.09000", timeInForce="GTC")
    book = folded(market(1, "a"), fill(2, 1), stop)
    found = report(book, "3")
    assert (found.order_type, found.side) == (OrderType.STOP, Side.SELL)
    assert (found.quantity, found.instrument) == (Decimal(1000), "EUR_USD")
    part = {"tradeOpened": None, "tradeReduced": {"tradeID": "2", "units": "-400"}}
    book.apply(market(4, "b", "-400"))
    book.apply(fill(5, 4, "-400", **part))
    assert report(book, "3").quantity == Decimal(600)
    done = {"tradeOpened": None, "tradesClosed": [{"tradeID": "2", "units": "-600"}]}
    book.apply(fill(6, 3, "-600", reason="STOP_LOSS_ORDER", **done))
    assert report(book, "3").status is OrderStatus.FILLED
    assert report(book, "3").reason is Reason.STOP_LOSS
    assert book.trades["2"].units == 0


def test_financing_that_a_fill_settles_is_in_its_profit() -> None:
    (found,) = report(folded(market(1, "a"), fill(2, 1, pl="5.0", financing="-0.5")), "1").fills
    assert found.realized_profit == Decimal("4.5")


def test_transactions_that_move_no_order_only_move_the_cursor() -> None:
    book = folded(transaction(1, "CREATE"), transaction(2, "DAILY_FINANCING"), market(3, "a"))
    assert (book.last, [each[0] for each in book.since(0)]) == (3, [3])


def test_the_same_transaction_twice_counts_once() -> None:
    book = folded(market(1, "a"), fill(2, 1))
    assert not book.apply(fill(2, 1))
    assert report(book, "1").filled_quantity == Decimal(1000)
    assert book.follows(market(3, "b"))
    assert not book.follows(market(4, "b"))


@given(st.text("abcXYZ019._-", min_size=1, max_size=32), st.integers(0, 20))
def test_the_ids_of_a_chain_lead_back_to_the_first(name: str, times: int) -> None:
    carried, seen = name, {name}
    for _ in range(times):
        carried = next_id(carried)
        assert carried not in seen
        seen.add(carried)
    assert plain_id(carried) == name


def test_an_end_of_an_order_from_before_the_book_is_told_as_far_as_it_is_known() -> None:
    book = folded(fill(9, 7, clientOrderID="old~3"))
    found = report(book, "7")
    assert (found.client_order_id, found.status) == ("old", OrderStatus.FILLED)
    assert found.updated_at == found.submitted_at
    assert TIME.startswith("2026")


@pytest.mark.parametrize(
    ("told", "kind", "amount"),
    [
        (transaction(1, "TRANSFER_FUNDS", amount="500", fundingReason="CLIENT_FUNDING"),
         CashFlowKind.DEPOSIT, "500"),
        (transaction(1, "TRANSFER_FUNDS", amount="-20.5", fundingReason="ACCOUNT_TRANSFER"),
         CashFlowKind.WITHDRAWAL, "-20.5"),
        (transaction(1, "TRANSFER_FUNDS", amount="-3", fundingReason="ADJUSTMENT"),
         CashFlowKind.ADJUSTMENT, "-3"),
        (transaction(1, "DAILY_FINANCING", financing="-1.2345"),
         CashFlowKind.FINANCING, "-1.2345"),
        (transaction(1, "DIVIDEND_ADJUSTMENT", dividendAdjustment="7.1"),
         CashFlowKind.DIVIDEND, "7.1"),
    ],
    ids=lambda each: each["type"] if isinstance(each, dict) else str(each),
)  # fmt: skip
def test_what_moves_the_balance_without_an_execution_is_told(
    told: Json, kind: CashFlowKind, amount: str
) -> None:
    ((number, order_id, flow),) = folded(told).since(0)
    assert isinstance(flow, CashFlow)
    assert (number, order_id, flow.cash_flow_id) == (1, "", "1")
    assert (flow.kind, flow.amount) == (kind, Decimal(amount))


def test_a_financing_of_nothing_is_none() -> None:
    assert not [*folded(transaction(1, "DAILY_FINANCING", financing="0.0000")).since(0)]
