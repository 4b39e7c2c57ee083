"""``mtquant config``: what is configured, and whether it holds together."""

from __future__ import annotations

import json
from pathlib import Path

import tomli_w
from rich.console import Console

from mtquant.assemble import check
from mtquant.config import load_config
from mtquant.plugins import load_catalogue
from mtquant.secrets import masked


def check_config(path: Path, *, as_json: bool) -> None:
    """Validate a configuration without a connection; raises ConfigError or PluginError."""
    config = load_config(path)
    check(config, load_catalogue())
    counts = {
        "brokers": len(config.brokers),
        "strategies": len(config.strategies),
        "symbols": len(config.symbols()),
    }
    if as_json:
        print(json.dumps({"valid": True} | counts))  # noqa: T201 - for machines
        return
    told = ", ".join(
        f"{count} {what if count != 1 else what.removesuffix('s').replace('strategie', 'strategy')}"
        for what, count in counts.items()
    )
    Console().print(f"{path}: valid: {told}", highlight=False, markup=False, soft_wrap=True)


def show_config(path: Path, *, as_json: bool) -> None:
    """Print a configuration with its defaults, and its secrets masked."""
    table = masked(load_config(path).model_dump(mode="json", exclude_none=True))
    if as_json:
        print(json.dumps(table))  # noqa: T201 - for machines
    else:
        print(tomli_w.dumps(table), end="")  # noqa: T201 - TOML, to be read or kept
