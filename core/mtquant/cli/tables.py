"""Answers of commands, for people; each function returns the command's exit code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

_OUT: list[Console] = []
_NARROW = 120
_NUMBERS = {"Quantity", "Price", "Profit", "Balance", "Equity", "Margin free"}
_NUMBERS |= {"Strategies'", "External", "We say", "They say", "Difference"}


@contextmanager
def quiet(into: TextIO) -> Iterator[None]:
    """Print into ``into`` instead."""
    _OUT.append(Console(file=into))
    try:
        yield
    finally:
        _OUT.pop()


def out() -> Console:
    """Return where answers are printed."""
    return _OUT[-1] if _OUT else Console()


def _say(text: str, style: str = "") -> None:
    out().print(text, style=style, highlight=False, markup=False, soft_wrap=True)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    if not rows:
        _say(empty)
        return
    table = Table()
    for head in heads:
        table.add_column(head, justify="right" if head in _NUMBERS else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    out().print(table)


def number(text: str | None, places: int | None = None) -> str:
    """Return a decimal string with its thousands apart; a dash for None."""
    if text is None:
        return "-"
    value = Decimal(text)
    return f"{value:,}" if places is None else f"{value:,.{places}f}"


def _problems(answer: dict[str, Any]) -> int:
    for each in answer.get("problems", ()):
        _say(f"{each['account']} can't be asked: {each['problem']}", "red")
    return 1 if answer.get("problems") else 0


def _fate(row: dict[str, Any]) -> str:
    """Return what became of an order, as a sentence."""
    if not row["approved"]:
        return f"vetoed at {row['account']} ({row['code']}): {row['verdict']}"
    text = f"{row['client_order_id']} at {row['account']}: {row['status']}"
    if row.get("average_price"):
        filled = f"{row['side']} {number(row['filled_quantity'])} {row['instrument']}"
        text += f", {filled} at {row['average_price']}"
    if row.get("order_id"):
        text += f" (order {row['order_id']})"
    why = row.get("why") or row.get("problem")
    return f"{text}: {why}" if why else text


def _went(row: dict[str, Any]) -> bool:
    return bool(row["approved"]) and row["status"] not in {"rejected", "canceled", "expired"}


def show_order(answer: dict[str, Any]) -> int:
    """Print what became of an order."""
    _say(_fate(answer), "" if _went(answer) else "red")
    return 0 if _went(answer) else 1


def show_closed(answer: dict[str, Any]) -> int:
    """Print what became of closing."""
    for row in answer["closed"]:
        _say(_fate(row), "" if _went(row) else "red")
    return 0 if all(_went(row) for row in answer["closed"]) else 1


def show_canceled(answer: dict[str, Any]) -> int:
    """Print what became of cancelling."""
    for row in answer["canceled"]:
        text = row.get("status") or f"not cancelled: {row['problem']}"
        _say(f"order {row['order_id']} at {row['account']}: {text}", "red" * ("problem" in row))
    if not answer["canceled"]:
        _say("no working order to cancel")
    if answer["protections_kept"]:
        kept = answer["protections_kept"]
        _say(f"{kept} kept that protect positions; --protections cancels them too")
    return 1 if any("problem" in row for row in answer["canceled"]) else 0


def show_modified(answer: dict[str, Any]) -> int:
    """Print an order or a position after its change."""
    shown = {key: value for key, value in answer.items() if value is not None}
    _say(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items()))
    return 0


def show_orders(answer: dict[str, Any]) -> int:
    """Print the working orders, and those in doubt."""
    rows = [
        (
            each["account"],
            each["order_id"],
            each["instrument"],
            f"{each['side']} {each['order_type']}",
            number(each["remaining_quantity"]),
            each.get("limit_price") or each.get("stop_price") or "-",
            each["status"],
        )
        for each in answer["orders"]
    ]
    heads = ("Account", "Order", "Symbol", "Type", "Quantity", "Price", "Status")
    _table(heads, rows, "no working order")
    say_doubts(answer["in_doubt"])
    return _problems(answer)


def show_doubts(answer: dict[str, Any]) -> int:
    """Print what is known of each order in doubt."""
    say_doubts(answer["in_doubt"])
    if not answer["in_doubt"]:
        _say("no order is in doubt")
    return 0


def say_doubts(found: Sequence[dict[str, Any]]) -> None:
    """Say of each order in doubt what is known, and what will be tried when."""
    for each in found:
        what = f"{each['side']} {number(each['quantity'])} {each['instrument']}"
        _say(f"{each['client_order_id']} at {each['account']}: {what}, in doubt", "bold red")
        _say(f"   sent {each['sent']}, in doubt since {each['since']}: {each['why']}")
        last = f"; last: {each['last_answer']}" if each["last_answer"] else ""
        _say(f"   looked up {each['looked_up']} times by this engine{last}")
        _say(f"   next {each['next']}: {each['tries']}")


def show_reconciled(answer: dict[str, Any]) -> int:
    """Print the books side by side, and return 1 where they differ or can't be compared."""
    if "settled" in answer:
        _say(f"settled: {answer['settled']}", "yellow")
    for each in answer["accepted"]:
        _say(f"accepted: {each}", "yellow")
    for each in answer["accounts"]:
        _show_books(each)
    _problems(answer)
    return 0 if answer["agree"] else 1


