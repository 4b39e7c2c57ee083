"""Several runs side by side: what they were set to, what they did, and their curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from mtquant.backtest.page.charts import chart
from mtquant.backtest.page.settings import differing
from mtquant.backtest.page.tables import FIGURES
from mtquant.backtest.page.text import NONE, section, signed
from mtquant.backtest.result import Result
from mtquant.backtest.statistics import Statistics

_COLOURS = 8
_WARNED = "Warnings"


def comparison(
    results: Sequence[Result], figures: Sequence[Statistics], names: Sequence[str]
) -> str:
    """Return what stands before the runs' own sections."""
    key = "".join(
        f'<span><svg viewBox="0 0 20 12" class="stroke run-{index % _COLOURS}'
        f'{"" if index < _COLOURS else " dashed"}"><path d="M0 6H20"/></svg>{escape(name)}</span>'
        for index, name in enumerate(names)
    )
    curves = ""
    if any(len(result.time) > 1 for result in results):
        curves = chart("gains", "Return", "% of the start balance", key=key, reset=True) + chart(
            "falls", "Drawdown", "% below the highest equity so far"
        )
    return (
        f'<div class="comparison">{curves}'
        f"{section('Side by side', _table(results, figures, names))}</div>"
    )


def _table(results: Sequence[Result], figures: Sequence[Statistics], names: Sequence[str]) -> str:
    head = "".join(
        f'<th scope="col"><a href="#run-{index}">{escape(name.partition(":")[0])}</a></th>'
        for index, name in enumerate(names)
    )
    columns = len(names) + 1
    parts = [_heading("What differs", columns)]
    different = differing(results)
    if not different:
        parts.append(
            f'<tr><td class="soft" colspan="{columns}">Nothing: settings, data and seed are '
            "alike.</td></tr>"
        )
    parts += [_row(name, values, marked=True) for name, values in different.items()]
    for title, rows in _sections(figures):
        parts.append(_heading(title, columns))
        parts += [_row(label, values) for label, values in rows]
    return (
        f'<div class="wide"><table class="compared"><thead><tr><td></td>{head}</tr></thead>'
        f"<tbody>{''.join(parts)}</tbody></table></div>"
    )


def _sections(
    figures: Sequence[Statistics],
) -> list[tuple[str, list[tuple[str, Sequence[str]]]]]:
    """Return the figures of all runs by heading and label, in the order they are told."""
    told = [
        {(part.title, row.label): row.value for part in each.rows() for row in part.rows}
        for each in figures
    ]
    keys = list(dict.fromkeys(key for each in told for key in each))
    made = [
        (
            title,
            [(label, _each(told, (title, label))) for found, label in keys if found == title],
        )
        for title in (*FIGURES, "Costs")
    ]
    warned = [str(len(each.cautions)) for each in figures]
    return [(_WARNED, [("How many", warned)]), *(part for part in made if part[1])]


def _each(told: Sequence[Mapping[tuple[str, str], str]], key: tuple[str, str]) -> Sequence[str]:
    return [signed(each.get(key, NONE)) for each in told]


def _heading(title: str, columns: int) -> str:
    return f'<tr class="part"><th scope="colgroup" colspan="{columns}">{escape(title)}</th></tr>'


def _row(label: str, values: Sequence[str], *, marked: bool = False) -> str:
    cells = "".join(
        f"<td>{f'<mark>{escape(value)}</mark>' if marked else escape(value)}</td>"
        for value in values
    )
    return f'<tr><th scope="row">{escape(label)}</th>{cells}</tr>'
