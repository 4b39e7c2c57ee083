"""The gate: breaker, then sizing, then checks. No order is sent without its approval.

It fails closed. A check or a sizer that raises, answers nonsense, enlarges the order or is slow
is a veto, and so is any number that is missing or isn't one.

*Prices.* The reference price is the ask for a buy and the bid for a sell. Both protective prices
are rounded to the price step away from it, so that neither is tighter than the strategy asked
for, and the size follows from the rounded stop: the loss at it is never more than was meant.

*Quantities.* They are rounded down to the quantity step, after sizing and after every reduction.
One above the instrument's maximum is refused, not trimmed: it's a sign that something is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

from mtquant.contract import (
    BreakerLevel,
    Check,
    Finding,
    Plugin,
    Proposal,
    RiskState,
    Sizer,
    Verdict,
    agent_of,
)
from mtquant.errors import Vetoed
from mtquant.model import Instrument, OrderRequest, QuantityUnit, Quote, Side, Signal, plain
from mtquant.risk.agents import NAME as AGENT_BUDGET
from mtquant.risk.agents import review_agent
from mtquant.risk.breaker import BreakerRules
from mtquant.risk.decision import Decision, figure

MAX_PLUGIN_S = 1.0
"""How long a sizer or check may take; one of ours takes some millionths of it."""
WARNED = "warned"
"""The code of an order that is smaller because the loss breaker warns."""
BREAKER_VETOES = {
    BreakerLevel.REDUCING: ("reducing_only", "the loss breaker lets positions be reduced only"),
    BreakerLevel.HALTED: (
        "trading_halted",
        "the loss breaker has halted trading until a person resets",
    ),
}
"""Code and sentence of the veto at a breaker level."""
FARTHEST = 10**12
"""In price steps: beyond it there is no price, whatever the distance a strategy asks for."""
_Ask = Callable[[Proposal, RiskState], Finding]
_ZERO = Decimal(0)
_APPROVED = Verdict.APPROVED
_NO_PRICE = Decimal("NaN")


class Gate:
    """One sizer, the checks in their order, and the rules of the breaker.

    ``watch`` tells seconds that never go backwards, by which a plugin is found too slow; by default
    they stand still, as they do in a replay.
    """

    def __init__(
        self,
        sizer: Sizer[Any],
        checks: Sequence[Check[Any]],
        rules: BreakerRules,
        watch: Callable[[], float] = float,
    ) -> None:
        self.sizer = sizer
        self.checks = tuple(checks)
        self.rules = rules
        self.watch = watch
        self.asked: list[tuple[str, _Ask]] = [(_name(check), check.review) for check in self.checks]
        self._asked_of_agents = [(AGENT_BUDGET, review_agent), *self.asked]

    def asked_of(self, source: str) -> Sequence[tuple[str, _Ask]]:
        """Return what is asked of an order from ``source``: an agent's budget comes first."""
        return self.asked if agent_of(source) is None else self._asked_of_agents

    def review(self, signal: Signal, account: str, state: RiskState) -> Decision:
        """Decide on the new exposure that ``signal`` asks for at ``account``."""
        return self._decide(_Review(signal=signal, account=account, state=state))

    def review_order(
        self, signal: Signal, order: OrderRequest, account: str, state: RiskState
    ) -> Decision:
        """Decide on an order whose quantity and prices a person has named or approved.

        ``order`` is spelled our way; ``signal`` says who wants it and why. It passes as it is or
        not at all: nothing of it is rounded, sized or reduced.
        """
        return self._decide(_Review(signal=signal, account=account, state=state, order=order))

    def _decide(self, review: _Review) -> Decision:
        approved, code = False, "check_failed"
        try:
            message = review.run(self)
            approved, code = True, "approved"
        except Vetoed as veto:
            code, message = veto.code, str(veto)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises is a veto
            # The type alone: a plugin's text may hold anything, a secret too.
            message = f"{review.stage} failed: {type(error).__name__}"
        if not approved and not review.told:
            review.findings.append(
                Finding(
                    check=review.stage,
                    verdict=Verdict.VETOED,
                    quantity=_ZERO,
                    code=code,
                    message=message,
                )
            )
        return Decision(
            approved=approved,
            proposal=review.proposal,
            findings=tuple(review.findings),
            code=code,
            message=message,
            signal=review.signal,
            account=review.account,
            state=review.state,
        )

    def review_reduction(
        self,
        signal: Signal,
        account: str,
        side: Side,
        quantity: Decimal,
        state: RiskState | None,
    ) -> Decision:
        """Put on record that ``quantity`` of a position at ``account`` is closed by ``side``.

        It is always approved, without a quote and at any breaker level: no check meant for new
        exposure may block it. So the decision is good for ``close_position`` only, which can
        never open a position. The reference price is NaN where there is no quote.
        """
        quote = state.quote if state else None
        finding = Finding(
            check="gate",
            verdict=Verdict.APPROVED,
            quantity=quantity,
            code="reducing",
            message="a reducing order is not asked about new exposure",
        )
        return Decision(
            approved=True,
            proposal=Proposal(
                signal=signal,
                account=account,
                side=side,
                quantity=quantity,
                reference_price=_reference(side, quote) if quote else _NO_PRICE,
                stop_loss=None,
                take_profit=None,
            ),
            findings=(finding,),
            code="reducing",
            message=f"{side} {figure(quantity)} {signal.instrument} to reduce: {signal.reason}",
            signal=signal,
            account=account,
            state=state,
        )


