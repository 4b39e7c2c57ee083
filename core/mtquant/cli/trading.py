"""The commands with which a person trades: over all brokers, in canonical symbols.

Each talks to the running engine where one runs, and starts one for itself where none does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Broker = Annotated[str | None, typer.Option("--broker", help="Only at this account.")]
By = Annotated[str | None, typer.Option("--by", help="Who asks, for the journal; unless told you.")]
Live = Annotated[
    bool, typer.Option("--live", help="Real accounts named in the file may be traded.")
]
_HERE = Path("mtquant.toml")


def _answer(
    config: Path,
    command: str,
    arguments: dict[str, Any],
    show: Callable[[dict[str, Any]], int],
    *,
    as_json: bool,
    live: bool = False,
) -> None:
    """Ask, print, and end with the exit code that ``show`` returns."""
    from mtquant.cli.asking import ask  # noqa: PLC0415 - --help stays quick

    _show(ask(config, command, arguments, live=live), show, as_json=as_json)


def _show(
    answer: dict[str, Any], show: Callable[[dict[str, Any]], int], *, as_json: bool
) -> NoReturn:
    if as_json:
        print(json.dumps(answer))  # noqa: T201 - for machines
        from io import StringIO  # noqa: PLC0415 - beside its only use

        from mtquant.cli import tables  # noqa: PLC0415 - --help stays quick

        with tables.quiet(StringIO()):
            raise typer.Exit(show(answer))
    raise typer.Exit(show(answer))


def _by(name: str | None) -> str:
    from mtquant.cli.asking import person  # noqa: PLC0415 - --help stays quick

    return name or person()


def order(  # noqa: PLR0913, PLR0917 - the options of a command
    side: Annotated[str, typer.Argument(help="buy or sell.")],
    symbol: Annotated[str, typer.Argument(help="Such as EUR/USD.")],
    quantity: Annotated[str, typer.Argument(help="In base units: 100000 is a standard lot.")],
    limit: Annotated[str | None, typer.Option(help="Limit price: not worse than this.")] = None,
    stop: Annotated[str | None, typer.Option(help="Stop price: once the market is there.")] = None,
    stop_loss: Annotated[str | None, typer.Option(help="Protective stop, as a price.")] = None,
    take_profit: Annotated[str | None, typer.Option(help="Target, as a price.")] = None,
    trailing_stop: Annotated[
        str | None, typer.Option(help="Protective stop that follows, as a distance.")
    ] = None,
    time_in_force: Annotated[str | None, typer.Option(help="gtc, day, gtd, ioc or fok.")] = None,
    expires: Annotated[str | None, typer.Option(help="When a gtd order ends, as RFC 3339.")] = None,
    broker: Broker = None,
    by: By = None,
    config: ConfigPath = _HERE,
    live: Live = False,  # noqa: FBT002 - a command line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Send an order through the risk gate; exit code 1 where it is vetoed or rejected."""
    from mtquant.cli.tables import show_order  # noqa: PLC0415 - --help stays quick

    arguments = {
        "side": side,
        "symbol": symbol,
        "quantity": quantity,
        "limit": limit,
        "stop": stop,
        "stop_loss": stop_loss,
        "take_profit": take_profit,
        "trailing_stop": trailing_stop,
        "time_in_force": time_in_force,
        "expires": expires,
        "broker": broker,
        "by": _by(by),
    }
    _answer(config, "order", arguments, show_order, as_json=as_json, live=live)


risk = typer.Typer(help="The risk gate: ask it, and read what it said.", no_args_is_help=True)


