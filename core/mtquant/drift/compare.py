"""A run beside its replay: every signal, order, execution and cost that isn't the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from mtquant.book import Holding
from mtquant.clock import SECOND
from mtquant.drift.evidence import Evidence
from mtquant.drift.recorded import Recorded
from mtquant.drift.replay import Replayed
from mtquant.drift.result import ZERO, Because, Cause, Counted, Difference
from mtquant.drift.story import Heard, Order, OrderKey, SignalKey
from mtquant.model import Fill, plain

_CENT = Decimal("0.0001")
"""Money is booked to this; a share of a commission is off by so much."""
_PLACES = 8
_MOMENT_S = 0.01
"""A fill that is sooner after its decision is told without the time between them."""
_DIRECTIONS = {1: "long", -1: "short", 0: "flat"}


class Parts(NamedTuple):
    """An execution's price: the mid decided on, half its spread, and what it filled worse."""

    mid: Decimal
    half: Decimal
    slip: Decimal


@dataclass(slots=True)
class Comparison:
    """Gathers the differences; see :func:`mtquant.drift.drift_of`."""

    found: Recorded
    replayed: Replayed
    evidence: Evidence
    differences: list[Difference] = field(default_factory=list)
    same_signals: int = 0
    same_fills: int = 0
    _causes: dict[tuple[str, str, int], Because] = field(default_factory=dict)
    _held: dict[str, list[Decimal]] = field(
        default_factory=lambda: defaultdict(lambda: [ZERO, ZERO])
    )
    _apart: dict[str, Because] = field(default_factory=dict)

    def run(self) -> None:
        """Compare signals, then orders and their executions, then swaps."""
        self._signals()
        self._orders()
        self._swaps()
        self.differences.sort(key=lambda each: (each.time, each.entry or 0))

    @property
    def signals(self) -> Counted:
        """How many signals there were."""
        both = self.found.story.signals, self.replayed.story.signals
        return Counted(recorded=len(both[0]), replayed=len(both[1]), same=self.same_signals)

    @property
    def fills(self) -> Counted:
        """How many executions there were."""
        both = self.found.story.fills, self.replayed.story.fills
        return Counted(recorded=len(both[0]), replayed=len(both[1]), same=self.same_fills)

    # --- signals -----------------------------------------------------------------------------

    def _signals(self) -> None:
        ours, theirs = self.found.story.signals, self.replayed.story.signals
        for key in sorted({*ours, *theirs}, key=lambda each: (each.time, each)):
            one, other = ours.get(key), theirs.get(key)
            if one is not None and other is not None and _same(one, other):
                self.same_signals += 1
                continue
            because = self.evidence.signal(key, missed=one is None)
            self._causes.setdefault(key[:3], because)
            self.differences.append(_signal(key, one, other, because))

    # --- orders and executions ---------------------------------------------------------------

    def _orders(self) -> None:
        ours, theirs = self.found.story.orders, self.replayed.story.orders

        def when(key: OrderKey) -> tuple[int, bool, int]:
            """A step's protective orders come first: they filled before anything was decided."""
            one, other = ours.get(key), theirs.get(key)
            known = one or other
            if known is None:
                return 0, False, 0
            return known.time, bool(known.client_order_id), one.entry if one else 0

        for key in sorted({*ours, *theirs}, key=when):
            one, other = ours.get(key), theirs.get(key)
            before = len(self.differences)
            if one is not None and other is not None:
                self._both(one, other)
            elif one is not None:
                self._alone(one, recorded=True)
            elif other is not None:
                self._alone(other, recorded=False)
            if one is not None and len(self.differences) == before:
                self.same_fills += len(one.fills)

    def _alone(self, order: Order, *, recorded: bool) -> None:
        """List an order that one of both has."""
        because = self._inherited(order) or self._why_alone(order, recorded=recorded)
        self._causes.setdefault((*order.key[:2], order.key.origin), because)
        said = _order(order)
        sign = 1 if recorded else -1
        self.differences.append(
            self._difference(
                order,
                "order" if order.client_order_id else "fill",
                (said, "none") if recorded else ("none", said),
                because,
                money=sign * self.worth(order),
                entry=order.entry or None,
            )
        )
        self._hold(order if recorded else None, None if recorded else order)
        self._note_apart(order, because)

    def _why_alone(self, order: Order, *, recorded: bool) -> Because:
        if not order.client_order_id:
            return self._follows(order) or self.evidence.unprotected(order)
        find = self.evidence.not_replayed if recorded else self.evidence.not_sent
        return (
            find(order)
            or self._follows(order)
            or Because(
                Cause.UNEXPLAINED, "the signal is the same, and nothing in the journal says why"
            )
        )

    def _inherited(self, order: Order) -> Because | None:
        """Return the cause of what differs in the signal, or the order, behind this one."""
        if order.person:
            return None
        strategies, symbol, origin, *_ = order.key
        for name in (strategies, *strategies.split("+")):
            if (because := self._causes.get((name, symbol, origin))) is not None:
                return because
        return None

    def _follows(self, order: Order) -> Because | None:
        """Return why what is held in this symbol isn't the same in both by now."""
        because = self._apart.get(order.key.instrument)
        if because is None:
            return None
        ours, theirs = (plain(each) for each in self._held[order.key.instrument])
        told = f"held before: {ours} in the run, {theirs} in the replay"
        return Because(because.cause, f"{told}; follows from: {because.why}")

    def _hold(self, one: Order | None, other: Order | None) -> None:
        """Take in what executions made of the position in the run and in the replay."""
        for place, order in enumerate((one, other)):
            if order is not None:
                self._held[order.key.instrument][place] += order.side.sign * order.filled

    def _note_apart(self, order: Order, because: Because) -> None:
        symbol = order.key.instrument
        if self._held[symbol][0] == self._held[symbol][1]:
            self._apart.pop(symbol, None)
        else:
            self._apart.setdefault(symbol, because)

    def _both(self, one: Order, other: Order) -> None:
        before = len(self.differences)
        self._compare(one, other)
        self._hold(one, other)
        if len(self.differences) > before:
            self._note_apart(one, self.differences[before].because)

    def _compare(self, one: Order, other: Order) -> None:
        if one.side is not other.side:
            because = (
                self._inherited(one)
                or self._follows(one)
                or Because(Cause.UNEXPLAINED, "on the other side")
            )
            self._pair(one, other, because, self.worth(one) - self.worth(other))
        elif not one.filled and not other.filled:
            return
        elif not one.filled or not other.filled:
            empty, which = (one, "the run") if not one.filled else (other, "the replay")
            because = self.evidence.not_filled(empty, reported=empty.reported)
            because = Because(because.cause, f"in {which}: {because.why}")
            self._pair(one, other, because, self.worth(one) - self.worth(other))
        else:
            self._filled(one, other)

    def _filled(self, one: Order, other: Order) -> None:
        """Compare two orders that both filled: size, price, and what they cost."""
        symbol = one.key.instrument
        quantity, sign = one.filled, one.side.sign
        rate, mark = self.replayed.rates[symbol], self.replayed.marks[symbol]
        fees = other.commission
        if quantity != other.filled:
            fees = other.commission * quantity / other.filled
            more = sign * (quantity - other.filled) * (mark - other.price) * rate
            because = self._inherited_size(one, other)
            self._pair(one, other, because, more - (fees - other.commission))
        self._prices(one, other, rate)
        fee = one.commission - fees
        if abs(fee) > _follows_the_price(one, other):
            self._commission(one, fees, fee)

    def _inherited_size(self, one: Order, other: Order) -> Because:
        held = self._follows(one) if not one.opens else None
        return self._inherited(one) or held or self.evidence.resized(one, other)

    def _prices(self, one: Order, other: Order, rate: Decimal) -> None:
        if one.price == other.price and parts(one) == parts(other):
            return
        ours, theirs, sign = parts(one), parts(other), one.side.sign
        if ours is None or theirs is None:
            ours, theirs = Parts(one.price, ZERO, ZERO), Parts(other.price, ZERO, ZERO)
        made = (
            (ours.mid - theirs.mid, sign, "fill", "mid", self._why_price),
            (ours.half - theirs.half, 1, "cost", "half the spread", self._why_spread),
            (ours.slip - theirs.slip, 1, "cost", "slippage", self._why_slippage),
        )
        pip = self.replayed.pips[one.key.instrument]
        for (gap, way, kind, name, why), was, now in zip(made, ours, theirs, strict=True):
            if not gap:
                continue
            if kind == "fill":
                said = (f"{_order(one)}", f"{_order(other)}")
            else:
                said = (f"{name} {_pips(was, pip)}", f"{name} {_pips(now, pip)}")
            self.differences.append(
                self._difference(
                    one,
                    kind,
                    said,
                    self.evidence.elsewhere(one) or why(one, other, ours, theirs),
                    price=gap,
                    money=-way * one.filled * gap * rate,
                    entry=one.entry or None,
                )
            )

    def _why_price(self, one: Order, other: Order, ours: Parts, theirs: Parts) -> Because:
        symbol = one.key.instrument
        inherited = self._causes.get((*one.key[:2], one.key.origin))
        if inherited is not None:
            return inherited
        if self.found.live and one.protects is None:
            moved = f"the mid was {plain(theirs.mid)} at the close of the bar"
            told = f"{moved} and {plain(ours.mid)} when it was decided"
            return Because(Cause.SLIPPAGE, told)
        told = f"at {plain(one.price)} in the run, {plain(other.price)} in the replay"
        return self.evidence.prices(symbol, one.time) or Because(
            Cause.DATA, f"{told}: other prices"
        )

    def _why_spread(self, one: Order, _: Order, ours: Parts, theirs: Parts) -> Because:
        changed = self.evidence.terms(one.time, "spread")
        pip = self.replayed.pips[one.key.instrument]
        told = f"the spread was {_pips(2 * ours.half, pip)}, {_pips(2 * theirs.half, pip)} in "
        return Because(Cause.SPREAD, changed or f"{told}the replay")

    def _why_slippage(self, one: Order, _: Order, ours: Parts, __: Parts) -> Because:
        changed = self.evidence.terms(one.time, "slippage", "liquidity")
        reference = one.price - one.side.sign * ours.slip
        later = (one.fills[0].time - one.time) / SECOND
        after = f" {later:,.2f} s later" if later >= _MOMENT_S else ""
        moved = f"decided at {plain(reference)}, filled at {plain(one.price)}{after}"
        return Because(Cause.SLIPPAGE, changed or moved)

    def _commission(self, order: Order, was: Decimal, fee: Decimal) -> None:
        changed = self.evidence.terms(order.time, "commission")
        because = self.evidence.elsewhere(order) or Because(
            Cause.COMMISSION,
            changed or f"{plain(order.commission)} was paid, the replay's terms come to {was:.4f}",
        )
        said = (f"commission {order.commission:,.4f}", f"commission {was:,.4f}")
        self.differences.append(
            self._difference(order, "cost", said, because, money=-fee, entry=order.entry or None)
        )

    def _pair(self, one: Order, other: Order, because: Because, money: Decimal) -> None:
        """List an order that both have, filled otherwise."""
        self.differences.append(
            self._difference(
                one,
                "fill",
                (_order(one), _order(other)),
                because,
                money=money,
                entry=one.entry or None,
            )
        )

    def _difference(  # noqa: PLR0913 - what a row is made of
        self,
        order: Order,
        kind: str,
        said: tuple[str, str],
        because: Because,
        *,
        money: Decimal,
        price: Decimal | None = None,
        entry: int | None = None,
    ) -> Difference:
        pip = self.replayed.pips.get(order.key.instrument)
        return Difference(
            time=order.time,
            kind=kind,
            instrument=order.key.instrument,
            strategy_id=order.key.strategy_id,
            recorded=said[0],
            replayed=said[1],
            because=because,
            price=None if price is None else round(price, _PLACES),
            pips=None if price is None or pip is None else round(price / pip, _PLACES),
            money=cents(money),
            entry=entry,
        )

    # --- money -------------------------------------------------------------------------------

    def worth(self, order: Order) -> Decimal:
        """Return what an order's executions are worth at the last price, in the account's currency.

        The sum over all of a run is its profit: what is open is valued, and what is closed comes
        to what was realized, but for the rate at which other currencies were turned into it.
        """
        return sum((self._worth(each) for each in order.fills), ZERO)

    def _worth(self, fill: Fill) -> Decimal:
        mark = self.replayed.marks.get(fill.instrument, fill.price)
        rate = self.replayed.rates.get(fill.instrument, ZERO)
        return fill.side.sign * fill.quantity * (mark - fill.price) * rate - fill.commission

    def profit(self, fills: list[tuple[int, Fill]], swap: Decimal) -> Decimal:
        """Return a run's profit: as it was booked, and what is open at the last mid price."""
        booked = sum((each.realized_profit - each.commission for _, each in fills), swap)
        return cents(booked + self._open(fills))

    def _open(self, fills: list[tuple[int, Fill]]) -> Decimal:
        """Return the value of what is open: each symbol's net at its average price."""
        held: dict[str, Holding] = {}
        for _, fill in fills:
            before = held.get(fill.instrument, Holding(ZERO, ZERO))
            held[fill.instrument] = before.after(fill.side, fill.quantity, fill.price)
        return sum(
            (
                each.quantity
                * (self.replayed.marks[symbol] - each.average_price)
                * self.replayed.rates[symbol]
                for symbol, each in held.items()
                if symbol in self.replayed.marks
            ),
            ZERO,
        )

    def _swaps(self) -> None:
        """List how swaps differ: as the broker told of them, or as far as balances show it.

        A balance is compared that both decided on, the last of those.
        """
        gap = self.swap_gap()
        if not gap or not self.replayed.steps:
            return
        last = self.replayed.steps[-1]
        changed = self.evidence.terms(last, "swap", "rollover", "triple")
        ours = self.replayed.swap + gap
        self.differences.append(
            Difference(
                time=last,
                kind="cost",
                instrument="",
                strategy_id="",
                recorded=f"swaps {ours:,.2f}",
                replayed=f"swaps {self.replayed.swap:,.2f}",
                because=Because(
                    Cause.SWAP, changed or "the balance moved otherwise than by executions"
                ),
                money=cents(gap),
            )
        )

    def swap_gap(self) -> Decimal:
        """Return by how much the run earned more by swaps than the replay."""
        if self.found.financing is not None:
            return self.found.financing - self.replayed.swap
        ours, theirs = self.found.story.unbooked, self.replayed.story.unbooked
        both = {*ours} & {*theirs}
        lost = any(each.reported > each.filled for each in self.found.story.orders.values())
        if lost or not both:
            return ZERO  # a balance that holds what the journal lacks says nothing of swaps
        last = max(both, key=lambda each: each[2])
        return ours[last] - theirs[last]