@dataclass(slots=True, kw_only=True)
class _Review:
    """One signal's way through the gate; ``stage`` names who is being asked."""

    signal: Signal
    account: str
    state: RiskState
    order: OrderRequest | None = None
    stage: str = "gate"
    findings: list[Finding] = field(default_factory=list)
    proposal: Proposal | None = None

    @property
    def told(self) -> bool:
        """True once a finding says why it was vetoed."""
        return bool(self.findings) and self.findings[-1].verdict is Verdict.VETOED

    def run(self, gate: Gate) -> str:
        """Go all the way and return the approval's sentence; Vetoed and any error end it."""
        signal, state = self.signal, self.state
        _require_sane(signal, state.instrument)
        self.stage = "breaker"
        _require_trading(state.breaker)
        self.stage = "gate"
        _require_one_record(state)
        _require_equity(state)
        quote = _require_prices(state)
        watch = gate.watch
        before = watch()
        proposal = self._wanted(gate, quote) if self.order is None else self._named(quote)
        self.proposal = proposal
        before = self._require_quick(before, watch())
        for name, ask in gate.asked_of(signal.strategy_id):
            self.stage = name
            finding = ask(proposal, state)
            before = self._require_quick(before, watch())
            allowed = finding.quantity
            if (
                finding.verdict is _APPROVED
                and allowed == proposal.quantity
                and type(allowed) is Decimal
            ):
                self.findings.append(finding)
                continue
            quantity = self._weigh(finding, proposal)
            self.proposal = proposal = replace(proposal, quantity=quantity)
        stop = proposal.stop_loss
        protection = f", stop at {plain(stop)}" if stop else ", without a stop"
        name, size = signal.instrument, figure(proposal.quantity)
        return f"{proposal.side} {size} {name} at {plain(proposal.reference_price)}{protection}"

    def _require_quick(self, before: float, now: float) -> float:
        """Return ``now``; refuse where whoever was asked took so long that the state is past."""
        if now - before > MAX_PLUGIN_S:
            message = f"{self.stage} took more than {MAX_PLUGIN_S:g} s: its answer is of the past"
            raise Vetoed("check_slow", message)
        return now

    def _wanted(self, gate: Gate, quote: Quote) -> Proposal:
        """Return the sized market order that the signal comes to."""
        signal, instrument = self.signal, self.state.instrument
        side = Side.BUY if signal.direction > 0 else Side.SELL
        price = _reference(side, quote)
        stop_loss = _stop_loss(signal, side, quote, instrument)
        return Proposal(
            signal=signal,
            account=self.account,
            side=side,
            quantity=self._size(gate, price, stop_loss),
            reference_price=price,
            stop_loss=stop_loss,
            take_profit=_take_profit(signal, side, price, instrument),
        )

    def _named(self, quote: Quote) -> Proposal:
        """Return the order that was named, if its numbers are such as the broker takes."""
        order, instrument = self.order, self.state.instrument
        if order is None:
            raise Vetoed("invalid_order", "there is no order")
        _require_same(order, self.signal, instrument)
        market = _reference(order.side, quote)
        price = order.limit_price or order.stop_price or market
        better = (market - price) * order.side.sign > 0
        rests = order.stop_price is not None or (order.limit_price is not None and better)
        _require_named(order, price, None if rests else quote, instrument)
        self._note(Verdict.APPROVED, order.quantity, message="the quantity was named")
        return Proposal(
            signal=self.signal,
            account=self.account,
            side=order.side,
            quantity=order.quantity,
            reference_price=price,
            stop_loss=order.stop_loss,
            take_profit=order.take_profit,
            rests=rests,
        )

    def _size(self, gate: Gate, price: Decimal, stop_loss: Decimal | None) -> Decimal:
        """Return the sizer's quantity on the grid, made smaller while the breaker warns."""
        self.stage = _name(gate.sizer)
        signal = self.signal
        if stop_loss is not None:
            signal = replace(signal, stop_distance=abs(price - stop_loss))
        wished = gate.sizer.size(signal, self.state, price)
        quantity = _on_grid(wished, self.state.instrument)
        self._note(Verdict.APPROVED, quantity, observed=plain(wished))
        if self.state.breaker is not BreakerLevel.WARNED:
            return quantity
        self.stage = "breaker"
        share = gate.rules.warned_size
        quantity = _on_grid(wished * share, self.state.instrument)
        self._note(
            Verdict.REDUCED,
            quantity,
            code=WARNED,
            limit=plain(share),
            message=warning(gate.rules),
        )
        return quantity

    def _weigh(self, finding: Finding, proposal: Proposal) -> Decimal:
        """Return the quantity that a check's finding leaves; a veto, or nonsense, raises Vetoed."""
        allowed = finding.quantity
        if finding.verdict is Verdict.VETOED:
            self.findings.append(finding)
            raise Vetoed(finding.code or self.stage, finding.message)
        number = isinstance(allowed, Decimal)
        reduced = number and finding.verdict is Verdict.REDUCED
        if not (reduced and _ZERO <= allowed <= proposal.quantity):
            message = (
                f"{self.stage} answered {finding.verdict} with {allowed} "
                f"to a proposal of {plain(proposal.quantity)}"
            )
            raise Vetoed("check_failed", message)
        self.findings.append(finding)
        if self.order is not None:
            message = f"{finding.message}; the most that passes is {figure(allowed)}: order that"
            raise Vetoed(finding.code or self.stage, message)
        return _on_grid(allowed, self.state.instrument, finding)

    def _note(self, verdict: Verdict, quantity: Decimal, **details: str) -> None:
        self.findings.append(
            Finding(check=self.stage, verdict=verdict, quantity=quantity, **details)
        )


