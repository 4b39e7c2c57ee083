"""Trades and executions as columns of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from mtquant.model.arrays import Floats


def column(values: Sequence[object], name: str) -> Floats:
    """Return the number that each of ``values`` has under ``name``, shape (n,)."""
    return np.fromiter(map(float, map(attrgetter(name), values)), np.float64, len(values))


def times_of(values: Sequence[object], name: str) -> NDArray[np.int64]:
    """Return the time, nanoseconds UTC, that each of ``values`` has under ``name``, shape (n,)."""
    return np.fromiter(map(attrgetter(name), values), np.int64, len(values))
