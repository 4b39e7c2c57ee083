"""Run a strategy over bars, as an engine would, without any broker: for a plugin's own tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from mtquant.book import Book
from mtquant.clock import Ids, ManualClock, seeded
from mtquant.combine import CombineRules
from mtquant.contract import Indicator, Settings, Sizer, Strategy
from mtquant.decide.entries import read_signal
from mtquant.decide.events import Record
from mtquant.decide.flow import Flow
from mtquant.decide.hearing import Hearing
from mtquant.model import Bar, Signal, Timeframe
from mtquant.plugins import load_catalogue
from mtquant.risk import BreakerRules, Gate

K = TypeVar("K", bound=Strategy[Any])


def make_strategy(
    kind: type[K],
    instruments: Sequence[str] = ("EUR/USD",),
    timeframe: Timeframe = Timeframe.M1,
    *,
    strategy_id: str = "tested",
    **settings: Any,  # noqa: ANN401 - the strategy's own
) -> K:
    """Return a strategy object with the indicators that are installed on this machine.

    Raises ConfigError where a setting is wrong, PluginError where an indicator isn't there.
    """
    catalogue = load_catalogue()

    def indicator(name: str, table: Mapping[str, Any]) -> Indicator[Any]:
        made: Indicator[Any] = catalogue.make("indicator", name, table)
        return made

    return kind(
        kind.Settings.read(settings, kind.name),
        strategy_id=strategy_id,
        instruments=instruments,
        timeframe=timeframe,
        indicators=indicator,
    )


def signals(strategy: Strategy[Any], bars: Iterable[Bar]) -> list[Signal]:
    """Return every signal that ``strategy`` gives over ``bars``, oldest first.

    Larger bars that it asks for are built from these. Raises AssertionError where it raises, or
    gives a signal that would be refused.
    """
    hearing = Hearing([strategy], {}, CombineRules())
    gate = Gate(_NoSizer(Settings()), [], BreakerRules())
    flow = Flow(Book(), gate, Ids(ManualClock(), seeded(0)))
    for bar in bars:
        hearing.bar(flow, bar, trade=True)
    records = [each for each in flow.out if isinstance(each, Record)]
    for each in records:
        if each.kind in {"strategy_failed", "signal_refused"}:
            raise AssertionError(each.body["problem"])
    return [read_signal(each.body) for each in records if each.kind == "signal"]


class _NoSizer(Sizer[Settings]):
    """Nothing is sized here."""

    name = "none"

    def size(self, signal: Signal, state: object, price: object) -> Any:  # noqa: ANN401 - never asked
        raise NotImplementedError
