"""Sizers: how much to trade.

Each takes the settings of ``Adjustment`` too, which make its size smaller and never larger. What
the loss breaker takes off while it warns (``warned_size``) comes on top, in the gate.

No sizer guesses: a figure that it needs and that is missing or isn't a number is a veto.
"""

from __future__ import annotations

import math
from decimal import Decimal
from inspect import cleandoc
from statistics import NormalDist
from typing import Annotated, Any

from pydantic import Field, model_validator

from mtquant.contract import RiskState, Settings, Sizer, TradeRecord
from mtquant.errors import Vetoed
from mtquant.model import Number, Positive, Signal

ZERO, ONE = Decimal(0), Decimal(1)

Share = Annotated[Number, Field(gt=0, le=1)]
"""A part of something, more than none of it (0.01 is 1 %)."""


class Adjustment(Settings):
    """Settings that every sizer has; each makes the size smaller, and each is off by default.

    ``by_confidence``: true multiplies the size by the signal's confidence, 0 to 1.

    ``drawdown_from``, ``drawdown_to``: between these losses from the highest equity (0.05 is 5 %)
    the size falls along a straight line (the rule of Grossman & Zhou 1993, with a floor); no
    ``drawdown_to`` is off.

    ``drawdown_least``: the part of the size that is left at ``drawdown_to`` and beyond; 0 stops
    opening there.

    ``by_correlation``: true shrinks an order that moves with what the account holds, until it
    adds no more variance to the account than it has alone (as an uncorrelated one would); needs
    the volatility of all that is held.
    """

    by_confidence: bool = False
    drawdown_from: Annotated[Number, Field(ge=0, lt=1)] = ZERO
    drawdown_to: Share | None = None
    drawdown_least: Annotated[Number, Field(ge=0, le=1)] = Decimal("0.25")
    by_correlation: bool = False

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - handed through
        """Add these meanings to those of the sizer's own settings."""
        super().__pydantic_init_subclass__(**kwargs)
        shared = cleandoc(Adjustment.__doc__ or "")
        cls.__doc__ = f"{cleandoc(cls.__doc__ or '')}\n\n{shared}"

    @model_validator(mode="after")
    def _drawdown_is_a_range(self) -> Adjustment:
        if self.drawdown_to is None:
            if self.drawdown_from:
                raise ValueError("drawdown_from does nothing without drawdown_to: set both")
        elif self.drawdown_to <= self.drawdown_from:
            raise ValueError(
                f"drawdown_to ({self.drawdown_to}) must be more than drawdown_from "
                f"({self.drawdown_from})"
            )
        return self

    def adjust(
        self, quantity: Decimal, signal: Signal, state: RiskState, price: Decimal
    ) -> Decimal:
        """Return ``quantity``, or less where these settings say so."""
        if self.by_confidence:
            quantity *= _confidence(signal)
        if self.drawdown_to is not None:
            quantity *= self._drawdown_share(state.drawdown, self.drawdown_to)
        # Last, because it depends on the size: the less is ordered, the more of it may stay.
        if self.by_correlation:
            quantity *= _correlation_share(quantity, signal, state, price)
        return quantity

    def _drawdown_share(self, drawdown: Decimal, end: Decimal) -> Decimal:
        """Return 1 down to ``drawdown_least``."""
        if not drawdown.is_finite():
            raise Vetoed(
                "no_drawdown",
                f"the size depends on the drawdown, which is {drawdown}: see to the account's "
                "equity, or leave out drawdown_to",
            )
        start = self.drawdown_from
        way = min(max((drawdown - start) / (end - start), ZERO), ONE)
        return ONE - (ONE - self.drawdown_least) * way


class FixedFractionSettings(Adjustment):
    """``fraction``: the part of equity that is lost if the stop is hit (0.01 is 1 %)."""

    fraction: Share = Decimal("0.01")


class FixedFraction(Sizer[FixedFractionSettings]):
    """Risks the same fraction of equity on every trade (fixed fractional sizing, Vince 1990).

    quantity = fraction x equity / (stop distance x rate of the quote currency). Slippage past
    the stop, and the rate moving until then, come on top.
    """

    name = "fixed_fraction"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
        """Return the quantity whose loss at the stop is the fraction of equity, or less."""
        quantity = _at_risk(self.settings.fraction, self.name, signal, state)
        return self.settings.adjust(quantity, signal, state, price)


