"""One chart as SVG that stretches with the page.

Positions are percentages, so text and markers keep their size at any width; only the curve
itself lives in a stretched inner drawing, whose stroke doesn't stretch with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from mtquant.clock import SECOND
from mtquant.model import plain
from mtquant.report.content import FillMark, Mark
from mtquant.report.scale import pick, time_ticks, value_ticks, write_day, write_values
from mtquant.risk import figure

_BOX = 10_000
_ROWS = 3
_EDGE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A curve over time: ``values`` at ``times``, drawn from ``start`` to ``end``.

    ``kind`` is its CSS class. ``base``, where given, is a value to draw a line at and to fill the
    area down or up to. ``name`` is what the chart shows, ``unit`` the unit of its values.
    """

    name: str
    kind: str
    unit: str
    times: Sequence[int]
    values: Sequence[float]
    start: int
    end: int
    base: float | None = None
    marks: Sequence[Mark] = ()
    fills: Sequence[FillMark] = ()

    def svg(self) -> str:
        """Return the drawing."""
        low, high = self._range()

        def across(at: int) -> float:
            return (at - self.start) / max(1, self.end - self.start)

        def down(value: float) -> float:
            return (high - value) / (high - low)

        label = (
            f"{self.name}, {write_day(self.times[0])} to {write_day(self.times[-1])}: from "
            f"{self.values[0]:,.6g} to {self.values[-1]:,.6g} {self.unit}".rstrip()
        )
        return "".join(
            [
                f'<svg class="plot {self.kind}" role="img" aria-label="{escape(label)}">',
                *self._grid(low, high, across, down),
                *self._bands(across),
                self._curve(across, down),
                *self._lines(across),
                *self._markers(across, down),
                '<line class="cross" y2="100%"/><circle class="dot" r="4"/></svg>',
            ]
        )

    def data(self) -> dict[str, object]:
        """Return the points drawn, as seconds and values, and the range, for the read-out."""
        low, high = self._range()
        chosen = pick(self.values)
        return {
            "start": self.start / SECOND,
            "end": self.end / SECOND,
            "low": low,
            "high": high,
            "t": [self.times[index] // SECOND for index in chosen],
            "v": [float(f"{self.values[index]:.7g}") for index in chosen],
        }

    def _range(self) -> tuple[float, float]:
        shown = [*self.values, *(float(fill.price) for fill in self.fills)]
        if self.base is not None:
            shown.append(self.base)
        low, high = min(shown), max(shown)
        room = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
        return low - room, high + room

    def _grid(
        self,
        low: float,
        high: float,
        across: Callable[[int], float],
        down: Callable[[float], float],
    ) -> list[str]:
        ticks = value_ticks(low, high)
        drawn = []
        for tick, text in zip(ticks, write_values(ticks), strict=True):
            y = _percent(down(tick))
            drawn.append(
                f'<line class="grid" x2="100%" y1="{y}" y2="{y}"/>'
                f'<text class="y" x="100%" y="{y}" dx="8" dy=".32em">{text}</text>'
            )
        for index, (at, text) in enumerate(time_ticks(self.start, self.end)):
            # A narrow page hides every other one.
            shown = "x even" if index % 2 else "x"
            x = _percent(across(at))
            drawn.append(f'<text class="{shown}" x="{x}" y="100%" dy="18">{text}</text>')
        if self.base is not None:
            y = _percent(down(self.base))
            drawn.append(f'<line class="base" x2="100%" y1="{y}" y2="{y}"/>')
        return drawn

    def _curve(self, across: Callable[[int], float], down: Callable[[float], float]) -> str:
        points = [
            f"{across(self.times[index]) * _BOX:.0f} {down(self.values[index]) * _BOX:.0f}"
            for index in pick(self.values)
        ]
        area = ""
        if self.base is not None:
            floor = f"{down(self.base) * _BOX:.0f}"
            first, last = points[0].split()[0], points[-1].split()[0]
            area = f'<path class="area" d="M{first} {floor}L{" ".join(points)} {last} {floor}Z"/>'
        return (
            f'<svg viewBox="0 0 {_BOX} {_BOX}" preserveAspectRatio="none" width="100%" '
            f'height="100%">{area}<path class="curve" d="M{" ".join(points)}"/></svg>'
        )

    def _bands(self, across: Callable[[int], float]) -> list[str]:
        return [
            f'<rect class="band" x="{_percent(across(mark.time))}" '
            f'width="{_percent(across(mark.until) - across(mark.time))}" height="100%"/>'
            for mark in self.marks
            if mark.until is not None
        ]

    def _lines(self, across: Callable[[int], float]) -> list[str]:
        drawn = []
        for index, mark in enumerate(self.marks):
            share = across(mark.time)
            x = _percent(share)
            # Neighbours may be a pixel apart: labels stand on alternating sides, each on a row.
            left = share > _EDGE and (index % 2 == 0 or share > 1 - _EDGE)
            drawn.append(
                f'<line class="mark" x1="{x}" x2="{x}" y2="100%"/>'
                f'<text class="note{" left" if left else ""}" x="{x}" dx="{-5 if left else 5}" '
                f'y="{12 + 15 * (index % _ROWS)}">{escape(mark.label)}</text>'
            )
        return drawn

    def _markers(self, across: Callable[[int], float], down: Callable[[float], float]) -> list[str]:
        return [
            f'<use href="#{fill.side}" class="{fill.side}{"" if fill.opens else " closes"}" '
            f'x="{_percent(across(fill.time))}" y="{_percent(down(float(fill.price)))}">'
            f"<title>{escape(_told(fill))}</title></use>"
            for fill in self.fills
        ]


def _told(fill: FillMark) -> str:
    act = "opens" if fill.opens else "closes"
    return (
        f"{write_day(fill.time)}: {fill.side} {figure(fill.quantity)} at {plain(fill.price)}, "
        f"{act}, {fill.account}"
    )


def _percent(share: float) -> str:
    return f"{share * 100:.2f}%"
