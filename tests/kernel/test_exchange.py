"""The simulated exchange: its money and matching rules, by hand and by invariant."""

# ruff: noqa: ANN401 - arguments of orders are of many types

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.errors import ConfigError, ErrorCode, Outcome, Refused
from mtquant.exchange import Change, Exchange, ExchangeSettings, Snapshot
from mtquant.exchange.settings import instrument
from mtquant.model import (
    CloseRequest,
    Fill,
    OrderReport,
    OrderRequest,
    OrderStatus,
    OrderType,
    Reason,
    Side,
    TimeInForce,
)

EUR, JPY = "EUR/USD", "USD/JPY"
BASE = {EUR: 110_000, JPY: 145_000}
"""Mid prices in ticks; the spread is one pip, ten ticks."""
TICK = {EUR: Decimal("0.00001"), JPY: Decimal("0.001")}
BUY, SELL = Side.BUY, Side.SELL
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP
D = Decimal


def exchange(*symbols: str, quoted: bool = True, **table: Any) -> Exchange:
    made = Exchange(ExchangeSettings.read(table, "settings"), symbols or (EUR, JPY))
    if quoted:
        for symbol in symbols or (EUR, JPY):
            made.set_quote(symbol, float(BASE[symbol] * TICK[symbol]), 1)
    return made


def order(client_order_id: str = "a", **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "client_order_id": client_order_id,
        "instrument": EUR,
        "side": BUY,
        "order_type": MARKET,
        "quantity": D(10_000),
    }
    prices = {"limit_price", "stop_price", "stop_loss", "take_profit", "quantity"}
    values |= {key: D(value) if key in prices else value for key, value in changes.items()}
    return OrderRequest(**values)


def limit(client_order_id: str, price: str, **changes: Any) -> OrderRequest:
    return order(client_order_id, order_type=LIMIT, limit_price=price, **changes)


def stop(client_order_id: str, price: str, **changes: Any) -> OrderRequest:
    return order(client_order_id, order_type=STOP, stop_price=price, **changes)


def fills(made: Exchange) -> list[Fill]:
    return [each.what for each in made.take_changes() if isinstance(each.what, Fill)]


def prices(made: Exchange) -> list[tuple[str, Side, Decimal]]:
    return [(each.reason or "entry", each.side, each.price) for each in fills(made)]


def refusal(made: Exchange, request: OrderRequest | CloseRequest) -> Refused:
    before = (made.balance, made.seq, made.numbered, dict(made.orders), made.positions())
    with pytest.raises(Refused) as caught:
        _send(made, request)
    assert caught.value.outcome is Outcome.REJECTED
    assert before == (made.balance, made.seq, made.numbered, dict(made.orders), made.positions())
    return caught.value


def _send(made: Exchange, request: OrderRequest | CloseRequest, time: int = 2) -> OrderReport:
    if isinstance(request, CloseRequest):
        return made.close(request, time)
    return made.place(request, time)


# --- invariants over random histories --------------------------------------------------------

SYMBOL = st.sampled_from([EUR, JPY])
AWAY = st.integers(-400, 400)
MAYBE = st.none() | st.integers(-60, 300)
QUANTITY = st.integers(1, 20).map(lambda n: n * 1000) | st.sampled_from([900_000, 2_500_000, 1500])
BAR = st.tuples(st.just("bar"), SYMBOL, AWAY, AWAY, st.integers(0, 300), st.integers(0, 300))
PLACE = st.tuples(
    st.just("place"),
    SYMBOL,
    st.sampled_from(Side),
    st.sampled_from([MARKET, LIMIT, STOP, LIMIT, STOP]),
    st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
    QUANTITY,
    AWAY,
    MAYBE,
    MAYBE,
)
CLOSE = st.tuples(st.just("close"), SYMBOL, st.none() | QUANTITY)
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 1000))
HISTORY = st.lists(st.one_of(PLACE, BAR, PLACE, BAR, CLOSE, CANCEL), max_size=40)


