"""Strategies over history: indicators are computed over all of it once, and read bar by bar.

An indicator's batch gives the bits that stepping it would (that is its contract), so a strategy
can't tell the two apart. A strategy hears each bar once: where a stretch of bars was heard ahead
of the decider, what was said at its last bar is kept until the decider asks for that bar.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtquant.backtest.declared import Column, Declared
from mtquant.backtest.once import Once
from mtquant.backtest.steps import SeriesSteps
from mtquant.contract import Indicator, Strategy
from mtquant.contract.indicator import DEPTH
from mtquant.model import Bar, Fill, Quote, Signal, Timeframe
from mtquant.model.arrays import BarArrays

Series = tuple[str, Timeframe]
Said = tuple[Signal, ...] | Exception
"""What a strategy said of a bar, or raised."""
_Put = Callable[[Any], None]
_Hear = Callable[[Iterable[tuple[Any, ...]], Callable[[int, Said], None]], None]


class Library(Protocol):
    """Gives an indicator's values over a series, computed once."""

    def values(self, indicator: Indicator[Any], series: Series) -> Column:
        """Return what each bar of ``series`` makes of ``indicator``, as compute would."""


class Values:
    """Indicators' values over the series of one run, each computed once.

    Those of ``base``, the timeframes of the prices by symbol, are the same in every run: ``once``
    keeps them.
    """

    def __init__(
        self, series: Mapping[Series, BarArrays], once: Once, base: Mapping[str, Timeframe]
    ) -> None:
        self._series, self._once, self._base = series, once, base
        self._own = Once()

    def values(self, indicator: Indicator[Any], series: Series) -> Column:
        """Return what each bar of ``series`` makes of ``indicator``.

        Raises ValueError where a number that it reads isn't finite.
        """
        symbol, timeframe = series
        once = self._once if self._base.get(symbol) is timeframe else self._own
        key = (type(indicator), indicator.settings.model_dump_json(), series)
        return once.ask(key, lambda: self._column(indicator, series), lambda made: made.nbytes)

    def _column(self, indicator: Indicator[Any], series: Series) -> Column:
        lines = indicator.batch(self._series[series])
        arrays = [np.ascontiguousarray(lines[name], np.float64) for name in indicator.lines]
        unknown = np.flatnonzero(np.logical_or.reduce([np.isnan(each) for each in arrays]))
        known_from = int(unknown[-1]) + 1 if len(unknown) else 0
        return Column(
            tuple(each.data for each in arrays), known_from, plain=len(unknown) == known_from
        )


