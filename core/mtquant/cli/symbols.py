"""``mtquant symbols``: the brokers' symbols side by side."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from mtquant.assemble import connector, locate
from mtquant.config import Config, load_config
from mtquant.errors import BrokerError, ConfigError
from mtquant.model import Instrument
from mtquant.plugins import load_catalogue
from mtquant.symbols import SymbolMap

_INSTRUMENT = TypeAdapter(Instrument)
_MATTERS = ("base", "quote", "asset_class", "contract_size")
_DIFFERS = ("price_step", "quantity_step", "quantity_min", "margin_rate", "sessions", "time_zone")


def _maps(config: Config) -> dict[str, SymbolMap]:
    """Ask every broker for its instruments; one that can't be asked is told and left out."""
    return anyio.run(_ask, config)


async def _ask(config: Config) -> dict[str, SymbolMap]:
    found: dict[str, SymbolMap] = {}
    catalogue, console = load_catalogue(), Console(stderr=True)
    for name in config.brokers:
        endpoints, spelling = locate(config, catalogue, name)
        log = Path(config.engine.state_dir) / f"{name}.log"
        try:
            async with connector(endpoints[0], config.engine.call_timeout_s, log)() as broker:
                listed: list[Instrument] = []
                cursor: str | None = None
                while True:
                    page = await broker.search_instruments("", cursor=cursor)
                    listed += page.instruments
                    cursor = page.next_cursor
                    if cursor is None:
                        break
        except BrokerError as error:
            console.print(f"{name} can't be asked: {error}", style="yellow", markup=False)
            continue
        found[name] = SymbolMap(name, spelling, listed)
    return found


def list_symbols(path: Path, search: str, *, as_json: bool) -> None:
    """Print every symbol and each broker's spelling of it."""
    maps = _maps(load_config(path))
    every = sorted({symbol for each in maps.values() for symbol in each.instruments})
    rows = {
        symbol: {
            name: each.theirs(symbol) if symbol in each.instruments else None
            for name, each in maps.items()
        }
        for symbol in every
        if search.upper() in symbol.upper()
    }
    if as_json:
        print(json.dumps(rows))  # noqa: T201 - for machines
        return
    table = Table("Symbol", *maps)
    for symbol, spelled in rows.items():
        table.add_row(symbol, *(each or "-" for each in spelled.values()))
    Console().print(table)


def map_symbol(path: Path, symbol: str, *, as_json: bool) -> None:
    """Print one symbol as each broker has it; raises ConfigError where none has."""
    maps = _maps(load_config(path))
    found = {
        name: _INSTRUMENT.dump_python(each.instruments[symbol], mode="json", exclude_defaults=True)
        for name, each in maps.items()
        if symbol in each.instruments
    }
    if not found:
        raise ConfigError("symbol", f"no broker lists {symbol!r}", _nearest(symbol, maps))
    if as_json:
        print(json.dumps(found))  # noqa: T201 - for machines
        return
    table = Table("", *found)
    for key in dict.fromkeys(key for each in found.values() for key in each):
        table.add_row(key.replace("_", " "), *(_shown(each.get(key)) for each in found.values()))
    Console().print(table)


def _shown(value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        parts = (
            f"{each['opens']} to {each['closes']}" if isinstance(each, dict) else str(each)
            for each in value
        )
        return ", ".join(parts)
    return "-" if value is None else str(value)


def _nearest(symbol: str, maps: Mapping[str, SymbolMap]) -> str:
    every = {each for listed in maps.values() for each in listed.instruments}
    near = difflib.get_close_matches(symbol.upper(), sorted(every), n=3, cutoff=0.4)
    return f"Did you mean {', '.join(near)}?" if near else "`mtquant symbols list` lists them."


def check_symbols(path: Path, *, as_json: bool) -> int:
    """Print where brokers differ on what strategies trade; return 1 where it matters."""
    config = load_config(path)
    maps = _maps(config)
    shared = {
        symbol
        for symbol in {each for listed in maps.values() for each in listed.instruments}
        if sum(symbol in listed.instruments for listed in maps.values()) > 1
    }
    found: list[dict[str, Any]] = []
    for symbol in sorted(shared | set(config.symbols())):
        found += _compared(symbol, maps)
    if as_json:
        print(json.dumps(found))  # noqa: T201 - for machines
    else:
        out = Console()
        for each in found:
            style = "bold red" if each["matters"] else "yellow"
            out.print(each["text"], style=style, highlight=False, markup=False, soft_wrap=True)
        checked = len(shared | set(config.symbols()))
        out.print(f"{checked} symbols compared at {len(maps)} brokers", highlight=False)
    return int(any(each["matters"] for each in found))


def _compared(symbol: str, maps: Mapping[str, SymbolMap]) -> list[dict[str, Any]]:
    """Return, in sentences, where the brokers that list ``symbol`` differ."""
    listed = {
        name: each.instruments[symbol] for name, each in maps.items() if symbol in each.instruments
    }
    if not listed:
        text = f"{symbol}: no broker lists it. {_nearest(symbol, maps)}"
        return [{"symbol": symbol, "field": "symbol", "matters": True, "text": text}]
    found = []
    for field in (*_MATTERS, *_DIFFERS):
        values = {name: getattr(each, field) for name, each in listed.items()}
        if len(set(map(repr, values.values()))) > 1:
            told = ", ".join(f"{_text(value)} at {name}" for name, value in values.items())
            text = f"{symbol}: {field.replace('_', ' ')} is {told}"
            matters = field in _MATTERS
            found.append({"symbol": symbol, "field": field, "matters": matters, "text": text})
    return found


def _text(value: Any) -> str:  # noqa: ANN401 - any field of an instrument
    if isinstance(value, tuple):
        return "; ".join(f"{each.opens} to {each.closes}" for each in value) or "round the clock"
    return str(value)
