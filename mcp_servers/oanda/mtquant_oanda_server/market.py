"""Instruments and bars: OANDA's metadata and candles in the contract's shapes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from oandapyV20.endpoints.instruments import InstrumentsCandles

from mtquant.clock import SECOND, format_time
from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.model import Bars, Instrument, PriceSide, SwapUnit, Timeframe
from mtquant_oanda_server.venue import Venue
from mtquant_oanda_server.words import (
    GRANULARITIES,
    ORDER_TYPES,
    asset_class,
    moment,
    number,
)

_LARGEST_PAGE = 5000
_SIDES = {PriceSide.MID: ("M", "mid"), PriceSide.BID: ("B", "bid"), PriceSide.ASK: ("A", "ask")}
Json = dict[str, Any]


def instrument_of(told: Json, account_margin_rate: Decimal) -> Instrument:
    """Return an instrument of OANDA's list.

    v20 tells no trading hours: ``sessions`` is empty, and a halted market is told by health and by
    the refusal of an order. Its minimum distance is of trailing stops alone, so none is declared
    for stops. Financing rates are shares of the notional a year; older accounts don't tell them.
    """
    name = str(told["name"])
    base, _, quote = name.rpartition("_")
    financing = told.get("financing") or {}
    return Instrument(
        instrument=name,
        asset_class=asset_class(told),
        base=base,
        quote=quote,
        price_step=Decimal(1).scaleb(-int(told["displayPrecision"])),
        pip_size=Decimal(1).scaleb(int(told["pipLocation"])),
        quantity_min=number(told["minimumTradeSize"]),
        quantity_max=number(told["maximumOrderUnits"]),
        quantity_step=Decimal(1).scaleb(-int(told.get("tradeUnitsPrecision", 0))),
        # The account's own rate counts where it asks for more than the instrument does.
        margin_rate=max(number(told.get("marginRate") or 0), account_margin_rate, _LEAST),
        order_types=tuple(ORDER_TYPES),
        description=str(told.get("displayName", "")),
        swap_long=number(financing["longRate"]) if "longRate" in financing else None,
        swap_short=number(financing["shortRate"]) if "shortRate" in financing else None,
        swap_unit=SwapUnit.ANNUAL_RATE,
    )


_LEAST = Decimal("0.000001")


async def bars_of(  # noqa: PLR0913 - the arguments of get_bars, and what it asks
    venue: Venue,
    instrument: str,
    timeframe: Timeframe,
    *,
    from_: int | None,
    to: int | None,
    count: int,
    price: PriceSide,
    now: Callable[[], int],
) -> Bars:
    """Return the last ``count`` complete candles with from <= opening time < to.

    Days begin at midnight UTC. OANDA leaves out candles in which no price came. It gives 5,000 at
    once: a longer way is gone page by page, backwards.
    """
    if timeframe not in GRANULARITIES or price not in _SIDES:
        what = "bars" if timeframe not in GRANULARITIES else "prices"
        offered = ", ".join(GRANULARITIES) + "; of mid, bid and ask"
        raise Refused(
            ErrorCode.UNSUPPORTED,
            f"OANDA has no such {what}: it has {offered}",
            outcome=Outcome.NOT_SENT,
            field="timeframe" if what == "bars" else "price",
        )
    letter, side = _SIDES[price]
    found: dict[int, tuple[Json, float]] = {}
    end = to if to is not None and to < now() else None
    while len(found) < count:
        wanted = min(_LARGEST_PAGE, count - len(found) + 1)  # one may still be incomplete
        params = {
            "price": letter,
            "granularity": GRANULARITIES[timeframe],
            "count": str(wanted),
            "to": None if end is None else format_time(end),
            "dailyAlignment": "0",
            "alignmentTimezone": "UTC",
        }
        answer = await venue.ask(InstrumentsCandles(instrument, params=params))
        page = [(moment(each["time"]), each) for each in answer["candles"]]
        fresh = 0
        for opened, each in page:
            fits = (from_ is None or opened >= from_) and (to is None or opened < to)
            if each.get("complete") and fits and opened not in found:
                found[opened] = (each[side], float(each.get("volume", 0)))
                fresh += 1
        first = page[0][0] if page else None
        done = first is None or (from_ is not None and first <= from_) or len(page) < wanted
        if done or (end is not None and first is not None and first >= end):
            break
        end = first
        if not fresh and len(page) <= 1:
            break
    times = sorted(found)[-count:]
    column = {key: tuple(float(found[each][0][key]) for each in times) for key in "ohlc"}
    return Bars(
        instrument=instrument,
        timeframe=timeframe,
        time=tuple(times),
        open=column["o"],
        high=column["h"],
        low=column["l"],
        close=column["c"],
        volume=tuple(found[each][1] for each in times),
    )


def ends_by(bars: Bars, now: int) -> bool:
    """Return True where the last of ``bars`` has ended by ``now``."""
    return not len(bars) or bars.time[-1] + bars.timeframe.seconds * SECOND <= now
