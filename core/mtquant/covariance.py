"""How instruments' returns vary and move together, from closed bars."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mtquant.clock import SECOND
from mtquant.model import Bar
from mtquant.model.arrays import BarArrays

TRADING_DAYS = 260
"""Weekdays a year: how often foreign exchange has a daily bar."""
HALF_LIFE, LEAST = 60.0, 20
"""In bars: when a return weighs half as much, and how many returns must be seen."""
_DAY = 86_400 * SECOND


class Covariance:
    """Exponentially weighted covariances of the logarithmic returns of bars.

    The newest return weighs 1, one that is ``half_life`` bars older half as much; the weights are
    scaled to add up to 1, and returns are taken as they are, not less their mean (RiskMetrics
    Technical Document, 4th edition, 1996, section 5.2; in pandas,
    ``(x * y).ewm(halflife=half_life).mean()``). A return spans from an instrument's last bar to
    this one; where bars lack between them it counts as one of so many bars, at most those of a
    day, so that neither holes nor weekends look like a wild market. A pair is seen where both
    have a bar of the same time.
    Volatilities are those of one bar times the root of the bars in a year of 260 days.
    """

    def __init__(self, half_life: float = HALF_LIFE, least: int = LEAST) -> None:
        self._decay = 0.5 ** (1.0 / half_life)
        self._least = least
        self._index: dict[str, int] = {}
        self._last: dict[str, tuple[int, float]] = {}
        self._time = 0
        self._fresh: dict[int, float] = {}
        self._sums = np.zeros((0, 0))
        self._weights = np.zeros((0, 0))
        self._seen = np.zeros((0, 0), dtype=np.int64)
        self._scale = 1.0
        self._scaled_now = self._scale
        self._known: npt.NDArray[np.float64] = np.zeros((0, 0))
        self._matrix_of = 0
        self._rows: dict[str, npt.NDArray[np.float64]] = {}
        self._rows_of = 0
        self.version = 0

    def index(self, symbol: str) -> int | None:
        """Return where ``symbol`` stands in the matrix; None where it never had a bar."""
        return self._index.get(symbol)

    def bar(self, bar: Bar) -> None:
        """Take in a closed bar; those of one time belong together."""
        if bar.time != self._time:
            self._fold()
            self._time = bar.time
            self._scale = TRADING_DAYS * _DAY / (bar.timeframe.seconds * SECOND)
        number = self._index.setdefault(bar.instrument, len(self._index))
        before = self._last.get(bar.instrument)
        if bar.close > 0 and (before is None or before[0] < bar.time):
            self._last[bar.instrument] = (bar.time, bar.close)
            if before is not None:
                length = bar.timeframe.seconds * SECOND
                spans = min(max((bar.time - before[0]) // length, 1), max(_DAY // length, 1))
                self._fresh[number] = math.log(bar.close / before[1]) / math.sqrt(spans)

    def series(self, bars: BarArrays) -> None:
        """Take in closed bars of one instrument: as :meth:`bar` of one after the other.

        Those of the only instrument there is take a fraction of the time.
        """
        if not len(bars):
            return
        if {*self._index, bars.instrument} != {bars.instrument}:
            for index in range(len(bars)):
                Covariance.bar(self, bars.bar(index))
            return
        Covariance.bar(self, bars.bar(0))
        Covariance._fold(self)
        self._grow(1)
        self._alone(bars.part(1, len(bars)), bars.instrument)

    def _alone(self, bars: BarArrays, name: str) -> None:
        """Fold the returns of the one instrument, without matrices."""
        if not len(bars):
            return
        alone, length = (0, 0), bars.timeframe.seconds * SECOND
        most = max(_DAY // length, 1)
        decay, before = self._decay, self._last.get(name)
        total, weight = float(self._sums[alone]), float(self._weights[alone])
        seen, log, root = 0, math.log, math.sqrt
        for time, close in zip(bars.time.tolist(), bars.close.tolist(), strict=True):
            if close > 0 and (before is None or before[0] < time):
                if before is not None:
                    spans = min(max((time - before[0]) // length, 1), most)
                    change = log(close / before[1]) / root(spans)
                    total = decay * total + change * change
                    weight = decay * weight + 1.0
                    seen += 1
                before = time, close
        self._sums[alone], self._weights[alone] = total, weight
        self._seen[alone] += seen
        self._time = int(bars.time[-1])
        self._scaled_now = self._scale = TRADING_DAYS * _DAY / length
        self.version += seen
        if before is not None:
            self._last[name] = before

    def matrix_now(self) -> npt.NDArray[np.float64]:
        """Return the covariances a year, NaN where there are too few returns; don't change it."""
        self._fold()
        return self._matrix

    def volatility(self, symbol: str) -> float | None:
        """Return the standard deviation a year, as a fraction; None before there are enough."""
        self._fold()
        number = self._index.get(symbol)
        if number is None or number >= len(self._matrix):
            return None
        if math.isnan(variance := self._matrix[number, number]):
            return None
        return math.sqrt(variance)

    def correlation(self, symbol: str, other: str) -> float | None:
        """Return the correlation of two instruments, -1 to 1; None before there are enough."""
        self._fold()
        if symbol == other and symbol in self._index:
            return 1.0
        first, second = self._index.get(symbol), self._index.get(other)
        if first is None or second is None or max(first, second) >= len(self._matrix):
            return None
        product = self._matrix[first, first] * self._matrix[second, second]
        if not product > 0:
            return None
        found = float(self._matrix[first, second] / math.sqrt(product))
        return None if math.isnan(found) else max(-1.0, min(1.0, found))

    def correlations(self, symbol: str) -> npt.NDArray[np.float64] | None:
        """Return the correlations with every instrument, by its index; NaN where not known yet.

        None where the instrument itself has none. Don't change it.
        """
        self._fold()
        number = self._index.get(symbol)
        if number is None or number >= len(self._matrix):
            return None
        if self._rows_of != self.version:
            self._rows.clear()
            self._rows_of = self.version
        if symbol not in self._rows:
            variances = np.diagonal(self._matrix)
            with np.errstate(invalid="ignore", divide="ignore"):
                found = self._matrix[number] / np.sqrt(variances[number] * variances)
            found = np.where(np.isfinite(found), np.clip(found, -1.0, 1.0), np.nan)
            found[number] = 1.0
            self._rows[symbol] = found
        return self._rows[symbol]

    def _fold(self) -> None:
        """Fold the returns of the bars of one time into the sums."""
        if not self._fresh:
            return
        self._grow(len(self._index))
        if len(self._fresh) == 1:
            # The same as below, without the arrays that one number doesn't need.
            [(number, change)] = self._fresh.items()
            alone = number, number
            self._sums[alone] = self._decay * float(self._sums[alone]) + change * change
            self._weights[alone] = self._decay * float(self._weights[alone]) + 1.0
            self._seen[alone] += 1
        else:
            numbers = list(self._fresh)
            returns = np.array(list(self._fresh.values()))
            both = np.ix_(numbers, numbers)
            self._sums[both] = self._decay * self._sums[both] + np.outer(returns, returns)
            self._weights[both] = self._decay * self._weights[both] + 1.0
            self._seen[both] += 1
        self._fresh.clear()
        self._scaled_now = self._scale
        self.version += 1

    @property
    def _matrix(self) -> npt.NDArray[np.float64]:
        """The covariances a year, worked out when somebody asks after they have changed."""
        if self._matrix_of != self.version:
            with np.errstate(invalid="ignore"):
                found = self._scaled_now * self._sums / self._weights
            self._known = np.where(self._seen >= self._least, found, np.nan)
            self._matrix_of = self.version
        return self._known

    def _grow(self, size: int) -> None:
        if (short := size - len(self._sums)) > 0:
            room = ((0, short), (0, short))
            self._sums = np.pad(self._sums, room)
            self._weights = np.pad(self._weights, room)
            self._seen = np.pad(self._seen, room)
