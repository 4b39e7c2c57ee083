"""The benchmark's M1 bars: a seeded random walk in whole points.

    cd benchmarks && python -m backtest.data FILE.npz|FILE.csv [--bars 100000] [--seed 7]

Each bar opens at the close before it, so "filled at the next open" and "filled at this close"
are the same price, and a tool that only knows one of them can do the task. A price is a whole
number of points of 0.00001 around 1.1, always between 0.8 and 1.4: the walk is folded back at
those bounds, so it may be as long as wanted.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

POINT = 0.00001
FIRST = 110_000
"""The first open, in points."""
LOWEST, HIGHEST = 80_000, 140_000
STEP = 10.0
"""Standard deviation of a bar's close from its open, in points."""
WICK = 8
"""Highs and lows lie less than this many points outside open and close."""
MINUTE = 60 * 10**9
START = 1_578_268_800 * 10**9
"""Monday 2020-01-06 00:00 UTC in nanoseconds; the bars have no weekends or gaps."""
CHUNK = 1_000_000


@dataclass(frozen=True, slots=True)
class Bars:
    """Columns of equal length: ``time`` is the bar's opening in nanoseconds since the epoch.

    ``open`` to ``close`` are float64 prices, each the float nearest to its decimal;
    ``points`` are the closes in whole points; ``volume`` is a count from 1 to 99.
    """

    time: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    points: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)


def chunks(count: int, seed: int = 7, size: int = CHUNK) -> Iterator[Bars]:
    """Yield ``count`` bars in pieces of ``size``, each made when it is asked for.

    A longer series starts with the same bars as a shorter one of the same seed and size.
    """
    rng = np.random.default_rng(seed)
    walked, last = FIRST - LOWEST, FIRST
    for begin in range(0, count, size):
        steps = np.rint(rng.normal(0.0, STEP, size)).astype(np.int64)
        above, below = rng.integers(0, WICK, (2, size))
        volume = rng.integers(1, 100, size).astype(np.float64)
        path = walked + steps.cumsum()
        close = _fold(path)
        opened = np.concatenate(([last], close[:-1]))
        walked, last = int(path[-1]), int(close[-1])
        keep = slice(0, min(size, count - begin))
        yield Bars(
            time=(START + MINUTE * np.arange(begin, begin + size, dtype=np.int64))[keep],
            open=_price(opened)[keep],
            high=_price(np.maximum(opened, close) + above)[keep],
            low=_price(np.minimum(opened, close) - below)[keep],
            close=_price(close)[keep],
            volume=volume[keep],
            points=close[keep],
        )


def bars(count: int, seed: int = 7) -> Bars:
    """Return all ``count`` bars at once."""
    parts = list(chunks(count, seed))
    return Bars(*(np.concatenate([getattr(each, name) for each in parts]) for name in COLUMNS))


def write(made: Bars, path: Path) -> None:
    """Write the columns to ``path``: .npz with exact values, or .csv with prices of 5 decimals."""
    if path.suffix == ".npz":
        np.savez(path, **{name: getattr(made, name) for name in COLUMNS})
        return
    table = np.column_stack([getattr(made, name) for name in COLUMNS[1:6]])
    with path.open("w") as file:
        file.write(",".join(COLUMNS[:6]) + "\n")
        for time, row in zip(made.time.tolist(), table.tolist(), strict=True):
            prices = ",".join(f"{each:.5f}" for each in row[:4])
            file.write(f"{time},{prices},{row[4]:.0f}\n")


def read(path: Path) -> Bars:
    """Return the bars of an .npz file that ``write`` made."""
    with np.load(path) as file:
        return Bars(*(file[name] for name in COLUMNS))


def _fold(path: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``LOWEST + path`` reflected at both bounds; steps keep their size but at a bound."""
    width = HIGHEST - LOWEST
    within = path % (2 * width)
    return LOWEST + np.minimum(within, 2 * width - within)


def _price(points: NDArray[np.int64]) -> NDArray[np.float64]:
    # Division rounds to the float nearest to the decimal; a product with 0.00001 may not.
    return points / 100_000


COLUMNS = [field.name for field in fields(Bars)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--bars", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    write(bars(arguments.bars, arguments.seed), arguments.path)


if __name__ == "__main__":
    main()
