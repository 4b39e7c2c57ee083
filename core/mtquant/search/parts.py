"""Parts of the data: which steps of the market a run trades, and the bars it may look back on.

Places are numbers of steps of the market (see :class:`Prepared`), the first is 0, and a part goes
up to but not including its ``stop``. Between a part that is chosen on and one that is judged on
lies an embargo: steps in neither, so that what reaches over the cut (a trade held, an average that
still remembers) doesn't connect them. M. López de Prado, "Advances in Financial Machine Learning"
(2018), chapter 7.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mtquant.backtest.ahead import tapes_of
from mtquant.backtest.once import Once
from mtquant.backtest.run import Prepared
from mtquant.clock import SECOND
from mtquant.contract import Settings, Source
from mtquant.errors import ConfigError
from mtquant.exchange import Recorded
from mtquant.model import Bars, Ticks, Timeframe
from mtquant.model.arrays import BarArrays

Mode = Literal["anchored", "rolling"]
_DAY = 86_400 * SECOND


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """The steps from ``start`` up to but not including ``stop``."""

    start: int
    stop: int

    def __len__(self) -> int:
        """Return the number of steps."""
        return self.stop - self.start


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts in the order of time, an embargo between each two."""

    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a walk-forward: chosen on ``train``, judged on ``test``, which is later."""

    train: Part
    test: Part


def split(steps: int, shares: tuple[float, float, float], embargo: int = 0) -> Split:
    """Return ``steps`` in three parts of ``shares``, ``embargo`` steps between each two.

    The shares are in any unit, such as (60, 20, 20), of the steps that the embargoes leave.
    Raises ConfigError where a share isn't above zero or a part would be empty.
    """
    if embargo < 0:
        raise ConfigError("--embargo", f"{embargo} is below zero", "Give a number of bars.")
    if not all(share > 0 and np.isfinite(share) for share in shares):
        raise ConfigError("--split", "every share must be above zero", "Such as 60/20/20.")
    room = steps - 2 * embargo
    first = round(room * (shares[0] / sum(shares)))
    second = round(room * ((shares[0] + shares[1]) / sum(shares)))
    if not 0 < first < second < room:
        raise ConfigError(
            "--split",
            f"{steps} bars are too few for three parts with an embargo of {embargo}",
            "Take more data, or a shorter embargo.",
        )
    return Split(
        train=Part(0, first),
        validation=Part(first + embargo, second + embargo),
        test=Part(second + 2 * embargo, steps),
    )


def windows(steps: int, mode: Mode, train: int, test: int, embargo: int = 0) -> list[Window]:
    """Return the windows of a walk-forward over ``steps``.

    The tests follow each other without a gap to the end of the data; the last may be shorter. Each
    is preceded by ``embargo`` steps, and those by its train part: the last ``train`` steps
    (``rolling``), or all from the beginning, at first ``train`` of them (``anchored``).
    Raises ConfigError where a length isn't above zero or not one window fits.
    """
    for name, length, least in (
        ("--train", train, 1),
        ("--test", test, 1),
        ("--embargo", embargo, 0),
    ):
        if length < least:
            raise ConfigError(name, f"{length} is too few", f"Give at least {least}.")
    first = train + embargo
    if first >= steps:
        raise ConfigError(
            "--train",
            f"{train} bars and an embargo of {embargo} leave nothing to test of {steps}",
            "Take fewer.",
        )
    return [
        Window(
            train=Part(0 if mode == "anchored" else begin - first, begin - embargo),
            test=Part(begin, min(begin + test, steps)),
        )
        for begin in range(first, steps, test)
    ]


def cut(prepared: Prepared, part: Part, history: int) -> tuple[Prepared, int]:
    """Return ``prepared`` with the prices of ``part`` only, and from when it is traded.

    ``history`` bars of each symbol from before it are kept for the strategies to warm up on; the
    time, nanoseconds UTC, is what :func:`mtquant.backtest.run.run` takes as ``start``.
    """
    begin, end = int(prepared.times[part.start]), int(prepared.times[part.stop - 1])
    length = prepared.market.length
    bars = {}
    for symbol, series in prepared.bars.items():
        opened = np.searchsorted(series.time, begin - length)
        bars[symbol] = series.part(max(0, int(opened) - history), _after(series, end - length))
    since = min(int(each.time[0]) for each in bars.values() if len(each)) + length
    market = Recorded(prepared.market.symbols, _Within(prepared.market, since, end))
    first = int(np.searchsorted(prepared.times, since))
    times = prepared.times[first : part.stop]
    within = replace(
        prepared,
        bars=bars,
        market=market,
        steps=prepared.steps[first : part.stop],
        times=times,
        tapes=tapes_of(market, prepared.settings, times),
        once=Once(),
    )
    return within, begin


def _after(series: BarArrays, opened: int) -> int:
    return int(np.searchsorted(series.time, opened, side="right"))


class _WithinSettings(Settings):
    """There is nothing to set."""


class _Within(Source[_WithinSettings]):
    """Recorded prices between two times: of the bars that end, and the ticks that come, there."""

    name = "within"
    description = "a part of recorded prices"

    def __init__(self, market: Recorded, since: int, until: int) -> None:
        super().__init__(_WithinSettings())
        self._market, self._since, self._until = market, since, until

    def symbols(self) -> Sequence[str]:
        return self._market.symbols

    def timeframe(self) -> Timeframe:
        return self._market.timeframe

    def bars(self, symbol: str) -> Bars:
        return self.arrays(symbol).bars()

    def arrays(self, symbol: str) -> BarArrays:
        return self._part(self._market.arrays[symbol])

    def side_arrays(self, symbol: str) -> tuple[BarArrays, BarArrays] | None:
        found = self._market.side_arrays.get(symbol)
        return None if found is None else (self._part(found[0]), self._part(found[1]))

    def ticks(self, symbol: str) -> Ticks | None:
        found = self._market.ticks.get(symbol)
        if found is None:
            return None
        kept = self._kept(found.time)
        return replace(found, time=found.time[kept], bid=found.bid[kept], ask=found.ask[kept])

    def _part(self, bars: BarArrays) -> BarArrays:
        since, until = self._since - self._market.length, self._until - self._market.length
        first, stop = np.searchsorted(bars.time, (since, until + 1))
        return bars.part(int(first), int(stop))

    def _kept(self, times: Sequence[int]) -> slice:
        """Return which of ``times`` are within the part."""
        return slice(bisect_left(times, self._since), bisect_left(times, self._until + 1))


def steps_of(text: str, prepared: Prepared, option: str) -> int:
    """Return how many steps of the market a length has: ``2000``, or days as ``90d``.

    Days are those of the calendar, with as many steps as that many days of these data have on
    average. Raises ConfigError.
    """
    days = text.endswith("d")
    try:
        number = int(text.removesuffix("d"))
    except ValueError:
        raise ConfigError(
            option, f"{text!r} is no length", "Write a number of bars, or days as 90d."
        ) from None
    if not days:
        return number
    times = prepared.times
    lasted = int(times[-1] - times[0]) + prepared.market.length
    return max(1, round(number * len(times) * _DAY / lasted))
