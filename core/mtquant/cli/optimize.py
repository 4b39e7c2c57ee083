"""The command that searches for settings: ``mtquant optimize``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def optimize(  # noqa: PLR0913, PLR0917 - the options of a command
    strategy: Annotated[str | None, typer.Argument(help="A strategy plugin.")] = None,
    symbol: Annotated[
        list[str] | None, typer.Option("--symbol", help="What is traded; repeatable.")
    ] = None,
    data: Annotated[
        str, typer.Option("--data", help="A file, SYMBOL=FILE,..., or the name of a source.")
    ] = "",
    timeframe: Annotated[str, typer.Option("--timeframe", help="That of the bars: H1.")] = "",
    param: Annotated[
        list[str] | None,
        typer.Option("--param", help="A setting that isn't varied, KEY=VALUE; repeatable."),
    ] = None,
    account: Annotated[
        list[str] | None,
        typer.Option(
            "--account", help="A term of the account, such as spread_pips=0.8; repeatable."
        ),
    ] = None,
    risk: Annotated[  # noqa: FBT002 - a command line flag
        bool, typer.Option("--risk/--no-risk", help="Whether the gate checks what is ordered.")
    ] = True,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any other setting: KEY=VALUE with a dotted key; repeatable."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="A whole configuration instead.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="Trade from here on; bars before only warm up.")
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--range", help="NAME=FIRST:LAST:STEP of a parameter; repeatable."),
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option("--choice", help="NAME=ONE,OTHER of a parameter; repeatable."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help='A condition, such as "fast < slow"; repeatable.'),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="What is maximised: sharpe, sortino, calmar, profit_factor, net_profit, sqn or"
            " expectancy."
        ),
    ] = "sharpe",
    min_trades: Annotated[
        int, typer.Option(help="With fewer closed trades a combination is no candidate.")
    ] = 30,
    method: Annotated[str, typer.Option(help="grid, random or bayes.")] = "grid",
    trials: Annotated[
        int | None, typer.Option(help="How many combinations random and bayes try; else 100.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of random, bayes and chance.")] = 0,
    workers: Annotated[int | None, typer.Option(help="Processes; by default all cores.")] = None,
    on: Annotated[str | None, typer.Option("--on", help="A cluster: dask://HOST:PORT.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="Keep what is found here; a repeated call goes on.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Shares to train, validate and test on, as 60/20/20.")
    ] = None,
    walk_forward: Annotated[
        str | None, typer.Option(help="anchored or rolling, with --train and --test.")
    ] = None,
    train: Annotated[str | None, typer.Option(help="A window's length: bars, or 365d.")] = None,
    test: Annotated[str | None, typer.Option(help="That of the test after it.")] = None,
    embargo: Annotated[int, typer.Option(help="Bars left out between two parts.")] = 0,
    monte_carlo: Annotated[
        int, typer.Option(help="How often the optimum's trades and days are drawn; 0 is never.")
    ] = 1000,
    top: Annotated[int, typer.Option(help="How many of the best are shown.")] = 10,
    report: Annotated[Path | None, typer.Option(help="Write the report page here.")] = None,
    as_json: AsJson = False,  # noqa: FBT002 - a command line flag
) -> None:
    """Search for the best settings of a strategy, and tell how much of what is found is luck.

    Exit codes: 0 done; 1 no combination is a candidate; 2 a wrong setting, or prices that can't be
    read; 130 stopped by Ctrl-C, and what was found is in the state file.
    """
    from mtquant.cli.backtest import Asked  # noqa: PLC0415 - --help stays quick
    from mtquant.cli.searching import Searched  # noqa: PLC0415
    from mtquant.cli.searching import search as run_search  # noqa: PLC0415

    asked = Asked(
        strategy=strategy,
        symbols=tuple(symbol or ()),
        data=data,
        timeframe=timeframe,
        params=tuple(param or ()),
        terms=tuple(account or ()),
        settings=tuple(change or ()),
        config=config,
        risk=risk,
        start=start,
        seed=seed,
        report=report,
        as_json_text=as_json,
    )
    searched = Searched(
        backtest=asked,
        ranges=tuple(ranges or ()),
        choices=tuple(choice or ()),
        where=tuple(where or ()),
        by=by,
        min_trades=min_trades,
        method=method,
        trials=trials,
        workers=workers,
        on=on,
        state=state,
        split=split,
        walk_forward=walk_forward,
        train=train,
        test=test,
        embargo=embargo,
        monte_carlo=monte_carlo,
        top=top,
    )
    raise typer.Exit(run_search(searched))


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command(
        epilog="Example: mtquant optimize sma_cross --symbol EUR/USD --data ecb --timeframe D1"
        ' --range fast=5:50:5 --range slow=20:200:10 --where "fast < slow" --report search.html'
    )(optimize)