class Played:
    """One strategy that hears history; the decider takes it for the strategy itself."""

    def __init__(self, strategy: Strategy[Any], library: Library) -> None:
        self.strategy = strategy
        self.series = strategy.series
        columns = {
            series: [(each.put, library.values(each, series)) for each in made]
            for series, made in strategy.indicators_by_series.items()
        }
        self._feeds: dict[Series, list[tuple[_Put, Column]]] = columns
        self._columns = {series: [each for _, each in found] for series, found in columns.items()}
        self._conditioned: Declared | None = None
        self._at = dict.fromkeys(self._feeds, 0)
        self._step = -1
        self._said: dict[int, Said] = {}
        self._ahead: dict[int, Said] = {}
        self._spoke: list[int] = []
        self._heard_to = self.now = -1
        """How far it was heard ahead, and the step that is being played, where that is told."""
        self._ready_from: int | None = None
        if len(columns) == 1:
            [found] = columns.values()
            self._ready_from = max((column.known_from for _, column in found), default=0)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the strategy has there
        """Return what the strategy has."""
        return getattr(self.strategy, name)

    @property
    def state(self) -> dict[str, Any]:
        """The strategy's state; nothing where it has heard more than is played by now."""
        return {} if self.now < self._heard_to else self.strategy.state

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.strategy.state = state

    @property
    def alone(self) -> bool:
        """True where it hears one series."""
        return self._ready_from is not None

    @property
    def free(self) -> bool:
        """True where what it says follows from the bars of one series alone, whatever trades."""
        heeds = type(self.strategy).on_fill is not Strategy.on_fill
        return self.alone and not heeds and not self.strategy.hears_quotes

    def hear_on(self, steps: SeriesSteps, end: int) -> None:
        """Hear the bars of its one series before step ``end`` that it hasn't heard, one a step.

        What it says is kept for whoever asks for that step; it must be :attr:`free`.
        """
        [series] = self._feeds
        step = self._at[series]
        if step >= end:
            return
        ready = min(end, max(step, self._ready_from or 0))
        self._feed(steps, self._skip_warming(step, ready), ready, self.strategy.take_warming)
        if self.strategy.conditions:
            self._hear_where_it_holds(steps, ready, end)
        else:
            self._feed(steps, ready, end, self.strategy.take_stretch)
        self._at[series] = self._heard_to = end

    def _feed(self, steps: SeriesSteps, first: int, end: int, hear: _Hear) -> None:
        """Let the strategy hear the bars from ``first`` on, each with its indicators' values."""
        if first >= end:
            return
        [feeds] = self._feeds.values()
        # Each turn puts the indicators' values before the strategy hears the bar.
        values = (map(put, column.part(first, end)) for put, column in feeds)
        hear(zip(range(first, end), steps.bars(first, end), *values, strict=True), self._speak)

    def _hear_where_it_holds(self, steps: SeriesSteps, first: int, end: int) -> None:
        """Hear the bars from ``first`` on at which one of the strategy's conditions holds."""
        if first >= end:
            return
        self._conditioned = self._conditioned or self._declared(steps, first)
        declared = self._conditioned
        low, high = np.searchsorted(declared.holding, (first, end))
        holding = declared.holding[low:high]
        come = map(declared.come_to, holding.tolist())
        self.strategy.take_stretch(zip(come, steps.at(holding), strict=True), self._speak)

    def _skip_warming(self, first: int, last: int) -> int:
        """Return from which step before ``last`` on a strategy is to hear bars that warm it up.

        It isn't asked before all indicators are ready, and they keep the last values alone.
        """
        [columns] = self._columns.values()
        if last - first <= DEPTH or not all(column.plain for column in columns):
            return first
        return last - DEPTH

    def _declared(self, steps: SeriesSteps, first: int) -> Declared:
        """Return where the conditions hold from step ``first`` on, until the end."""
        [columns], [made] = self._columns.values(), self.strategy.indicators_by_series.values()
        return Declared(
            self.strategy.conditions, list(zip(made, columns, strict=True)), steps, first
        )

    def _speak(self, step: int, said: Said) -> None:
        self._ahead[step] = said
        self._spoke.append(step)

    def spoken(self, first: int, end: int) -> list[tuple[int, Said]]:
        """Return what it said at the steps from ``first`` on, before ``end``, and when."""
        low, high = bisect_left(self._spoke, first), bisect_left(self._spoke, end)
        return [(step, self._ahead[step]) for step in self._spoke[low:high]]

    def hear_stretch(self, bars: Sequence[Bar], step: int) -> int:
        """Hear the bars of its one series, one a step from ``step`` on, until it speaks.

        Return how many it was silent at: the next one, if there is one, it has spoken at.
        """
        [(series, feeds)] = self._feeds.items()
        at, ready_from = self._at[series], self._ready_from or 0
        strategy, silent = self.strategy, 0
        try:
            for bar in bars:
                for put, column in feeds:
                    put(column.at(at))
                at += 1
                heard = strategy.take_ready if at > ready_from else strategy.take_updated
                said = heard(bar)
                if said:
                    self._keep(bar, step + silent, said)
                    break
                silent += 1
        except Exception as error:  # noqa: BLE001 - as in hear
            self._keep(bars[silent], step + silent, error)
        self._at[series] = at
        return silent

    def _keep(self, bar: Bar, step: int, said: Said) -> None:
        if step != self._step:
            self._step = step
            self._said.clear()
        self._said[id(bar)] = said

    def hear(self, bar: Bar, step: int) -> bool:
        """Hear a bar ahead of the decider, and return True where there is something to say.

        What the strategy raises is kept, too, until the decider asks.
        """
        series = (bar.instrument, bar.timeframe)
        at = self._at[series]
        self._at[series] = at + 1
        for put, column in self._feeds[series]:
            put(column.at(at))
        said: Said
        try:
            said = self.strategy.take_updated(bar)
        except Exception as error:  # noqa: BLE001 - a stranger's strategy may raise anything
            said = error
        self._keep(bar, step, said)
        return said != ()

    def take_bar(self, bar: Bar) -> tuple[Signal, ...]:
        """Return what the strategy says at ``bar``; it hears it now, unless it has already."""
        said: Said
        if self.now < self._heard_to:
            said = self._ahead.get(self.now, ())
        else:
            if id(bar) not in self._said:
                self.hear(bar, self._step)
            said = self._said.pop(id(bar))
        if isinstance(said, Exception):
            raise said
        return said

    def take_quote(self, quote: Quote) -> tuple[Signal, ...]:
        """Pass a price on."""
        return self.strategy.take_quote(quote)

    def take_fill(self, fill: Fill) -> tuple[Signal, ...]:
        """Pass an execution on."""
        return self.strategy.take_fill(fill)


def hearers(played: Sequence[Played]) -> dict[Series, list[Played]]:
    """Return who hears each series, in their order."""
    found: dict[Series, list[Played]] = {}
    for each in played:
        for series in each.series:
            found.setdefault(series, []).append(each)
    return found