@dataclass
class Book:
    """What the changes of an exchange alone tell about the account."""

    made: Exchange
    changes: list[Change] = field(default_factory=list)
    held: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    balance: Decimal = Decimal()
    seq: int = 0
    named: list[int] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)

    def act(self, number: int, action: tuple[Any, ...]) -> list[Change]:
        """Do ``action``, check what it did, and return its changes."""
        before = self.made.quotes.copy()
        try:
            act(self.made, number, action)
        except Refused:
            assert action[0] != "bar"
        changes = self.made.take_changes()
        bar = action if action[0] == "bar" else None
        for change in changes:
            self.seq += 1
            assert change.seq == self.seq
            if isinstance(change.what, Fill):
                self._fill(change.what, bar, before)
            elif isinstance(change.what, OrderReport):
                self._order(change.what)
        self._account()
        return changes

    def _fill(self, fill: Fill, bar: tuple[Any, ...] | None, before: dict[str, Any]) -> None:
        self.named.append(int(fill.execution_id.removeprefix("E")))
        assert fill.order_id not in self.ended
        symbol, sign = fill.instrument, fill.side.sign
        if fill.reason:  # a protection closes the whole position, so none fills twice
            assert self.held[symbol] == -sign * fill.quantity
        self.held[symbol] += sign * fill.quantity
        self.balance += fill.realized_profit - fill.commission
        if bar is None:
            quote = before[symbol]
            assert fill.price == (quote.ask if fill.side is BUY else quote.bid)
        else:
            _, low, high, _ = mids(bar)
            half = 5 * TICK[symbol] * sign
            assert low + half <= fill.price <= high + half
        placed = self.made.orders[fill.order_id]
        if placed.limit_price is not None:
            assert sign * (placed.limit_price - fill.price) >= 0
        if placed.stop_price is not None:
            assert sign * (fill.price - placed.stop_price) >= 0

    def _order(self, report: OrderReport) -> None:
        if report.status is OrderStatus.NEW:
            number = int(report.order_id.removeprefix("O"))
            if number not in self.named:  # a protection comes again when its size has changed
                self.named.append(number)
            assert report.quantity == report.filled_quantity + report.remaining_quantity
            return
        assert report.order_id not in self.ended
        self.ended.add(report.order_id)
        assert (report.status is OrderStatus.FILLED) == bool(report.fills)
        assert report.fills or report.reason

    def _account(self) -> None:
        assert self.named == list(range(1, self.made.numbered + 1))
        positions = {each.instrument: each for each in self.made.positions()}
        signed = {name: each.side.sign * each.quantity for name, each in positions.items()}
        assert signed == {name: held for name, held in self.held.items() if held}
        account = self.made.account(0)
        assert account.balance == self.made.settings.balance + self.balance
        profits = (each.unrealized_profit for each in positions.values())
        assert account.equity == account.balance + sum(profits, D(0))
        guards = [
            each for each in self.made.orders.values() if each.reason and not each.status.terminal
        ]
        standing = {(each.instrument, each.reason): each for each in guards}
        assert len(standing) == len(guards)
        for guard in guards:
            assert guard.quantity == positions[guard.instrument].quantity
            assert guard.side is positions[guard.instrument].side.opposite
        for name, each in positions.items():
            for kind, price in (("stop_loss", each.stop_loss), ("take_profit", each.take_profit)):
                found = standing.get((name, Reason(kind)))
                assert (found and (found.stop_price or found.limit_price)) == price


def mids(bar: tuple[Any, ...]) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    _, symbol, opened, closed, above, below = bar
    ticks = (opened, min(opened, closed) - below, max(opened, closed) + above, closed)
    opened, low, high, closed = ((BASE[symbol] + each) * TICK[symbol] for each in ticks)
    return opened, low, high, closed