def parts(order: Order) -> Parts | None:
    """Return what the price of an order's executions is made of; None where that isn't known."""
    price, sign = order.price, order.side.sign
    if not order.client_order_id:
        if order.protects is None:
            return None
        return Parts(order.protects, ZERO, sign * (price - order.protects))
    if order.verdict is None or order.verdict.quote is None:
        return None
    bid, ask = order.verdict.quote
    mid, half = (bid + ask) / 2, (ask - bid) / 2
    return Parts(mid, half, sign * (price - mid) - half)


def _follows_the_price(one: Order, other: Order) -> Decimal:
    """Return by how much commissions may differ where their terms don't.

    Some are charged on the notional, and all are rounded.
    """
    if (one.price, one.filled) == (other.price, other.filled):
        return ZERO
    moved = one.commission * abs(one.price - other.price) / other.price
    return moved + 2 * _CENT * max(len(one.fills), len(other.fills))


def _same(one: Heard, other: Heard) -> bool:
    ours, theirs = one.signal, other.signal
    return (ours.direction, ours.stop_distance, ours.take_profit_distance, ours.confidence) == (
        theirs.direction,
        theirs.stop_distance,
        theirs.take_profit_distance,
        theirs.confidence,
    )


def _signal(key: SignalKey, one: Heard | None, other: Heard | None, because: Because) -> Difference:
    return Difference(
        time=key.time,
        kind="signal",
        instrument=key.instrument,
        strategy_id=key.strategy_id,
        recorded=_wish(one),
        replayed=_wish(other),
        because=because,
        entry=one.entry if one else None,
    )


def _wish(heard: Heard | None) -> str:
    if heard is None:
        return "none"
    signal = heard.signal
    stop = f", stop {plain(signal.stop_distance)}" if signal.stop_distance else ""
    return f"{_DIRECTIONS.get(signal.direction, signal.direction)}{stop}: {signal.reason}"


def cents(money: Decimal) -> Decimal:
    """Return an amount as it is booked."""
    return money.quantize(_CENT)


def _order(order: Order) -> str:
    what = f"{order.side.value} {order.quantity:,f}"
    if not order.fills:
        return f"{what}, not filled"
    done = "" if order.filled == order.quantity else f"{order.filled:,f} of "
    return f"{order.side.value} {done}{order.quantity:,f} at {_rounded(order.price)}"


def _rounded(price: Decimal) -> str:
    return f"{price:.8f}".rstrip("0").rstrip(".")


def _pips(distance: Decimal, pip: Decimal) -> str:
    return f"{distance / pip:.2f}".rstrip("0").rstrip(".") + " pips"