def warning(rules: BreakerRules) -> str:
    """Return the sentence on orders that are smaller because the loss breaker warns."""
    return f"the loss breaker warns: {plain(rules.warned_size * 100)} % of the usual size"


def _name(plugin: Plugin[Any]) -> str:
    return str(getattr(plugin, "name", type(plugin).__name__))


def _reference(side: Side, quote: Quote) -> Decimal:
    """Return the price at which a market order of ``side`` would fill."""
    return quote.ask if side is Side.BUY else quote.bid


def _require_sane(signal: Signal, instrument: Instrument) -> None:
    """Refuse a signal that asks for no exposure, or that isn't a well-formed wish."""
    if signal.direction not in {1, -1}:
        raise Vetoed("invalid_signal", f"a signal of direction {signal.direction} opens nothing")
    if signal.instrument != instrument.instrument:
        message = f"the signal is for {signal.instrument}, the state for {instrument.instrument}"
        raise Vetoed("invalid_signal", message)
    if not (math.isfinite(signal.confidence) and 0 <= signal.confidence <= 1):
        raise Vetoed("invalid_signal", f"a confidence of {signal.confidence} is not in 0 to 1")
    for distance in (signal.stop_distance, signal.take_profit_distance):
        if distance is not None and not _positive(distance):
            raise Vetoed("invalid_signal", f"a distance of {distance} is not a positive number")
    if not instrument.tradable:
        raise Vetoed("market_closed", f"{instrument.instrument} cannot be traded now")


def _require_trading(level: BreakerLevel) -> None:
    """Refuse new exposure from REDUCING on."""
    if level in BREAKER_VETOES:
        raise Vetoed(*BREAKER_VETOES[level])


def _require_one_record(state: RiskState) -> None:
    """Refuse where the broker's record of the instrument isn't our book's: what is held there?"""
    if state.differs:
        raise Vetoed("books_differ", f"{state.differs}: `mtquant reconcile` until they agree")


def _require_equity(state: RiskState) -> None:
    """Refuse where the equity is no number: every limit is a part of it."""
    if not state.account.equity.is_finite():
        raise Vetoed("no_equity", f"the equity is {state.account.equity}: it isn't known")


def _require_prices(state: RiskState) -> Quote:
    """Return the quote; refuse where it or the rate to the account's currency is missing."""
    name, quote, rate = state.instrument.instrument, state.quote, state.quote_rate
    if quote is None or not (_positive(quote.bid) and _positive(quote.ask)):
        raise Vetoed("no_price", f"{name} has no price")
    if quote.instrument != name:
        raise Vetoed("no_price", f"the quote is of {quote.instrument}, not of {name}")
    if rate is None or not _positive(rate):
        message = f"no rate from {state.instrument.quote} to {state.account.currency}"
        raise Vetoed("no_rate", message)
    return quote


