"""Prices for agents: who is asked for a symbol, and its history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np

from mtquant.agents.outside import is_symbol
from mtquant.agents.refusal import AgentRefused
from mtquant.engine import Engine
from mtquant.errors import BrokerError, ErrorCode, Refused
from mtquant.link import Link
from mtquant.model import Bars, Instrument, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant.resample import Resampler
from mtquant.symbols import unknown_instrument

_COLUMNS = ("open", "high", "low", "close", "volume")
_PARTS = 20_000
"""From how many smaller bars larger ones are built at most."""
_PAGE = 5000
"""How many bars one call of a broker returns at most."""
_LATER = "Try another timeframe or symbol, or tell the person that there is no history."


def listing(engine: Engine, symbol: str) -> Iterator[tuple[Link, Instrument]]:
    """Yield the accounts that list ``symbol``, the preferred ones first, with its instrument."""
    preferred = engine.wiring.preference(symbol)
    others = (name for name in engine.wiring.links if name not in preferred)
    if not is_symbol(symbol):
        return
    for name in (*preferred, *others):
        link = engine.wiring.links[name]
        found = link.symbols.instruments.get(symbol)
        if found is not None:
            yield link, found


def asked_of(engine: Engine, symbol: str) -> tuple[Link, Instrument]:
    """Return the account to ask for prices of ``symbol``: the preferred one that is connected.

    Raises AgentRefused, which names the nearest symbols where nobody lists it.
    """
    found = list(listing(engine, symbol))
    if not found:
        known = {
            name
            for link in engine.wiring.links.values()
            for name in link.symbols.instruments
            if is_symbol(name)
        }
        raise AgentRefused.of(unknown_instrument(symbol, known, "this engine"))
    connected = next((each for each in found if each[0].connected), None)
    if connected is None:
        names = ", ".join(link.name for link, _ in found)
        raise AgentRefused("not_connected", f"no connection to {names}", "Call again later.")
    return connected


def digits(instrument: Instrument) -> int:
    """Return how many decimal places a price of ``instrument`` has."""
    exponent = instrument.price_step.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


async def history(link: Link, symbol: str, timeframe: Timeframe, count: int) -> BarArrays:
    """Return the last ``count`` closed bars, or as many as there are.

    Where the broker has none of that timeframe they are built from the largest smaller ones that it
    has, as everywhere here. Raises AgentRefused where there is none, or what came is no series of
    prices.
    """
    try:
        return await _asked(link, symbol, timeframe, count)
    except Refused as error:
        if error.code is not ErrorCode.UNSUPPORTED:
            raise AgentRefused.of(error) from None
        for smaller in _parts_of(timeframe):
            parts = count * (timeframe.seconds // smaller.seconds)
            with suppress(Refused):
                return _built(await _asked(link, symbol, smaller, min(parts, _PARTS)), timeframe)
        raise AgentRefused.of(error) from None
    except BrokerError as error:
        raise AgentRefused.of(error) from None


def _parts_of(timeframe: Timeframe) -> list[Timeframe]:
    """Return the timeframes that bars of ``timeframe`` can be built from, the largest first."""
    whole = timeframe.seconds
    found = [each for each in Timeframe if each.seconds < whole and not whole % each.seconds]
    return sorted(found, key=lambda each: -each.seconds)


def _built(parts: BarArrays, timeframe: Timeframe) -> BarArrays:
    """Return the bars of ``timeframe`` that ``parts`` hold whole."""
    resampler = Resampler(timeframe)
    first = int(parts.time[0])
    bars = [
        made
        for index in range(len(parts))
        for made in resampler.take(parts.bar(index))
        if made.time >= first
    ]
    if not bars:
        message = f"{len(parts)} {parts.timeframe} bars make no {timeframe} bar"
        raise AgentRefused("no_price", message, f"Ask for {parts.timeframe} bars.")
    opened, high, low, close, volume = (
        np.array([getattr(each, name) for each in bars], np.float64) for name in _COLUMNS
    )
    return BarArrays(
        instrument=parts.instrument,
        timeframe=timeframe,
        time=np.array([each.time for each in bars], np.int64),
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )


async def _asked(link: Link, symbol: str, timeframe: Timeframe, count: int) -> BarArrays:
    """Return the broker's own bars, asked for in pages; raises BrokerError as he does."""
    pages: list[Bars] = []
    missing, to = count, None
    while missing > 0:
        page = await link.bars(symbol, timeframe, min(_PAGE, missing), to)
        if not len(page):
            break
        pages.insert(0, page)
        missing -= len(page)
        to = page.time[0]
    if not pages:
        message = f"{link.name} has no {timeframe} bars of {symbol}"
        raise AgentRefused("no_price", message, _LATER)
    found = _joined(pages)
    return found.part(max(0, len(found) - count), len(found))


def _joined(pages: list[Bars]) -> BarArrays:
    """Return one series of ``pages``; raises AgentRefused where they are none."""
    each = [(page.time, page.open, page.high, page.low, page.close, page.volume) for page in pages]
    columns = [[value for page in each for value in page[place]] for place in range(6)]
    time = np.array(columns[0], np.int64)
    opened, high, low, close, volume = (np.array(column, np.float64) for column in columns[1:])
    sound = (
        len({len(column) for column in columns}) == 1
        and bool((np.diff(time) > 0).all())
        and bool(np.isfinite(high).all() and np.isfinite(volume).all())
        and bool(((low > 0) & (low <= np.minimum(opened, close))).all())
        and bool((high >= np.maximum(opened, close)).all())
    )
    if not sound:
        message = "what the broker sent as bars is no series of prices"
        raise AgentRefused("bad_prices", message, "Do not trade on it. Tell the person.")
    return BarArrays(
        instrument=pages[0].instrument,
        timeframe=pages[0].timeframe,
        time=time,
        open=opened,
        high=high,
        low=low,
        close=close,
        volume=volume,
    )