def act(made: Exchange, number: int, action: tuple[Any, ...]) -> None:
    kind, *rest = action
    if kind == "bar":
        opened, low, high, closed = (float(each) for each in mids(action))
        made.on_bar(rest[0], opened, high, low, closed, number)
    elif kind == "close":
        symbol, quantity = rest
        quantity = None if quantity is None else D(quantity)
        request = CloseRequest(client_order_id=f"c{number}", instrument=symbol, quantity=quantity)
        made.close(request, number)
    elif kind == "cancel":
        made.cancel(f"O{rest[0] % (made.numbered + 2)}", number)
    else:
        made.place(_order_of(number, *rest), number)


def _order_of(  # noqa: PLR0917 - the draws of one order
    number: int,
    symbol: str,
    side: Side,
    kind: OrderType,
    in_force: TimeInForce,
    quantity: int,
    away: int,
    loss: int | None,
    profit: int | None,
) -> OrderRequest:
    def price(ticks: int) -> Decimal:
        return (BASE[symbol] + ticks) * TICK[symbol]

    entry = 0 if kind is MARKET else away
    return OrderRequest(
        client_order_id=f"p{number}",
        instrument=symbol,
        side=side,
        order_type=kind,
        time_in_force=in_force,
        quantity=D(quantity),
        limit_price=price(away) if kind is LIMIT else None,
        stop_price=price(away) if kind is STOP else None,
        stop_loss=None if loss is None else price(entry - side.sign * loss),
        take_profit=None if profit is None else price(entry + side.sign * profit),
    )


@given(HISTORY)
@settings(max_examples=250, deadline=None)
def test_the_account_is_the_fold_of_its_fills_and_no_fill_is_too_good(
    history: list[tuple[Any, ...]],
) -> None:
    book = Book(exchange(commission_per_million="25"))
    for number, action in enumerate(history, 2):
        book.act(number, action)


@given(HISTORY, st.integers(0, 40))
@settings(max_examples=120, deadline=None)
def test_a_restored_exchange_goes_on_as_the_other_would_have(
    history: list[tuple[Any, ...]], at: int
) -> None:
    made = exchange(commission_per_million="25")
    book = Book(made)
    for number, action in enumerate(history[:at], 2):
        book.act(number, action)
    again = exchange(commission_per_million="25")
    again.restore(
        Snapshot(
            balance=made.balance,
            seq=made.seq,
            numbered=made.numbered,
            orders=list(made.orders.values()),
            positions=made.positions(),
        )
    )
    again.quotes.update(made.quotes)
    other = Book(again, held=book.held.copy(), balance=book.balance, seq=book.seq)
    other.named, other.ended = list(book.named), set(book.ended)
    for number, action in enumerate(history[at:], at + 2):
        assert other.act(number, action) == book.act(number, action)
    assert again.account(0) == made.account(0)


