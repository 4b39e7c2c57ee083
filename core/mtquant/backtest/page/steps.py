"""Which steps of a long run are drawn: those that hold the extremes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mtquant.model.arrays import Floats

BUCKETS = 1_500
"""How many stretches a long curve is cut into: about the pixels of a wide screen."""
MOST = 12_000
"""Up to so many steps all are drawn."""


def chosen_steps(curves: Sequence[Floats]) -> NDArray[np.int64]:
    """Return the indices to draw, rising: of each bucket every curve's lowest and highest.

    The first and the last are among them, so a spike of one step stays visible at its full
    height. ``curves`` have the same shape (n,).
    """
    count = len(curves[0])
    if count <= MOST:
        return np.arange(count, dtype=np.int64)
    width = -(-count // BUCKETS)
    starts = np.arange(0, count, width, dtype=np.int64)
    found = [np.array([0, count - 1], dtype=np.int64)]
    for curve in curves:
        padded = np.pad(curve, (0, len(starts) * width - count), mode="edge")
        table = padded.reshape(-1, width)
        found += [starts + table.argmin(axis=1), starts + table.argmax(axis=1)]
    return np.unique(np.minimum(np.concatenate(found), count - 1))
