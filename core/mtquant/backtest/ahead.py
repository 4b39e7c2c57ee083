"""Whether the fast way through history can be gone, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtquant.backtest.once import Once
from mtquant.backtest.played import Played, Series, Values
from mtquant.backtest.steps import SeriesSteps, Step
from mtquant.backtest.tape import Ints, Tape, tape_of
from mtquant.contract import Strategy
from mtquant.exchange import ExchangeSettings, Recorded
from mtquant.exchange.settings import instrument
from mtquant.model import Bar, PositionMode, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant.resample import Resampler

Closed = Sequence[tuple[Bar, ...]]


@dataclass(frozen=True, slots=True)
class Ahead:
    """Strategies that hear history ahead, and the bars that each step closes, larger ones first.

    ``stream`` is the same steps as ``steps`` where one strategy hears one series, and what it says
    doesn't depend on what trades: then its bars come and go, and ``closed`` isn't asked for.
    """

    played: tuple[Played, ...]
    steps: Sequence[Step]
    closed: Closed
    larger: Mapping[int, Sequence[Bar]]
    stream: SeriesSteps | None = None

    def made_larger(self, bar: Bar) -> Sequence[Bar]:
        """Return the larger bars that ``bar`` closes."""
        return self.larger.get(id(bar), ())


def tapes_of(market: Recorded, settings: ExchangeSettings, times: Ints) -> dict[str, Tape] | None:
    """Return the tape of every symbol; None where one can't be told, or fills need the market.

    That is where liquidity is bounded, and where positions are held by ticket.
    """
    if settings.position_mode is not PositionMode.NETTING:
        return None
    found: dict[str, Tape] = {}
    for symbol in market.symbols:
        terms = settings.terms(symbol)
        tape = tape_of(market, symbol, instrument(symbol, terms), terms, times)
        if tape is None or terms.liquidity is not None:
            return None
        found[symbol] = tape
    return found


def look_ahead(
    strategies: Sequence[Strategy[Any]],
    steps: Sequence[Step],
    bars: Mapping[str, BarArrays],
    once: Once,
) -> Ahead | None:
    """Return the strategies as players of history; None where one must be asked step by step.

    That is one that listens to quotes, or whose indicators can't be told from arrays.
    """
    if any(each.hears_quotes for each in strategies):
        return None
    base = {symbol: each.timeframe for symbol, each in bars.items()}
    wanted = {series for each in strategies for series in each.series}
    alone = isinstance(steps, SeriesSteps) and wanted == {*base.items()}
    if not alone:
        steps = tuple(steps)
    larger = {} if alone else _larger(steps, wanted, base)
    series: dict[Series, BarArrays] = {
        (symbol, each.timeframe): each for symbol, each in bars.items()
    }
    made: dict[Series, list[Bar]] = {each: [] for each in wanted if each not in series}
    for found in larger.values():
        for bar in found:
            made[bar.instrument, bar.timeframe].append(bar)
    series |= {each: _arrays(each, found) for each, found in made.items()}
    library = Values(series, once, base)
    try:
        played = tuple(Played(each, library) for each in strategies)
    except ValueError:
        return None  # a price that isn't finite: the strategy is told so where it stands
    if isinstance(steps, SeriesSteps):
        if len(played) == 1 and played[0].free:
            return Ahead(played, steps, (), {}, steps)
        steps = tuple(steps)
    closed = (
        [
            tuple(each for bar in found for each in (*larger.get(id(bar), ()), bar))
            for _, found in steps
        ]
        if larger
        else [found for _, found in steps]
    )
    return Ahead(played, steps, closed, larger)


def _larger(
    steps: Sequence[Step], wanted: set[Series], base: Mapping[str, Timeframe]
) -> dict[int, list[Bar]]:
    """Return the larger bars that each bar closes, the largest first, by the bar's identity."""
    makers = {
        symbol: [
            Resampler(each)
            for each in sorted(
                {frame for name, frame in wanted if name == symbol and frame.seconds > own.seconds},
                key=lambda each: -each.seconds,
            )
        ]
        for symbol, own in base.items()
    }
    if not any(makers.values()):
        return {}
    found: dict[int, list[Bar]] = {}
    for _, bars in steps:
        for bar in bars:
            closed = [each for maker in makers[bar.instrument] for each in maker.take(bar)]
            if closed:
                found[id(bar)] = closed
    return found


def _arrays(series: Series, bars: Sequence[Bar]) -> BarArrays:
    def column(name: str) -> Any:  # noqa: ANN401 - an array
        return np.array([getattr(each, name) for each in bars], np.float64)

    return BarArrays(
        instrument=series[0],
        timeframe=series[1],
        time=np.array([each.time for each in bars], np.int64),
        open=column("open"),
        high=column("high"),
        low=column("low"),
        close=column("close"),
        volume=column("volume"),
    )
