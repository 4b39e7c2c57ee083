"""A journal -> how the run in it drifted from a replay, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from mtquant.config import Config, change_setting, load_config
from mtquant.drift.compare import Comparison
from mtquant.drift.evidence import Evidence
from mtquant.drift.recorded import Recorded, recorded
from mtquant.drift.replay import Quotes, Replayed, play
from mtquant.drift.result import ZERO, Cause, Difference, Drift, Share
from mtquant.drift.setting import set_up
from mtquant.errors import JournalError
from mtquant.plugins import Catalogue, load_catalogue


def drift_of(
    journal: Path,
    *,
    config: Path | None = None,
    changes: Sequence[str] = (),
    catalogue: Catalogue | None = None,
) -> Drift:
    """Play the run in ``journal`` (a state folder) again, and return how it differs, and why.

    It is played with the newest configuration that the journal holds, or with that in the file
    ``config``; ``changes`` are KEY=VALUE on top of it.

    Raises JournalError where the journal isn't there, is damaged or tells of no run, ConfigError
    or PluginError where it can't be played again.
    """
    found = recorded(journal)
    if not found.live and not found.step:
        raise JournalError(f"{journal}: the market never moved in this journal: nothing to replay")
    catalogue = catalogue or load_catalogue()
    wanted = _config(found, config, changes)
    setup = set_up(found, wanted, catalogue, given=config is not None)
    quotes = {} if config is not None else _quotes(found)
    replayed = play(setup.prepared, found, quotes)
    if not replayed.steps:
        raise JournalError(f"{journal}: no step of the replay's prices lies within the run")
    comparison = Comparison(found, replayed, Evidence(found, replayed, setup, catalogue))
    comparison.run()
    swap = replayed.swap + comparison.swap_gap()
    ours = comparison.profit(found.story.fills, swap)
    theirs = comparison.profit(replayed.story.fills, replayed.swap)
    return Drift(
        journal=str(journal),
        account=setup.prepared.account,
        currency=replayed.currency,
        first=replayed.steps[0],
        last=replayed.steps[-1],
        signals=comparison.signals,
        fills=comparison.fills,
        recorded_profit=ours,
        replayed_profit=theirs,
        differences=tuple(comparison.differences),
        by_cause=_shares(comparison.differences, ours - theirs),
        notes=(*setup.notes, *_notes(found, replayed)),
    )


def _config(found: Recorded, path: Path | None, changes: Sequence[str]) -> Config:
    if path is not None:
        return load_config(path, changes)
    table: dict[str, Any] = _copied(found.starts[-1].config)
    for change in changes:
        change_setting(table, change)
    return Config.read(table, f"{found.folder}: the journal's configuration: ")


def _copied(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    return value


def _quotes(found: Recorded) -> Quotes:
    """Return bid and ask as the journal tells them, by symbol and the time of the signal."""
    quotes: dict[tuple[str, int], tuple[Decimal, Decimal]] = {}
    for (_, symbol, time), verdicts in found.story.verdicts.items():
        for each in verdicts:
            if each.quote is not None:
                quotes[symbol, time] = each.quote
    return quotes


def _shares(differences: Sequence[Difference], whole: Decimal) -> tuple[Share, ...]:
    """Return the money of each cause; what no difference tells of comes under conversion."""
    money: dict[Cause, Decimal] = defaultdict(Decimal)
    counts: dict[Cause, int] = defaultdict(int)
    for each in differences:
        counts[each.because.cause] += 1
        money[each.because.cause] += each.money or ZERO
    rest = whole - sum(money.values(), ZERO)
    if rest:
        money[Cause.REST] += rest
    found = [Share(cause=cause, count=counts[cause], money=each) for cause, each in money.items()]
    return tuple(sorted(found, key=lambda each: (-abs(each.money), each.cause)))


def _notes(found: Recorded, replayed: Replayed) -> list[str]:
    notes = [f"not replayed: {each}" for each in dict.fromkeys(replayed.unreplayed)]
    if found.revised:
        notes.append(f"{len(found.revised)} bars were told otherwise later; the first word counts")
    return notes
