"""What strategies hear, and what they wish: bars made larger, states kept, failures contained."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtquant.book import Book, Target
from mtquant.combine import CombineRules, combine, problem
from mtquant.contract import Level, Strategy
from mtquant.decide.entries import signal_body
from mtquant.decide.flow import Flow
from mtquant.model import Bar, Fill, Quote, Signal, Timeframe
from mtquant.resample import Resampler


class Hearing:
    """Takes bars, quotes and executions to the strategies, and their wishes into the book.

    A strategy that raises is heard no more: its positions and their stops stay, and a person is
    told. While history warms strategies up their wishes are dropped, and so is what they do to
    their state. ``larger`` makes larger bars of a bar; history may have made them already.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy[Any]],
        weights: Mapping[str, float],
        rules: CombineRules,
    ) -> None:
        self.strategies = list(strategies)
        self.failed: dict[str, str] = {}
        self._weights = weights
        self._rules = rules
        self._restored: set[str] = set()
        self._kept: dict[str, str] = {}
        self._larger: dict[str, list[Resampler]] = {}
        self.larger: Callable[[Bar], Sequence[Bar]] = self._made_larger
        self._wanted = {series for each in self.strategies for series in each.series}

    def history(self, symbol: str, timeframe: Timeframe) -> int:
        """Return how many bars of ``symbol`` at ``timeframe`` its strategies need to warm up."""
        return max(
            (
                -(-each.warmup * each.timeframe.seconds // timeframe.seconds)
                for each in self.strategies
                if any(instrument == symbol for instrument, _ in each.series)
            ),
            default=0,
        )

    def settle(self, book: Book) -> None:
        """Forget wishes of strategies that are no longer configured, where others remain."""
        known = {
            (each.strategy_id, symbol) for each in self.strategies for symbol in each.instruments
        }
        for symbol, wishes in book.wishes.items():
            gone = [name for name in wishes if (name, symbol) not in known]
            if not gone or len(gone) == len(wishes):
                continue
            for name in gone:
                del wishes[name]
            combined = combine(wishes, self._weights, self._rules)
            take_target(book, combined.signal, combined.signal, combined.agreeing)

    def bar(self, flow: Flow, bar: Bar, *, trade: bool) -> None:
        """Take one closed bar, and the larger bars that it closes, to whom they concern."""
        for closed in (*self.larger(bar), bar):
            series = (closed.instrument, closed.timeframe)
            for strategy in list(self.strategies):
                if series in strategy.series:
                    self._ask(flow, strategy, strategy.take_bar, closed, trade=trade)

    def quotes(self, flow: Flow, quotes: Sequence[Quote]) -> None:
        """Take prices to the strategies that listen to them."""
        for strategy in list(self.strategies):
            if not strategy.hears_quotes:
                continue
            for quote in quotes:
                if quote.instrument in strategy.instruments and strategy in self.strategies:
                    self._ask(flow, strategy, strategy.take_quote, quote)

    def fill(self, flow: Flow, fill: Fill) -> None:
        """Take an execution to the strategies that trade its instrument."""
        for strategy in list(self.strategies):
            if fill.instrument in strategy.instruments:
                self._ask(flow, strategy, strategy.take_fill, fill)

    def _made_larger(self, bar: Bar) -> Sequence[Bar]:
        """Return the larger bars that ``bar`` closes, the largest first."""
        return [found for each in self._resamplers(bar) for found in each.take(bar)]

    def _resamplers(self, bar: Bar) -> list[Resampler]:
        """Return what makes larger bars of this one's instrument, the largest first."""
        if bar.instrument not in self._larger:
            frames: set[Timeframe] = {
                timeframe
                for instrument, timeframe in self._wanted
                if instrument == bar.instrument and timeframe.seconds > bar.timeframe.seconds
            }
            self._larger[bar.instrument] = [
                Resampler(each) for each in sorted(frames, key=lambda each: -each.seconds)
            ]
        return self._larger[bar.instrument]

    def _ask(
        self,
        flow: Flow,
        strategy: Strategy[Any],
        hear: Callable[[Any], tuple[Signal, ...]],
        heard: Bar | Quote | Fill,
        *,
        trade: bool = True,
    ) -> None:
        if strategy.key not in self._restored:
            self._restore(flow, strategy)
        before = None if trade else copy.deepcopy(strategy.state)
        try:
            signals = hear(heard)
            if before is not None:
                strategy.state = before
            if trade and (strategy.state or strategy.key in self._kept):
                self._keep(flow, strategy)
        except Exception as error:  # noqa: BLE001 - a stranger's strategy may raise anything
            self._fail(flow, strategy, f"{type(error).__name__}: {error}")
            return
        if trade:
            for signal in signals:
                self._wish(flow, strategy, signal)

    def _restore(self, flow: Flow, strategy: Strategy[Any]) -> None:
        """Give a strategy back what it kept before the restart: history can't tell it that."""
        self._restored.add(strategy.key)
        kept = flow.book.states.get(strategy.key)
        if kept is not None:
            strategy.state = copy.deepcopy(kept)
            self._kept[strategy.key] = json.dumps(kept, sort_keys=True)

    def _keep(self, flow: Flow, strategy: Strategy[Any]) -> None:
        """Journal a strategy's state where it has changed. Raises TypeError unless it is JSON."""
        text = json.dumps(strategy.state, sort_keys=True, allow_nan=False)
        if self._kept.get(strategy.key) == text:
            return
        self._kept[strategy.key] = text
        kept = json.loads(text)
        flow.book.states[strategy.key] = kept
        flow.record("state", {"strategy": strategy.key, "state": kept})

    def _fail(self, flow: Flow, strategy: Strategy[Any], why: str) -> None:
        self.strategies.remove(strategy)
        self.failed[strategy.key] = why
        flow.record("strategy_failed", {"strategy": strategy.key, "problem": why})
        flow.tell(
            Level.ALARM,
            f"strategy {strategy.key} failed and is heard no more: {why}. What it holds stays, "
            "with its stops; look after it",
        )

    def _wish(self, flow: Flow, strategy: Strategy[Any], signal: Signal) -> None:
        """Take one signal in, and work out what all of its symbol come to."""
        wrong = problem(signal, strategy.instruments)
        if wrong:
            body = {"strategy": strategy.key, "problem": wrong, "reason": str(signal.reason)}
            flow.record("signal_refused", body)
            flow.tell(Level.WARNING, f"a signal of {strategy.key} is ignored: {wrong}")
            return
        flow.record("signal", signal_body(signal))
        wishes = flow.book.wishes.setdefault(signal.instrument, {})
        wishes[signal.strategy_id] = signal
        combined = combine(wishes, self._weights, self._rules)
        if len(wishes) > 1:
            agreeing = {"strategies": list(combined.agreeing), "heard": signal.strategy_id}
            flow.record("target", signal_body(combined.signal) | agreeing)
        take_target(flow.book, signal, combined.signal, combined.agreeing)


def take_target(book: Book, heard: Signal, wish: Signal, strategies: tuple[str, ...]) -> None:
    """Make ``wish`` the target of its symbol.

    It gets a fresh attempt to open where its direction is new, or where ``heard``, the signal that
    led to it, asks for it again; a voice that changes nothing doesn't reopen what was stopped out.
    Where its direction is new, a person who said no to the last one may be asked again.
    """
    symbol, before = wish.instrument, book.targets.get(wish.instrument)
    same = before is not None and before.signal.direction == wish.direction
    spent = before is not None and before.spent and same and heard.direction != wish.direction
    book.targets[symbol] = Target(wish, strategies, spent=spent)
    if symbol in book.answered and book.answered[symbol][0] != wish.direction:
        del book.answered[symbol]
