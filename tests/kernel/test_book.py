"""The book is the fold of its fills, whatever order or how often they are heard of."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.book import AccountBook, Book
from mtquant.exchange import Terms, instrument
from mtquant.model import (
    Account,
    Environment,
    Fill,
    Position,
    PositionMode,
    Quote,
    Side,
)

D = Decimal
SYMBOLS = ("EUR/USD", "USD/JPY", "EUR/GBP")


def fill(number: int, side: Side, quantity: int, price: str = "1.1", **more: object) -> Fill:
    fields: dict[str, object] = {
        "execution_id": f"E{number}",
        "order_id": f"O{number}",
        "client_order_id": "ours",
        "instrument": "EUR/USD",
        "side": side,
        "quantity": D(quantity),
        "price": D(price),
        "time": number,
        "commission": D("0.5"),
        "realized_profit": D(0),
    }
    return Fill(**(fields | more))  # type: ignore[arg-type]


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


def book() -> AccountBook:
    made = AccountBook("a", balance=D(1000))
    made.see(account())
    made.list_instruments({symbol: instrument(symbol, Terms()) for symbol in SYMBOLS})
    made.our_ids.add("ours")
    return made


def quote(symbol: str, bid: str, ask: str) -> Quote:
    return Quote(instrument=symbol, bid=D(bid), ask=D(ask), time=0)


orders = st.lists(
    st.tuples(st.sampled_from(Side), st.integers(1, 9), st.integers(1, 500)), max_size=30
)


@given(orders, st.data())
def test_a_holding_is_the_signed_sum_however_often_it_is_heard_of(
    made: list[tuple[Side, int, int]], data: st.DataObject
) -> None:
    subject = book()
    fills = [fill(n, side, size, f"1.{price}") for n, (side, size, price) in enumerate(made)]
    for each in fills:
        assert subject.fold(each)
        again = data.draw(st.sampled_from(fills[: fills.index(each) + 1]))
        assert not subject.fold(again)
    total = sum((each.side.sign * each.quantity for each in fills), D(0))
    held = subject.holdings.get("EUR/USD")
    assert (held.quantity if held else D(0)) == total
    assert subject.ours("EUR/USD") == total
    assert subject.balance == D(1000) - D("0.5") * len(fills)
    if held is not None:
        prices = [each.price for each in fills]
        assert min(prices) <= held.average_price <= max(prices)


def test_netting_moves_the_average_only_by_what_adds() -> None:
    subject = book()
    subject.fold(fill(1, Side.BUY, 100, "1.10"))
    subject.fold(fill(2, Side.BUY, 300, "1.20"))
    assert subject.holdings["EUR/USD"].average_price == D("1.175")
    subject.fold(fill(3, Side.SELL, 150, "1.50"))
    assert subject.holdings["EUR/USD"].average_price == D("1.175")
    subject.fold(fill(4, Side.SELL, 300, "1.30"))
    assert subject.holdings["EUR/USD"].quantity == -50
    assert subject.holdings["EUR/USD"].average_price == D("1.30")


@pytest.mark.parametrize(
    ("home", "currency", "expected"),
    [
        ("USD", "USD", D(1)),
        ("USD", "EUR", D("1.25")),
        ("EUR", "USD", D("0.8")),
        ("USD", "JPY", D("0.01")),
        ("USD", "GBP", D("1.5625")),
        ("USD", "CHF", None),
    ],
)
def test_rates_go_directly_inversely_or_across(
    home: str, currency: str, expected: Decimal | None
) -> None:
    subject = book()
    subject.see(account(home))
    subject.price(
        (
            quote("EUR/USD", "1.24", "1.26"),
            quote("USD/JPY", "99", "101"),
            quote("EUR/GBP", "0.79", "0.81"),
        )
    )
    assert subject.rate(currency) == expected


def test_equity_marks_longs_at_the_bid_and_is_unknown_without_a_price() -> None:
    subject = book()
    subject.fold(fill(1, Side.BUY, 1000, "1.10", commission=D(0)))
    assert subject.equity() is None
    subject.price([quote("EUR/USD", "1.12", "1.13")])
    assert subject.equity() == D(1000) + 1000 * D("0.02")


def test_what_others_trade_is_external() -> None:
    subject = book()
    subject.fold(fill(1, Side.BUY, 100, client_order_id="theirs"))
    assert subject.ours("EUR/USD") == 0
    assert subject.external["EUR/USD"] == 100
    subject.fold(fill(2, Side.BUY, 50))
    assert subject.ours("EUR/USD") == 50
    # A protective order carries no id of ours; it is ours because it reduces what we hold.
    subject.fold(fill(3, Side.SELL, 50, client_order_id=None))
    assert subject.ours("EUR/USD") == 0
    assert subject.external["EUR/USD"] == 100


def test_a_position_from_before_us_is_adopted_as_external() -> None:
    subject = book()
    subject.adopt(
        Position(
            position_id="p",
            instrument="EUR/USD",
            side=Side.SELL,
            quantity=D(70),
            average_price=D("1.2"),
            unrealized_profit=D(0),
            opened_at=0,
        )
    )
    assert subject.holdings["EUR/USD"].quantity == -70
    assert subject.ours("EUR/USD") == 0


def test_the_whole_is_unknown_where_currencies_differ() -> None:
    whole = Book()
    whole.account("a").account, whole.account("b").account = account("USD"), account("EUR")
    assert whole.equity() is None
    whole.account("b").account = account("USD")
    assert whole.equity() == 0
