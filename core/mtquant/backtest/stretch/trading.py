"""What a stretch's signals come to: executions in whole numbers, one after the other.

The rules are those of the order desk and of the exchange (:mod:`mtquant.exchange.simulated`): a
signal first closes what is wrong, then opens, at the bid or the ask; what protects a position is
matched against the bars after the one it was opened at, before the strategy hears of them, and of
a stop and a take-profit in one bar the stop comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from mtquant.backtest.stretch.asking import Asker
from mtquant.backtest.stretch.money import Money
from mtquant.backtest.tape import Tape
from mtquant.contract import Verdict
from mtquant.exchange import costs
from mtquant.exchange.settings import Terms
from mtquant.model import Instrument, Side, Signal
from mtquant.risk import Decision
from mtquant.risk.gate import FARTHEST

_NEAR, _LOOK = 24, 256
"""How many bars are looked at one by one for one that reaches a protection, then how many at once.
"""
_LOWEST, _HIGHEST = -(2**62), 2**62

Spoken = Sequence[tuple[int, Signal]]
"""Steps, and what the strategy said there."""


class Kind(IntEnum):
    """What an execution did."""

    STOPPED = 0
    TOOK_PROFIT = 1
    CLOSED = 2
    OPENED = 3


class Done(NamedTuple):
    """One execution, and how the account stood after it.

    ``quantity`` is signed by the side, ``slip`` how much worse than the price it was. ``number`` is
    how many numbers the exchange had given before; ``held``, ``average`` and ``balance`` are of
    afterwards. ``size`` is the order's quantity in base units, ``signal`` what it was sent for.
    """

    kind: Kind
    step: int
    quantity: int
    price: int
    slip: int
    fee: int
    gain: int
    number: int
    held: int
    average: int
    balance: int
    size: Decimal
    signal: Signal | None = None
    stop: int | None = None
    take: int | None = None


@dataclass(slots=True, kw_only=True)
class Standing:
    """How the account and the strategy's wish stand: money in 0.0001, quantities in lots.

    ``size`` is what is held in base units; protections are looked for from step ``since`` on.
    ``spent``: the wish has had its one attempt to open. ``vetoed`` is the code of the veto that
    people were told of last, if no order has passed since.
    """

    balance: int
    numbered: int
    held: int = 0
    size: Decimal = Decimal(0)
    average: int = 0
    stop: int | None = None
    take: int | None = None
    since: int = 0
    wish: Signal | None = None
    spent: bool = False
    vetoed: str = ""


class Decided(NamedTuple):
    """What became of a signal that was to open: the gate's decision, where it was asked.

    ``told``: people are told of the veto.
    """

    step: int
    signal: Signal
    decision: Decision | None = None
    told: bool = False

    @property
    def limited(self) -> bool:
        """True where the gate was asked, and said more than yes."""
        decision = self.decision
        return decision is not None and (
            not decision.approved
            or any(each.verdict is Verdict.REDUCED for each in decision.findings)
        )


@dataclass(slots=True)
class Reckoned:
    """What came of a stretch: executions, what was decided on the way, and where it stands.

    Before ``end`` all is certain; ``ambiguous`` are the bars in which a stop and a limit were
    reached.
    """

    standing: Standing
    end: int
    done: list[Done] = field(default_factory=list)
    decided: list[Decided] = field(default_factory=list)
    ambiguous: list[int] = field(default_factory=list)


class Loud(Exception):
    """From ``step`` on it isn't certain what happens."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


Size = Callable[[Signal, int, int, int | None, int], Decimal | None]
"""Signal, step, price, stop and equity -> base units; None where the gate has to be asked."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Who gives leave to open: ``size``, or ``asker`` where each order has to be asked about.

    ``veto`` is the code by which everything that opens is vetoed, if it is; ``noted``: it is noted
    of every order that it was made smaller.
    """

    size: Size
    asker: Asker | None = None
    veto: str = ""
    noted: bool = False