# --- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "code", "field_", "words"),
    [
        (order(quantity=12_345), "invalid_quantity", "quantity", ("12000", "13000")),
        (order(quantity=999), "invalid_quantity", "quantity", ("between 1000", "is 1000")),
        (order(quantity=200_000_000), "invalid_quantity", "quantity", ("is 100000000",)),
        (limit("a", "1.099996"), "invalid_price", "limit_price", ("1.09999 ", "1.1")),
        (order(stop_loss="1.0999951"), "invalid_price", "stop_loss", ("1.09999", "1.1")),
        (stop("a", "1.10005"), "invalid_price", "stop_price", ("above the ask", "1.10005")),
        (
            stop("a", "1.1", side=SELL),
            "invalid_price",
            "stop_price",
            ("below the bid", "1.09995"),
        ),
        (order(stop_loss="1.09995"), "invalid_price", "stop_loss", ("below 1.09995",)),
        (order(take_profit="1.09995"), "invalid_price", "take_profit", ("above 1.09995",)),
        (
            order(side=SELL, stop_loss="1.10005"),
            "invalid_price",
            "stop_loss",
            ("above 1.10005",),
        ),
        (order(side=SELL, take_profit="1.2"), "invalid_price", "take_profit", ("below",)),
        (limit("a", "1.09", stop_loss="1.091"), "invalid_price", "stop_loss", ("1.09",)),
        (stop("a", "1.11", take_profit="1.105"), "invalid_price", "take_profit", ("1.11",)),
        # A limit beyond the market fills at the market, so that is what its protections guard.
        (limit("a", "1.2", stop_loss="1.15"), "invalid_price", "stop_loss", ("1.09995",)),
        (order(limit_price="1.1"), "invalid_argument", "limit_price", ("doesn't take",)),
        (order(order_type=LIMIT), "invalid_argument", "limit_price", ("needs",)),
        (order(order_type=STOP), "invalid_argument", "stop_price", ("needs",)),
        (stop("a", "1.2", time_in_force=TimeInForce.IOC), "unsupported", "time_in_force", ()),
        (order(order_type=OrderType.STOP_LIMIT), "invalid_argument", "limit_price", ("needs",)),
        (order(order_type=OrderType.TRAILING_STOP), "invalid_argument", "trailing_stop", ()),
        (order(time_in_force=TimeInForce.GTD), "invalid_argument", "expire_time", ("needs",)),
        (order(expire_time=5), "invalid_argument", "expire_time", ("doesn't take",)),
        (
            limit("a", "1.09", time_in_force=TimeInForce.GTD, expire_time=1),
            "invalid_argument",
            "expire_time",
            ("passed",),
        ),
        (limit("a", "1.09", max_slippage=Decimal("0.01")), "invalid_argument", "max_slippage", ()),
        (order(trailing_stop=Decimal("0.000015")), "invalid_price", "trailing_stop", ("0.00001 ",)),
        (order(reduce_only=True), "invalid_quantity", "quantity", ("at most 0",)),
        (limit("a", "1.09", reduce_only=True), "invalid_quantity", "quantity", ("at most 0",)),
        (CloseRequest(client_order_id="a", instrument=EUR), "not_found", "instrument", ()),
    ],
)
def test_an_illegal_request_is_refused_by_field_and_leaves_no_trace(
    request_: OrderRequest | CloseRequest, code: str, field_: str | None, words: tuple[str, ...]
) -> None:
    refused = refusal(exchange(), request_)
    assert refused.code == ErrorCode(code)
    assert refused.field == field_
    for word in words:
        assert word in refused.message


def test_a_limit_beyond_the_market_may_take_its_profit_short_of_the_limit() -> None:
    made = exchange()
    assert made.place(limit("a", "1.2", take_profit="1.15"), 2).average_price == D("1.10005")


def test_an_unknown_instrument_is_refused_by_the_nearest_one() -> None:
    made = exchange()
    requests = (
        order(instrument="EURUSD"),
        CloseRequest(client_order_id="a", instrument="EURUSD"),
    )
    for request in requests:
        with pytest.raises(Refused, match="did you mean EUR/USD") as caught:
            _send(made, request)
        assert caught.value.code is ErrorCode.UNKNOWN_INSTRUMENT
    assert made.seq == 0


def test_terms_of_a_symbol_that_is_not_traded_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"instruments\.EURUSD: .* Did you mean EUR/USD"):
        exchange(instruments={"EURUSD": {"spread_pips": 5}})


def test_pip_and_step_are_those_of_the_symbol_unless_they_are_given() -> None:
    given = {"BTC/USD": {"pip_size": "1", "price_step": "0.1", "spread_pips": 4}}
    made = exchange(EUR, JPY, "XAU/USD", "BTC/USD", quoted=False, instruments=given)
    sizes = {name: (each.pip_size, each.price_step) for name, each in made.instruments.items()}
    assert sizes == {
        EUR: (D("0.0001"), D("0.00001")),
        JPY: (D("0.01"), D("0.001")),
        "XAU/USD": (D("0.01"), D("0.01")),
        "BTC/USD": (D(1), D("0.1")),
    }
    made.set_quote("BTC/USD", 60_000.04, 1)
    quote = made.quotes["BTC/USD"]
    assert (quote.bid, quote.ask) == (D("59998.0"), D("60002.1"))  # never narrower than asked


