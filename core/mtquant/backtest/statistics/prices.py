"""What an instrument, and what a currency, was worth at given times."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.result import Result
from mtquant.clock import SECOND
from mtquant.errors import ConfigError
from mtquant.exchange.rates import paths
from mtquant.model.arrays import BarArrays, Floats

Times = NDArray[np.int64]


def last_prices(bars: BarArrays, times: Times) -> Floats | None:
    """Return the close of the last bar that was over at each of ``times``.

    Before the first was over it is that bar's opening price. ``times`` are nanoseconds UTC. None
    where there are no bars, or a close isn't above zero.
    """
    if not len(bars) or bars.first_not_finite(("open", "close")) is not None:
        return None
    over = bars.time + bars.timeframe.seconds * SECOND
    # A backtest of one instrument asks for every bar, in order: then there is nothing to look up.
    if np.array_equal(over, times):
        found = bars.close
    else:
        places = np.searchsorted(over, times, side="right") - 1
        found = np.where(places < 0, bars.open[0], bars.close[places])
    return found if (found > 0).all() else None


def quote_rates(result: Result, symbol: str, times: Times) -> Floats | None:
    """Return what one unit of ``symbol``'s quote currency was worth in the account's currency.

    It goes through the prices of the run, as the exchange does: by one pair, or through one
    currency between. None where they don't lead there.
    """
    instrument = result.instruments.get(symbol)
    if instrument is None:
        return None
    try:
        path = paths(result.instruments, result.currency)[instrument.quote]
    except ConfigError:
        return None
    rates = np.ones(times.size)
    for name, inverse in path:
        bars = result.prices.get(name)
        found = None if bars is None else last_prices(bars, times)
        if found is None:
            return None
        rates = rates / found if inverse else rates * found
    return rates
