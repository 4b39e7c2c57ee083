"""An account as OANDA shows it: summary, instruments, orders, trades, positions and changes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from mtquant.exchange.record import ZERO
from mtquant.model import AssetClass, Instrument, Position, Side
from mtquant_simulators.oanda import text
from mtquant_simulators.oanda.account import LIQUIDITY, Account, Totals, Trade
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import Moment

_DEPENDENTS = {
    "TAKE_PROFIT": "takeProfitOrder",
    "STOP_LOSS": "stopLossOrder",
    "TRAILING_STOP_LOSS": "trailingStopLossOrder",
}


class Worth:
    """What the open trades of an account are worth now, worked out once for one answer."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._open: dict[str, Position] = {
            each.position_id: each for each in account.exchange.positions()
        }

    def profit(self, trade: Trade) -> Decimal:
        """Return the unrealized profit of a trade."""
        held = self._open.get(trade.position_id)
        return ZERO if held is None else held.unrealized_profit

    def value(self, trade: Trade) -> Decimal:
        """Return what the units of a trade are worth in the account's currency, unsigned."""
        each = self.account.exchange.instruments[trade.symbol]
        mid = self.account.quote(trade.symbol).mid
        return abs(trade.current) * mid * self.account.exchange.rate(each.quote)

    def margin(self, trade: Trade) -> Decimal:
        """Return the margin that a trade would use alone."""
        return self.value(trade) * self.account.exchange.instruments[trade.symbol].margin_rate

    def margin_of(self, trades: Iterable[Trade]) -> Decimal:
        """Return the margin of the trades in one instrument: that of the larger side."""
        sides = {Side.BUY: ZERO, Side.SELL: ZERO}
        for trade in trades:
            sides[trade.side] += self.margin(trade)
        return max(sides.values())


def instrument(each: Instrument) -> Json:
    """Return an instrument's terms."""
    pip = each.pip_size or each.price_step
    least = pip * 5
    metal = each.asset_class is AssetClass.METAL
    return {
        "name": text.name_of(each.instrument),
        "type": "METAL" if metal else "CURRENCY",
        "displayName": each.instrument,
        "pipLocation": int(pip.normalize().adjusted()),
        "displayPrecision": text.digits(each),
        "tradeUnitsPrecision": max(0, -int(each.quantity_step.normalize().as_tuple().exponent)),
        "minimumTradeSize": text.units(each.quantity_min),
        "maximumTrailingStopDistance": text.price(pip * 10_000, each),
        "minimumTrailingStopDistance": text.price(least, each),
        "maximumPositionSize": "0",
        "maximumOrderUnits": text.units(each.quantity_max),
        "marginRate": text.units(each.margin_rate),
    }


def state(account: Account, worth: Worth) -> Json:
    """Return what of an account changes with prices."""
    money = account.exchange.account(account.time)
    trades = account.open_trades()
    profit = money.equity - money.balance
    used = money.margin_used
    level = account.exchange.settings.close_out_level
    share = used * level / money.equity if money.equity > 0 else ZERO
    called = used / money.equity if money.equity > 0 else ZERO
    value = text.money(sum((worth.value(each) for each in trades), ZERO))
    return {
        "unrealizedPL": text.money(profit),
        "NAV": text.money(money.equity),
        "marginUsed": text.money(used),
        "marginAvailable": text.money(money.margin_available),
        "positionValue": value,
        "marginCloseoutUnrealizedPL": text.money(profit),
        "marginCloseoutNAV": text.money(money.equity),
        "marginCloseoutMarginUsed": text.money(used),
        "marginCloseoutPercent": f"{share:.5f}",
        "marginCloseoutPositionValue": value,
        "withdrawalLimit": text.money(min(money.margin_available, max(account.balance, ZERO))),
        "marginCallMarginUsed": text.money(used),
        "marginCallPercent": f"{called:.5f}",
    }


