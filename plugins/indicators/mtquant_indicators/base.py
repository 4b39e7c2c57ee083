"""What every indicator on TA-Lib shares: warm-up, stepping and batch.

TA-Lib has each function twice, over an array and as a handle that takes one bar at a time, and
both give the same bits. A handle opens on the function's first ``lookback`` + 1 bars; until then
the bars are kept here. An indicator may be made of several functions; until the slowest of them
has a value, every line is NaN, stepped and in batch alike.

**Restarting.** EMA, RSI and ATR remember every bar since their first one, so where the first bar
lies is part of the value. The rule: whoever restarts an indicator steps it again through all bars
from the same first bar (the engine keeps that bar's time with each strategy). Then a restarted
indicator equals one that never stopped, to the bit. One that is stepped through a later window
only comes close, as its memory of the seed fades: it is a different series. TA-Lib's handles
can't be pickled, so a worker process does the same.

**Bars that aren't finite.** NaN or an infinity in a field that the indicator reads is refused
with ValueError, by :meth:`TaLibIndicator.compute` and by :meth:`TaLibIndicator.batch` alike. The
indicator is left as it was before that bar: nothing is guessed and no bar is skipped silently.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mtquant import Indicator, Settings
from mtquant.clock import format_time
from mtquant.contract.indicator import Values
from mtquant.model import Bar
from mtquant.model.arrays import BarArrays

Period = Annotated[int, Field(ge=2, le=5000)]
"""A length in bars; TA-Lib's RSI starts at 2, and 5000 is what one get_bars call returns."""
Multiple = Annotated[float, Field(gt=0, le=100)]
"""How many deviations or ranges a band stands off."""


class PeriodSettings(Settings):
    """Base of the settings of an indicator with one length, in bars."""

    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One TA-Lib function with its parameters.

    ``lookback`` is how many bars it needs before the bar of its first value.
    """

    function: str
    lookback: int
    parameters: Mapping[str, float] = field(default_factory=dict)


S = TypeVar("S", bound=Settings)


class TaLibIndicator(Indicator[S]):
    """An indicator on TA-Lib; a subclass says which bar's fields it reads, and :meth:`calls`.

    Either one function gives all the lines, in their order, or each line has one of its own.
    """

    inputs: ClassVar[tuple[str, ...]] = ("close",)

    def __init__(self, settings: S) -> None:
        super().__init__(settings)
        self._calls = tuple(self.calls())
        self._warmup = 1 + max(each.lookback for each in self._calls)
        self._pick = _picker(self.inputs)
        self._history: list[tuple[float, ...]] = []
        self._advance: Callable[..., Any] | None = None

    @abstractmethod
    def calls(self) -> Sequence[Call]:
        """Return the functions that these settings come to."""

    @property
    def warmup(self) -> int:
        """How many bars it takes until every line has its first value."""
        return self._warmup

    def compute(self, bar: Bar) -> Values:
        """Take one closed bar; raises ValueError, and forgets it, where it isn't finite."""
        picked = self._pick(bar)
        # One sum costs a fraction of looking at each; it may be too large where its parts are not.
        if not math.isfinite(sum(picked)) and not all(map(math.isfinite, picked)):
            raise self._refusal(bar)
        advance = self._advance
        values: Values = self._warm_up(picked) if advance is None else advance(*picked)
        return values

    def _warm_up(self, picked: tuple[float, ...]) -> Values:
        """Keep a bar of the warm-up; on the last of them open the handles."""
        self._history.append(picked)
        if len(self._history) < self._warmup:
            return math.nan if len(self.lines) == 1 else (math.nan,) * len(self.lines)
        from talib import stream  # noqa: PLC0415 - it pulls pandas, where that is installed: 0.5 s

        columns = [np.array(column, np.float64) for column in zip(*self._history, strict=True)]
        self._history.clear()
        handles = [
            getattr(stream, each.function)(*columns, **each.parameters) for each in self._calls
        ]
        first: list[Any] = [each.value for each in handles]
        updates = [each.update for each in handles]
        self._advance = updates[0] if len(updates) == 1 else _together(updates)
        values: Values = first[0] if len(first) == 1 else tuple(first)
        return values

    def batch(self, bars: BarArrays) -> Mapping[str, NDArray[np.float64]]:
        """Return each line's whole series, shape (len(bars),), bit-identical to stepping.

        Raises ValueError where a number it reads isn't finite.
        """
        import talib  # noqa: PLC0415 - as in _warm_up

        columns = [getattr(bars, name) for name in self.inputs]
        self._require_finite(bars)
        series: list[NDArray[np.float64]] = []
        for call in self._calls:
            outputs = getattr(talib, call.function)(*columns, **call.parameters)
            series += outputs if isinstance(outputs, tuple) else (outputs,)
        for each in series[: len(self._calls) if len(self._calls) > 1 else 0]:
            each[: self._warmup - 1] = math.nan  # a line that would know sooner than the others
        return dict(zip(self.lines, series, strict=True))

    def _require_finite(self, bars: BarArrays) -> None:
        at = bars.first_not_finite(self.inputs)
        if at is not None:
            raise self._refusal(bars.bar(at))

    def _refusal(self, bar: Bar) -> ValueError:
        values = ", ".join(f"{name} {getattr(bar, name)}" for name in self.inputs)
        return ValueError(
            f"{self.name}: the {bar.timeframe} bar of {bar.instrument} at {format_time(bar.time)} "
            f"isn't finite: {values}"
        )


def _picker(names: tuple[str, ...]) -> Callable[[Any], tuple[float, ...]]:
    """Return what takes the named fields from a bar as a tuple, also where it is one."""
    pick: Callable[[Any], Any] = attrgetter(*names)
    return pick if len(names) > 1 else lambda bar: (pick(bar),)


def _together(updates: Sequence[Callable[..., float]]) -> Callable[..., tuple[float, ...]]:
    if len(updates) == 3:  # noqa: PLR2004 - as many as adx has; a third quicker than the loop
        first, second, third = updates
        return lambda *picked: (first(*picked), second(*picked), third(*picked))
    return lambda *picked: tuple([update(*picked) for update in updates])
