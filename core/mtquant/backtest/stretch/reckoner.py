"""Goes through history a stretch at a time, as far as everything in it is certain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.collect import Witnessed
from mtquant.backtest.conversion import Conversion
from mtquant.backtest.intent import Intent
from mtquant.backtest.late import LateCovariance
from mtquant.backtest.played import Played
from mtquant.backtest.quiet import Stillness, Worth
from mtquant.backtest.shell import Shell
from mtquant.backtest.steps import SeriesSteps
from mtquant.backtest.stretch.account import Course, course
from mtquant.backtest.stretch.asking import Asker
from mtquant.backtest.stretch.block import Block, Terms
from mtquant.backtest.stretch.handover import Begun, Handover
from mtquant.backtest.stretch.money import ForeignMoney, HomeMoney, Money
from mtquant.backtest.stretch.screen import Screen, vouches
from mtquant.backtest.stretch.sizing import Sizes
from mtquant.backtest.stretch.trading import (
    Decided,
    Kind,
    Leave,
    Reckoned,
    Spoken,
    Standing,
    Trader,
)
from mtquant.backtest.tape import Ints, Tape
from mtquant.backtest.tracks import Tracks
from mtquant.clock import SECOND
from mtquant.combine import problem
from mtquant.contract import BreakerLevel, Level
from mtquant.decide import Tell
from mtquant.decide.pursuit import veto_told
from mtquant.model import OrderType, Signal
from mtquant.model.arrays import BarArrays, Floats
from mtquant.risk.gate import BREAKER_VETOES, WARNED, warning

_SHORTEST, _LONGEST = 256, 1 << 17
"""How many steps are reckoned at once: more while all is certain, fewer after something wasn't."""
_LEAST_BAR_S = 60
"""Shorter bars may bring bursts of vetoes, of which people are alarmed."""
_PATIENCE = 64
"""For how many more steps at most nothing is reckoned, where that led nowhere."""
_DAY = 86_400 * SECOND


@dataclass(slots=True)
class _Run:
    """One stretch under way: how it began, what it came to so far, and how the account stands.

    ``opened`` and ``sent`` are when orders that opened, and all messages, were sent in the last
    day; ``reason`` is why the last order was decided on.
    """

    begun: Begun
    block: Block
    standing: Standing
    opened: Ints
    sent: Ints
    reason: str = ""


