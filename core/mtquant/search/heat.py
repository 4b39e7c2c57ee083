"""The heat map of a search: what each pair of two parameters' values came to, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from mtquant.search.answer import params_text, value_text
from mtquant.search.finding import Found, Trial
from mtquant.search.space import Axis

_MOST = 40
"""An axis with more values than this is drawn in so many bins."""
_ROOM = 14
"""As many columns have room for their values as text."""
_WIDTH, _LEFT, _TOP = 1000, 90, 8
_FAINTEST = 0.08


@dataclass(frozen=True, slots=True)
class _Cell:
    """A pair of bins, and the best trial in it."""

    column: int
    row: int
    best: Trial


def heat_map(found: Found) -> tuple[str, str]:
    """Return the map as SVG, and a line that says what it shows; empty where there is no trial.

    The first two ranges are its axes, or what there is. Where further parameters vary, a cell has
    the best over them.
    """
    axes = sorted(found.wanted.space.axes, key=lambda axis: not axis.ordered)[:2]
    if not found.trials:
        return "", ""
    across = axes[0]
    up = axes[1] if len(axes) > 1 else Axis("", ("",), ordered=False)
    cells: dict[tuple[int, int], _Cell] = {}
    for trial in found.trials:  # the best come first
        named = dict(trial.params)
        column = _bin(across, across.values.index(named[across.name]))
        row = _bin(up, up.values.index(named[up.name])) if up.name else 0
        cells.setdefault((column, row), _Cell(column, row, trial))
    return _svg(found, across, up, list(cells.values())), _told(found, axes)


def _told(found: Found, axes: Sequence[Axis]) -> str:
    names = " and ".join(axis.name for axis in axes)
    others = len(found.wanted.space.axes) - len(axes)
    binned = any(len(axis.values) > _MOST for axis in axes)
    rest = [
        f"{found.wanted.by} by {names}",
        "the best over the other parameters" if others else "",
        "several values share a cell, which has their best" if binned else "",
        "blue is above zero, red below; a dot is no candidate, nothing is not tried",
    ]
    return "; ".join(each for each in rest if each) + "."


def _bin(axis: Axis, place: int) -> int:
    return place * _bins(axis) // len(axis.values)


def _bins(axis: Axis) -> int:
    return min(_MOST, len(axis.values))


def _svg(found: Found, across: Axis, up: Axis, cells: Sequence[_Cell]) -> str:
    columns, rows = _bins(across), _bins(up)
    width = (_WIDTH - _LEFT) / columns
    height = max(18.0, min(38.0, 560 / rows))
    bottom = _TOP + rows * height
    largest = max((abs(each.best.value) for each in cells if each.best.value), default=1.0)
    drawn = [
        _cell(found, cell, (_LEFT + cell.column * width, bottom - (cell.row + 1) * height),
              (width, height), largest, columns <= _ROOM)
        for cell in cells
    ]  # fmt: skip
    every = max(1, columns // _ROOM)
    marks = [
        f'<text x="{_LEFT + (index + 0.5) * width:.1f}" y="{bottom + 18:.1f}" class="x">'
        f"{escape(_first_of(across, index))}</text>"
        for index in range(0, columns, every)
    ]
    each_row = max(1, round(rows * 18 / 560))
    marks += [
        f'<text x="{_LEFT - 8}" y="{bottom - (index + 0.5) * height + 4:.1f}" class="y">'
        f"{escape(_first_of(up, index))}</text>"
        for index in range(0, rows, each_row)
    ]
    middle = _LEFT + columns * width / 2
    names = (
        f'<text x="{middle:.1f}" y="{bottom + 38:.1f}" class="x name">{escape(across.name)}</text>'
        f'<text x="0" y="{_TOP + 12}" class="name">{escape(up.name)}</text>'
    )
    return (
        f'<svg class="heat" viewBox="0 0 {_WIDTH} {bottom + 46:.0f}" role="img" '
        f'aria-label="{escape(_told(found, [across, up] if up.name else [across]))}">'
        f"{''.join(drawn)}{''.join(marks)}{names}</svg>"
    )


def _first_of(axis: Axis, index: int) -> str:
    """Return the first value of a bin."""
    return str(axis.values[-(-index * len(axis.values) // _bins(axis))])


def _cell(
    found: Found,
    cell: _Cell,
    at: tuple[float, float],
    size: tuple[float, float],
    largest: float,
    texts: bool,  # noqa: FBT001 - a positional call in one place
) -> str:
    (x, y), (width, height), best = at, size, cell.best
    title = f"<title>{escape(params_text(best))}: {escape(_said(found, best))}</title>"
    if best.value is None:
        middle = f'cx="{x + width / 2:.1f}" cy="{y + height / 2:.1f}"'
        return f'<g class="none"><circle {middle} r="3"/>{title}</g>'
    share = _FAINTEST + (1 - _FAINTEST) * abs(best.value) / largest
    kind = "above" if best.value >= 0 else "below"
    chosen = found.best is not None and found.best.params == best.params
    shape = (
        f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{max(1, width - 2):.1f}" '
        f'height="{height - 2:.1f}" rx="2"'
    )
    text = (
        f'<text x="{x + width / 2:.1f}" y="{y + height / 2 + 4:.1f}" class="x in'
        f'{" strong" if share > 0.6 else ""}">{value_text(best.value)}</text>'  # noqa: PLR2004
        if texts
        else ""
    )
    outline = f'<rect {shape} class="best"/>' if chosen else ""
    return f'<g><rect {shape} class="{kind}" opacity="{share:.2f}"/>{outline}{text}{title}</g>'


def _said(found: Found, trial: Trial) -> str:
    if trial.outcome.problem:
        return trial.outcome.problem
    figure = trial.outcome.figures.get(found.wanted.by)
    return f"{found.wanted.by} {value_text(figure)}, {trial.outcome.trades} trades"
