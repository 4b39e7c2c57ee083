"""Which instrument the kit trades."""

from __future__ import annotations

from collections.abc import Sequence

from mtquant.model import Instrument
from mtquant.wire import Remote

_QUOTES_AT_ONCE = 50


async def cheapest(
    remote: Remote, instruments: Sequence[Instrument]
) -> tuple[Instrument | None, int]:
    """Return the instrument whose smallest order costs least, and how many have no price yet.

    Only the first 50 are looked at. Cost is counted in quote currencies as they come: it only has
    to be small.
    """
    by_name = {each.instrument: each for each in instruments[:_QUOTES_AT_ONCE]}
    quotes = (await remote.get_quotes(tuple(by_name))).quotes
    priced = [(each, by_name[each.instrument]) for each in quotes if each.instrument in by_name]
    missing = len(by_name) - len(priced)
    if not priced:
        return None, missing
    _, least = min(priced, key=lambda pair: pair[0].mid * pair[1].quantity_min)
    return least, missing