class FixedQuantitySettings(Adjustment):
    """``quantity``: base units of every order (a tenth of a standard lot)."""

    quantity: Positive = Decimal(10_000)


class FixedQuantity(Sizer[FixedQuantitySettings]):
    """The same quantity every time, whatever is at risk."""

    name = "fixed_quantity"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
        """Return the configured quantity, or less."""
        return self.settings.adjust(self.settings.quantity, signal, state, price)

    def always(self) -> Decimal | None:
        """Return the configured quantity, where nothing adjusts it."""
        wanted = self.settings
        adjusted = wanted.by_confidence or wanted.by_correlation or wanted.drawdown_to is not None
        return None if adjusted else wanted.quantity


class KellySettings(Adjustment):
    """``fraction``: the part of the Kelly fraction that is risked (0.5 is half Kelly).

    ``confidence``: of the lower bound taken for the share of wins, one-sided (0.9 is 90 %); 0.5
    takes the share as it was measured.

    ``min_trades``: how many closed trades of the strategy must be measured before Kelly is used.

    ``start_fraction``: the part of equity risked at the stop until then, and while the edge may
    be luck (0.005 is 0.5 %).

    ``max_fraction``: the largest part of equity ever risked at the stop, before ``min_trades``
    too (0.02 is 2 %).
    """

    fraction: Share = Decimal("0.5")
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    min_trades: Annotated[int, Field(ge=1, le=100_000)] = 30
    start_fraction: Share = Decimal("0.005")
    max_fraction: Share = Decimal("0.02")


class Kelly(Sizer[KellySettings]):
    """Risks a part of the Kelly fraction, measured from the strategy's own closed trades.

    f* = p - (1 - p) / b is the part of equity that grows it fastest (Kelly 1956, Thorp 2006),
    where p is the share of wins and b the payoff, mean win over mean loss. Risked at the stop is
    the least of fraction x f* and max_fraction, and quantity = that x equity / (stop distance x
    rate of the quote currency). Half of f* keeps three quarters of the growth at half the
    volatility (MacLean, Thorp & Ziemba 2010).

    *Small samples.* f* from an estimate is too large on average out of sample, and betting more
    than f* costs more than betting less, so it has to be shrunk (Baker & McHale 2013). Here p is
    the lower bound of the Wilson score interval (Wilson 1927), which holds for few trades as well
    and comes nearer to the measured share the more there are. An edge that is measured but may be
    luck, where the bound's f* is 0 or less, is traded at ``start_fraction`` or less, so that more
    trades can tell. At the default confidence of 0.9 one strategy in ten that just breaks even
    passes at a given count of trades; half Kelly and the cap guard against that one. Of those
    that win 50 % where 40 % break even, 43 % pass after 30 trades and 76 % after 100; at 0.95 it
    would be 29 % and 62 %.

    *No edge.* A measured f* of 0 or less is a veto. A strategy that isn't traded closes no more
    trades, so the veto stays until a person changes a setting (a larger ``min_trades``) or the
    sizer.

    *What it assumes.* The payoff isn't shrunk, and is of money, so that larger trades count for
    more. A losing trade is taken to lose what the stop allows; where strategies leave before the
    stop, less is risked than Kelly would. Trades at the same time are taken one by one: see
    ``by_correlation``. With wins and no loss in money the payoff is without bound, f* is p, and
    max_fraction caps it as ever.
    """

    name = "kelly"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
        """Return the quantity whose loss at the stop is the share of equity, or less."""
        record = state.records.get(signal.strategy_id, TradeRecord())
        share = self.share(record, signal.strategy_id)
        quantity = _at_risk(share, self.name, signal, state)
        return self.settings.adjust(quantity, signal, state, price)

    def share(self, record: TradeRecord, strategy_id: str) -> Decimal:
        """Return the part of equity to risk at the stop; no edge is a veto."""
        wanted = self.settings
        _require_measured(record, strategy_id)
        trades = record.wins + record.losses
        if trades < wanted.min_trades:
            return min(wanted.start_fraction, wanted.max_fraction)
        bound = wilson_bound(record.wins, trades, wanted.confidence)
        payoff = _payoff(record)
        best = kelly_fraction(Decimal(str(bound)), payoff)
        measured = kelly_fraction(Decimal(record.wins) / trades, payoff)
        if best <= 0 < measured:
            most = min(wanted.start_fraction, wanted.max_fraction)
            return min(most, wanted.fraction * measured)
        if best <= 0:
            raise Vetoed(
                "no_edge",
                f"{self.name} sees no edge in the {trades} closed trades of {strategy_id}: "
                f"{record.wins} won, {record.wins / trades:.1%}; a payoff of {payoff:.2f} needs "
                f"more than {1 / (1 + payoff):.1%}. It stays so, for no more trades are measured: "
                "stop the strategy, or raise min_trades or use the sizer fixed_fraction",
            )
        return min(wanted.fraction * best, wanted.max_fraction)


