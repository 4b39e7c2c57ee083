"""How much an account's positions move together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mtquant.contract import Exposure, Portfolio
from mtquant.covariance import Covariance
from mtquant.exposures import Exposures
from mtquant.model import Side


class MeasuredPortfolio(Portfolio):
    """One account's exposures seen with the covariances of its instruments.

    Working orders count where they make a position larger.
    """

    def __init__(self, exposures: Exposures, covariance: Covariance) -> None:
        self._exposures = exposures
        self._covariance = covariance
        self._seen = -1
        self._weights: dict[str, float] = {}
        self._places = np.zeros(0, dtype=np.intp)
        self._sizes = self._signs = np.zeros(0)
        self._pull: list[float] = []
        self._variance: float | None = 0.0

    def volatility(self, symbol: str) -> float | None:
        """Return the volatility of an instrument; None before there are bars enough."""
        return self._covariance.volatility(symbol)

    def correlation(self, symbol: str, other: str) -> float | None:
        """Return the correlation of two instruments' returns; None before there are enough."""
        return self._covariance.correlation(symbol, other)

    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:
        """Return the money of one standard deviation a year; see the port.

        The variance after an order of value d in instrument i is that of all held, plus
        2 d (C w)_i + d^2 C_ii, with the covariances C and the values held w.
        """
        self._look()
        if self._variance is None:
            return None
        if not change:
            return math.sqrt(self._variance)
        pull, own = self.covariance(symbol), self._covariance.volatility(symbol)
        if pull is None or own is None:
            return None
        after = self._variance + 2 * change * pull + (change * own) ** 2
        return math.sqrt(max(0.0, after)) if math.isfinite(after) else None

    def covariance(self, symbol: str) -> float | None:
        """Return the covariance of a return with the money of all held; see the port."""
        self._look()
        index = self._covariance.index(symbol)
        if index is None or index >= len(self._pull) or math.isnan(self._pull[index]):
            return None
        return self._pull[index]

    def cluster(self, symbol: str, side: Side, least: float) -> float | None:
        """Return the notional value that moves with a ``side`` of ``symbol``; see the port."""
        self._look()
        if not self._weights:
            return 0.0
        row = self._covariance.correlations(symbol)
        if self._variance is None or row is None:
            return None
        turned = row[self._places] * self._signs
        if math.isnan(turned.sum()):
            return None
        return float(self._sizes @ (turned * side.sign >= least))

    def evidence(self, symbol: str) -> dict[str, Any]:
        """Return what decides on an order in ``symbol``, JSON-ready."""
        self._look()
        found = {
            "deviation": self.deviation(),
            "volatility": self.volatility(symbol),
            "covariance_with_held": self.covariance(symbol),
            "correlations": {
                other: self._covariance.correlation(symbol, other) for other in self._weights
            },
        }
        return {name: value for name, value in found.items() if value is not None}

    def _look(self) -> None:
        """Weigh the exposures again, where one of them or the covariances changed."""
        covariance = self._covariance
        matrix = covariance.matrix_now()
        changed = self._exposures.changed()
        if not changed and self._seen == covariance.version:
            return
        self._seen = covariance.version
        for symbol in changed:
            self._weights.pop(symbol, None)
            for each in self._exposures.at(symbol):
                if each.size:
                    self._weights[symbol] = _worst(each)
        places = [covariance.index(symbol) for symbol in self._weights]
        known = [each for each in places if each is not None and each < len(matrix)]
        values = np.array(list(self._weights.values()))
        self._places, self._sizes, self._signs = (
            np.array(known, int),
            np.abs(values),
            np.sign(values),
        )
        if len(known) < len(places):
            self._variance, self._pull = None, []
            return
        pull = matrix[:, known] @ values if known else np.zeros(len(matrix))
        variance = float(values @ pull[known]) if known else 0.0
        self._pull = pull.tolist()
        self._variance = max(0.0, variance) if math.isfinite(variance) else None


def _worst(exposure: Exposure) -> float:
    """Return the signed notional value, with the working orders that make it larger."""
    held = exposure.quantity
    ends = (held, held + exposure.buying, held - exposure.selling)
    return float(max(ends, key=abs) * exposure.notional_rate)
