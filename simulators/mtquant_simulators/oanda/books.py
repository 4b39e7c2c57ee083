"""The order book and the position book: invented, the same for the same price.

OANDA publishes where its other clients' orders and positions stand. There are no other clients
here, so each bucket's share falls evenly with its distance from the price.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal

from mtquant_simulators.oanda import text
from mtquant_simulators.oanda.answers import Answer
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import Moment

_REACH = 20
_BUCKET_PIPS = 5
_ALL = Decimal(100)


def orders(asked: Asked) -> Answer:
    """GET: where pending orders stand."""
    return Answer({"orderBook": _book(asked)})


def positions(asked: Asked) -> Answer:
    """GET: at which prices positions were opened."""
    return Answer({"positionBook": _book(asked)})


def _book(asked: Asked) -> Json:
    name = asked.path["instrument"]
    symbol = asked.symbol(name)
    asked.time("time")
    each = asked.account.exchange.instruments[symbol]
    mid = asked.account.quote(symbol).mid
    width = (each.pip_size or each.price_step) * _BUCKET_PIPS
    middle = (mid / width).to_integral_value(ROUND_FLOOR)
    weights = {step: _REACH + 1 - abs(step) for step in range(-_REACH, _REACH + 1)}
    whole = 2 * sum(weights.values())
    return {
        "instrument": name,
        "time": Moment(asked.venue.time),
        "price": text.price(mid, each),
        "bucketWidth": text.price(width, each),
        "buckets": [
            {
                "price": text.price((middle + step) * width, each),
                "longCountPercent": f"{_ALL * weight / whole:.4f}",
                "shortCountPercent": f"{_ALL * weight / whole:.4f}",
            }
            for step, weight in weights.items()
        ],
    }
