"""The nouns: frozen values that every other module speaks of.

Quantities are in base units (100,000 is one standard foreign-exchange lot) and positive: the
side carries the direction. Prices are in the quote currency, money in the account's currency.
Both are ``Decimal`` inside and decimal strings on the wire. Times are integer nanoseconds since
1970-01-01 UTC inside and RFC 3339 on the wire; a bar is labelled by its opening time. Names
follow FIX 5.0.
"""

from mtquant.model.fields import ClientOrderId, Names, Number, Positive, Text, Time, plain, to_json
from mtquant.model.market import Bar, Bars, Instrument, Quote, Signal
from mtquant.model.results import (
    Accounts,
    Advanced,
    Capabilities,
    Changes,
    Fills,
    Health,
    Instruments,
    Orders,
    Positions,
    Quotes,
)
from mtquant.model.terms import (
    AssetClass,
    Environment,
    OrderStatus,
    OrderType,
    PositionMode,
    Side,
    Timeframe,
    TimeInForce,
)
from mtquant.model.trading import Account, CloseRequest, Fill, OrderReport, OrderRequest, Position

__all__ = [
    "Account",
    "Accounts",
    "Advanced",
    "AssetClass",
    "Bar",
    "Bars",
    "Capabilities",
    "Changes",
    "ClientOrderId",
    "CloseRequest",
    "Environment",
    "Fill",
    "Fills",
    "Health",
    "Instrument",
    "Instruments",
    "Names",
    "Number",
    "OrderReport",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "Orders",
    "Position",
    "PositionMode",
    "Positions",
    "Positive",
    "Quote",
    "Quotes",
    "Side",
    "Signal",
    "Text",
    "Time",
    "TimeInForce",
    "Timeframe",
    "plain",
    "to_json",
]
