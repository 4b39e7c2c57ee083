"""The account as a broker: what is sent, and what every answer comes to."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import anyio
import httpx2
import pytest
from tests.oanda.double import (
    ACCOUNT,
    TIME,
    TOKEN,
    Answer,
    Double,
    Json,
    cancel,
    desk,
    fill,
    limit,
    market,
    ok,
    price,
    transaction,
    until,
)

from mtquant.clock import SystemClock
from mtquant.errors import BrokerError, ErrorCode, Outcome, OutcomeUnknown, Refused
from mtquant.ledger import Ledger
from mtquant.model import (
    CloseRequest,
    Environment,
    ModifyRequest,
    OrderRequest,
    OrderStatus,
    OrderType,
    PositionMode,
    PriceSide,
    ProtectionRequest,
    Reason,
    Side,
    Timeframe,
    TimeInForce,
)
from mtquant.wire import Remote, serve

ORDERS = ("POST", "/orders")
TRADE: Json = {
    "id": "2",
    "instrument": "EUR_USD",
    "price": "1.10000",
    "openTime": TIME,
    "initialUnits": "1000",
    "currentUnits": "1000",
    "unrealizedPL": "1.5",
    "financing": "-0.1",
    "state": "OPEN",
}


def buy(name: str = "a", **changes: Any) -> OrderRequest:  # noqa: ANN401 - an order's fields
    base = OrderRequest(
        client_order_id=name,
        instrument="EUR_USD",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(1000),
        time_in_force=TimeInForce.FOK,
    )
    return replace(base, **changes)


def taken(double: Double, *made: Json, status: int = 201, **more: object) -> Answer:
    """Return the answer that ``made`` were written to the account, as OANDA tells an order."""
    names = {"ORDER_FILL": "orderFillTransaction", "ORDER_CANCEL": "orderCancelTransaction"}

    def answer(_: httpx2.Request) -> httpx2.Response:
        double.book += made
        body = {names.get(each["type"], "orderCreateTransaction"): each for each in made}
        body |= {"lastTransactionID": made[-1]["id"]} | more
        return httpx2.Response(status, json=body)

    return answer


def body_of(request: httpx2.Request) -> Json:
    found: Json = json.loads(request.content)
    return found


def run(scene: Callable[[], Awaitable[None]]) -> None:
    anyio.run(scene)


async def refusal(act: Awaitable[object]) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await act
    return caught.value


def test_an_order_carries_its_id_and_is_filled() -> None:
    async def scene() -> None:
        double = Double()
        double.answers[ORDERS] = taken(double, market(1, "a"), fill(2, 1))
        async with desk(double) as broker:
            await broker.get_account()
            await until(lambda: broker.diary.alive)
            report = await broker.place_order(
                buy(stop_loss=Decimal("1.09"), take_profit=Decimal("1.12"), strategy_id="trend")
            )
        assert (report.status, report.order_id) == (OrderStatus.FILLED, "1")
        (request,) = double.sent("POST", "/orders")
        carried = {"id": "a", "tag": "trend", "comment": "mtquant"}
        assert body_of(request)["order"] == {
            "type": "MARKET",
            "instrument": "EUR_USD",
            "units": "1000",
            "timeInForce": "FOK",
            "positionFill": "DEFAULT",
            "stopLossOnFill": {"price": "1.09", "timeInForce": "GTC"},
            "takeProfitOnFill": {"price": "1.12", "timeInForce": "GTC"},
            "clientExtensions": carried,
            "tradeClientExtensions": carried,
        }
        # The answer held every transaction: nothing had to be asked for.
        assert not [
            each
            for each in double.seen[double.seen.index(request) + 1 :]
            if "sinceid" in each.url.path
        ]

    run(scene)


def test_a_slip_is_bounded_from_the_price_that_is_met() -> None:
    async def scene() -> None:
        double = Double()
        double.answers[ORDERS] = taken(double, market(1, "a"), cancel(2, 1, "BOUNDS_VIOLATION"))
        async with desk(double) as broker:
            report = await broker.place_order(buy(max_slippage=Decimal("0.0005")))
        assert body_of(double.sent("POST", "/orders")[0])["order"]["priceBound"] == "1.1006"
        assert (report.status, report.reason) == (OrderStatus.CANCELED, Reason.MAX_SLIPPAGE)

    run(scene)


def test_an_order_that_is_taken_and_ended_at_once_is_no_success() -> None:
    async def scene() -> None:
        double = Double()
        async with desk(double) as broker:
            double.answers[ORDERS] = taken(
                double, market(1, "a"), cancel(2, 1, "INSUFFICIENT_MARGIN")
            )
            error = await refusal(broker.place_order(buy()))
            assert (error.code, error.outcome) == (ErrorCode.INSUFFICIENT_MARGIN, Outcome.REJECTED)
            assert error.broker_code == "INSUFFICIENT_MARGIN"
            double.answers[ORDERS] = taken(
                double, market(3, "b"), cancel(4, 3, "INSUFFICIENT_LIQUIDITY")
            )
            report = await broker.place_order(buy("b"))
            assert (report.status, report.reason) == (OrderStatus.CANCELED, Reason.NOT_FILLABLE)
            double.answers[ORDERS] = taken(double, market(5, "c"), cancel(6, 5, "MARKET_HALTED"))
            assert (await refusal(broker.place_order(buy("c")))).code is ErrorCode.MARKET_CLOSED

    run(scene)


def test_a_reject_is_a_refusal_that_names_the_field() -> None:
    async def scene() -> None:
        double = Double()
        rejected = transaction(1, "LIMIT_ORDER_REJECT", rejectReason="PRICE_PRECISION_EXCEEDED")
        double.answers[ORDERS] = ok(
            {"orderRejectTransaction": rejected, "errorMessage": "too precise"}, 400
        )
        async with desk(double) as broker:
            order = buy(order_type=OrderType.LIMIT, limit_price=Decimal("1.05"))
            error = await refusal(broker.place_order(order))
        assert (error.code, error.field) == (ErrorCode.INVALID_PRICE, "limit_price")
        assert error.outcome is Outcome.REJECTED

    run(scene)


def test_an_id_that_is_pending_at_oanda_is_looked_up_and_not_taken_for_refused() -> None:
    async def scene() -> None:
        double = Double()
        reject = transaction(
            1, "MARKET_ORDER_REJECT", rejectReason="CLIENT_ORDER_ID_ALREADY_EXISTS"
        )
        double.answers[ORDERS] = ok({"orderRejectTransaction": reject}, 400)
        async with desk(double) as broker:
            assert isinstance(await refusal(broker.place_order(buy())), OutcomeUnknown)

    run(scene)


def test_an_order_that_was_taken_is_never_told_as_not_sent() -> None:
    """The order is there; what follows it can't be asked for: refused connections then say less."""

    async def scene() -> None:
        double = Double()

        def broken(request: httpx2.Request) -> httpx2.Response:
            raise httpx2.ConnectError("no", request=request)

        async with desk(double) as broker:
            await broker.get_account()
            double.answers[ORDERS] = taken(double, market(1, "a"), lastTransactionID="9")
            double.answers["GET", "/sinceid"] = broken
            assert isinstance(await refusal(broker.place_order(buy())), OutcomeUnknown)
            double.answers[ORDERS] = ok({"surprise": True}, 201)
            assert isinstance(await refusal(broker.place_order(buy("b"))), OutcomeUnknown)

    run(scene)


