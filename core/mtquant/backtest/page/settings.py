"""What was set: parameters, configuration and data, and in what several runs differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from mtquant.backtest.card import card_of
from mtquant.backtest.page.text import NONE, section, table
from mtquant.backtest.result import Result
from mtquant.clock import format_time

_NAMED = 3
"""How many differing settings a run's name tells."""
_LETTERS = 26


def settings_of(result: Result) -> dict[str, str]:
    """Return every setting by its dotted name: ``strategies.0.params.fast`` is ``10``."""
    card = result.card
    known = {
        "timeframe": card.timeframe.value,
        "seed": str(card.seed),
        "mtquant": card.version,
        "first bar": _time(card.first),
        "last bar": _time(card.last),
    }
    known |= {f"data of {symbol}": digest[:16] for symbol, digest in card.data.items()}
    return known | _flat(card.config, "")


def differing(results: Sequence[Result]) -> dict[str, tuple[str, ...]]:
    """Return the settings in which ``results`` differ, with each run's value."""
    each = [settings_of(result) for result in results]
    names = list(dict.fromkeys(name for settings in each for name in settings))
    found = {name: tuple(settings.get(name, NONE) for settings in each) for name in names}
    return {name: values for name, values in found.items() if len(set(values)) > 1}


def names_of(results: Sequence[Result]) -> list[str]:
    """Return a short name for each run: a letter, then up to three settings that tell it apart."""
    different = differing(results)
    # What a strategy was given tells more than a hash or a date.
    chosen = sorted(different, key=lambda name: "." not in name)[:_NAMED]
    made = []
    for index in range(len(results)):
        told = ", ".join(f"{_last(name)} {different[name][index]}" for name in chosen)
        made.append(f"{_letter(index)}: {told}" if told else _letter(index))
    return made


def run_card(result: Result, place: int) -> str:
    """Return the settings, the data and the run card of the run at ``place`` of the page."""
    card = result.card
    facts = [
        ("mtquant", card.version),
        ("Python", card.python),
        ("Seed", str(card.seed)),
        ("Timeframe", card.timeframe.value),
        ("First bar", f"{_time(card.first)} UTC"),
        ("Last bar", f"{_time(card.last)} UTC"),
        ("Bars", f"{card.bars:,}"),
        ("Bid and ask in the data", "yes" if result.spread_in_data else "no"),
        ("Computed in", f"{result.seconds:,.2f} s"),
    ]
    facts += [(f"SHA-256 of {symbol}", digest) for symbol, digest in card.data.items()]
    text = json.dumps(card_of(result), indent=2, ensure_ascii=False)
    name = f"card-{place}"
    return section(
        "Run card",
        '<p class="soft fine">The same code, data, settings and seed make this result again, to '
        "the cent.</p>"
        f'<div class="columns"><div>{table(("What", "Value"), facts, "facts")}</div>'
        f"<div>{table(('Setting', 'Value'), _flat(card.config, '').items(), 'facts')}</div></div>"
        f'<details><summary>As JSON</summary><p><button type="button" data-copy="{name}">Copy'
        f'</button></p><pre id="{name}" tabindex="0">{escape(text)}</pre></details>',
    )


def _flat(value: object, path: str) -> dict[str, str]:
    if isinstance(value, Mapping) and value:
        parts = [(str(name), each) for name, each in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
        parts = [(str(index), each) for index, each in enumerate(value)]
    else:
        return {path: _written(value)}
    found: dict[str, str] = {}
    for name, each in parts:
        found |= _flat(each, f"{path}.{name}" if path else name)
    return found


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_written(each) for each in value) or NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NONE if value is None or value == {} else str(value)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < _LETTERS else f"Run {index + 1}"


def _time(at: int) -> str:
    return format_time(at)[:16].replace("T", " ")
