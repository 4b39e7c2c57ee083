"""Whether a strategy sees the future: is the past the same when what comes after it is another?

The same backtest is run again with the bars after a moment cut off, and with them turned upside
down. A strategy that decides by what it knew then says the same until that moment in all of them.
One that peeks, for instance through an indicator whose batch reads ahead, doesn't: a signal
appears, vanishes or changes. The moments are the steps at which it has spoken, because a look of
one bar ahead can only be seen at the last bar before the change, and as many at which it has not.

What reaches a strategy by another way than its bars, such as a file that it opens itself, is the
same in all of these runs and can't be seen like this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from mtquant.backtest.run import Prepared, repriced, run
from mtquant.clock import SECOND, format_time
from mtquant.errors import ConfigError
from mtquant.model import Signal
from mtquant.model.arrays import BarArrays

MOMENTS = 12
"""How many moments are tried of each kind: at which it speaks, and at which it doesn't."""
_SHORTEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """One difference: at ``time``, when the bars after ``moment`` are ``cut`` or ``turned``.

    ``known`` is what the strategy said with the true future before it, ``unknown`` with another.
    """

    time: int
    moment: int
    how: str
    instrument: str
    strategy_id: str
    known: str
    unknown: str

    def __str__(self) -> str:
        """Return the sentence."""
        after = {"cut": "cut off", "turned": "turned upside down"}[self.how]
        return (
            f"{format_time(self.time)} {self.instrument}: {self.strategy_id} says {self.known}, "
            f"and {self.unknown} where the bars after {format_time(self.moment)} are {after}"
        )


def check_lookahead(
    prepared: Prepared,
    *,
    seed: int = 0,
    moments: int = MOMENTS,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Peek, ...]:
    """Return the first difference of each changed future; none where the past never moves.

    ``progress`` hears how many of how many runs are done. Raises ConfigError where the data is
    too short to be cut.
    """
    if len(prepared.times) < _SHORTEST:
        raise ConfigError(
            "data", f"has {len(prepared.times)} steps, too few to be cut", "Give more."
        )
    base = repriced(prepared, prepared.bars)
    said = run(base, seed=seed).signals
    chosen = _moments(base, said, moments)
    found: list[Peek] = []
    for done, (moment, (how, change)) in enumerate(
        ((moment, way) for moment in chosen for way in _WAYS.items()), 1
    ):
        changed = repriced(base, {name: change(each, moment) for name, each in base.bars.items()})
        other = run(changed, seed=seed).signals
        found += _differences(said, other, moment, how)
        progress(done, len(chosen) * len(_WAYS))
    return tuple(found)


def _moments(base: Prepared, said: tuple[Signal, ...], count: int) -> list[int]:
    """Return the times of steps to change the future after: all have bars of each symbol before."""
    first = max(int(each.time[1]) for each in base.bars.values() if len(each) > 1)
    times = base.times[(base.times > first) & (base.times < base.times[-1])]
    spoken = np.unique([each.time for each in said])
    loud = times[np.isin(times, spoken)]
    still = times[~np.isin(times, spoken)]
    return sorted({int(each) for part in (loud, still) for each in _spread(part, count)})


def _spread(times: np.ndarray[tuple[int], np.dtype[np.int64]], count: int) -> Iterator[int]:
    """Return ``count`` of ``times``, evenly spread."""
    if len(times):
        for index in np.unique(np.linspace(0, len(times) - 1, count).astype(int)):
            yield int(times[index])


def _known(bars: BarArrays, moment: int) -> int:
    """Return how many bars have closed by ``moment``."""
    return int(np.searchsorted(bars.time + bars.timeframe.seconds * SECOND, moment, "right"))


def _cut(bars: BarArrays, moment: int) -> BarArrays:
    """Return the bars that have closed by ``moment``."""
    return bars.part(0, _known(bars, moment))


def _turned(bars: BarArrays, moment: int) -> BarArrays:
    """Return the bars, those after ``moment`` mirrored at its price: what rose falls as much.

    Prices are mirrored by their ratio, so that none comes below zero, and rounded to 8 places.
    """
    end = _known(bars, moment)
    if end in {0, len(bars)}:
        return bars
    level = float(bars.close[end - 1]) ** 2

    def mirrored(column: str, source: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        after = np.round(level / getattr(bars, source)[end:], 8)
        return np.concatenate([getattr(bars, column)[:end], after])

    return replace(
        bars,
        open=mirrored("open", "open"),
        high=mirrored("high", "low"),
        low=mirrored("low", "high"),
        close=mirrored("close", "close"),
    )


_WAYS: Mapping[str, Callable[[BarArrays, int], BarArrays]] = {"cut": _cut, "turned": _turned}


def _differences(
    said: tuple[Signal, ...], other: tuple[Signal, ...], moment: int, how: str
) -> Iterator[Peek]:
    """Return the first signal until ``moment`` in which the two differ."""
    one = [each for each in said if each.time <= moment]
    two = [each for each in other if each.time <= moment]
    for index in range(max(len(one), len(two))):
        known = one[index] if index < len(one) else None
        unknown = two[index] if index < len(two) else None
        if known == unknown:
            continue
        if known is not None and unknown is not None and known.time != unknown.time:
            # The earlier of the two is the one that the other run doesn't have.
            known, unknown = (known, None) if known.time < unknown.time else (None, unknown)
        told = known or unknown
        if told is not None:
            yield Peek(
                time=told.time,
                moment=moment,
                how=how,
                instrument=told.instrument,
                strategy_id=told.strategy_id,
                known=_words(known),
                unknown=_words(unknown),
            )
        return


def _words(signal: Signal | None) -> str:
    if signal is None:
        return "nothing"
    wish = {1: "long", -1: "short", 0: "flat"}[signal.direction]
    stop = f", stop {signal.stop_distance}" if signal.stop_distance is not None else ""
    return f"{wish} ({signal.reason}{stop})"