def summary(account: Account, worth: Worth) -> Json:
    """Return the account without what it holds."""
    trades = account.open_trades()
    totals = account.totals.values()
    earned = text.money(sum((each.pl for each in totals), ZERO))
    rates = {each.margin_rate for each in account.exchange.instruments.values()}
    shown: Json = {
        "id": account.id,
        "alias": account.alias,
        "currency": account.own.currency,
        "balance": text.money(account.balance),
        "createdByUserID": int(account.id.split("-")[2]),
        "createdTime": Moment(account.created),
        "guaranteedStopLossOrderMode": "DISABLED",
        "pl": earned,
        "resettablePL": earned,
        "resettablePLTime": Moment(0),
        "financing": text.money(sum((each.financing for each in totals), ZERO)),
        "commission": text.money(sum((each.commission for each in totals), ZERO)),
        "guaranteedExecutionFees": "0.0000",
        "marginRate": text.units(min(rates)),
        "openTradeCount": len(trades),
        "openPositionCount": len({each.symbol for each in trades}),
        "pendingOrderCount": len(account.pending()),
        "hedgingEnabled": account.own.hedging,
        **state(account, worth),
        "lastTransactionID": account.ledger.last,
    }
    if account.last_fill is not None:
        shown["lastOrderFillTimestamp"] = Moment(account.last_fill)
    return shown


def details(account: Account) -> Json:
    """Return the account with its open trades, its positions and pending orders."""
    worth = Worth(account)
    return {
        **summary(account, worth),
        "trades": [trade_summary(each, worth) for each in account.open_trades()],
        "positions": positions(account, worth),
        "orders": [order(account, each) for each in account.pending()],
    }


def order(account: Account, each: Json) -> Json:
    """Return an order; a trailing stop with where it stands."""
    report = account.report(each["id"])
    if each["type"] != "TRAILING_STOP_LOSS" or report is None or report.stop_price is None:
        return each
    terms = account.exchange.instruments[report.instrument]
    return {**each, "trailingStopValue": text.price(report.stop_price, terms)}


def trade_summary(trade: Trade, worth: Worth) -> Json:
    """Return a trade with the ids of what protects it."""
    shown = _trade(trade, worth)
    for kind, order_id in trade.dependents.items():
        shown[f"{_DEPENDENTS[kind]}ID"] = order_id
    return shown


def trade(each: Trade, worth: Worth) -> Json:
    """Return a trade with the orders that protect it."""
    shown = _trade(each, worth)
    for kind, order_id in each.dependents.items():
        shown[_DEPENDENTS[kind]] = order(worth.account, worth.account.orders[order_id])
    return shown


def _trade(each: Trade, worth: Worth) -> Json:
    terms = worth.account.exchange.instruments[each.symbol]
    shown: Json = {
        "id": each.id,
        "instrument": text.name_of(each.symbol),
        "price": text.price(each.price, terms),
        "openTime": Moment(each.time),
        "state": "OPEN" if each.open else "CLOSED",
        "initialUnits": text.units(each.initial),
        "initialMarginRequired": text.money(each.margin),
        "currentUnits": text.units(each.current),
        "realizedPL": text.money(each.realized),
        "financing": text.money(each.financing),
    }
    if each.open:
        shown["unrealizedPL"] = text.money(worth.profit(each))
        shown["marginUsed"] = text.money(worth.margin(each))
    if each.closed:
        units = sum((quantity for quantity, _ in each.closed), ZERO)
        cost = sum((quantity * price for quantity, price in each.closed), ZERO)
        shown["averageClosePrice"] = text.price(cost / units, terms)
        shown["closingTransactionIDs"] = list(each.closing)
    if each.close_time is not None:
        shown["closeTime"] = Moment(each.close_time)
    if each.extensions:
        shown["clientExtensions"] = each.extensions
    return shown


def positions(account: Account, worth: Worth, *, only_open: bool = False) -> list[Json]:
    """Return a position of every instrument that was ever traded, or is held now."""
    held = {each.symbol for each in account.open_trades()}
    traded = {each.symbol for each in account.trades.values()}
    wanted = held if only_open else traded
    return [position(account, worth, symbol) for symbol in sorted(wanted)]


def position(account: Account, worth: Worth, symbol: str) -> Json:
    """Return the position in our ``symbol``, both of its sides."""
    held = [each for each in reversed(account.open_trades()) if each.symbol == symbol]
    sides = {each: account.totals.get((symbol, each), Totals()) for each in Side}
    both = sides.values()
    earned = text.money(sum((each.pl for each in both), ZERO))
    return {
        "instrument": text.name_of(symbol),
        "pl": earned,
        "unrealizedPL": text.money(sum((worth.profit(each) for each in held), ZERO)),
        "marginUsed": text.money(worth.margin_of(held)),
        "resettablePL": earned,
        "financing": text.money(sum((each.financing for each in both), ZERO)),
        "commission": text.money(sum((each.commission for each in both), ZERO)),
        "guaranteedExecutionFees": "0.0000",
        "long": _side(account, worth, symbol, Side.BUY),
        "short": _side(account, worth, symbol, Side.SELL),
    }