@risk.command("check", epilog="Example: mtquant risk check buy EUR/USD 100000 --stop-loss 1.05")
def risk_check(  # noqa: PLR0913, PLR0917 - the options of a command
    side: Annotated[str, typer.Argument(help="buy or sell.")],
    symbol: Annotated[str, typer.Argument(help="Such as EUR/USD.")],
    quantity: Annotated[str, typer.Argument(help="In base units.")],
    limit: Annotated[str | None, typer.Option(help="Limit price.")] = None,
    stop: Annotated[str | None, typer.Option(help="Stop price.")] = None,
    stop_loss: Annotated[str | None, typer.Option(help="Protective stop, as a price.")] = None,
    take_profit: Annotated[str | None, typer.Option(help="Target, as a price.")] = None,
    broker: Broker = None,
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Say what the gate would say of an order, and send nothing; exit code 1 for a veto."""
    from mtquant.cli.risk import show_check  # noqa: PLC0415 - --help stays quick

    arguments = {
        "side": side,
        "symbol": symbol,
        "quantity": quantity,
        "limit": limit,
        "stop": stop,
        "stop_loss": stop_loss,
        "take_profit": take_profit,
        "broker": broker,
        "by": _by(by),
    }
    _answer(config, "check", arguments, show_check, as_json=as_json)


@risk.command("explain", epilog="Example: mtquant risk explain O12")
def risk_explain(
    order_id: Annotated[str, typer.Argument(help="A client order id, or the broker's.")],
    broker: Broker = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Say why an order was sent: every verdict, its limit and what it saw; from the journal."""
    from mtquant.cli.risk import explain  # noqa: PLC0415 - --help stays quick

    explain(config, order_id, broker, as_json=as_json)


def close(  # noqa: PLR0913, PLR0917 - the options of a command
    symbol: Annotated[str, typer.Argument(help="Such as EUR/USD.")],
    quantity: Annotated[str | None, typer.Option(help="Base units; unless told, all.")] = None,
    position: Annotated[str | None, typer.Option(help="One position's id.")] = None,
    broker: Broker = None,
    by: By = None,
    config: ConfigPath = _HERE,
    live: Live = False,  # noqa: FBT002 - a command line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Close a position, or part of it; exit code 1 where it isn't closed."""
    from mtquant.cli.tables import show_closed  # noqa: PLC0415 - --help stays quick

    arguments = {
        "symbol": symbol,
        "quantity": quantity,
        "position": position,
        "broker": broker,
        "by": _by(by),
    }
    _answer(config, "close", arguments, show_closed, as_json=as_json, live=live)


def cancel(  # noqa: PLR0913, PLR0917 - the options of a command
    order_id: Annotated[str | None, typer.Argument(help="The order's id.")] = None,
    everything: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--all", help="Every working order but those that protect positions.")
    ] = False,
    protections: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--protections", help="With --all: those too.")
    ] = False,
    broker: Broker = None,
    by: By = None,
    config: ConfigPath = _HERE,
    live: Live = False,  # noqa: FBT002 - a command line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Cancel a working order, or all; exit code 1 where one can't be cancelled."""
    from mtquant.cli.tables import show_canceled  # noqa: PLC0415 - --help stays quick

    arguments = {
        "order": order_id,
        "everything": everything,
        "protections": protections,
        "broker": broker,
        "by": _by(by),
    }
    _answer(config, "cancel", arguments, show_canceled, as_json=as_json, live=live)


def modify(  # noqa: PLR0913, PLR0917 - the options of a command
    target: Annotated[str, typer.Argument(help="An order's or position's id, or a symbol held.")],
    quantity: Annotated[str | None, typer.Option(help="A smaller quantity, base units.")] = None,
    limit: Annotated[str | None, typer.Option(help="Another limit price.")] = None,
    stop: Annotated[str | None, typer.Option(help="Another stop price.")] = None,
    stop_loss: Annotated[str | None, typer.Option(help="A price, or none to take it away.")] = None,
    take_profit: Annotated[str | None, typer.Option(help="A price, or none.")] = None,
    trailing_stop: Annotated[str | None, typer.Option(help="A distance, or none.")] = None,
    broker: Broker = None,
    by: By = None,
    config: ConfigPath = _HERE,
    live: Live = False,  # noqa: FBT002 - a command line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Change a working order, or what protects a position."""
    from mtquant.cli.tables import show_modified  # noqa: PLC0415 - --help stays quick

    protections = {
        "stop_loss": stop_loss,
        "take_profit": take_profit,
        "trailing_stop": trailing_stop,
    }
    arguments: dict[str, Any] = {
        name: value for name, value in protections.items() if value != "none"
    }
    arguments |= {
        "target": target,
        "quantity": quantity,
        "limit": limit,
        "stop": stop,
        "clear": [name for name, value in protections.items() if value == "none"],
        "broker": broker,
        "by": _by(by),
    }
    _answer(config, "modify", arguments, show_modified, as_json=as_json, live=live)


def orders(
    broker: Broker = None,
    in_doubt: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--in-doubt", help="Only ours whose fate isn't known; asks no broker.")
    ] = False,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List the working orders at all brokers, and those whose fate isn't known.

    Of an order in doubt: since when and why, how often it was looked up, and what is tried when.
    """
    from mtquant.cli.tables import show_doubts, show_orders  # noqa: PLC0415 - --help stays quick

    arguments = {"broker": broker, "in_doubt": in_doubt}
    show = show_doubts if in_doubt else show_orders
    _answer(config, "orders", arguments, show, as_json=as_json)


def reconcile(  # noqa: PLR0913, PLR0917 - the options of a command
    broker: Broker = None,
    accept: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--accept", help="Take over this broker's record where it differs.")
    ] = False,
    settle: Annotated[
        str, typer.Option(help="A client order id in doubt that this broker doesn't have.")
    ] = "",
    why: Annotated[
        str, typer.Option(help="With --accept and --settle: why, for the journal.")
    ] = "",
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Compare our book with the brokers' records now; exit code 1 where they differ.

    --accept takes over the record of one account: what strategies can't hold any more is taken
    from them, what is more than ours is external, the balance is the broker's. It sends no order,
    and is refused while an order of that account is in doubt. --settle ends such a doubt on your
    word, after one more look-up: ask the broker first.
    """
    from mtquant.cli.tables import show_reconciled  # noqa: PLC0415 - --help stays quick

    arguments = {"broker": broker, "accept": accept, "settle": settle, "why": why, "by": _by(by)}
    _answer(config, "reconcile", arguments, show_reconciled, as_json=as_json)


def positions(
    broker: Broker = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List the open positions at all brokers."""
    from mtquant.cli.tables import show_positions  # noqa: PLC0415 - --help stays quick

    _answer(config, "positions", {"broker": broker}, show_positions, as_json=as_json)


def account(
    broker: Broker = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Show the money of all accounts."""
    from mtquant.cli.tables import show_accounts  # noqa: PLC0415 - --help stays quick

    _answer(config, "account", {"broker": broker}, show_accounts, as_json=as_json)


def suggestions(
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List the orders that wait for your approval."""
    from mtquant.cli.tables import show_suggestions  # noqa: PLC0415 - --help stays quick

    _answer(config, "suggestions", {}, show_suggestions, as_json=as_json)


def approve(  # noqa: PLR0913, PLR0917 - the options of a command
    number: Annotated[int, typer.Argument(help="The suggestion's number.")],
    digest: Annotated[str, typer.Option(help="Only if it is this one, as listed.")] = "",
    why: Annotated[str, typer.Option(help="A remark for the journal.")] = "",
    by: By = None,
    config: ConfigPath = _HERE,
    live: Live = False,  # noqa: FBT002 - a command line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Approve a suggestion: it is checked again and sent; exit code 1 where it isn't."""
    from mtquant.cli.tables import show_answered  # noqa: PLC0415 - --help stays quick

    arguments = {"number": number, "digest": digest, "why": why, "by": _by(by)}
    _answer(config, "approve", arguments, show_answered, as_json=as_json, live=live)


def reject(
    number: Annotated[int, typer.Argument(help="The suggestion's number.")],
    why: Annotated[str, typer.Option(help="Why, for the journal.")],
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Reject a suggestion, with the reason."""
    from mtquant.cli.tables import show_answered  # noqa: PLC0415 - --help stays quick

    arguments = {"number": number, "why": why, "by": _by(by)}
    _answer(config, "reject", arguments, show_answered, as_json=as_json)


def mode(
    strategy: Annotated[str, typer.Argument(help="As it is named in the configuration.")],
    mode: Annotated[str, typer.Argument(help="auto, semi or manual.")],
    why: Annotated[str, typer.Option(help="Why, for the journal.")] = "",
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Set who sends a strategy's orders: the engine, you after approval, or you alone."""
    from mtquant.cli.tables import show_mode  # noqa: PLC0415 - --help stays quick

    arguments = {"strategy": strategy, "mode": mode, "why": why, "by": _by(by)}
    _answer(config, "mode", arguments, show_mode, as_json=as_json)


def todo(
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """List what asks for a person; exit code 1 where something does."""
    from mtquant.cli.tables import show_todo  # noqa: PLC0415 - --help stays quick

    _answer(config, "todo", {}, show_todo, as_json=as_json)


def stop(
    close_positions: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--close", help="Close what the strategies hold first.")
    ] = False,
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Stop the running engine cleanly; positions stay with their stops unless told otherwise."""
    from mtquant.cli.tables import show_stopping  # noqa: PLC0415 - --help stays quick

    arguments = {"close": close_positions, "by": _by(by)}
    _answer(config, "stop", arguments, show_stopping, as_json=as_json)


def halt(
    why: Annotated[str, typer.Option(help="Why, for the journal.")] = "told so",
    flatten: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--flatten", help="Close every position at every broker, too.")
    ] = False,
    by: By = None,
    config: ConfigPath = _HERE,
    live: Live = False,  # noqa: FBT002 - a command line flag
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Emergency stop: open nothing any more, cancel what would, and close all if told to.

    It lasts over restarts until `mtquant resume`. Closing, cancelling and protecting go on. Exit
    code 1 while something is left to do: a running engine goes on trying until it is done.
    """
    from mtquant.cli.asking import ask_to_halt  # noqa: PLC0415 - --help stays quick
    from mtquant.cli.tables import show_halted  # noqa: PLC0415 - --help stays quick

    arguments = {"why": why, "flatten": flatten, "by": _by(by)}
    _show(ask_to_halt(config, arguments, live=live), show_halted, as_json=as_json)


def resume(
    why: Annotated[str, typer.Option(help="Why, for the journal.")],
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """End an emergency stop."""
    from mtquant.cli.tables import show_resumed  # noqa: PLC0415 - --help stays quick

    _answer(config, "resume", {"why": why, "by": _by(by)}, show_resumed, as_json=as_json)


def cash_flow(  # noqa: PLR0913, PLR0917 - the options of a command
    account: Annotated[str, typer.Argument(help="As it is named in the configuration.")],
    why: Annotated[str, typer.Option(help="Why, for the journal.")],
    deposit: Annotated[
        str, typer.Option(help="What you will pay in, in the account's currency.")
    ] = "0",
    withdrawal: Annotated[str, typer.Option(help="What you will pay out.")] = "0",
    by: By = None,
    config: ConfigPath = _HERE,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Say before you pay in or out: the loss breaker then takes it for neither profit nor loss.

    It counts once, when the balance has changed by that amount, give or take 2 %; with neither
    option nothing is expected any more. Not told before, a withdrawal looks like a loss: then
    reset the breaker with --rebase-peak.
    """
    from mtquant.cli.tables import show_cash_flow  # noqa: PLC0415 - --help stays quick

    arguments = {"account": account, "deposit": deposit, "withdrawal": withdrawal}
    arguments |= {"why": why, "by": _by(by)}
    _answer(config, "cash-flow", arguments, show_cash_flow, as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    examples: dict[Callable[..., None], str] = {
        order: "mtquant order buy EUR/USD 10000 --stop-loss 1.05 --take-profit 1.12",
        close: "mtquant close EUR/USD --quantity 5000",
        cancel: "mtquant cancel --all",
        modify: "mtquant modify EUR/USD --stop-loss 1.06",
        orders: "mtquant orders --in-doubt",
        reconcile: 'mtquant reconcile --broker paper-a --accept --why "closed at the broker\'s"',
        positions: "mtquant positions --broker paper-a",
        account: "mtquant account",
        suggestions: "mtquant suggestions",
        approve: "mtquant approve 3",
        reject: 'mtquant reject 3 --why "before the news"',
        mode: 'mtquant mode trend semi --why "I am at my desk"',
        todo: "mtquant todo",
        stop: "mtquant stop --close",
        halt: 'mtquant halt --flatten --why "prices make no sense"',
        resume: 'mtquant resume --why "prices make sense again"',
        cash_flow: 'mtquant cash-flow paper-a --deposit 5000 --why "more capital"',
    }
    for command, example in examples.items():
        app.command(epilog=f"Example: {example}")(command)
    app.add_typer(risk, name="risk")