def test_a_client_order_id_places_one_order_only() -> None:
    made = exchange()
    made.place(order(), 2)
    assert refusal(made, order(quantity=1000)).code is ErrorCode.DUPLICATE_MISMATCH


def test_an_instrument_without_a_price_is_not_traded() -> None:
    assert refusal(exchange(quoted=False), order()).code is ErrorCode.NO_PRICE
    crossed = Exchange(ExchangeSettings(), ("EUR/GBP", "GBP/USD"))
    crossed.set_quote("EUR/GBP", 0.85, 1)
    refused = refusal(crossed, order(instrument="EUR/GBP"))
    assert refused.code is ErrorCode.NO_PRICE
    assert "GBP" in refused.message


def test_a_profit_that_leads_to_no_account_currency_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"symbols: profits in GBP .* USD"):
        Exchange(ExchangeSettings(), ("EUR/GBP",))
    with pytest.raises(ConfigError, match="BASE/QUOTE"):
        Exchange(ExchangeSettings(), ("EURUSD",))
    Exchange(ExchangeSettings(), ("EUR/GBP", "EUR/USD"))  # GBP to EUR to USD


def test_too_little_margin_names_both_numbers() -> None:
    made = exchange(EUR, balance=1000, margin_rate="0.05", spread_pips=2)
    refused = refusal(made, order(quantity=20_000))
    assert refused.code is ErrorCode.INSUFFICIENT_MARGIN
    # 20,000 x 1.1 x 0.05; the equity after paying half the spread, 20,000 x 0.0001
    assert "1100 USD" in refused.message
    assert "998" in refused.message
    made.place(order(quantity=18_000), 2)
    made.place(order("b", side=SELL, quantity=18_000), 2)  # what lowers the margin always passes


def test_a_resting_order_that_can_no_longer_be_carried_is_cancelled_with_the_reason() -> None:
    made = exchange(EUR, balance=1000, margin_rate="0.05")
    made.place(limit("rests", "1.09", quantity=10_000), 2)
    made.place(order("b", quantity=17_000), 2)
    made.on_bar(EUR, 1.1, 1.1, 1.08, 1.09, 3)
    report = made.orders[made.by_client_id["rests"]]
    assert report.status is OrderStatus.CANCELED
    assert report.reason is Reason.INSUFFICIENT_MARGIN
    assert "equity" in report.reason_text
    assert [each.quantity for each in made.positions()] == [D(17_000)]


def test_a_limit_fill_is_no_cost_to_the_margin() -> None:
    made = exchange(EUR, balance=560, margin_rate="0.05")
    made.place(limit("rests", "1.09"), 2)
    made.on_bar(EUR, 1.1, 1.12, 1.08, 1.11, 3)
    assert made.orders["O1"].status is OrderStatus.FILLED


# --- money, by hand --------------------------------------------------------------------------


def test_euro_dollar_profit_and_commission_by_hand() -> None:
    made = exchange(commission_per_million="30")
    made.place(order(quantity=100_000), 2)
    made.set_quote(EUR, 1.11, 3)
    (held,) = made.positions()
    assert held.average_price == D("1.10005")
    assert held.unrealized_profit == D(990)  # 100,000 x (1.10995 - 1.10005)
    assert made.balance == D("99996.69985").quantize(D("0.0001"))  # 0.1 m x 1.10005 x 30
    made.close(CloseRequest(client_order_id="b", instrument=EUR), 3)
    bought, sold = fills(made)
    assert (bought.commission, bought.realized_profit) == (D("3.3002"), D(0))
    assert (sold.commission, sold.realized_profit) == (D("3.3298"), D(990))
    assert made.balance == D("100983.3700")
    assert made.positions() == []
    assert made.account(3).margin_used == 0