def _side(account: Account, worth: Worth, symbol: str, side: Side) -> Json:
    trades = [each for each in reversed(account.open_trades()) if each.symbol == symbol]
    held = [each for each in trades if each.side is side]
    total = account.totals.get((symbol, side), Totals())
    units = sum((each.current for each in held), ZERO)
    shown: Json = {
        "units": text.units(units),
        "pl": text.money(total.pl),
        "unrealizedPL": text.money(sum((worth.profit(each) for each in held), ZERO)),
        "resettablePL": text.money(total.pl),
        "financing": text.money(total.financing),
        "guaranteedExecutionFees": "0.0000",
    }
    if held:
        cost = sum((each.current * each.price for each in held), ZERO)
        shown["averagePrice"] = text.price(cost / units, account.exchange.instruments[symbol])
        shown["tradeIDs"] = [each.id for each in held]
    return shown


def changes(account: Account, since: int) -> Json:
    """Return what has changed after the transaction ``since``, as AccountChanges."""
    worth, entries = Worth(account), account.ledger.after(since)
    found: dict[str, dict[str, None]] = {
        key: {}
        for key in (
            "ordersCreated",
            "ordersCancelled",
            "ordersFilled",
            "tradesOpened",
            "tradesReduced",
            "tradesClosed",
            "positions",
        )
    }
    for entry in entries:
        _changed(found, entry)
    return {
        "ordersTriggered": [],
        "transactions": entries,
        **{
            key: [order(account, account.orders[each]) for each in found[key]]
            for key in ("ordersCreated", "ordersCancelled", "ordersFilled")
        },
        **{
            key: [trade_summary(account.trades[each], worth) for each in found[key]]
            for key in ("tradesOpened", "tradesReduced", "tradesClosed")
        },
        "positions": [
            position(account, worth, text.symbol_of(each)) for each in found["positions"]
        ],
    }


def _changed(found: dict[str, dict[str, None]], entry: Json) -> None:
    kind = entry["type"]
    if kind == "ORDER_CANCEL":
        found["ordersCancelled"][entry["orderID"]] = None
    elif kind == "ORDER_FILL":
        found["ordersFilled"][entry["orderID"]] = None
        found["positions"][entry["instrument"]] = None
        if "tradeOpened" in entry:
            found["tradesOpened"][entry["tradeOpened"]["tradeID"]] = None
        if "tradeReduced" in entry:
            found["tradesReduced"][entry["tradeReduced"]["tradeID"]] = None
        for each in entry.get("tradesClosed", ()):
            found["tradesClosed"][each["tradeID"]] = None
    elif kind.endswith("_ORDER"):
        found["ordersCreated"][entry["id"]] = None


def changes_state(account: Account) -> Json:
    """Return what changes with prices, of the account and of all that it holds."""
    worth, held = Worth(account), account.open_trades()
    shown: Json = {**state(account, worth), "orders": [], "trades": [], "positions": []}
    for each in account.pending():
        report = account.report(each["id"])
        if report is not None and report.stop_price is not None:
            terms = account.exchange.instruments[report.instrument]
            quote = account.quote(report.instrument)
            market = quote.ask if report.side is Side.BUY else quote.bid
            dynamic = {
                "id": each["id"],
                "triggerDistance": text.price(abs(report.stop_price - market), terms),
                "isTriggerDistanceExact": True,
            }
            if each["type"] == "TRAILING_STOP_LOSS":
                dynamic["trailingStopValue"] = text.price(report.stop_price, terms)
            shown["orders"].append(dynamic)
    for trade_ in held:
        shown["trades"].append(
            {
                "id": trade_.id,
                "unrealizedPL": text.money(worth.profit(trade_)),
                "marginUsed": text.money(worth.margin(trade_)),
            }
        )
    for symbol in sorted({each.symbol for each in held}):
        full = position(account, worth, symbol)
        shown["positions"].append(
            {
                "instrument": full["instrument"],
                "netUnrealizedPL": full["unrealizedPL"],
                "longUnrealizedPL": full["long"]["unrealizedPL"],
                "shortUnrealizedPL": full["short"]["unrealizedPL"],
                "marginUsed": full["marginUsed"],
            }
        )
    return shown


def liquidity(account: Account, symbol: str) -> int:
    """Return how many units a price of ``symbol`` is good for."""
    return int(account.exchange.terms[symbol].liquidity or LIQUIDITY)
