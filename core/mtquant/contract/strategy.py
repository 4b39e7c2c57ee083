"""What a strategy and an indicator are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import SECOND
from mtquant.contract.plugin import Plugin, S
from mtquant.model import (
    Bar,
    Bars,
    Signal,
    Timeframe,
)


class Indicator(Plugin[S], ABC):
    """A series computed from bars: stepped live, run over arrays on history, the same bits.

    Values are float64; a bar before the warm-up is over has NaN. ``self[0]`` is the value at
    the newest bar, ``self[1]`` the one before; at most ``DEPTH`` values are kept.
    """

    DEPTH: ClassVar[int] = 64

    @property
    @abstractmethod
    def warmup(self) -> int:
        """How many bars it takes until the first value."""

    @property
    def value(self) -> float:
        """The value at the newest bar; NaN while it warms up."""
        return self[0]

    @property
    def ready(self) -> bool:
        """True once the newest value is a number."""
        return not math.isnan(self[0])

    @abstractmethod
    def __getitem__(self, back: int) -> float:
        """Return the value ``back`` bars ago; NaN where there is none."""

    @abstractmethod
    def update(self, bar: Bar) -> float:
        """Take one closed bar and return the value at it."""

    @abstractmethod
    def batch(self, bars: Bars) -> NDArray[np.float64]:
        """Return the whole series, shape (len(bars),), bit-identical to stepping."""


class Strategy(Plugin[S]):
    """Decides what to hold in one instrument.

    Override ``on_start`` to take indicators with :meth:`indicator` and ``on_bar`` to return
    ``self.long(...)``, ``self.short(...)``, ``self.flat(...)`` or None. A strategy sees closed
    bars only and can't reach a broker. Indicators are updated before ``on_bar``, which is first
    called when all of them are ready.
    """

    def __init__(
        self,
        settings: S,
        *,
        strategy_id: str,
        instrument: str,
        timeframe: Timeframe,
        indicators: Callable[[str, Mapping[str, Any]], Indicator[Any]],
    ) -> None:
        super().__init__(settings)
        self.strategy_id = strategy_id
        self.instrument = instrument
        self.timeframe = timeframe
        self._make = indicators
        self._indicators: list[Indicator[Any]] = []
        self._time = 0
        self.on_start()

    def indicator(self, name: str, **settings: Any) -> Indicator[Any]:  # noqa: ANN401 - its own
        """Return the named indicator over this strategy's bars."""
        made = self._make(name, settings)
        self._indicators.append(made)
        return made

    @property
    def warmup(self) -> int:
        """How many bars the slowest indicator needs before its first value."""
        return max((each.warmup for each in self._indicators), default=0)

    def step(self, bar: Bar) -> Signal | None:
        """Update the indicators with ``bar`` and ask :meth:`on_bar`, once all are ready."""
        for each in self._indicators:
            each.update(bar)
        self._time = bar.time + bar.timeframe.seconds * SECOND
        return self.on_bar(bar) if all(each.ready for each in self._indicators) else None

    def on_start(self) -> None:
        """Take indicators and set up; called once, before the first bar."""

    def on_bar(self, bar: Bar) -> Signal | None:
        """Return what to hold from now on, or None for no change."""
        raise NotImplementedError

    def long(self, reason: str, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold a long position."""
        return self._signal(1, reason, details)

    def short(self, reason: str, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold a short position."""
        return self._signal(-1, reason, details)

    def flat(self, reason: str, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold nothing."""
        return self._signal(0, reason, details)

    def _signal(self, direction: int, reason: str, details: dict[str, Any]) -> Signal:
        return Signal(
            strategy_id=self.strategy_id,
            instrument=self.instrument,
            time=self._time,
            direction=direction,
            reason=reason,
            **details,
        )