class Reckoner:
    """Reckons what one strategy trades in one instrument."""

    def __init__(
        self,
        shell: Shell,
        hearer: Played,
        prices: tuple[SeriesSteps, Tape, Floats],
        stillness: Stillness,
        tracks: Tracks,
        witness: Witnessed,
    ) -> None:
        bars, tape, volatility = prices
        conversion = stillness.conversion
        exchange, symbol = shell.venue.exchange, bars.arrays.instrument
        self._shell, self._hearer, self._bars, self._tape = shell, hearer, bars, tape
        self._stillness, self._tracks, self._witness = stillness, tracks, witness
        self._each, self._times = exchange.instruments[symbol], tracks.times
        self._money = _money(shell, symbol, tape, conversion)
        self._book = shell.book.account(shell.venue.name)
        gate = shell.decider.gate
        self._gate = gate
        self._sizes = Sizes(gate, self._each, exchange.settings.currency, self._money, conversion)
        self._trader = Trader(
            tape, self._money, exchange.terms[symbol], self._each, exchange.settings.seed
        )
        name = hearer.strategy.strategy_id
        self._screen = Screen(gate, exchange.settings, name, self._each, volatility, self._times)
        self._handover = Handover(shell, name, symbol, tape, self._money)
        self._terms = Terms(self._each, name, tape, self._money, self._times)
        self._known = conversion.known_from(self._each.quote)
        self._last = int(np.searchsorted(self._times, shell.venue.ends))
        self._asker = Asker(
            gate,
            (name, shell.venue.name, self._each),
            self._money,
            conversion,
            self._times,
            volatility,
        )
        self._asking = False
        self._ahead, self._pause, self._wait = _SHORTEST, 0, 0

    def go(self, first: int) -> Iterator[int]:
        """Come as far as is certain from step ``first`` on; yield each step that was come to."""
        if self._wait:
            self._wait -= 1
            return
        begun = self._handover.begin(first) if self._known <= first < self._last else None
        heard: Sequence[object] = self._shell.decider.hearing.strategies
        if begun is None or not any(each is self._hearer for each in heard):
            return
        going = _Run(
            begun,
            Block(self._terms, guards=begun.guards, swap=begun.swap),
            begun.standing,
            np.array(begun.opened, np.int64),
            np.array(begun.sent, np.int64),
        )
        step = first
        while step < self._last:
            end = min(step + self._ahead, self._last)
            came = self._reckon(going, step, end)
            if came > step:
                yield came - 1
            step = came
            if came == end:
                self._ahead = min(2 * self._ahead, _LONGEST)
                continue
            self._ahead, self._asking = _SHORTEST, not self._asking
            if not self._asking:
                break
        self._rest(step - first)
        if step > first:
            self._finish(going, first, step)

    def _rest(self, came: int) -> None:
        """Leave the next steps to the players where this led nowhere."""
        if came >= _SHORTEST:
            self._pause = 0
        elif came < _SHORTEST // 8:
            self._pause = min(2 * self._pause + 1, _PATIENCE)
        self._wait = self._pause

    # --- one part of it ----------------------------------------------------------------------

    def _reckon(self, going: _Run, first: int, end: int) -> int:
        """Reckon the steps from ``first`` on, before ``end``; return how far all is certain."""
        self._hearer.hear_on(self._bars, end)
        spoken, end = self._spoken(first, end)
        level = going.begun.level
        self._sizes.at(level)
        asked = self._asking
        while end > first:
            reckoned = self._play(going, spoken, end, asked=asked)
            if reckoned.end < end:
                end = reckoned.end
                continue
            course = self._course(reckoned, going.standing, first, end)
            certain = self._certain(reckoned, course, going.standing, first, end)
            if certain < end:
                end = certain
                continue
            sent = None if asked else (going.opened, going.sent)
            if self._screen.passes(reckoned.done, course, first, self._tape, self._money, sent):
                self._asking = asked and any(each.limited for each in reckoned.decided)
                self._take(going, reckoned, course, first, end)
                self._witness.signals += [signal for step, signal in spoken if step < end]
                return end
            end = self._shorter(reckoned, first, end)
        return first

    def _play(self, going: _Run, spoken: Spoken, end: int, *, asked: bool) -> Reckoned:
        """Trade; ``asked``: the gate is asked about each order."""
        within = [each for each in spoken if each[0] < end]
        level = going.begun.level
        if asked:
            currency = self._shell.venue.exchange.settings.currency
            self._asker.begin(level, currency, going.opened.tolist(), going.sent.tolist())
        leave = Leave(
            self._sizes,
            self._asker if asked else None,
            BREAKER_VETOES[level][0] if level in BREAKER_VETOES else "",
            noted=level is BreakerLevel.WARNED,
        )
        return self._trader.play(going.standing, within, end, leave)

    def _spoken(self, first: int, end: int) -> tuple[Spoken, int]:
        """Return what was said before ``end``, and the first step at which it isn't one wish."""
        found: list[tuple[int, Signal]] = []
        strategy = self._hearer.strategy
        for step, said in self._hearer.spoken(first, end):
            if isinstance(said, Exception) or len(said) != 1:
                return found, step
            [signal] = said
            ours = signal.strategy_id == strategy.strategy_id
            if not ours or problem(signal, strategy.instruments):
                return found, step
            found.append((step, signal))
        return found, end

    def _course(self, reckoned: Reckoned, standing: Standing, first: int, end: int) -> Course:
        rate = float(self._each.margin_rate)
        return course(reckoned.done, standing, (first, end), self._tape, self._money, rate)

    def _certain(
        self, reckoned: Reckoned, course: Course, standing: Standing, first: int, end: int
    ) -> int:
        """Return the first step at which the account may be closed out, pay a swap, or be stopped.

        At most ``end``.
        """
        stillness, state = self._stillness, self._book.breaker
        loud = stillness.closes_out(course.seen) & (course.seen.margin > 0)
        if first and stillness.several:
            begun = self._course(Reckoned(standing, first), standing, first - 1, first).left
            loud |= stillness.closes_out_between(_shifted(begun, course.left), first)
        if state is not None:
            loud |= stillness.breaker_may_move(first, end, course.seen.equity, state)
        largest = max([abs(standing.held), *(abs(each.held) for each in reckoned.done)])
        if not self._money.exact(largest, int(self._tape.ask[first:end].max())):
            return first
        certain = first + int(np.argmax(loud)) if loud.any() else end
        held = np.append(standing.held != 0, course.left.exposure != 0)
        return self._swap(held, first, certain) if certain > first else first

    def _swap(self, held: NDArray[np.bool_], first: int, end: int) -> int:
        """Return the first step before ``end`` by which a swap is due on what is held."""
        exchange, times = self._shell.venue.exchange, self._times
        since = int(times[first - 1]) if first else int(times[0]) - 1
        for due in exchange.swaps_due(since, int(times[end - 1])):
            step = int(np.searchsorted(times[first:end], due))
            if held[step]:
                return first + step
        return end

    def _shorter(self, reckoned: Reckoned, first: int, end: int) -> int:
        """Return a nearer end, before some of the orders that the gate may refuse."""
        opened = [each.step for each in reckoned.done if each.kind is Kind.OPENED]
        return max(first, min(opened[len(opened) // 2], end - 1))

    # --- what came of it ---------------------------------------------------------------------

    def _take(self, going: _Run, reckoned: Reckoned, course: Course, first: int, end: int) -> None:
        """Take in a part that is certain."""
        book, block, times = self._book, going.block, self._times
        if book.breaker is not None:
            book.breaker = self._stillness.folded(book.breaker, first, end, course.seen.equity)
        self._tracks.fill(first, end, course.left, course.balance / 10_000)
        orders = [each for each in reckoned.done if each.kind >= Kind.CLOSED]
        sent = times[[each.step for each in orders]]
        opened = times[[each.step for each in orders if each.kind is Kind.OPENED]]
        ids = self._shell.decider.ids
        block.ids += [ids.number(time) for time in sent.tolist()]
        going.sent = _last_day(going.sent, sent)
        going.opened = _last_day(going.opened, opened)
        block.done += reckoned.done
        self._shell.venue.exchange.ambiguous_bars += len(reckoned.ambiguous)
        for each in reckoned.decided:
            self._tell(going.begun.level, each)
        signals = [each.signal for each in orders[-1:] if each.signal]
        signals += [each.signal for each in reckoned.decided[-1:]]
        if signals:
            going.reason = max(signals, key=lambda each: each.time).reason
        going.standing = reckoned.standing

    def _tell(self, level: BreakerLevel, decided: Decided) -> None:
        """Note what became of a signal that wasn't simply executed."""
        witness, decision, signal = self._witness, decided.decision, decided.signal
        witness.time = int(self._times[decided.step])
        if decision is not None:
            witness.on_decision(decision)
            if decided.told:
                message = veto_told(signal.instrument, decision)
                witness.on_tell(Tell(level=Level.WARNING, message=message))
            return
        warned = level is BreakerLevel.WARNED
        code, message = (WARNED, warning(self._gate.rules)) if warned else BREAKER_VETOES[level]
        wanted = Intent(signal.time, signal.instrument, signal.strategy_id, "")
        witness.reject(wanted, code, message, "risk", reduced=warned)

    def _finish(self, going: _Run, first: int, end: int) -> None:
        """Hand over to the players."""
        shell = self._shell
        self._handover.end(going.begun, going.block, going.standing, int(self._times[end - 1]))
        if isinstance(shell.book.covariance, LateCovariance):
            shell.book.covariance.skip(first, end)
        if going.reason:
            self._witness.decided(self._each.instrument, going.reason)
        if going.block.done:
            self._witness.blocks.append(going.block)


def _money(shell: Shell, symbol: str, tape: Tape, conversion: Conversion) -> Money:
    exchange = shell.venue.exchange
    terms, each = exchange.terms[symbol], exchange.instruments[symbol]
    lot = each.quantity_step
    if exchange.way_home(each.quote):
        return ForeignMoney(terms, tape.unit, lot, each, conversion)
    return HomeMoney(terms, tape.unit, lot)


def _shifted(begun: Worth, left: Worth) -> Worth:
    """Return what the account is worth before each step instead of after it."""
    return Worth(
        np.append(begun.equity, left.equity[:-1]),
        np.append(begun.exposure, left.exposure[:-1]),
        np.append(begun.margin, left.margin[:-1]),
    )


def _last_day(before: Ints, fresh: Ints) -> Ints:
    """Return the times of both in the day up to the last of them, as the book keeps them."""
    whole: Ints = np.concatenate((before, fresh))
    return whole[whole > whole[-1] - _DAY] if len(whole) else whole


def reckonable(shell: Shell, hearers: Sequence[Played], tape: Tape, arrays: BarArrays) -> bool:
    """Tell whether what a run trades can be reckoned at all, at times.

    That takes one strategy that heeds nothing but the bars of one symbol, which trades at any hour,
    and checks that answer for stretches.
    """
    each = shell.venue.exchange.instruments[arrays.instrument]
    strategy = hearers[0].strategy
    steps = np.arange(len(tape.at))
    return (
        len(hearers) == 1
        and hearers[0].free
        and strategy.instruments == (arrays.instrument,)
        and hearers[0].series == {(arrays.instrument, arrays.timeframe)}
        and arrays.timeframe.seconds >= _LEAST_BAR_S
        and len(arrays) == len(steps)
        and bool(tape.fresh.all() and np.array_equal(tape.at, steps))
        and each.tradable
        and not each.sessions
        and {OrderType.MARKET, OrderType.STOP, OrderType.LIMIT} <= {*each.order_types}
        and all(vouches(check, "passes", "review") for check in shell.decider.gate.checks)
    )