def lost(double: Double, *made: Json) -> Answer:
    """Return an answer that is lost after the account has got ``made``."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        double.book += made
        raise httpx2.RemoteProtocolError("hung up", request=request)

    return answer


def test_an_order_whose_answer_was_lost_is_found_and_sent_once() -> None:
    async def scene() -> None:
        double = Double()
        double.answers[ORDERS] = lost(double, market(1, "a"), fill(2, 1))
        async with (
            desk(double) as broker,
            Remote(serve(broker, ledger=Ledger(":memory:", SystemClock()))) as remote,
        ):
            assert isinstance(await refusal(remote.place_order(buy())), OutcomeUnknown)
            again = await remote.place_order(buy())
            assert (again.status, again.replayed) == (OrderStatus.FILLED, True)
            found = await remote.get_order(client_order_id="a")
            assert found.order_id == "1"
        assert len(double.sent("POST", "/orders")) == 1

    run(scene)


def test_that_an_order_never_came_is_asked_of_oanda_and_not_of_the_book() -> None:
    async def scene() -> None:
        double = Double()
        double.answers[ORDERS] = lost(double)
        async with desk(double) as broker:
            await refusal(broker.place_order(buy()))
            error = await refusal(broker.get_order(client_order_id="a"))
            assert (error.code, error.outcome) == (ErrorCode.NOT_FOUND, Outcome.REJECTED)
            assert double.sent("GET", "/orders/@a")
            double.answers["GET", "/sinceid"] = ok({}, 503)
            error = await refusal(broker.get_order(client_order_id="a"))
            assert error.code is ErrorCode.NOT_CONNECTED, "silence was taken for absence"

    run(scene)


def test_an_order_of_somebody_else_that_looks_alike_is_no_doubt_where_ids_are_carried() -> None:
    async def scene() -> None:
        double = Double()
        double.answers[ORDERS] = lost(double, market(1, None), fill(2, 1))
        async with desk(double) as broker:
            await refusal(broker.place_order(buy()))
            error = await refusal(broker.get_order(client_order_id="a"))
            assert error.code is ErrorCode.NOT_FOUND

    run(scene)


def test_looking_far_back_changes_nothing_that_is_known_now() -> None:
    async def scene() -> None:
        double = Double(hedging=True)
        double.trades = [TRADE | {"currentUnits": "400"}]
        old = market(1, "a") | {
            "type": "MARKET",
            "state": "FILLED",
            "createTime": TIME,
            "fillingTransactionID": "2",
        }
        double.answers["GET", "/orders/@a"] = ok({"order": old})
        double.answers["GET", "/transactions/2"] = ok({"transaction": fill(2, 1)})
        async with desk(double) as broker:
            await broker.get_order(client_order_id="a")
            assert broker.diary.book.trades["2"].units == Decimal(400)

    run(scene)


def test_an_order_from_before_the_book_is_found_by_its_id() -> None:
    async def scene() -> None:
        double = Double()
        old = limit(1, "a") | {
            "type": "LIMIT",
            "state": "FILLED",
            "createTime": TIME,
            "fillingTransactionID": "2",
        }
        double.answers["GET", "/orders/@a"] = ok({"order": old})
        double.answers["GET", "/transactions/2"] = ok({"transaction": fill(2, 1)})
        async with desk(double) as broker:
            report = await broker.get_order(client_order_id="a")
        assert (report.status, report.order_id) == (OrderStatus.FILLED, "1")
        assert report.filled_quantity == Decimal(1000)

    run(scene)


def test_without_client_extensions_nothing_is_carried_and_a_likeness_is_no_proof() -> None:
    async def scene() -> None:
        double = Double()
        async with desk(double, client_extensions=False) as broker:
            double.answers[ORDERS] = taken(double, market(1, None), fill(2, 1))
            report = await broker.place_order(buy())
            assert report.client_order_id == "a"
            assert "clientExtensions" not in body_of(double.sent("POST", "/orders")[0])["order"]
            assert (await broker.get_order(client_order_id="a")).order_id == "1"
            (found,) = (await broker.list_fills()).fills
            assert found.client_order_id == "a"

            double.answers[ORDERS] = lost(double)
            await refusal(broker.place_order(buy("b")))
            error = await refusal(broker.get_order(client_order_id="b"))
            assert error.code is ErrorCode.NOT_FOUND, "the order of another id was taken for it"
            double.book += [market(3, None), fill(4, 3)]
            error = await refusal(broker.get_order(client_order_id="b"))
            assert isinstance(error, OutcomeUnknown)
            assert "order 3" in error.message

    run(scene)


def closing(number: int, units: str = "-1000") -> tuple[Json, Json]:
    made = market(number, None, units, tradeClose={"tradeID": "2", "units": units})
    made["reason"] = "TRADE_CLOSE"
    done = {"tradeOpened": None, "tradesClosed": [{"tradeID": "2", "units": units}]}
    return made, fill(number + 1, number, units, **done)


def test_a_ticket_closed_whole_is_found_again_though_no_id_went_along() -> None:
    async def scene() -> None:
        double = Double(hedging=True)
        double.book = [market(1, "a"), fill(2, 1)]
        double.trades = [TRADE]
        double.answers["PUT", "/trades/2/close"] = lost(double, *closing(3))
        async with desk(double) as broker:
            close = CloseRequest(client_order_id="c", position_id="2")
            await refusal(broker.close_position(close))
            report = await broker.get_order(client_order_id="c")
            assert (report.order_id, report.status) == ("3", OrderStatus.FILLED)
            assert (report.side, report.client_order_id) == (Side.SELL, "c")

    run(scene)


def test_a_part_of_a_ticket_that_somebody_closed_is_not_taken_for_ours() -> None:
    async def scene() -> None:
        double = Double(hedging=True)
        double.book = [market(1, "a"), fill(2, 1)]
        double.trades = [TRADE]
        made = market(3, None, "-400", tradeClose={"tradeID": "2", "units": "-400"})
        double.answers["PUT", "/trades/2/close"] = lost(double, made)
        async with desk(double) as broker:
            close = CloseRequest(client_order_id="c", position_id="2", quantity=Decimal(400))
            await refusal(broker.close_position(close))
            error = await refusal(broker.get_order(client_order_id="c"))
            assert isinstance(error, OutcomeUnknown)

    run(scene)


def test_a_netted_position_is_closed_by_side_with_its_id() -> None:
    async def scene() -> None:
        double = Double()
        double.book = [market(1, "a"), fill(2, 1)]
        double.trades = [TRADE]
        made = market(
            3, "c", "-400", longPositionCloseout={"instrument": "EUR_USD", "units": "400"}
        )
        done = fill(4, 3, "-400", tradeOpened=None, tradeReduced={"tradeID": "2", "units": "-400"})

        def answer(_: httpx2.Request) -> httpx2.Response:
            double.book += [made, done]
            body = {"longOrderCreateTransaction": made, "longOrderFillTransaction": done}
            return httpx2.Response(200, json=body | {"lastTransactionID": "4"})

        double.answers["PUT", "/positions/EUR_USD/close"] = answer
        async with desk(double) as broker:
            close = CloseRequest(client_order_id="c", instrument="EUR_USD", quantity=Decimal(400))
            report = await broker.close_position(close)
            assert (report.status, report.reduce_only) == (OrderStatus.FILLED, True)
            too_much = replace(close, client_order_id="d", quantity=Decimal(1001))
            error = await refusal(broker.close_position(too_much))
            assert (error.code, error.outcome) == (ErrorCode.INVALID_QUANTITY, Outcome.NOT_SENT)
        (request,) = double.sent("PUT", "/close")
        carried = {"id": "c", "tag": "mtquant", "comment": "mtquant"}
        assert body_of(request) == {
            "longUnits": "400",
            "shortUnits": "NONE",
            "longClientExtensions": carried,
        }

    run(scene)


def test_a_change_replaces_the_order_under_the_next_id_of_its_chain() -> None:
    async def scene() -> None:
        double = Double()
        double.book = [limit(1, "a", stopLossOnFill={"price": "1.01000"})]
        gone = cancel(2, 1, "CLIENT_REQUEST_REPLACED", replacedByOrderID="3")
        new = limit(3, "a~1", "2000", replacesOrderID="1", stopLossOnFill={"price": "1.01000"})
        double.answers["PUT", "/orders/1"] = taken(double, gone, new)
        async with desk(double) as broker:
            change = ModifyRequest(client_order_id="m", order_id="1", quantity=Decimal(2000))
            report = await broker.modify_order(change)
            assert (report.order_id, report.client_order_id) == ("1", "a")
            assert (report.quantity, report.limit_price) == (Decimal(2000), Decimal("1.05"))
        body = body_of(double.sent("PUT", "/orders/1")[0])["order"]
        assert body["clientExtensions"]["id"] == "a~1"
        assert (body["units"], body["price"]) == ("2000", "1.05")
        assert body["stopLossOnFill"]["price"] == "1.01", "what was left out was dropped"

    run(scene)


def test_a_protection_that_only_some_trades_got_is_unknown() -> None:
    async def scene() -> None:
        double = Double()
        double.trades = [TRADE, TRADE | {"id": "4"}]
        reject = {"stopLossOrderRejectTransaction": {"rejectReason": "PRICE_INVALID"}}
        double.answers["PUT", "/trades/2/orders"] = ok({"lastTransactionID": "0"})
        double.answers["PUT", "/trades/4/orders"] = ok(reject, 400)
        async with desk(double) as broker:
            wanted = ProtectionRequest(
                client_order_id="p", position_id="EUR_USD", stop_loss=Decimal("1.05")
            )
            error = await refusal(broker.set_protection(wanted))
            assert isinstance(error, OutcomeUnknown)
            assert "1 of 2" in error.message

    run(scene)


def test_a_netted_position_is_protected_as_well_as_its_worst_protected_trade() -> None:
    async def scene() -> None:
        double = Double()
        near, far = {"price": "1.09000"}, {"price": "1.08000"}
        double.trades = [
            TRADE | {"stopLossOrder": near},
            TRADE
            | {
                "id": "4",
                "price": "1.20000",
                "stopLossOrder": far,
                "takeProfitOrder": {"price": "1.30000"},
            },
        ]
        async with desk(double) as broker:
            (position,) = (await broker.get_positions()).positions
        assert (position.quantity, position.average_price) == (Decimal(2000), Decimal("1.15"))
        assert (position.stop_loss, position.take_profit) == (Decimal("1.08"), None)
        assert (position.unrealized_profit, position.swap) == (Decimal(3), Decimal("-0.2"))

    run(scene)


def candles(request: httpx2.Request) -> httpx2.Response:
    """Answer with candles of a minute each since 1970, the last of which isn't complete."""
    query = request.url.params
    newest = 20_000
    end = newest if "to" not in query else _minute(query["to"]) - 1
    first = max(0, end - int(query["count"]) + 1)
    found = [
        {
            "time": f"1970-01-{1 + each // 1440:02d}T{each // 60 % 24:02d}:{each % 60:02d}:00Z",
            "complete": each < newest,
            "volume": 1,
            "mid": dict.fromkeys("ohlc", str(each)),
        }
        for each in range(first, end + 1)
    ]
    return httpx2.Response(200, json={"candles": found})


