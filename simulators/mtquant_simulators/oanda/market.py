"""The endpoints of prices: candles and quotes."""

from __future__ import annotations

from decimal import Decimal

from mtquant.clock import SECOND
from mtquant.model import Side
from mtquant_simulators.oanda import show, text
from mtquant_simulators.oanda.account import Account
from mtquant_simulators.oanda.answers import MISSING, Answer, Problem, invalid
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.candles import (
    GRANULARITIES,
    WEEKDAYS,
    Candles,
    Grid,
    Wanted,
    zone_exists,
)
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import Moment
from mtquant_simulators.oanda.venue import Price

MOST_CANDLES = 5000
_DEFAULT_COUNT = 500
_EXCEEDED = "Maximum value for 'count' exceeded"


def candles(asked: Asked) -> Answer:
    """GET: candles of one instrument; ``smooth`` changes nothing here."""
    name = asked.path["instrument"]
    wanted = _wanted(asked, asked.symbol(name))
    made = Candles(asked.venue.tape, asked.account.exchange, asked.venue.time).of(wanted)
    granularity = wanted.grid.granularity
    return Answer({"instrument": name, "granularity": granularity, "candles": made})


def _wanted(asked: Asked, symbol: str) -> Wanted:
    sides = asked.query.get("price", "M")
    if not sides or set(sides) - set("MBA") or len(set(sides)) < len(sides):
        raise invalid("price")
    asked.flag("smooth", default=False)
    first, to = _time(asked, "from"), _time(asked, "to")
    grid = _grid(asked)
    count = asked.number("count", _DEFAULT_COUNT, 1, MOST_CANDLES)
    if first is not None and to is not None:
        if "count" in asked.query:
            raise Problem(400, "'count' cannot be specified when 'to' and 'from' are set")
        if to < first:
            raise invalid("to")
        length = GRANULARITIES[grid.granularity] * SECOND
        if (to - first) // length > MOST_CANDLES:
            raise Problem(400, _EXCEEDED)
        count = MOST_CANDLES + 1
    return Wanted(symbol, grid, sides, count, first, to, asked.flag("includeFirst", default=True))


def _time(asked: Asked, name: str) -> int | None:
    time = asked.time(name)
    if time is not None and time > asked.venue.time:
        raise Problem(400, f"Invalid value specified for '{name}'. Time is in the future")
    return time


def _grid(asked: Asked) -> Grid:
    zone = asked.query.get("alignmentTimezone", "America/New_York")
    if not zone_exists(zone):
        raise invalid("alignmentTimezone")
    weekday = asked.one_of("weeklyAlignment", "Friday", frozenset(WEEKDAYS))
    return Grid(
        asked.one_of("granularity", "S5", frozenset(GRANULARITIES)),
        asked.number("dailyAlignment", 17, 0, 23),
        zone,
        WEEKDAYS.index(weekday),
    )


def pricing(asked: Asked) -> Answer:
    """GET: the newest prices of the instruments named, those since a time if one is given."""
    names = asked.listed("instruments")
    if not names:
        raise Problem(400, MISSING)
    symbols = [asked.symbol(each, "instruments") for each in names]
    since = asked.time("since")
    units = asked.flag("includeUnitsAvailable", default=True)
    prices = [asked.venue.latest(symbol) for symbol in symbols]
    body: Json = {
        "time": Moment(asked.venue.time),
        "prices": [
            priced(asked.account, symbol, price, units=units)
            for symbol, price in zip(symbols, prices, strict=True)
            if since is None or price.time > since
        ],
    }
    if asked.flag("includeHomeConversions", default=False):
        body["homeConversions"] = _conversions(asked.account, symbols)
    return Answer(body)


def priced(account: Account, symbol: str, price: Price, *, units: bool) -> Json:
    """Return a price as ClientPrice."""
    each = account.exchange.instruments[symbol]
    bid, ask = text.price(price.bid, each), text.price(price.ask, each)
    depth = show.liquidity(account, symbol)
    rate = text.factor(account.exchange.rate(each.quote))
    shown: Json = {
        "type": "PRICE",
        "time": Moment(price.time),
        "bids": [{"price": bid, "liquidity": depth}],
        "asks": [{"price": ask, "liquidity": depth}],
        "closeoutBid": bid,
        "closeoutAsk": ask,
        "status": "tradeable" if price.tradeable else "non-tradeable",
        "tradeable": price.tradeable,
        "instrument": price.name,
    }
    if units:
        shown["quoteHomeConversionFactors"] = {"positiveUnits": rate, "negativeUnits": rate}
        shown["unitsAvailable"] = _units(account, symbol, price)
    return shown


def _units(account: Account, symbol: str, price: Price) -> Json:
    """Return how many units the margin available still carries, by what an order does."""
    each = account.exchange.instruments[symbol]
    money = account.exchange.account(account.time)
    held = [trade for trade in account.open_trades() if trade.symbol == symbol]
    sides = {
        side: sum((abs(trade.current) for trade in held if trade.side is side), Decimal(0))
        for side in Side
    }
    unit = (price.bid + price.ask) / 2 * account.exchange.rate(each.quote) * each.margin_rate
    room = money.margin_available // unit
    reducing = {"long": sides[Side.SELL], "short": sides[Side.BUY]}
    opening = {"long": room, "short": room}
    # What closes a position frees its margin, which then carries as much on the other side.
    first = {key: room + 2 * reducing[key] for key in opening}
    shown = {
        "default": opening if account.own.hedging else first,
        "reduceFirst": first,
        "reduceOnly": reducing,
        "openOnly": opening,
    }
    return {
        kind: {key: text.units(value) for key, value in both.items()}
        for kind, both in shown.items()
    }


def _conversions(account: Account, symbols: list[str]) -> list[Json]:
    currencies = sorted({account.exchange.instruments[each].quote for each in symbols})
    rates = {each: text.factor(account.exchange.rate(each)) for each in currencies}
    return [
        {"currency": each, "accountGain": rate, "accountLoss": rate, "positionValue": rate}
        for each, rate in rates.items()
    ]
