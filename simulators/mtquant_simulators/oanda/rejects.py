"""OANDA's reject reasons as data: what each says, and those answered 404 instead of 400."""

from __future__ import annotations

ON_FILL_PREFIX = {
    "takeProfitOnFill": "TAKE_PROFIT_ON_FILL",
    "stopLossOnFill": "STOP_LOSS_ON_FILL",
    "trailingStopLossOnFill": "TRAILING_STOP_LOSS_ON_FILL",
}
MESSAGES = {
    "ACCOUNT_NOT_ACTIVE": "The Account is not active",
    "ALIAS_INVALID": "The Account alias string is invalid",
    "CLIENT_CONFIGURE_DATA_MISSING": "The Account configuration has nothing to change",
    "CLIENT_EXTENSIONS_DATA_MISSING": "The client extensions to set are missing",
    "CLIENT_ORDER_COMMENT_INVALID": "The client Order comment specified is invalid",
    "CLIENT_ORDER_ID_ALREADY_EXISTS": "A pending Order has the client Order ID specified",
    "CLIENT_ORDER_ID_INVALID": "The client Order ID specified is invalid",
    "CLIENT_ORDER_TAG_INVALID": "The client Order tag specified is invalid",
    "CLIENT_TRADE_COMMENT_INVALID": "The client Trade comment is invalid",
    "CLIENT_TRADE_ID_ALREADY_EXISTS": "An open Trade has the client Trade ID specified",
    "CLIENT_TRADE_ID_INVALID": "The client Trade ID specified is invalid",
    "CLIENT_TRADE_TAG_INVALID": "The client Trade tag is invalid",
    "CLOSEOUT_POSITION_DOESNT_EXIST": "The Position requested to be closed out does not exist",
    "CLOSEOUT_POSITION_INCOMPLETE_SPECIFICATION": "The closeout names neither long nor short units",
    "CLOSEOUT_POSITION_UNITS_EXCEED_POSITION_SIZE": "The closeout units exceed the Position size",
    "CLOSE_TRADE_UNITS_EXCEED_TRADE_SIZE": "The units to close exceed the Trade's units",
    "INSTRUMENT_MISSING": "The Order does not specify an instrument",
    "INSTRUMENT_UNKNOWN": "The instrument specified by the Order is unknown",
    "MARGIN_RATE_INVALID": "The margin rate specified is invalid",
    "MARGIN_RATE_WOULD_TRIGGER_CLOSEOUT": "The margin rate of this Account can't be changed",
    "ORDERS_ON_FILL_DUPLICATE_CLIENT_ORDER_IDS": "The Orders on fill share a client Order ID",
    "ORDER_DOESNT_EXIST": "The Order specified does not exist",
    "ORDER_FILL_POSITION_ACTION_INVALID": "The position fill specified is invalid",
    "PRICE_BOUND_INVALID": "The price bound specified is invalid",
    "PRICE_BOUND_PRECISION_EXCEEDED": "The price bound has more precision than the instrument",
    "PRICE_DISTANCE_INVALID": "The distance specified is invalid",
    "PRICE_DISTANCE_MAXIMUM_EXCEEDED": "The distance exceeds the instrument's maximum",
    "PRICE_DISTANCE_MINIMUM_NOT_MET": "The distance is below the instrument's minimum",
    "PRICE_DISTANCE_MISSING": "The Order does not specify a distance",
    "PRICE_DISTANCE_PRECISION_EXCEEDED": "The distance has more precision than the instrument",
    "PRICE_INVALID": "The price specified is invalid",
    "PRICE_MISSING": "The Order does not specify a price",
    "PRICE_PRECISION_EXCEEDED": "The price has more precision than the instrument allows",
    "REPLACING_ORDER_INVALID": "The replacing Order's type differs from the replaced Order's",
    "REPLACING_TRADE_ID_INVALID": "The replacing Order is of another Trade",
    "STOP_LOSS_ON_FILL_DISTANCE_INVALID": "The Stop Loss on fill distance is invalid",
    "STOP_LOSS_ON_FILL_DISTANCE_PRECISION_EXCEEDED": "The Stop Loss distance is too precise",
    "STOP_LOSS_ON_FILL_GTD_TIMESTAMP_IN_PAST": "The Stop Loss on fill's GTD time is in the past",
    "STOP_LOSS_ON_FILL_GTD_TIMESTAMP_MISSING": "The Stop Loss on fill has no GTD time",
    "STOP_LOSS_ON_FILL_GUARANTEED_NOT_ALLOWED": "The Account can't have guaranteed Stop Losses",
    "STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_MISSING": "The Stop Loss on fill has no price",
    "STOP_LOSS_ON_FILL_PRICE_AND_DISTANCE_BOTH_SPECIFIED": "The Stop Loss on fill has two prices",
    "STOP_LOSS_ON_FILL_PRICE_INVALID": "The Stop Loss on fill price is invalid",
    "STOP_LOSS_ON_FILL_PRICE_PRECISION_EXCEEDED": "The Stop Loss on fill price is too precise",
    "STOP_LOSS_ON_FILL_TIME_IN_FORCE_INVALID": "The Stop Loss on fill time in force is invalid",
    "STOP_LOSS_ORDER_ALREADY_EXISTS": "The Trade already has a Stop Loss Order",
    "STOP_LOSS_ORDER_GUARANTEED_NOT_ALLOWED": "The Account can't have guaranteed Stop Losses",
    "STOP_LOSS_ORDER_PRICE_AND_DISTANCE_BOTH_MISSING": "The Stop Loss has no price",
    "STOP_LOSS_ORDER_PRICE_AND_DISTANCE_BOTH_SPECIFIED": "The Stop Loss has two prices",
    "TAKE_PROFIT_ON_FILL_GTD_TIMESTAMP_IN_PAST": "The Take Profit on fill's GTD time is past",
    "TAKE_PROFIT_ON_FILL_GTD_TIMESTAMP_MISSING": "The Take Profit on fill has no GTD time",
    "TAKE_PROFIT_ON_FILL_PRICE_INVALID": "The Take Profit on fill price is invalid",
    "TAKE_PROFIT_ON_FILL_PRICE_MISSING": "The Take Profit on fill has no price",
    "TAKE_PROFIT_ON_FILL_PRICE_PRECISION_EXCEEDED": "The Take Profit on fill price is too precise",
    "TAKE_PROFIT_ON_FILL_TIME_IN_FORCE_INVALID": "The Take Profit on fill time in force is invalid",
    "TAKE_PROFIT_ORDER_ALREADY_EXISTS": "The Trade already has a Take Profit Order",
    "TIME_IN_FORCE_GTD_TIMESTAMP_IN_PAST": "The GTD time specified is in the past",
    "TIME_IN_FORCE_GTD_TIMESTAMP_MISSING": "The Order is GTD and names no time",
    "TIME_IN_FORCE_INVALID": "The time in force specified is invalid",
    "TRADE_DOESNT_EXIST": "The Trade specified does not exist",
    "TRADE_ID_UNSPECIFIED": "The Trade of the Order is not specified",
    "TRAILING_STOP_LOSS_ON_FILL_GTD_TIMESTAMP_IN_PAST": "The Trailing Stop's GTD time is past",
    "TRAILING_STOP_LOSS_ON_FILL_GTD_TIMESTAMP_MISSING": "The Trailing Stop has no GTD time",
    "TRAILING_STOP_LOSS_ON_FILL_PRICE_DISTANCE_INVALID": "The Trailing Stop's distance is invalid",
    "TRAILING_STOP_LOSS_ON_FILL_PRICE_DISTANCE_MAXIMUM_EXCEEDED": "The distance is too large",
    "TRAILING_STOP_LOSS_ON_FILL_PRICE_DISTANCE_MINIMUM_NOT_MET": "The distance is too small",
    "TRAILING_STOP_LOSS_ON_FILL_PRICE_DISTANCE_MISSING": "The Trailing Stop has no distance",
    "TRAILING_STOP_LOSS_ON_FILL_PRICE_DISTANCE_PRECISION_EXCEEDED": "The distance is too precise",
    "TRAILING_STOP_LOSS_ON_FILL_TIME_IN_FORCE_INVALID": "The time in force is invalid",
    "TRAILING_STOP_LOSS_ORDER_ALREADY_EXISTS": "The Trade already has a Trailing Stop Loss Order",
    "TRIGGER_CONDITION_INVALID": "The trigger condition specified is invalid",
    "UNITS_INVALID": "The units specified are invalid",
    "UNITS_LIMIT_EXCEEDED": "The units exceed the maximum of an Order",
    "UNITS_MIMIMUM_NOT_MET": "The units are below the minimum trade size",
    "UNITS_MISSING": "The Order does not specify units",
    "UNITS_PRECISION_EXCEEDED": "The units have more precision than the instrument allows",
}
"""Every reason that this simulator gives, and OANDA's errorMessage for it in our words.

UNITS_MIMIMUM_NOT_MET is spelled as OANDA's own description of the API spells it.
"""
MESSAGES.update(
    {
        f"{prefix}_CLIENT_ORDER_{part}_INVALID": f"The client Order {part.lower()} is invalid"
        for prefix in ON_FILL_PREFIX.values()
        for part in ("ID", "TAG", "COMMENT")
    }
)
NOT_FOUND = {"ORDER_DOESNT_EXIST", "TRADE_DOESNT_EXIST"}
"""The reasons that are answered 404."""
LENGTHS = {"id": 128, "tag": 128, "comment": 128}
"""How long the parts of client extensions may be, in characters."""


def status_of(reason: str) -> int:
    """Return the HTTP status of a rejection."""
    return 404 if reason in NOT_FOUND else 400
