"""What a run did otherwise than its replay, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mtquant.clock import format_time
from mtquant.drift.result import Difference, Drift
from mtquant.model import plain

_HEADS = ("Time", "What", "In the run", "In the replay", "Price", "Pips", "Money", "Why")
_NARROW = 120
_NUMBERS = {"Price", "Pips", "Money", "Differences"}


def show(console: Console, found: Drift) -> None:
    """Print the differences, the money by cause and the totals."""
    if found.differences:
        _differences(console, [_row(each) for each in found.differences])
        shares = [
            (each.cause.words, str(each.count), _money(each.money)) for each in found.by_cause
        ]
        console.print(_table(("Cause", "Differences", "Money"), shares))
    _say(console, f"{format_time(found.first)} to {format_time(found.last)}, {found.account}")
    for what, counted in (("signals", found.signals), ("fills", found.fills)):
        _say(
            console,
            f"{what}: {counted.recorded} in the run, {counted.replayed} in the replay, "
            f"{counted.same} the same",
        )
    _say(
        console,
        f"profit: {_money(found.recorded_profit)} in the run, {_money(found.replayed_profit)} in "
        f"the replay: {_money(found.difference)} {found.currency} of drift",
    )
    for note in found.notes:
        _say(console, note, "dim")
    if found.differences:
        _say(console, f"{len(found.differences)} differences", "bold")
    else:
        _say(console, "nothing differs", "bold green")


def _differences(console: Console, rows: Sequence[Sequence[str]]) -> None:
    """Print a row each, or a few lines each where a table has no room."""
    if console.width >= _NARROW:
        console.print(_table(_HEADS, rows))
        return
    for time, what, recorded, replayed, price, pips, money, why in rows:
        _say(console, f"{time}  {what}  {money}".rstrip(), "bold")
        gap = f" ({price}, {pips} pips)" if price else ""
        _say(console, f"   in the run: {recorded}{gap}")
        _say(console, f"   in the replay: {replayed}")
        _say(console, f"   {why}")


def _row(each: Difference) -> tuple[str, ...]:
    return (
        format_time(each.time)[:19].replace("T", " "),
        " ".join(filter(None, (each.kind, each.instrument, each.strategy_id))),
        each.recorded,
        each.replayed,
        "" if each.price is None else plain(each.price),
        "" if each.pips is None else f"{each.pips:+.2f}",
        "" if each.money is None else _money(each.money),
        f"{each.because.cause.words}: {each.because.why}",
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table()
    for head in heads:
        right = head in _NUMBERS
        table.add_column(head, justify="right" if right else "left", overflow="fold", no_wrap=right)
    for row in rows:
        # A journal holds what strategies, brokers and persons wrote: it is text, never markup.
        table.add_row(*(Text(cell) for cell in row))
    return table


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
