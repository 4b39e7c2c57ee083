"""What every indicator on TA-Lib shares: warm-up, the last values, stepping and batch.

TA-Lib has each function twice, over an array and as a handle that takes one bar at a time, and
both give the same bits. A handle opens on ``warmup`` bars; until then the bars are kept here.

**Restarting.** EMA, RSI and ATR remember every bar since their first one, so where the first bar
lies is part of the value. The rule: whoever restarts an indicator steps it again through all bars
from the same first bar (the engine keeps that bar's time with each strategy). Then a restarted
indicator equals one that never stopped, to the bit. One that is stepped through a later window
only comes close, as its memory of the seed fades: it is a different series. TA-Lib's handles
can't be pickled, so a worker process does the same.

**Bars that aren't finite.** NaN or an infinity in a price that the indicator reads is refused
with ValueError, by :meth:`TaLibIndicator.update` and by :meth:`TaLibIndicator.batch` alike. The
indicator is left as it was before that bar: nothing is guessed and no bar is skipped silently.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtquant import Indicator, Settings
from mtquant.clock import format_time
from mtquant.model import Bar, Bars

Period = Annotated[int, Field(ge=2, le=5000)]
"""A length in bars; TA-Lib's RSI starts at 2, and 5000 is what one get_bars call returns."""


class PeriodSettings(Settings):
    """Base of the settings of an indicator with one length, in bars."""

    period: Period


P = TypeVar("P", bound=PeriodSettings)


class TaLibIndicator(Indicator[P]):
    """An indicator that is one TA-Lib function of one period.

    ``function`` is TA-Lib's name of it and ``inputs`` are the bar's fields it reads, in TA-Lib's
    order. A subclass adds ``name``, its settings and ``warmup``.
    """

    function: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __init__(self, settings: P) -> None:
        super().__init__(settings)
        self._values = deque([math.nan] * self.DEPTH, maxlen=self.DEPTH)
        self._history: list[tuple[float, ...]] = []
        self._advance: Callable[..., float] | None = None
        self._pick = _picker(self.inputs)

    def __getitem__(self, back: int) -> float:
        """Return the value ``back`` bars ago; NaN where there is none.

        Raises IndexError outside 0 to ``DEPTH`` - 1: the future isn't known, and older values
        aren't kept.
        """
        if back < 0:
            raise IndexError(f"{self.name}[{back}]: a value of the future; 0 is the newest bar's")
        return self._values[back]

    def update(self, bar: Bar) -> float:
        """Take one closed bar and return the value at it.

        Raises ValueError, and forgets the bar, where a price it reads isn't finite.
        """
        picked = self._pick(bar)
        if not all(map(math.isfinite, picked)):
            raise self._refusal(bar)
        advance = self._advance
        value = self._warm_up(picked) if advance is None else advance(*picked)
        self._values.appendleft(value)
        return value

    def batch(self, bars: Bars) -> NDArray[np.float64]:
        """Return the whole series, shape (len(bars),), bit-identical to stepping.

        Raises ValueError where a price it reads isn't finite.
        """
        import talib  # noqa: PLC0415 - it pulls pandas, where that is installed: 0.5 s

        columns = [np.fromiter(column, np.float64, len(bars)) for column in self._pick(bars)]
        finite = np.logical_and.reduce([np.isfinite(column) for column in columns])
        if not finite.all():
            raise self._refusal(bars.bar(int(np.argmin(finite))))
        run: Callable[..., NDArray[np.float64]] = getattr(talib, self.function)
        return run(*columns, timeperiod=self.settings.period)

    def _warm_up(self, picked: tuple[float, ...]) -> float:
        """Keep a bar of the warm-up; on the last of them open the handle."""
        self._history.append(picked)
        if len(self._history) < self.warmup:
            return math.nan
        from talib import stream  # noqa: PLC0415 - as in batch

        columns = [np.array(column, np.float64) for column in zip(*self._history, strict=True)]
        handle = getattr(stream, self.function)(*columns, timeperiod=self.settings.period)
        self._advance = handle.update
        self._history.clear()
        first: float = handle.value
        return first

    def _refusal(self, bar: Bar) -> ValueError:
        prices = ", ".join(f"{name} {getattr(bar, name)}" for name in self.inputs)
        return ValueError(
            f"{self.name}: the {bar.timeframe} bar of {bar.instrument} at {format_time(bar.time)} "
            f"isn't finite: {prices}"
        )


def _picker(names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the named fields from a Bar or Bars as a tuple, also where it is one."""
    pick = attrgetter(*names)
    return pick if len(names) > 1 else lambda source: (pick(source),)
