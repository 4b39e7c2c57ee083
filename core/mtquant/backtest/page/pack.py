"""Columns of numbers in few bytes: whole steps, differences, one compressed stream.

The page holds one base64 text. Inflated (RFC 1950), it is the length of a JSON head as a
little-endian 32-bit number, the head, then every column. A column of numbers with few decimal
places is kept as whole numbers, each as the difference to the one before it, zigzag-coded (0, -1,
1, -2 become 0, 1, 2, 3) and split into four planes of bytes, lowest first: most of them are then
zero. Any other column is float64 as it is. ``decode.js`` is the other half.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mtquant.model.arrays import Floats

Column = dict[str, int | float | str]
_MOST_PLACES = 8
_FULL = 15
"""The window of zlib's largest dictionary, as a power of two."""
_MEMORY = 9
_WHOLE = 2**53
"""Beyond this a float64 can't tell whole numbers apart."""


class Pack:
    """Collects columns; :meth:`text` returns them and a head that refers to them."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def numbers(self, values: Floats | NDArray[np.int64]) -> Column:
        """Return a reference to ``values``, shape (n,), kept to at least twelve digits."""
        floats = np.asarray(values, dtype=np.float64)
        places = decimal_places(floats)
        if places is not None:
            whole = np.rint(floats * 10.0**places).astype(np.int64)
            steps = np.diff(whole, prepend=whole[:1])
            if _small(steps):
                first = int(whole[0]) if whole.size else 0
                return self._add(_planes(steps), whole.size, kind="sum", first=first, places=places)
        return self._add(floats.astype("<f8").tobytes(), floats.size, kind="float")

    def whole(self, values: NDArray[np.int64]) -> Column:
        """Return a reference to ``values``, shape (n,), which are small and unlike neighbours.

        Raises ValueError where one doesn't fit into 31 bits.
        """
        if not _small(values):
            msg = "a whole number takes more than 31 bits"
            raise ValueError(msg)
        return self._add(_planes(values), values.size, kind="whole")

    def text(self, head: Mapping[str, object]) -> str:
        """Return the base64 text of ``head`` (JSON-ready) and all columns."""
        told = json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()
        # Runs of zeros are all there is to find: looking for other repeats takes longer and
        # makes it larger.
        squeeze = zlib.compressobj(6, zlib.DEFLATED, _FULL, _MEMORY, zlib.Z_RLE)
        parts = [struct.pack("<I", len(told)), told, *self._parts]
        packed = b"".join(squeeze.compress(part) for part in parts) + squeeze.flush()
        return base64.b64encode(packed).decode()

    def _add(self, content: bytes, count: int, **how: str | float) -> Column:
        column: Column = {"at": self._size, "n": count, **how}
        self._parts.append(content)
        self._size += len(content)
        return column


def decimal_places(values: Floats) -> int | None:
    """Return how many decimal places all of ``values`` have; None for more than 8, or a NaN."""
    if not np.isfinite(values).all():
        return None
    allowed = 1e-12 * np.maximum(1.0, np.abs(values))
    for places in range(_MOST_PLACES + 1):
        scaled = values * 10.0**places
        if np.abs(scaled).max(initial=0.0) > _WHOLE:
            return None
        if (np.abs(np.rint(scaled) / 10.0**places - values) <= allowed).all():
            return places
    return None


def _small(values: NDArray[np.int64]) -> bool:
    return bool((np.abs(values) < 2**31).all())


def _planes(values: NDArray[np.int64]) -> bytes:
    zigzag = ((values << 1) ^ (values >> 63)).astype("<u4")
    return zigzag.view(np.uint8).reshape(-1, 4).T.tobytes()