def _show_books(row: dict[str, Any]) -> None:
    name, money = row["account"], row["balance"]
    _say(
        f"{name}: the books {'agree' if row['agrees'] else 'DIFFER'}",
        "bold" if row["agrees"] else "bold red",
    )
    held = [
        (
            each["instrument"],
            number(each["strategies"]),
            number(each["external"]),
            number(each["ours"]),
            number(each["theirs"]),
            _gap(each["ours"], each["theirs"]),
        )
        for each in row["positions"]
    ]
    balance = number(money["ours"]), number(money["theirs"]), _gap(money["ours"], money["theirs"])
    held.append(("balance", "", "", *balance))
    _table(("What", "Strategies'", "External", "We say", "They say", "Difference"), held, "")
    for each in row["foreign_orders"]:
        price = f" at {each['price']}" if each["price"] else ""
        what = f"{each['side']} {number(each['quantity'])} {each['instrument']}{price}"
        _say(f"not ours: order {each['order_id']}, {each['order_type']}, {what}")
    say_doubts(row["in_doubt"])
    if row["agrees"]:
        return
    if row["tradable"]:
        symbols = ", ".join(each["instrument"] for each in row["positions"] if each["differs"])
        _say(f"nothing is opened in {symbols} at {name}; closing goes on")
    else:
        _say(f"no order goes to {name} but what you close or a halt does", "red")
    accept = f'mtquant reconcile --broker {name} --accept --why "..."'
    _say(f"a running engine compares again by itself; to take over their record: {accept}")


def _gap(ours: str, theirs: str) -> str:
    gap = Decimal(theirs) - Decimal(ours)
    return f"{gap:+,}" if gap else ""


def show_positions(answer: dict[str, Any]) -> int:
    """Print the open positions."""
    rows = [
        (
            each["account"],
            each["instrument"],
            each["side"],
            number(each["quantity"]),
            each["average_price"],
            each.get("stop_loss") or "none",
            each.get("take_profit") or "-",
            number(each["unrealized_profit"], 2),
        )
        for each in answer["positions"]
    ]
    heads = ("Account", "Symbol", "Side", "Quantity", "Price", "Stop", "Target", "Profit")
    _table(heads, rows, "no open position")
    return _problems(answer)


def show_accounts(answer: dict[str, Any]) -> int:
    """Print each account's money."""
    rows = [
        (
            each["account"],
            each["account_id"],
            each["environment"],
            number(each["balance"], 2),
            number(each["equity"], 2),
            number(each["margin_available"], 2),
            each["currency"],
            each["breaker"],
        )
        for each in answer["accounts"]
    ]
    heads = ("Account", "Number", "Kind", "Balance", "Equity", "Margin free", "Money", "Breaker")
    _table(heads, rows, "no account")
    for each in answer["accounts"]:
        if not each["tradable"]:
            _say(f"{each['account']} is not traded: {each['why']}", "yellow")
    return _problems(answer)


def show_suggestions(answer: dict[str, Any]) -> int:
    """Print the orders that wait for a person."""
    for each in answer["suggestions"]:
        _say(
            f"{each['number']}  {each['side']} {number(each['quantity'])} {each['instrument']} at "
            f"{each['account']}, about {each['price']}, stop {each['stop_loss'] or 'none'}"
        )
        _say(f"   {each['strategy']}: {each['reason']}")
        _say(f"   gate: {each['verdict']}")
        _say(f"   until {each['expires']}; digest {each['digest']}")
        if "code" in each:
            _say(f"   code {each['code']}: type it where the agent's program asks you, to approve")
    if not answer["suggestions"]:
        _say("no suggestion waits")
    return 0


def show_answered(answer: dict[str, Any]) -> int:
    """Print what became of a suggestion."""
    _say(f"suggestion {answer['number']}: {answer['outcome']}", "" if answer["done"] else "red")
    return 0 if answer["done"] else 1


def show_mode(answer: dict[str, Any]) -> int:
    """Print a strategy's new mode."""
    _say(f"{answer['strategy']} is {answer['mode']} now")
    return 0


def show_todo(answer: dict[str, Any]) -> int:
    """Print what asks for a person."""
    for each in answer["todo"]:
        _say(each["what"], "bold")
        _say(f"   {each['remedy']}")
    if not answer["todo"]:
        _say("nothing asks for you")
    return 1 if answer["todo"] else 0


def show_halted(answer: dict[str, Any]) -> int:
    """Print what a halt did, and return 1 where something is left to do."""
    _say(f"HALTED {answer['halted']}: nothing is opened", "bold red")
    for each in answer["failed"]:
        _say(f"{each['account']}: {each['problem']}", "bold red")
    if answer["failed"]:
        _say("the engine goes on trying; without one running, `mtquant run` does, or say it again")
        return 1
    _say("every position is closed" if answer["flatten"] else "no order works that would open")
    return 0


def show_resumed(answer: dict[str, Any]) -> int:  # noqa: ARG001 - as the others
    """Print that trading goes on."""
    _say("trading goes on")
    return 0


def show_cash_flow(answer: dict[str, Any]) -> int:
    """Print what is expected."""
    amount = Decimal(answer["amount"])
    what = "a deposit" if amount > 0 else "a withdrawal"
    told = f"{what} of {abs(amount):,.2f} is expected" if amount else "no cash flow is expected"
    _say(f"{answer['account']}: {told}")
    return 0


def show_stopping(answer: dict[str, Any]) -> int:
    """Print that the engine stops."""
    _say("stopping, after closing what the strategies hold" if answer["close"] else "stopping")
    return 0