def test_dollar_yen_profit_is_turned_into_dollars_at_the_mid_price() -> None:
    made = exchange(commission_per_million="20")
    made.place(order(instrument=JPY, side=SELL, quantity=100_000), 2)  # at 144.995
    made.set_quote(JPY, 144.0, 3)
    made.close(CloseRequest(client_order_id="b", position_id=JPY), 3)  # at 144.005
    sold, bought = fills(made)
    assert (sold.price, bought.price) == (D("144.995"), D("144.005"))
    assert sold.commission == D("1.9999")  # 100,000 x 144.995 / 145 x 20 a million
    assert bought.commission == D("2.0001")
    assert bought.realized_profit == D("687.5000")  # 100,000 x 0.990 yen / 144
    assert made.balance == D("100683.5000")


def test_a_cross_is_turned_through_the_pair_between() -> None:
    made = Exchange(ExchangeSettings(), ("EUR/GBP", "GBP/USD"))
    made.set_quote("EUR/GBP", 0.85, 1)
    made.set_quote("GBP/USD", 1.25, 1)
    made.place(order(instrument="EUR/GBP"), 2)
    made.close(CloseRequest(client_order_id="b", instrument="EUR/GBP"), 2)
    assert fills(made)[1].realized_profit == D("-1.25")  # 10,000 x 0.0001 pounds x 1.25


def test_netting_adds_reduces_and_turns() -> None:
    made = exchange(EUR)
    made.place(order("a"), 2)
    made.set_quote(EUR, 1.103, 2)
    made.place(order("b", quantity=20_000), 2)
    (held,) = made.positions()
    assert held.average_price == D("1.10205")  # (1.10005 + 2 x 1.10305) / 3
    made.place(order("c", side=SELL, quantity=5000), 2)
    (held,) = made.positions()
    assert (held.side, held.quantity, held.average_price) == (BUY, D(25_000), D("1.10205"))
    made.place(order("d", side=SELL, quantity=40_000), 3)
    (held,) = made.positions()
    assert (held.side, held.quantity, held.average_price) == (SELL, D(15_000), D("1.10295"))
    assert held.opened_at == 3
    assert [each.realized_profit for each in fills(made)] == [0, 0, D("4.5"), D("22.5")]


def test_a_whole_position_may_be_closed_whatever_its_size() -> None:
    made = exchange(EUR, quantity_min=5000, quantity_max=6000)
    made.place(order("a", quantity=6000), 2)
    assert refusal(made, order("b", side=SELL, quantity=1000)).code is ErrorCode.INVALID_QUANTITY
    made.place(order("b", side=SELL, quantity=5000), 2)
    made.close(CloseRequest(client_order_id="c", instrument=EUR), 2)
    assert made.positions() == []
    for name in "de":
        made.place(order(name, quantity=6000), 2)
    made.close(CloseRequest(client_order_id="f", instrument=EUR), 2)
    assert made.positions() == []


# --- matching against bars -------------------------------------------------------------------


def test_inside_a_bar_the_stop_comes_before_the_target() -> None:
    made = exchange(EUR)
    made.place(order(stop_loss="1.095", take_profit="1.105"), 2)
    made.on_bar(EUR, 1.1, 1.11, 1.09, 1.105, 3)
    assert prices(made)[1:] == [("stop_loss", SELL, D("1.095"))]
    (_, loss, profit) = made.orders.values()
    assert (loss.status, profit.status) == (OrderStatus.FILLED, OrderStatus.CANCELED)


def test_a_target_that_fills_cancels_the_stop() -> None:
    made = exchange(EUR)
    made.place(order(stop_loss="1.095", take_profit="1.105"), 2)
    made.on_bar(EUR, 1.1, 1.11, 1.096, 1.105, 3)
    made.on_bar(EUR, 1.1, 1.11, 1.05, 1.1, 4)
    assert prices(made)[1:] == [("take_profit", SELL, D("1.105"))]
    assert [each.status for each in made.orders.values()][1] is OrderStatus.CANCELED