def _stop_loss(signal: Signal, side: Side, quote: Quote, instrument: Instrument) -> Decimal | None:
    """Return the stop's price; None where none is asked for.

    A stop that stands nearer to the price that triggers it than the broker accepts is refused.
    """
    if signal.stop_distance is None:
        return None
    stop = _away(_reference(side, quote), -side.sign * signal.stop_distance, instrument)
    room = (_reference(side.opposite, quote) - stop) * side.sign
    if room < instrument.minimum_stop_distance or room <= 0:
        message = (
            f"the stop at {plain(stop)} stands {plain(room)} from the price that triggers it; "
            f"the broker asks for {plain(instrument.minimum_stop_distance)} at least"
        )
        raise Vetoed("invalid_stop", message)
    return stop


def _take_profit(
    signal: Signal, side: Side, price: Decimal, instrument: Instrument
) -> Decimal | None:
    """Return the take-profit's price; None where none is asked for."""
    if signal.take_profit_distance is None:
        return None
    return _away(price, side.sign * signal.take_profit_distance, instrument)


def _require_same(order: OrderRequest, signal: Signal, instrument: Instrument) -> None:
    """Refuse an order that isn't the one which the signal and the state are about."""
    about = (order.instrument, order.side.sign, order.quantity_unit)
    if about != (instrument.instrument, signal.direction, QuantityUnit.BASE):
        message = (
            f"the order is to {order.side} {order.instrument} in {order.quantity_unit} units, its "
            f"wish is of direction {signal.direction} in {instrument.instrument}, in base units"
        )
        raise Vetoed("invalid_order", message)


def _require_named(
    order: OrderRequest, price: Decimal, quote: Quote | None, instrument: Instrument
) -> None:
    """Refuse an order whose quantity or prices the broker wouldn't take as they are.

    ``quote`` is what triggers the stop of an order that fills at once; None for one that rests.
    """
    if order.quantity % instrument.quantity_step:
        below = order.quantity // instrument.quantity_step * instrument.quantity_step
        message = (
            f"{figure(order.quantity)} {instrument.instrument} is not in steps of "
            f"{figure(instrument.quantity_step)}: order {figure(below)} or "
            f"{figure(below + instrument.quantity_step)}"
        )
        raise Vetoed("off_step", message)
    _on_grid(order.quantity, instrument)
    prices = (order.limit_price, order.stop_price, order.stop_loss, order.take_profit)
    for each in prices:
        if each is not None and each % instrument.price_step:
            message = f"the price {plain(each)} is not in steps of {plain(instrument.price_step)}"
            raise Vetoed("off_step", message)
    trigger = _reference(order.side.opposite, quote) if quote else price
    ways = (("stop loss", order.stop_loss, 1), ("take profit", order.take_profit, -1))
    for name, protection, way in ways:
        if protection is None:
            continue
        room = (trigger - protection) * order.side.sign * way
        if room <= 0 or room < instrument.minimum_stop_distance:
            message = (
                f"the {name} at {plain(protection)} stands {plain(room)} from {plain(trigger)}, on "
                f"the side of a {order.side}; the broker asks for "
                f"{plain(instrument.minimum_stop_distance)} at least, and more than 0"
            )
            raise Vetoed("invalid_stop", message)


def _away(price: Decimal, offset: Decimal, instrument: Instrument) -> Decimal:
    """Return ``price`` moved by ``offset``, rounded to the price step away from ``price``."""
    steps = (price + offset) / instrument.price_step
    rounding = ROUND_CEILING if offset > 0 else ROUND_FLOOR
    moved = steps.to_integral_value(rounding) * instrument.price_step
    if moved <= 0 or steps > FARTHEST:
        message = f"{plain(abs(offset))} away from {plain(price)} there is no price"
        raise Vetoed("invalid_stop", message)
    return moved


def _on_grid(quantity: Decimal, instrument: Instrument, cause: Finding | None = None) -> Decimal:
    """Return ``quantity`` rounded down to the step; refuse what the instrument doesn't take.

    ``cause`` is the finding that made it so small, whose code a veto then carries.
    """
    name = instrument.instrument
    if not (quantity.is_finite() and quantity >= 0):
        raise Vetoed("invalid_quantity", f"{quantity} is no quantity of {name}")
    if quantity > instrument.quantity_max:
        message = (
            f"{figure(quantity)} {name} is above the broker's maximum of "
            f"{figure(instrument.quantity_max)} base units"
        )
        raise Vetoed("quantity_above_maximum", message)
    rounded = quantity // instrument.quantity_step * instrument.quantity_step
    if rounded < instrument.quantity_min or not rounded:
        message = (
            f"{figure(quantity)} {name} comes to {figure(rounded)} in steps of "
            f"{figure(instrument.quantity_step)}, below the broker's minimum of "
            f"{figure(instrument.quantity_min)} base units"
        )
        if cause is not None:
            raise Vetoed(cause.code, f"{cause.message}; {message}")
        raise Vetoed("quantity_below_minimum", message)
    return rounded


def _positive(number: Decimal) -> bool:
    return number.is_finite() and number > 0