class VolatilityTargetSettings(Adjustment):
    """``target``: one standard deviation a year of the position, as a part of equity (0.1 is 10 %).

    ``max_leverage``: the largest notional value of the position, in multiples of equity.
    """

    target: Annotated[Number, Field(gt=0, le=2)] = Decimal("0.1")
    max_leverage: Annotated[Number, Field(gt=0, le=100)] = Decimal(5)


class VolatilityTarget(Sizer[VolatilityTargetSettings]):
    """Gives every position the same volatility (Moskowitz, Ooi & Pedersen 2012; Carver 2015).

    quantity = target x equity / (volatility x price x rate of the quote currency), where the
    volatility is a standard deviation a year, as a fraction of the price. In calm markets that is
    a large position, so its notional value is at most max_leverage x equity. The target is of one
    position: n that are uncorrelated come to the square root of n times it, and n that move
    together to n times it. Scaling by volatility kept the risk steady and the tails smaller in
    Harvey et al. 2018. The stop, if there is one, plays no part.
    """

    name = "volatility_target"

    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
        """Return the quantity that has the target's volatility, or less."""
        volatility = _volatility(self.name, signal, state)
        leverage = min(self.settings.target / volatility, self.settings.max_leverage)
        quantity = leverage * _equity(state) / _notional_of_one(state, price)
        return self.settings.adjust(quantity, signal, state, price)


def kelly_fraction(wins: Decimal, payoff: Decimal) -> Decimal:
    """Return f* = p - (1 - p) / b of a share of wins p and a payoff b; without a payoff, -1."""
    if not payoff:
        return -ONE
    return wins - (ONE - wins) / payoff


def wilson_bound(wins: int, trades: int, confidence: float) -> float:
    """Return the lower bound, one-sided, of the Wilson score interval of wins / trades."""
    z = NormalDist().inv_cdf(confidence)
    share, extra = wins / trades, z * z / trades
    spread = z * math.sqrt(share * (1 - share) / trades + extra / (4 * trades))
    bound = (share + extra / 2 - spread) / (1 + extra)
    return min(max(bound, 0.0), share)


def _payoff(record: TradeRecord) -> Decimal:
    """Return mean win / mean loss; 0 where nothing was won, infinite where nothing was lost."""
    if not record.wins or not record.won:
        return ZERO
    if not record.losses or not record.lost:
        return Decimal("Infinity")
    return (record.won / record.wins) / (record.lost / record.losses)


def _require_measured(record: TradeRecord, strategy_id: str) -> None:
    """Refuse a record that can't be one of trades."""
    sums = (record.won, record.lost)
    if min(record.wins, record.losses) < 0 or not all(x.is_finite() and x >= 0 for x in sums):
        raise Vetoed(
            "invalid_record",
            f"the closed trades of {strategy_id} are {record.wins} won with {record.won} and "
            f"{record.losses} lost with {record.lost}, which can't be: see to the journal, or use "
            "the sizer fixed_fraction",
        )


