"""The independent reference of the task in ``task.py``: its fills and its final equity, exactly.

    cd benchmarks && python -m backtest.reference FILE.npz [--fills]

``by_loop`` is a plain loop that numba compiles where it is installed, ``by_arrays`` bare numpy
without a loop. Both count in whole points: sums of closes instead of averages, compared as
``3 * sum10`` with ``sum30``, so a tie is a tie; prices in half points, so 0.25 pip is 5 of them.
No float takes part before the last division.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
from backtest.data import read
from numpy.typing import NDArray

FAST, SLOW = 10, 30
UNITS = 10_000
CASH = 1_000_000
HALF_POINT = Decimal("0.000005")
COST = 5
"""Half points that a fill is worse than the open."""
Integers = NDArray[np.int64]
Result = tuple[Integers, Integers, Integers, int]


@dataclass(frozen=True, slots=True)
class Reference:
    """The fills in order and the final equity.

    ``index`` is the bar at whose open the fill is, ``quantity`` base units, above 0 for a buy,
    ``price`` quote currency, ``equity`` quote currency after the last bar.
    """

    index: list[int]
    quantity: list[int]
    price: list[Decimal]
    equity: Decimal


def reference(points: Integers, fast: int = FAST, slow: int = SLOW) -> Reference:
    """Return what the task comes to over closes in whole points."""
    index, quantity, price, gained = by_arrays(points, fast, slow)
    return Reference(
        index=index.tolist(),
        quantity=quantity.tolist(),
        price=[HALF_POINT * each for each in price.tolist()],
        equity=CASH + HALF_POINT * int(gained),
    )


def by_loop(points: Integers, fast: int = FAST, slow: int = SLOW) -> Result:
    """Return bar, signed quantity and price (half points) of each fill, and the gain.

    The gain is in half points times units. One pass, nothing but integers.
    """
    count = len(points)
    index = np.empty(count, np.int64)
    quantity = np.empty(count, np.int64)
    price = np.empty(count, np.int64)
    filled = position = cash = sign = sum_fast = sum_slow = 0
    for i in range(count):
        sum_fast += points[i]
        sum_slow += points[i]
        if i >= fast:
            sum_fast -= points[i - fast]
        if i >= slow:
            sum_slow -= points[i - slow]
        if i < slow - 1:
            continue
        apart = sum_fast * slow - sum_slow * fast
        if apart == 0:
            continue
        now = 1 if apart > 0 else -1
        if sign not in {0, now} and i + 1 < count:
            change = now * UNITS - position
            at = 2 * points[i] + now * COST
            index[filled] = i + 1
            quantity[filled] = change
            price[filled] = at
            filled += 1
            position += change
            cash -= change * at
        sign = now
    return index[:filled], quantity[:filled], price[:filled], cash + position * 2 * points[-1]


def by_arrays(points: Integers, fast: int = FAST, slow: int = SLOW) -> Result:
    """Return what ``by_loop`` returns, in bare numpy."""
    sums = np.concatenate(([0], points.cumsum()))
    of_slow = sums[slow:] - sums[:-slow]
    of_fast = (sums[fast:] - sums[:-fast])[slow - fast :]
    sign = np.sign(of_fast * slow - of_slow * fast)
    seen = np.flatnonzero(sign)
    signs = sign[seen]
    changed = np.flatnonzero(signs[1:] != signs[:-1]) + 1
    at_close = seen[changed] + slow - 1
    inside = at_close + 1 < len(points)
    at_close, side = at_close[inside], signs[changed][inside]
    quantity = 2 * UNITS * side
    quantity[:1] //= 2
    price = 2 * points[at_close] + COST * side
    gained = int((quantity * (2 * points[-1] - price)).sum())
    return at_close + 1, quantity, price, gained


def checked(points: Integers) -> Result:
    """Return what both come to. Raises AssertionError where they don't agree."""
    try:
        from numba import njit  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
    except ImportError:
        loop: Callable[[Integers], Result] = by_loop
    else:
        loop = njit(by_loop)
    one, other = loop(points), by_arrays(points)
    assert one[3] == other[3], "the gain of the loop and of the arrays"
    for a, b in zip(one[:3], other[:3], strict=True):
        assert np.array_equal(a, b), "the fills of the loop and of the arrays"
    return other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--fills", action="store_true", help="print each fill too")
    arguments = parser.parse_args()
    points = read(arguments.path).points
    checked(points)
    found = reference(points)
    if arguments.fills:
        for index, quantity, price in zip(found.index, found.quantity, found.price, strict=True):
            print(f"{index},{'buy' if quantity > 0 else 'sell'},{abs(quantity)},{price}")
    print(json.dumps({"fills": len(found.index), "equity": f"{found.equity:.2f}"}))


if __name__ == "__main__":
    main()
