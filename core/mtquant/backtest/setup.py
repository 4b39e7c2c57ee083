"""What somebody wants to try -> the configuration of a backtest, the same that a run has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtquant.config import Config, change_setting
from mtquant.errors import ConfigError
from mtquant.model import Timeframe
from mtquant.plugins import Catalogue

ACCOUNT = "backtest"
"""What the simulated account is called."""
_SIZER = "fixed_fraction"
_OFF: Mapping[str, Any] = {"warn_at": "0.997", "reduce_at": "0.998", "halt_at": "0.999"}
"""A loss breaker that acts when nothing is left."""


def source_of(data: str, symbols: Sequence[str], timeframe: str, known: Sequence[str]) -> Any:  # noqa: ANN401 - a TOML table
    """Return the table of the source that ``data`` names.

    A source plugin by its name; a file of the one symbol; or ``SYMBOL=FILE``, several of them
    apart by commas. Raises ConfigError where it is none of these.
    """
    if data in known:
        return {"plugin": data}
    files = dict(_file_of(part, symbols) for part in data.split(","))
    kinds = {"parquet" if path.endswith(".parquet") else "csv" for path in files.values()}
    if len(kinds) > 1:
        raise ConfigError("--data", "mixes CSV and Parquet files", "Give files of one kind.")
    return {"plugin": kinds.pop(), "files": files, "timeframe": timeframe}


def _file_of(part: str, symbols: Sequence[str]) -> tuple[str, str]:
    symbol, equals, path = part.partition("=")
    if not equals:
        if len(symbols) != 1:
            raise ConfigError(
                "--data", f"{part!r} doesn't say whose prices it has", "Write SYMBOL=FILE."
            )
        symbol, path = symbols[0], part
    if not Path(path).exists():
        raise ConfigError(
            "--data",
            f"no such file as {path}, and no source of that name",
            "Give a file, or the name of a source: `mtquant plugins source` lists them.",
        )
    return symbol.strip(), str(path)


def table_of(  # noqa: PLR0913 - what a backtest is made of
    strategy: str,
    symbols: Sequence[str],
    timeframe: str,
    *,
    source: Mapping[str, Any],
    params: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    risk: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the configuration's table: one strategy, one paper account, one source of prices.

    ``params`` are the strategy's settings, ``account`` the terms of the paper account, ``risk`` the
    table of the same name.
    """
    return {
        "market": {"feed": "replay", "timeframe": timeframe, "source": dict(source)},
        "brokers": {ACCOUNT: {"plugin": "paper"} | dict(account or {})},
        "strategies": {
            strategy: {"plugin": strategy, "symbols": list(symbols)} | dict(params or {})
        },
        "risk": {"sizer": {"plugin": _SIZER}} | dict(risk or {}),
    }


def without_risk(table: dict[str, Any], catalogue: Catalogue) -> None:
    """Switch every check of the gate off, and let the loss breaker wait for the last cent.

    Sizing stays: somebody has to say how much.
    """
    risk = table.setdefault("risk", {})
    risk["checks"] = dict.fromkeys(catalogue.in_order("check"), False)
    risk["breaker"] = dict(_OFF)


def configure(table: dict[str, Any], changes: Sequence[str] = ()) -> Config:
    """Return the configuration that ``table`` and ``changes`` (KEY=VALUE) come to.

    Orders are matched against the prices that the strategies hear, unless they name others.
    Raises ConfigError, which names the key, the value and the remedy.
    """
    for change in changes:
        change_setting(table, change)
    account = table["brokers"].get(ACCOUNT)
    if account is not None:
        account.setdefault("prices", dict(table["market"]["source"]))
    return Config.read(table, "")


def timeframe_named(name: str) -> Timeframe:
    """Return the timeframe called ``name``; raises ConfigError, which lists those there are."""
    try:
        return Timeframe(name)
    except ValueError:
        have = ", ".join(Timeframe)
        raise ConfigError("--timeframe", f"{name!r} is none", f"There are {have}.") from None
