"""How trades' profits are distributed, as a drawing that needs no script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from mtquant.backtest.page.text import signed
from mtquant.report.scale import value_ticks, write_values

_CLASSES = 40
_TAIL = 0.5
"""How many percent of the trades at each end share the outermost class, lest it rule the scale."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """``counts[i]`` profits lie from ``edges[i]`` up to, not including, ``edges[i + 1]``.

    What lies beyond the outermost edges is counted in the outermost classes.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


def histogram(profits: Sequence[float]) -> Histogram:
    """Return how many of ``profits`` lie in each of at most about 40 equally wide classes.

    One edge is 0, so that no class holds both winners and losers; a profit of 0 is counted with
    the winners.
    """
    if not profits:
        return Histogram((), ())
    low, high = (float(each) for each in np.percentile(profits, (_TAIL, 100 - _TAIL)))
    low, high = min(low, 0.0), max(high, 0.0)
    width = _round_width((high - low) / _CLASSES or 1.0)
    # A lone loser lies beyond the percentile: it needs a class of its side all the same.
    below = max(int(np.ceil(-low / width)), int(min(profits) < 0))
    above = int(np.floor(high / width)) + 1
    edges = np.arange(-below, above + 1) * width
    at = np.clip(np.floor(np.asarray(profits) / width).astype(np.int64) + below, 0, len(edges) - 2)
    counts = np.bincount(at, minlength=len(edges) - 1)
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()))


def drawn(found: Histogram, currency: str) -> str:
    """Return ``found`` as SVG; a bar tells its class and count when pointed at."""
    low, high = found.edges[0], found.edges[-1]
    most = max(found.counts)
    losers = sum(n for edge, n in zip(found.edges[:-1], found.counts, strict=True) if edge < 0)
    label = (
        f"Distribution of profits: {losers:,} trades lost, {sum(found.counts) - losers:,} did not; "
        f"classes of {found.edges[1] - low:,g} {currency}"
    )
    return "".join(
        [
            f'<svg class="plot bars" role="img" aria-label="{escape(label)}">',
            *_grid(most),
            *_bars(found, most, currency),
            *_across(low, high),
            "</svg>",
        ]
    )


def _grid(most: int) -> list[str]:
    ticks = [each for each in value_ticks(0.0, float(most), 4) if each == int(each)]
    return [
        f'<line class="grid" x2="100%" y1="{_percent(1 - tick / most)}" '
        f'y2="{_percent(1 - tick / most)}"/><text class="y" x="100%" '
        f'y="{_percent(1 - tick / most)}" dx="8" dy=".32em">{tick:,.0f}</text>'
        for tick in ticks
    ]


def _bars(found: Histogram, most: int, currency: str) -> list[str]:
    count = len(found.counts)
    made = []
    for index, number in enumerate(found.counts):
        if not number:
            continue
        first, last = found.edges[index], found.edges[index + 1]
        ends = [signed(f"{first:+,g}"), signed(f"{last:+,g}")]
        if index == 0:
            ends[0] = "less"
        elif index == count - 1:
            ends[1] = "more"
        told = (
            f"{ends[0]} to {ends[1]} {currency}: {number:,} {'trade' if number == 1 else 'trades'}"
        )
        made.append(
            f'<rect class="{"lost" if first < 0 else "won"}" x="{_percent(index / count)}" '
            f'y="{_percent(1 - number / most)}" width="{_percent(0.86 / count)}" '
            f'height="{_percent(number / most)}"><title>{escape(told)}</title></rect>'
        )
    return made


def _across(low: float, high: float) -> list[str]:
    ticks = value_ticks(low, high, 6)
    return [
        f'<text class="{"x even" if index % 2 else "x"}" '
        f'x="{_percent((tick - low) / (high - low))}" y="100%" dy="18">{text}</text>'
        for index, (tick, text) in enumerate(zip(ticks, write_values(ticks), strict=True))
    ]


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"


def _round_width(rough: float) -> float:
    """Return the next larger of 1, 2 and 5 times a power of ten."""
    unit = 10.0 ** np.floor(np.log10(rough))
    return float(next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough))
