"""The run card: all that makes a result again to the cent, and what the result was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtquant.backtest.result import Result
from mtquant.clock import format_time
from mtquant.errors import ConfigError
from mtquant.model import plain

FORMAT = "mtquant-run-card/1"


def card_of(result: Result, start: int | None = None) -> dict[str, Any]:
    """Return the run card of ``result``, JSON-ready; ``start`` is what the run was given."""
    card = result.card
    return {
        "format": FORMAT,
        "mtquant": card.version,
        "python": card.python,
        "seed": card.seed,
        "start": start,
        "symbols": list(card.symbols),
        "timeframe": card.timeframe.value,
        "first": format_time(card.first),
        "last": format_time(card.last),
        "bars": card.bars,
        "data": dict(card.data),
        "config": dict(card.config),
        "result": {
            "equity": plain(result.final_equity),
            "balance": plain(result.final_balance),
            "fills": len(result.fills),
            "trades": len(result.round_trips),
            "fills_sha256": _digest(result),
        },
    }


def _digest(result: Result) -> str:
    """Return the SHA-256 of every execution: time, instrument, side, quantity, price, commission.

    One line each, decimals without an exponent, ended by a line feed.
    """
    found = hashlib.sha256()
    for each in result.fills:
        numbers = (plain(each.quantity), plain(each.price), plain(each.commission))
        words = (str(each.time), each.instrument, each.side.value, *numbers)
        found.update((" ".join(words) + "\n").encode())
    return found.hexdigest()


def read_card(path: Path) -> dict[str, Any]:
    """Return the run card in a file; raises ConfigError where it holds none."""
    remedy = "`mtquant backtest ... --card FILE` writes one."
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", remedy) from None
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), f"can't be read: {error}", remedy) from None
    known = isinstance(card, dict) and card.get("format") == FORMAT
    if not known or not {"config", "seed", "data", "result"} <= set(card):
        raise ConfigError(str(path), "is no run card", remedy)
    return dict(card)


def compare(kept: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Return in sentences what a repeated run did otherwise than its card says."""
    found = [
        f"{symbol}: the prices are others than those of the card"
        for symbol, digest in kept["data"].items()
        if made["data"].get(symbol) != digest
    ]
    found += [
        f"{name.replace('_', ' ')}: {made['result'].get(name)} now, {was} on the card"
        for name, was in kept["result"].items()
        if made["result"].get(name) != was
    ]
    if found and kept.get("mtquant") != made["mtquant"]:
        found.append(f"the card is of mtquant {kept.get('mtquant')}, this is {made['mtquant']}")
    return found
