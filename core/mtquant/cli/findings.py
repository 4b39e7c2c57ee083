"""What a search found, as tables for a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mtquant.cli.tables import out
from mtquant.search.answer import Answer, params_text, value_text
from mtquant.search.chance import PERCENTS, Chances
from mtquant.search.finding import Found, Trial
from mtquant.search.forward import Holdout, WalkForward


def show(answer: Answer, top: int) -> None:
    """Print ``answer`` with the ``top`` best combinations."""
    console = out()
    if answer.forward is not None:
        _show_forward(console, answer.forward)
    if answer.found is not None:
        _show_found(console, answer.found, top)
        _show_luck(console, answer.found)
    if answer.split is not None:
        _show_split(console, answer.split, answer.by)
    for name, chances in (("trades shuffled", answer.shuffled), ("days drawn", answer.drawn)):
        if chances is not None:
            _show_chances(console, name, chances)
    for each in answer.warnings:
        console.print(f"! {each}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def _table(title: str, head: list[str], words: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for place, each in enumerate(head):
        justify = "left" if place < words else "right"
        table.add_column(each, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _figure(trial: Trial, name: str) -> str:
    return value_text(trial.outcome.figures.get(name))


def _percent(trial: Trial | None) -> str:
    earned = None if trial is None else trial.outcome.figures.get("total_return")
    return "" if earned is None else f"{earned:+.2%}"


def _show_found(console: Console, found: Found, top: int) -> None:
    by = found.wanted.by
    columns = [by, *(each for each in ("sharpe", "net_profit", "max_drawdown") if each != by)]
    shown = min(top, len(found.trials))
    table = _table(f"The best {shown} of {len(found.trials):,}", ["", *columns, "trades"])
    for each in found.trials[:top]:
        figures = [_figure(each, name) for name in columns]
        why = "" if each.value is not None else " (no candidate)"
        table.add_row(params_text(each) + why, *figures, str(each.outcome.trades))
    console.print(table)


def _show_luck(console: Console, found: Found) -> None:
    table = _table("How much of it is luck", ["", "", ""])
    table.show_header = False
    if found.deflated is not None:
        one = found.deflated
        table.add_row(
            "deflated Sharpe ratio",
            f"{one.probability:.3f}",
            f"after {one.trials} trials; {one.of_independent:.3f} after the "
            f"{one.independent:.1f} independent ones they are worth",
        )
    if found.overfit is not None:
        two = found.overfit
        table.add_row(
            "probability of overfitting",
            f"{two.probability:.3f}",
            f"{two.splits:,} splits of the days; {two.loss:.1%} lose outside",
        )
    if found.stability is not None:
        near = found.stability
        table.add_row(
            "median of the neighbours",
            value_text(near.median),
            f"worst {value_text(near.worst)}; {near.tried} of {near.neighbours} tried",
        )
    if table.row_count:
        console.print(table)


def _show_split(console: Console, split: Holdout, by: str) -> None:
    table = _table("Chosen on the validation part", ["", f"{by} in train", "in validation"])
    train = {each.params: each.value for each in split.found.trials}
    for each in split.validated:
        table.add_row(params_text(each), value_text(train[each.params]), value_text(each.value))
    console.print(table)
    if split.test is not None:
        columns = [by, "net_profit", "max_drawdown"]
        table = _table("The test", ["", *columns, "trades"])
        figures = [_figure(split.test, name) for name in columns]
        trades = str(split.test.outcome.trades)
        table.add_row(split.test.outcome.problem or params_text(split.test), *figures, trades)
        console.print(table)


def _show_forward(console: Console, forward: WalkForward) -> None:
    head = ["chosen", "return in train", "in test", "trades", "DSR", "PBO"]
    table = _table(f"{len(forward.stretches)} windows, {forward.lengths.mode}", head)
    for each in forward.stretches:
        best, test = each.found.best, each.outside
        table.add_row(
            params_text(best) if best else "no candidate",
            _percent(best),
            _percent(test),
            str(test.outcome.trades) if test else "",
            value_text(each.found.deflated.probability if each.found.deflated else None),
            value_text(each.found.overfit.probability if each.found.overfit else None),
        )
    console.print(table)
    efficiency = "undefined" if forward.efficiency is None else f"{forward.efficiency:.0%}"
    console.print(
        f"Out of sample: return {forward.total_return:+.2%}, deepest drawdown "
        f"{forward.max_drawdown:.2%}, Sharpe ratio {value_text(forward.sharpe)}, efficiency "
        f"{efficiency}",
        highlight=False,
        soft_wrap=True,
    )


def _show_chances(console: Console, name: str, chances: Chances) -> None:
    head = [f"{chances.draws:,} {name}", *(f"{each} %" for each in PERCENTS)]
    table = _table("", head)
    table.title = None
    table.add_row("final equity", *(f"{each:,.0f}" for each in chances.final_equity))
    table.add_row("deepest drawdown", *(f"{each:.1%}" for each in chances.max_drawdown))
    console.print(table)
    console.print(
        f"loses {chances.ruin_at:.0%} of the start: {chances.ruin:.1%}; ends below it: "
        f"{chances.loss:.1%}",
        highlight=False,
        style="dim",
    )
