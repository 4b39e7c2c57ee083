"""What a strategy is: it says what to hold, and reaches neither a broker nor the future."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mtquant.clock import SECOND
from mtquant.contract.condition import Crossing
from mtquant.contract.indicator import Indicator, Line
from mtquant.contract.plugin import Plugin, S
from mtquant.model import Bar, Fill, Quote, Signal, Timeframe

Wishes = Signal | Iterable[Signal] | None
"""What a strategy returns: one signal, several, or None for no change."""
_Series = tuple[str, Timeframe]
_Tell = Callable[[int, tuple[Signal, ...] | Exception], None]


class Strategy(Plugin[S]):
    """Decides what to hold in one instrument, or in several at once.

    Override ``on_start`` to take indicators with :meth:`indicator`, and ``on_bar`` to return
    ``self.long(...)``, ``self.short(...)``, ``self.flat(...)``, a list of these, or None for no
    change; ``on_quote`` and ``on_fill`` likewise where it needs them. Indicators are updated before
    ``on_bar``, which is first called when all of them are ready, with closed bars of its main
    timeframe only.

    One object is made for each configured symbol; with ``together = True`` one for all of them,
    in their order. What isn't computed from bars alone goes into ``self.state``, a dictionary of
    JSON values that is journaled when it changes and is there again after a restart; what is done
    to it while history warms the strategy up doesn't count.
    """

    together: ClassVar[bool] = False

    def __init__(
        self,
        settings: S,
        *,
        strategy_id: str,
        instruments: Sequence[str],
        timeframe: Timeframe,
        indicators: Callable[[str, Mapping[str, Any]], Indicator[Any]],
    ) -> None:
        super().__init__(settings)
        self.strategy_id = strategy_id
        self.instruments = tuple(instruments)
        self.timeframe = timeframe
        self.state: dict[str, Any] = {}
        self._make = indicators
        self._indicators: dict[_Series, list[Indicator[Any]]] = {
            (instrument, timeframe): [] for instrument in self.instruments
        }
        self._conditions: list[Crossing] = []
        self._latest: dict[_Series, Bar] = {}
        self._bar_length = timeframe.seconds * SECOND
        self._time = 0
        self._ready = False
        self.on_start()

    @property
    def instrument(self) -> str:
        """The instrument it trades; the first of them where it trades several."""
        return self.instruments[0]

    @property
    def key(self) -> str:
        """What tells this object from the others of its configured strategy."""
        return f"{self.strategy_id}:{'+'.join(self.instruments)}"

    @property
    def series(self) -> frozenset[tuple[str, Timeframe]]:
        """The bars it hears: its instruments at its timeframe, and those of its indicators."""
        return frozenset(self._indicators)

    def indicator(
        self,
        name: str,
        /,
        *,
        instrument: str | None = None,
        timeframe: Timeframe | None = None,
        **settings: Any,  # noqa: ANN401 - the indicator's own
    ) -> Indicator[Any]:
        """Return the named indicator over the bars of ``instrument`` at ``timeframe``.

        Unless told otherwise: those of the strategy's first instrument at its main timeframe.
        Raises PluginError or ConfigError where there is no such indicator or setting.
        """
        made = self._make(name, settings)
        series = (instrument or self.instrument, timeframe or self.timeframe)
        self._indicators.setdefault(series, []).append(made)
        return made

    def crossing(
        self,
        one: Indicator[Any] | Line,
        other: Indicator[Any] | Line | float,
        *,
        noise: float = 0.0,
    ) -> Crossing:
        """Return a condition: that ``one`` crosses ``other``, a line of an indicator or a number.

        A strategy that declares conditions in ``on_start`` is asked (``on_bar``) only at bars at
        which one of them holds, live as in a backtest, which is many times as fast by it. Nearer
        than ``noise`` times the price is touching, which changes nothing.
        """
        made = Crossing(one, float(other) if isinstance(other, int) else other, noise)
        self._conditions.append(made)
        return made

    def latest(self, instrument: str | None = None, timeframe: Timeframe | None = None) -> Bar:
        """Return the newest closed bar of a series that it hears.

        Raises LookupError where none has closed yet.
        """
        series = (instrument or self.instrument, timeframe or self.timeframe)
        if series not in self._latest:
            raise LookupError(f"no {series[1]} bar of {series[0]} has closed yet")
        return self._latest[series]

    @property
    def aligned(self) -> bool:
        """True where the newest main bar of every instrument opened at the same time."""
        main = [self._latest.get((each, self.timeframe)) for each in self.instruments]
        return len({bar and bar.time for bar in main}) == 1

    @property
    def warmup(self) -> int:
        """How many bars of the main timeframe its slowest indicator needs."""
        main = self.timeframe.seconds
        return max(
            (
                -(-each.warmup * timeframe.seconds // main)
                for (_, timeframe), made in self._indicators.items()
                for each in made
            ),
            default=0,
        )

    def on_start(self) -> None:
        """Take indicators and set up; called once, before the first bar."""

    def on_bar(self, bar: Bar) -> Wishes:  # noqa: ARG002 - a port declares what its default ignores
        """Return what to hold from now on, or None for no change."""
        return None

    def on_quote(self, quote: Quote) -> Wishes:  # noqa: ARG002 - likewise
        """Return what to hold after a price moved; called once the indicators are ready."""
        return None

    def on_fill(self, fill: Fill) -> Wishes:  # noqa: ARG002 - likewise
        """Return what to hold after an execution in one of its instruments."""
        return None

    def long(self, reason: str, *, instrument: str | None = None, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold a long position."""
        return self._signal(1, reason, instrument, details)

    def short(self, reason: str, *, instrument: str | None = None, **details: Any) -> Signal:  # noqa: ANN401 - likewise
        """Return a signal to hold a short position."""
        return self._signal(-1, reason, instrument, details)

    def flat(self, reason: str, *, instrument: str | None = None, **details: Any) -> Signal:  # noqa: ANN401 - likewise
        """Return a signal to hold nothing."""
        return self._signal(0, reason, instrument, details)

    def _signal(
        self, direction: int, reason: str, instrument: str | None, details: dict[str, Any]
    ) -> Signal:
        return Signal(
            strategy_id=self.strategy_id,
            instrument=instrument or self.instrument,
            time=self._time,
            direction=direction,
            reason=reason,
            **details,
        )

    # --- how it is driven --------------------------------------------------------------------

    @property
    def indicators_by_series(self) -> Mapping[_Series, Sequence[Indicator[Any]]]:
        """Its indicators, by the series they are updated with."""
        return self._indicators

    @property
    def conditions(self) -> Sequence[Crossing]:
        """What it declared: it is asked where one of them holds; where there is none, always."""
        return self._conditions

    @property
    def hears_quotes(self) -> bool:
        """True where it overrides :meth:`on_quote`."""
        return type(self).on_quote is not Strategy.on_quote

    def take_bar(self, bar: Bar) -> tuple[Signal, ...]:
        """Update the indicators with a bar of :attr:`series`, then ask :meth:`on_bar`."""
        for each in self._indicators[bar.instrument, bar.timeframe]:
            each.update(bar)
        return self.take_updated(bar)

    def take_updated(self, bar: Bar) -> tuple[Signal, ...]:
        """Ask :meth:`on_bar` of a bar with which the indicators have been updated."""
        self._latest[bar.instrument, bar.timeframe] = bar
        if bar.timeframe is not self.timeframe or bar.instrument not in self.instruments:
            return ()
        self._time = bar.time + bar.timeframe.seconds * SECOND
        self._ready = all(each.ready for made in self._indicators.values() for each in made)
        return _several(self.on_bar(bar)) if self._ready and self._holds(bar) else ()

    def _holds(self, bar: Bar) -> bool:
        """Take a bar to all conditions; tell whether one holds, or there is none."""
        holding = [each.step(bar) for each in self._conditions]  # each of them hears every bar
        return not holding or any(holding)

    def take_ready(self, bar: Bar) -> tuple[Signal, ...]:
        """As :meth:`take_updated`, of a main bar at which every indicator is known to be ready."""
        self._latest[bar.instrument, bar.timeframe] = bar
        self._time = bar.time + self._bar_length
        self._ready = True
        wishes = self.on_bar(bar) if self._holds(bar) else None
        return () if wishes is None else _several(wishes)

    def take_warming(self, rows: Iterable[tuple[Any, ...]], tell: _Tell) -> None:
        """As :meth:`take_stretch`, while it isn't known whether every indicator is ready."""
        step = -1
        try:
            for step, bar, *_ in rows:
                said = self.take_updated(bar)
                if self.state:
                    self._require_kept()
                if said:
                    tell(step, said)
        except Exception as error:  # noqa: BLE001 - a stranger's strategy may raise anything
            tell(step, error)

    def take_stretch(self, rows: Iterable[tuple[Any, ...]], tell: _Tell) -> None:
        """As :meth:`take_ready` of one bar of its only series after the other, while none raises.

        A row begins with a step and its bar; ``tell`` hears what is said at a step, or raised.
        """
        latest, key, length = self._latest, (self.instrument, self.timeframe), self._bar_length
        on_bar, self._ready, step = self.on_bar, True, -1
        try:
            for row in rows:
                step, bar = row[0], row[1]
                latest[key] = bar
                self._time = bar.time + length
                wishes = on_bar(bar)
                if self.state:
                    self._require_kept()
                if wishes is not None:
                    said = _several(wishes)
                    if said:
                        tell(step, said)
        except Exception as error:  # noqa: BLE001 - as above
            tell(step, error)

    def _require_kept(self) -> None:
        """Raise where the state is none that can be kept, as where each bar is played."""
        json.dumps(self.state, sort_keys=True, allow_nan=False)

    def take_quote(self, quote: Quote) -> tuple[Signal, ...]:
        """Ask :meth:`on_quote`, once the indicators are ready."""
        self._time = quote.time
        return _several(self.on_quote(quote)) if self._ready else ()

    def take_fill(self, fill: Fill) -> tuple[Signal, ...]:
        """Ask :meth:`on_fill`."""
        self._time = fill.time
        return _several(self.on_fill(fill))


def _several(wishes: Wishes) -> tuple[Signal, ...]:
    if wishes is None:
        return ()
    several = (wishes,) if isinstance(wishes, Signal) else tuple(wishes)
    for each in several:
        if not isinstance(each, Signal):
            msg = f"{each!r} is no signal: return self.long(...), self.short(...), self.flat(...)"
            raise TypeError(msg)
    return several
