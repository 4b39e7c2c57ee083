"""What a check is asked of a stretch of a backtest, instead of each order in it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from mtquant.clock import SECOND
from mtquant.model import Instrument

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """By each measure the worst of the orders that open a position in a stretch of a backtest.

    All are market orders of ``strategy_id`` in ``instrument``, sent while the account held nothing
    and no order worked, on a price of that moment. ``quantity`` (base units) and ``notional`` (of
    one order, at its own price or the middle of the market, whichever is more) are the largest;
    ``equity`` is the least, ``margin_used`` the most that the account told at such a moment, and
    ``spread`` the widest, as a part of the price. Money is in the account's ``currency``.

    ``stopped``: each of them brings a protective stop. ``volatility`` is not less than the
    instrument's was, a standard deviation a year as a fraction. ``opened`` are the times of all
    orders that opened, ``messages`` those of all that was sent, from a day before on, oldest
    first, int64 nanoseconds UTC.
    """

    strategy_id: str
    instrument: Instrument
    currency: str
    quantity: Decimal
    notional: Decimal
    equity: Decimal
    margin_used: Decimal
    spread: Decimal
    stopped: bool
    volatility: float
    opened: NDArray[np.int64]
    messages: NDArray[np.int64]

    def most_opened(self, window_s: Decimal | int) -> int:
        """Return how many orders opened within ``window_s`` before another one, at most."""
        return _most(self.opened, self.opened, window_s)

    def most_sent(self, window_s: Decimal | int) -> int:
        """Return how many messages of any kind were sent within ``window_s`` before an order."""
        return _most(self.opened, self.messages, window_s)


def _most(orders: NDArray[np.int64], every: NDArray[np.int64], window_s: Decimal | int) -> int:
    """Count what was sent up to each order, its own moment included, but not the order itself."""
    if not len(orders):
        return 0
    since = orders - int(window_s * SECOND)
    found = every.searchsorted(orders, "right") - every.searchsorted(since, "right") - 1
    return int(found.max())