def test_an_entry_may_be_stopped_out_in_its_bar_but_takes_no_profit_in_it() -> None:
    made = exchange(EUR)
    made.place(stop("a", "1.102", stop_loss="1.099", take_profit="1.104"), 2)
    made.on_bar(EUR, 1.1, 1.11, 1.0995, 1.105, 3)
    assert prices(made) == [("entry", BUY, D("1.102"))]
    made.on_bar(EUR, 1.105, 1.105, 1.105, 1.105, 4)
    assert prices(made) == [("take_profit", SELL, D("1.10495"))]
    made.place(stop("b", "1.107", stop_loss="1.099"), 5)
    made.on_bar(EUR, 1.105, 1.11, 1.09, 1.105, 6)
    assert prices(made) == [("entry", BUY, D("1.107")), ("stop_loss", SELL, D("1.099"))]


@pytest.mark.parametrize(
    ("request_", "opened", "price"),
    [
        (limit("a", "1.095"), 1.09, "1.09005"),  # better: where the market opens
        (limit("a", "1.105", side=SELL), 1.11, "1.10995"),
        (stop("a", "1.105"), 1.11, "1.11005"),  # worse: where the market opens
        (stop("a", "1.095", side=SELL), 1.09, "1.08995"),
        (limit("a", "1.095"), 1.1, "1.095"),
        (stop("a", "1.105"), 1.1, "1.105"),
    ],
)
def test_what_the_market_opens_beyond_fills_at_the_opening(
    request_: OrderRequest, opened: float, price: str
) -> None:
    made = exchange(EUR)
    made.place(request_, 2)
    made.on_bar(EUR, opened, 1.12, 1.08, opened, 3)
    assert prices(made) == [("entry", request_.side, D(price))]


def test_a_stop_loss_that_the_market_opens_beyond_fills_there_though_an_entry_is_reached() -> None:
    made = exchange(EUR)
    made.place(stop("adds", "1.105"), 2)
    made.place(order("b", stop_loss="1.095"), 2)
    made.on_bar(EUR, 1.09, 1.11, 1.085, 1.1, 3)
    assert prices(made)[1:] == [("stop_loss", SELL, D("1.08995")), ("entry", BUY, D("1.105"))]


def test_an_entry_that_gaps_beyond_its_stop_loss_is_stopped_where_it_entered() -> None:
    made = exchange(EUR)
    made.place(limit("a", "1.095", stop_loss="1.09"), 2)
    made.on_bar(EUR, 1.08, 1.081, 1.079, 1.08, 3)
    assert prices(made) == [("entry", BUY, D("1.08005")), ("stop_loss", SELL, D("1.07995"))]


def test_a_stop_loss_inside_the_spread_fills_where_the_entry_could_be_closed() -> None:
    made = exchange(EUR)
    made.place(stop("a", "1.105", stop_loss="1.10498"), 2)
    made.on_bar(EUR, 1.1, 1.106, 1.1, 1.1, 3)
    assert prices(made) == [("entry", BUY, D("1.105")), ("stop_loss", SELL, D("1.1049"))]


def test_a_stop_loss_renewed_by_a_reducing_stop_still_comes_before_every_limit() -> None:
    made = exchange(EUR)
    made.place(order("a", stop_loss="1.095"), 2)
    made.place(stop("reduces", "1.097", side=SELL, quantity=4000), 2)
    made.place(limit("adds", "1.093", quantity=1000), 2)
    made.on_bar(EUR, 1.1, 1.1, 1.09, 1.09, 3)
    assert [(each.reason or each.client_order_id, each.quantity) for each in fills(made)][1:] == [
        ("reduces", D(4000)),
        ("stop_loss", D(6000)),
        ("adds", D(1000)),
    ]