def _minute(text: str) -> int:
    day, hour, minute = int(text[8:10]) - 1, int(text[11:13]), int(text[14:16])
    return day * 1440 + hour * 60 + minute


@pytest.mark.parametrize("count", [1, 10, 4999, 5000])
def test_the_last_bars_are_complete_and_as_many_as_asked_for(count: int) -> None:
    async def scene() -> None:
        double = Double()
        double.answers["GET", "/candles"] = candles
        async with desk(double) as broker:
            bars = await broker.get_bars("EUR_USD", Timeframe.M1, count=count)
        assert bars.close == tuple(float(each) for each in range(20_000 - count, 20_000))
        assert all("to" not in each.url.params for each in double.sent("GET", "/candles")[:1])

    run(scene)


def test_a_range_of_bars_holds_its_beginning_and_not_its_end() -> None:
    async def scene() -> None:
        double = Double()
        double.answers["GET", "/candles"] = candles
        minute = 60 * 1_000_000_000
        async with desk(double) as broker:
            bars = await broker.get_bars(
                "EUR_USD", Timeframe.M1, from_=100 * minute, to=9000 * minute, count=5000
            )
            assert bars.close == tuple(float(each) for each in range(4000, 9000))
            bars = await broker.get_bars(
                "EUR_USD", Timeframe.M1, from_=100 * minute, to=200 * minute, count=5000
            )
            assert bars.close == tuple(float(each) for each in range(100, 200))
            error = await refusal(broker.get_bars("EUR_USD", Timeframe.S1))
            assert error.code is ErrorCode.UNSUPPORTED
            error = await refusal(broker.get_bars("EUR_USD", Timeframe.M1, price=PriceSide.LAST))
            assert error.field == "price"

    run(scene)


