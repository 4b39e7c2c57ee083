"""``mtquant simulate oanda``: from the command line to a running venue."""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
import uvicorn

from mtquant.clock import SystemClock, format_time
from mtquant.errors import ConfigError
from mtquant.secrets import secret
from mtquant_simulators.oanda.app import application
from mtquant_simulators.oanda.serve import HOST, config, listen
from mtquant_simulators.oanda.settings import TOKEN, OandaSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says; ``settings`` is JSON of :class:`OandaSettings`."""

    data: tuple[str, ...] = ()
    timeframe: str = "M1"
    ticks: bool = False
    port: int = 8020
    token: str | None = None
    speed: float = 1.0
    faults: tuple[str, ...] = ()
    settings: str = "{}"
    attached: bool = False
    """Stop when standard input ends: its other end is held by the program that started this."""


def run(wanted: Wanted) -> None:
    """Serve until Ctrl-C; raises ConfigError where something is wrong."""
    settings = settings_of(wanted)
    app = application(settings, SystemClock())
    listener = listen(wanted.port)
    url = f"http://{HOST}:{listener.getsockname()[1]}"
    own = "the one you gave" if wanted.token else f"{TOKEN} (no secret: it is the same everywhere)"
    typer.echo(f"OANDA's v20 API, simulated, at {url}/v3; streams are there too")
    typer.echo(f"Accounts: {', '.join(each.account_id for each in settings.accounts)}")
    typer.echo(f"Instruments: {', '.join(app.state.venue.names)}")
    if settings.stepped:
        typer.echo(f"Time stands at {format_time(app.state.venue.time)} until PUT /admin/clock.")
    typer.echo(f"Token: {own}. Stop it with Ctrl-C.")
    server = uvicorn.Server(config(app))
    if wanted.attached:
        threading.Thread(target=_end_with_input, args=(server,), daemon=True).start()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # uvicorn raises the signal again once it has stopped
        typer.echo("Stopped.")


def _end_with_input(server: uvicorn.Server) -> None:
    # Past Python's own reader of standard input, whose lock a thread would hold at the exit.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    server.should_exit = server.force_exit = True


def settings_of(wanted: Wanted) -> OandaSettings:
    """Return the settings that a command line asks for."""
    table = _json(wanted.settings)
    table.setdefault("speed", wanted.speed)
    if wanted.token is not None:
        table["token"] = secret(wanted.token, "--token")
    if wanted.faults:
        table["faults"] = dict(_pair(each, "--faults") for each in wanted.faults)
    if wanted.data:
        files = dict(_pair(each, "--data", example="EUR/USD=bars.csv") for each in wanted.data)
        table["prices"] = _source(wanted, files)
        table.setdefault("history", 0)
    return OandaSettings.read(table, "--settings")


def _source(wanted: Wanted, files: dict[str, Any]) -> dict[str, Any]:
    paths = {symbol: Path(str(path)) for symbol, path in files.items()}
    for symbol, path in paths.items():
        if not path.is_file():
            raise ConfigError(f"--data {symbol}", f"there is no file {path}", "Correct the path.")
    parquet = any(path.name.endswith(".parquet") for path in paths.values())
    return {
        "plugin": "parquet" if parquet else "csv",
        "timeframe": wanted.timeframe,
        "tick_files" if wanted.ticks else "files": paths,
    }


def _json(text: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except ValueError as error:
        raise ConfigError("--settings", f"{text!r}: {error}", "Write JSON: {...}.") from None
    if not isinstance(table, dict):
        raise ConfigError("--settings", f"{text!r} is no JSON object", "Write JSON: {...}.")
    return table


def _pair(text: str, option: str, example: str = "drop_after=0.1") -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key or not value:
        raise ConfigError(option, f"{text!r} is no KEY=VALUE", f"Write {option} {example}.")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