def _at_risk(share: Decimal, sizer: str, signal: Signal, state: RiskState) -> Decimal:
    """Return the quantity whose loss at the stop is ``share`` of equity."""
    stop = signal.stop_distance
    if stop is None:
        raise Vetoed(
            "no_stop",
            f"{sizer} sizes by the distance of the stop, and {signal.strategy_id} gave "
            "none: set a stop in the strategy, or use the sizer fixed_quantity",
        )
    if not _positive(stop):
        raise Vetoed(
            "invalid_stop",
            f"the distance of the stop is {stop}, and must be a number above 0: correct "
            f"{signal.strategy_id}",
        )
    return share * _equity(state) / (stop * _rate(state))


def _equity(state: RiskState) -> Decimal:
    """Return the equity, 0 where there is less than none."""
    equity = state.account.equity
    if not equity.is_finite():
        raise Vetoed(
            "no_equity",
            f"the equity is {equity} {state.account.currency}: see what the broker reports",
        )
    return max(equity, ZERO)


def _rate(state: RiskState) -> Decimal:
    """Return what one unit of the quote currency is worth in the account's currency."""
    rate = state.quote_rate
    if rate is None or not _positive(rate):
        raise Vetoed(
            "no_rate", f"no rate from {state.instrument.quote} to {state.account.currency}"
        )
    return rate


def _notional_of_one(state: RiskState, price: Decimal) -> Decimal:
    """Return what one base unit is worth, in the account's currency."""
    if not _positive(price):
        raise Vetoed(
            "no_price",
            f"the price of {state.instrument.instrument} is {price}, and must be a number above 0",
        )
    return price * _rate(state)


def _volatility(sizer: str, signal: Signal, state: RiskState) -> Decimal:
    """Return the instrument's volatility, as a fraction a year."""
    known = state.portfolio.volatility(signal.instrument) if state.portfolio else None
    if known is None or not (math.isfinite(known) and known > 0):
        raise Vetoed(
            "no_volatility",
            f"{sizer} sizes by the volatility of {signal.instrument}, which is {known}: wait for "
            "more bars, give the engine a longer history, or use another sizer or setting",
        )
    return Decimal(str(float(known)))


def _confidence(signal: Signal) -> Decimal:
    confidence = signal.confidence
    if not 0 <= confidence <= 1:
        raise Vetoed(
            "invalid_signal",
            f"a confidence of {confidence} is not in 0 to 1: correct {signal.strategy_id}, or "
            "leave out by_confidence",
        )
    return Decimal(str(float(confidence)))


def _correlation_share(
    quantity: Decimal, signal: Signal, state: RiskState, price: Decimal
) -> Decimal:
    """Return the part k of an order that adds no more variance than the whole has alone.

    With a deviation d held, s of the order alone and the correlation r of the two, what k s adds
    to the variance is k^2 s^2 + 2 r d k s. That is s^2 where k = sqrt(1 + a^2) - a, a = r d / s:
    the covariance of the instrument with what is held, over its variance and the order's value.
    An order that moves against what is held (r below 0) keeps its whole size.
    """
    value = _notional_of_one(state, price) * quantity
    held = state.portfolio.deviation() if state.portfolio else None
    if held is None or not (math.isfinite(held) and held >= 0):
        raise _no_deviation(held)
    if not (value and held):
        return ONE
    volatility = float(_volatility("by_correlation", signal, state))
    pull = state.portfolio.covariance(signal.instrument) if state.portfolio else None
    own = volatility * volatility * float(value)
    excess = signal.direction * pull / own if pull is not None and own > 0 else math.nan
    if not (math.isfinite(excess) and math.isfinite(own)):
        raise _no_deviation(pull)
    excess = max(excess, 0.0)
    # The same as sqrt(1 + a^2) - a, without the difference of two large numbers.
    return Decimal(str(1 / (math.hypot(1, excess) + excess)))


def _no_deviation(known: float | None) -> Vetoed:
    return Vetoed(
        "no_deviation",
        f"by_correlation needs the deviation of what is held, which is {known}: wait for more bars "
        "of every instrument held, or leave out by_correlation",
    )


def _positive(number: Decimal) -> bool:
    return number.is_finite() and number > 0