def test_what_v20_has_not_is_refused_and_nothing_is_sent() -> None:
    async def scene() -> None:
        double = Double()
        dated = buy(time_in_force=TimeInForce.GTD, expire_time=4_000_000_000_000_000_000)
        async with desk(double) as broker:
            for order in (
                dated,
                buy(order_type=OrderType.TRAILING_STOP, trailing_stop=Decimal("0.01")),
                buy(order_type=OrderType.STOP_LIMIT, stop_price=Decimal("1.2")),
            ):
                error = await refusal(broker.place_order(order))
                assert isinstance(error, Refused)
                assert error.code is ErrorCode.UNSUPPORTED
            assert (await refusal(broker.get_ticks("EUR_USD"))).code is ErrorCode.UNSUPPORTED
        assert not double.sent("POST", "/orders")

    run(scene)


def test_the_account_says_what_it_is() -> None:
    async def scene() -> None:
        for hedging, mode in ((False, PositionMode.NETTING), (True, PositionMode.HEDGING)):
            async with desk(Double(hedging=hedging)) as broker:
                told = await broker.get_capabilities()
                assert (told.position_mode, told.environment) == (mode, Environment.PRACTICE)
                assert (await broker.get_account()).position_mode is mode

    run(scene)


def test_money_and_executions_come_in_one_answer() -> None:
    async def scene() -> None:
        double = Double()
        async with desk(double) as broker:
            assert (await broker.get_account()).balance == Decimal(100_000)
            await until(lambda: broker.diary.alive)
            double.book += [market(1, "a"), fill(2, 1, accountBalance="100007.5")]
            double.book += [transaction(3, "MARGIN_CALL_ENTER")]
            account = await broker.get_account()
            assert (account.balance, account.margin_call) == (Decimal("100007.5"), True)
            assert [each.execution_id for each in (await broker.list_fills()).fills] == ["2"]
            double.book += [transaction(4, "MARGIN_CALL_EXIT")]
            double.book += [transaction(5, "DAILY_FINANCING", accountBalance="100007.1")]
            account = await broker.get_account()
            assert (account.balance, account.margin_call) == (Decimal("100007.1"), False)

    run(scene)