@pytest.mark.parametrize(
    ("request_", "bid", "price"),
    [
        (limit("a", "1.095"), "1.0949", "1.09491"),  # better: the quote
        (stop("a", "1.105"), "1.106", "1.10601"),  # worse: the quote
        (limit("a", "1.105", side=SELL), "1.106", "1.106"),
        (stop("a", "1.095", side=SELL), "1.095", "1.095"),
        (limit("a", "1.095"), "1.095", None),  # the ask is above
        (stop("a", "1.095", side=SELL), "1.09501", None),
    ],
)
def test_a_quote_fills_what_it_reaches_at_the_quote(
    request_: OrderRequest, bid: str, price: str | None
) -> None:
    made = exchange(EUR)
    made.place(request_, 2)
    made.on_quote(EUR, D(bid), D(bid) + D("0.00001"), 3)
    assert prices(made) == ([] if price is None else [("entry", request_.side, D(price))])
    assert (made.quotes[EUR].bid, made.quotes[EUR].time) == (D(bid), 3)


@pytest.mark.parametrize("in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_what_is_not_fillable_at_once_is_cancelled(in_force: TimeInForce) -> None:
    made = exchange(EUR)
    rests = made.place(limit("a", "1.09", time_in_force=in_force), 2)
    assert (rests.status, rests.fills) == (OrderStatus.CANCELED, ())
    assert rests.reason is Reason.NOT_FILLABLE
    filled = made.place(limit("c", "1.11", time_in_force=in_force), 2)
    assert (filled.status, filled.average_price) == (OrderStatus.FILLED, D("1.10005"))


# --- protections and cancels -----------------------------------------------------------------


def test_protections_follow_the_size_and_the_newest_price() -> None:
    made = exchange(EUR)
    made.place(order("a", stop_loss="1.095", take_profit="1.105"), 2)
    made.place(order("b", stop_loss="1.096", quantity=5000), 2)
    working = [each for each in made.orders.values() if not each.status.terminal]
    assert {each.reason: each.stop_price or each.limit_price for each in working} == {
        Reason.STOP_LOSS: D("1.096"),
        Reason.TAKE_PROFIT: D("1.105"),
    }
    assert {each.quantity for each in working} == {D(15_000)}
    made.place(order("c", side=SELL, quantity=20_000), 2)
    assert all(each.status.terminal for each in made.orders.values())


def test_a_protection_that_is_cancelled_stays_so() -> None:
    made = exchange(EUR)
    made.place(order("a", stop_loss="1.095", take_profit="1.105"), 2)
    assert made.cancel("O3", 2).status is OrderStatus.CANCELED
    (held,) = made.positions()
    assert (held.stop_loss, held.take_profit) == (None, D("1.105"))
    made.place(order("b"), 2)
    working = [each.reason for each in made.orders.values() if not each.status.terminal]
    assert working == ["take_profit"]


def test_cancel_is_idempotent_and_never_undoes_a_fill() -> None:
    made = exchange(EUR)
    made.place(order("a"), 2)
    assert made.cancel("O1", 3).status is OrderStatus.FILLED
    rests = made.place(limit("b", "1.09"), 2).order_id
    first = made.cancel(rests, 3)
    assert (first.status, first.reason) == (OrderStatus.CANCELED, Reason.CANCELED_BY_CLIENT)
    seq = made.seq
    assert made.cancel(rests, 4) == first
    assert made.seq == seq
    with pytest.raises(Refused, match="no such order"):
        made.cancel("O99", 4)


def test_metals_trade_in_ounces_unless_the_account_says_otherwise() -> None:
    usual = ExchangeSettings()
    gold = instrument("XAU/USD", usual.terms("XAU/USD"))
    assert (gold.quantity_min, gold.quantity_step, gold.contract_size) == (D(1), D(1), D(100))
    assert instrument("EUR/USD", usual.terms("EUR/USD")).quantity_step == D(1000)
    own = ExchangeSettings(quantity_min=D(1000), quantity_step=D(1000))
    assert instrument("XAU/USD", own.terms("XAU/USD")).quantity_min == D(1000)
    table = {"XAU/USD": {"quantity_min": "10", "quantity_step": "10", "quantity_max": "1000"}}
    named = ExchangeSettings.read({"instruments": table}, "test")
    assert instrument("XAU/USD", named.terms("XAU/USD")).quantity_min == D(10)
