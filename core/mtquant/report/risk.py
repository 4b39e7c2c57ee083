"""What the gate and the loss breaker did: a strip for each account, and a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from itertools import zip_longest

from mtquant.clock import format_time
from mtquant.contract import BreakerLevel
from mtquant.report.content import LevelChange, Ruling
from mtquant.report.scale import time_ticks, write_day

_ROW = 30
_CROSS, _DOWN = "M-4 -4L4 4M4 -4L-4 4", "M-4.5 -3.5L4.5 -3.5L0 4Z"
_WORDS = {
    BreakerLevel.WARNED: "warned: new orders are smaller",
    BreakerLevel.REDUCING: "reducing: nothing is opened",
    BreakerLevel.HALTED: "halted: a person must reset it",
}


def risk_section(
    rulings: Sequence[Ruling], levels: Sequence[LevelChange], start: int, end: int
) -> str:
    """Return the strips from ``start`` to ``end`` (nanoseconds), and a table of the rulings.

    Nothing where nobody was vetoed or reduced and no breaker rose.
    """
    risen = [each for each in levels if each.level is not BreakerLevel.NORMAL]
    if not rulings and not risen:
        return ""
    accounts = sorted({each.account for each in rulings} | {each.account for each in levels})
    rows = "".join(
        _strip(number, name, rulings, levels, start, end) for number, name in enumerate(accounts)
    )
    height = _ROW * len(accounts)
    ticks = "".join(
        f'<text class="{"x even" if index % 2 else "x"}" x="{_across(at, start, end)}" '
        f'y="{height}" dy="18">{text}</text>'
        for index, (at, text) in enumerate(time_ticks(start, end))
    )
    return (
        f'<figure class="risk"><figcaption><h2>Risk</h2></figcaption>{_key(risen, rulings)}'
        f'<svg class="strip" role="img" aria-label="{escape(_said(rulings, risen))}" '
        f'style="height:{height}px">{rows}{ticks}</svg></figure>\n{_table(rulings)}'
    )


def _key(risen: Sequence[LevelChange], rulings: Sequence[Ruling]) -> str:
    shown = [
        f'<span><svg viewBox="0 0 14 12"><rect class="level {level.name.lower()}" width="14" '
        f'height="12"/></svg>{words}</span>'
        for level, words in _WORDS.items()
        if any(each.level is level for each in risen)
    ]
    if any(each.vetoed for each in rulings):
        shown.append(f'<span><svg viewBox="-7 -6 14 12">{_sign(_CROSS, "vetoed")}</svg>veto</span>')
    if not all(each.vetoed for each in rulings):
        drawn = _sign(_DOWN, "reduced")
        shown.append(
            f'<span><svg viewBox="-7 -6 14 12">{drawn}</svg>made smaller by a limit</span>'
        )
    return f'<p class="key">{"".join(shown)}</p>'


def _sign(path: str, kind: str) -> str:
    return f'<path class="{kind}" d="{path}"/>'


def _strip(
    number: int,
    name: str,
    rulings: Sequence[Ruling],
    levels: Sequence[LevelChange],
    start: int,
    end: int,
) -> str:
    top, middle = number * _ROW, number * _ROW + _ROW / 2
    changes = [each for each in levels if each.account == name]
    drawn = [
        f'<line class="grid" x2="100%" y1="{middle}" y2="{middle}"/>',
        f'<text class="y" x="100%" y="{middle}" dx="8" dy=".32em">{escape(name)}</text>',
    ]
    for each, following in zip_longest(changes, changes[1:]):
        if each.level is BreakerLevel.NORMAL:
            continue
        until = end if following is None else following.time
        words = f"{name}: {each.level.name.lower()}, {write_day(each.time)} to {write_day(until)}"
        width = 100 * (until - each.time) / max(1, end - start)
        drawn.append(
            f'<rect class="level {each.level.name.lower()}" x="{_across(each.time, start, end)}" '
            f'y="{top + 5}" width="{width:.2f}%" height="{_ROW - 10}">'
            f"<title>{escape(words)}</title></rect>"
        )
    for ruling in rulings:
        if ruling.account != name or not start <= ruling.time <= end:
            continue
        path, kind = (_CROSS, "vetoed") if ruling.vetoed else (_DOWN, "reduced")
        drawn.append(
            f'<svg x="{_across(ruling.time, start, end)}" y="{middle}" overflow="visible">'
            f'<path class="{kind}" d="{path}"><title>{escape(_told(ruling))}</title></path></svg>'
        )
    return "".join(drawn)


def _across(at: int, start: int, end: int) -> str:
    return f"{100 * (at - start) / max(1, end - start):.2f}%"


def _told(ruling: Ruling) -> str:
    act = "vetoed" if ruling.vetoed else "made smaller"
    return f"{write_day(ruling.time)}: {ruling.symbol} {act}, {ruling.message}"


def _said(rulings: Sequence[Ruling], risen: Sequence[LevelChange]) -> str:
    vetoes = sum(each.vetoed for each in rulings)
    return (
        f"{vetoes} vetoes, {len(rulings) - vetoes} orders made smaller by a limit, "
        f"the loss breaker rose {len(risen)} times"
    )


def _table(rulings: Sequence[Ruling]) -> str:
    if not rulings:
        return ""
    counts = Counter(each.code for each in rulings)
    total = ", ".join(f"{count} {code}" for code, count in counts.most_common())
    rows = "".join(
        f"<tr><td>{format_time(each.time)[:10]}<td>{escape(each.account)}<td>{escape(each.symbol)}"
        f"<td>{'vetoed' if each.vetoed else 'made smaller'}<td>{escape(each.code)}"
        f'<td class="long">{escape(each.message)}'
        for each in rulings
    )
    return (
        f"<section><details><summary>All {len(rulings):,} vetoes and reductions: {escape(total)}"
        '</summary><div class="wide"><table class="text"><thead><tr><th>Day<th>Account<th>Symbol'
        f"<th>Verdict<th>Code<th>Why</thead><tbody>{rows}</tbody></table></div></details></section>"
    )