def test_a_preview_counts_in_the_accounts_currency_and_sends_nothing() -> None:
    async def scene() -> None:
        double = Double()
        async with desk(double) as broker:
            told = await broker.preview_order(buy(stop_loss=Decimal("1.09")))
            assert told.price == Decimal("1.1001")
            assert told.margin_required == Decimal("36.6333")
            assert told.loss_at_stop == Decimal("10.1")
            error = await refusal(broker.preview_order(buy(quantity=Decimal(50_000_000))))
            assert error.code is ErrorCode.INSUFFICIENT_MARGIN
        assert not [each for each in double.seen if each.method != "GET"]

    run(scene)


def test_the_token_is_in_no_result_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        double = Double()
        double.answers[ORDERS] = ok({"errorMessage": f"bad {TOKEN[:3]}"}, 401)
        async with desk(double) as broker:
            error = await refusal(broker.place_order(buy()))
            shown = [repr(error.payload()), repr(await broker.get_health()), repr(broker)]
            shown += [repr(await broker.get_capabilities()), repr(await broker.get_account())]
            assert all(TOKEN not in each for each in shown)
        assert double.seen[0].headers["authorization"] == f"Bearer {TOKEN}"

    with caplog.at_level(logging.DEBUG):
        run(scene)
    assert TOKEN not in caplog.text


def test_a_live_account_is_looked_at_only_until_its_number_is_said() -> None:
    async def scene() -> None:
        double = Double()
        async with desk(double, url="", environment="live") as broker:
            assert (await broker.get_account()).environment is Environment.LIVE
            assert double.seen[0].url.host == "api-fxtrade.oanda.com"
            for number, trades in ((None, False), ("another", False), (ACCOUNT, True)):
                async with Remote(serve(broker, live_account=number)) as remote:
                    tools = (await remote.get_capabilities()).tools
                    assert ("place_order" in tools) is trades
                    assert ("cancel_order" in tools) is trades

    run(scene)


def test_a_market_that_is_closed_is_told() -> None:
    async def scene() -> None:
        double = Double()
        double.prices["EUR_USD"] = price() | {"tradeable": False}
        async with desk(double) as broker:
            await broker.get_quotes(("EUR_USD",))
            health = await broker.get_health()
            assert not health.trading_allowed
            assert "closed" in health.reason

    run(scene)