class Trader:
    """Trades one instrument as an account does that holds nothing else.

    The tape has a bar at each step.
    """

    def __init__(
        self, tape: Tape, money: Money, terms: Terms, instrument: Instrument, seed: int
    ) -> None:
        self._tape, self._money, self._terms, self._each = tape, money, terms, instrument
        self._seed = seed
        self._least = instrument.minimum_stop_distance / tape.unit
        self._bids = tape.bid_low.data, tape.bid_high.data
        self._asks = tape.ask_low.data, tape.ask_high.data
        self._slips = bool(terms.slippage_pips or terms.slippage_random_pips)

    def play(self, standing: Standing, spoken: Spoken, end: int, leave: Leave) -> Reckoned:
        """Trade what was ``spoken`` from ``standing`` on, and come to step ``end``, or near it.

        ``standing`` isn't changed.
        """
        reckoned = Reckoned(replace(standing), end)
        at = np.array([step for step, _ in spoken], np.intp)
        prices = zip(self._tape.bid[at].tolist(), self._tape.ask[at].tolist(), strict=True)
        try:
            for (step, signal), (bid, ask) in zip(spoken, prices, strict=True):
                self._protect(reckoned, step + 1)
                self._hear(reckoned, step, signal, (bid, ask), leave)
            self._protect(reckoned, end)
        except Loud as loud:
            reckoned.end = loud.step
        return reckoned

    def _hear(
        self,
        reckoned: Reckoned,
        step: int,
        signal: Signal,
        quote: tuple[int, int],
        leave: Leave,
    ) -> None:
        """Do what a signal asks for: close what is wrong, then open."""
        standing, way = reckoned.standing, signal.direction
        standing.wish, standing.spent = signal, False
        held, equity = standing.held, standing.balance
        if held:
            price = quote[0] if held > 0 else quote[1]
            equity += self._money.gain(held, price - standing.average, step)
            if held * way > 0:
                return
            self._close(reckoned, step, signal, price)
            if leave.asker is not None:
                leave.asker.sent(step, opens=False)
        if not way:
            return
        if leave.veto and leave.veto == standing.vetoed:
            standing.spent = True
            reckoned.decided.append(Decided(step, signal))
        elif leave.asker is not None:
            used = abs(held) * quote[1] * self._point(step) * float(self._each.margin_rate)
            decision = leave.asker(signal, step, equity, used)
            self._ask(reckoned, step, signal, quote, (leave.asker, decision))
        elif leave.veto:
            raise Loud(step)
        else:
            self._size(reckoned, step, signal, quote, equity, leave)

    def _point(self, step: int) -> float:
        """Return what one unit of price of one lot is worth, nearly."""
        return float(self._money.lot * self._money.unit * self._money.rate(step))

    def _ask(
        self,
        reckoned: Reckoned,
        step: int,
        signal: Signal,
        quote: tuple[int, int],
        answer: tuple[Asker, Decision | None],
    ) -> None:
        """Do what the gate decided."""
        standing, (asker, decision) = reckoned.standing, answer
        if decision is None:
            raise Loud(step)
        proposal = decision.proposal
        if decision.approved and proposal is not None:
            whole = self._tape.whole
            stop = None if proposal.stop_loss is None else whole(proposal.stop_loss)
            take = None if proposal.take_profit is None else whole(proposal.take_profit)
            closing = quote[0] if signal.direction > 0 else quote[1]
            self._require_takable(step, signal.direction, closing, take)
            reckoned.decided.append(Decided(step, signal, decision))
            asker.sent(step, opens=True)
            self._open(reckoned, step, signal, quote, proposal.quantity, (stop, take))
            return
        told = standing.vetoed != decision.code
        standing.spent, standing.vetoed = True, decision.code
        reckoned.decided.append(Decided(step, signal, decision, told))

    def _require_takable(self, step: int, way: int, closing: int, price: int | None) -> None:
        """Leave an order to the exchange whose take-profit it might refuse."""
        if price is not None:
            room = (price - closing) * way
            if room <= 0 or room < self._least or not 0 < price <= FARTHEST:
                raise Loud(step)

    def _close(self, reckoned: Reckoned, step: int, signal: Signal, market: int) -> None:
        standing = reckoned.standing
        side = Side.SELL if standing.held > 0 else Side.BUY
        price = self._slipped(side, market, standing.numbered + 1)
        self._end(reckoned, Kind.CLOSED, step, price, abs(price - market), signal)
        standing.numbered += 2

    def _end(
        self,
        reckoned: Reckoned,
        kind: Kind,
        step: int,
        price: int,
        slip: int,
        signal: Signal | None,
    ) -> None:
        """Note that the position ends at ``price``."""
        standing = reckoned.standing
        held, size = standing.held, standing.size
        matched = kind <= Kind.TOOK_PROFIT
        gain = self._money.gain(held, price - standing.average, step, matched=matched)
        fee = self._money.fee(abs(held), price, step, matched=matched)
        standing.balance += gain - fee
        standing.held = standing.average = 0
        standing.size = Decimal(0)
        standing.stop = standing.take = None
        reckoned.done.append(
            Done(
                kind,
                step,
                -held,
                price,
                slip,
                fee,
                gain,
                standing.numbered,
                0,
                0,
                standing.balance,
                size,
                signal,
            )
        )

    def _size(
        self,
        reckoned: Reckoned,
        step: int,
        signal: Signal,
        quote: tuple[int, int],
        equity: int,
        leave: Leave,
    ) -> None:
        """Open what the sizer wants, as if every check approved."""
        way = signal.direction
        closing, market = quote if way > 0 else (quote[1], quote[0])
        stop = self._away(market, signal.stop_distance, -way)
        take = self._away(market, signal.take_profit_distance, way)
        self._require_takable(step, way, closing, take)
        if stop is not None:
            room = (closing - stop) * way
            if room <= 0 or room < self._least or not 0 < stop <= FARTHEST:
                raise Loud(step)
        wanted = leave.size(signal, step, market, stop, equity)
        if wanted is None:
            raise Loud(step)
        if leave.noted:
            reckoned.decided.append(Decided(step, signal))
        self._open(reckoned, step, signal, quote, wanted, (stop, take))

    def _open(
        self,
        reckoned: Reckoned,
        step: int,
        signal: Signal,
        quote: tuple[int, int],
        wanted: Decimal,
        guards: tuple[int | None, int | None],
    ) -> None:
        standing, way = reckoned.standing, signal.direction
        stop, take = guards
        market = quote[1] if way > 0 else quote[0]
        lots = int(wanted / self._money.lot)
        if not self._money.exact(lots, market):
            raise Loud(step)
        side = Side.BUY if way > 0 else Side.SELL
        price = self._slipped(side, market, standing.numbered + 1)
        fee = self._money.fee(lots, price, step)
        number = standing.numbered
        standing.balance -= fee
        standing.numbered += 2 + (stop is not None) + (take is not None)
        standing.held, standing.size, standing.average = way * lots, wanted, price
        standing.stop, standing.take, standing.since = stop, take, step + 1
        standing.spent, standing.vetoed = True, ""
        reckoned.done.append(
            Done(
                Kind.OPENED,
                step,
                way * lots,
                price,
                abs(price - market),
                fee,
                0,
                number,
                way * lots,
                price,
                standing.balance,
                wanted,
                signal,
                stop,
                take,
            )
        )

    def _away(self, price: int, distance: Decimal | None, way: int) -> int | None:
        """Return ``price`` moved by ``distance``, rounded to the price step away from it."""
        if distance is None:
            return None
        # As the gate does it, to the last digit of a distance that has many.
        steps = (price * self._tape.unit + way * distance) / self._each.price_step
        return int(steps.to_integral_value(ROUND_CEILING if way > 0 else ROUND_FLOOR))

    def _slipped(self, side: Side, price: int, numbered: int) -> int:
        """Return the price that a market order gets, ``numbered`` numbers having been given."""
        if not self._slips:
            return price
        unit = self._tape.unit
        worse = costs.slipped(price * unit, side, self._terms, self._each, self._seed, numbered)
        return int(worse / unit)

    # --- protections -------------------------------------------------------------------------

    def _protect(self, reckoned: Reckoned, end: int) -> None:
        """Look for the first bar before step ``end`` that reaches what protects the position."""
        standing = reckoned.standing
        if not standing.held or (standing.stop is None and standing.take is None):
            return
        first, length = standing.since, _LOOK
        standing.since = max(end, first)
        lows, highs, below, above = self._reach(standing)
        for step in range(first, min(first + _NEAR, end)):
            if lows[step] <= below or highs[step] >= above:
                self._fill(reckoned, step)
                return
        first += _NEAR
        while first < end:
            last = min(first + length, end)
            reached = (np.asarray(lows[first:last]) <= below) | (
                np.asarray(highs[first:last]) >= above
            )
            if reached.any():
                self._fill(reckoned, first + int(reached.argmax()))
                return
            first, length = last, 2 * length

    def _reach(self, standing: Standing) -> tuple[memoryview, memoryview, int, int]:
        """Return where each bar reached on the side that closes, and what protects from there.

        A protection that there isn't is out of any bar's reach.
        """
        stop, take = standing.stop, standing.take
        if standing.held > 0:
            lows, highs = self._bids
            below, above = stop, take
        else:
            lows, highs = self._asks
            below, above = take, stop
        below = _LOWEST if below is None else below
        return lows, highs, below, _HIGHEST if above is None else above

    def _fill(self, reckoned: Reckoned, step: int) -> None:
        """Fill the protection that the bar of ``step`` reaches, the stop before the limit."""
        standing, tape = reckoned.standing, self._tape
        if not standing.spent:
            raise Loud(step)  # the wish still stands, and is tried again at once
        at, long = step, standing.held > 0
        opened = int((tape.bid_open if long else tape.ask_open)[at])
        lows, highs, below, above = self._reach(standing)
        under, over = lows[step] <= below, highs[step] >= above
        stopped, took = (under, over) if long else (over, under)
        if stopped and standing.stop is not None:
            market = min(standing.stop, opened) if long else max(standing.stop, opened)
            side = Side.SELL if long else Side.BUY
            price = self._slipped(side, market, standing.numbered)
            if long:
                price = max(price, min(int(tape.bid_low[at]), market))
            else:
                price = min(price, max(int(tape.ask_high[at]), market))
            if took and self._ranges(at):
                reckoned.ambiguous.append(step)
            self._end(reckoned, Kind.STOPPED, step, price, abs(price - market), None)
        elif standing.take is not None:
            price = max(standing.take, opened) if long else min(standing.take, opened)
            self._end(reckoned, Kind.TOOK_PROFIT, step, price, 0, None)
        standing.numbered += 1

    def _ranges(self, at: int) -> bool:
        """Tell whether a bar has a range, so that what it reached first isn't known."""
        tape = self._tape
        return bool(tape.bid_high[at] != tape.bid_low[at] or tape.ask_high[at] != tape.ask_low[at])
