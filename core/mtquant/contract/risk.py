"""What a check and a sizer are, and what they look at."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import NamedTuple

from mtquant.contract.agent import AgentStanding
from mtquant.contract.exposure import Exposure, Totals
from mtquant.contract.plugin import Plugin, S
from mtquant.contract.worst import Worst
from mtquant.model import (
    Account,
    Instrument,
    Quote,
    Side,
    Signal,
)

_ZERO = Decimal(0)


class BreakerLevel(IntEnum):
    """How far the loss breaker has tripped."""

    NORMAL = 0
    WARNED = 1
    REDUCING = 2
    HALTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """An order that opens exposure and was sent in the last day; refused ones are left out.

    ``notional`` is what an agent's was worth when it was sent, in the account's currency; None of
    anybody else's. An agent's is kept for as long as it works, and for a day after it was
    ``filled`` last (0: never).
    """

    time: int
    client_order_id: str
    strategy_id: str
    instrument: str
    side: Side
    quantity: Decimal
    notional: Decimal | None = None
    filled: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeRecord:
    """What came of the positions that one strategy opened and has closed again, until now.

    ``won`` and ``lost`` are the sums of profits and of losses after costs, both positive, in the
    account's currency; a trade that came to nothing counts as lost.
    """

    wins: int = 0
    losses: int = 0
    won: Decimal = Decimal(0)
    lost: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTrade:
    """A position that was closed in the last day: when, who had opened it, profit after costs."""

    time: int
    strategy_id: str
    profit: Decimal


class Portfolio(ABC):
    """How much an account's positions move together. Kept by fills, quotes and bars.

    Volatilities are standard deviations a year, as fractions, from exponentially weighted
    returns of bars; money is in the account's currency.
    """

    @abstractmethod
    def volatility(self, symbol: str) -> float | None:
        """Return the volatility of an instrument; None before there are bars enough."""

    @abstractmethod
    def correlation(self, symbol: str, other: str) -> float | None:
        """Return the correlation of two instruments' returns; None before there are enough."""

    @abstractmethod
    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:
        """Return the money of one standard deviation a year, of all held and working.

        ``change`` is the signed notional value of an order in ``symbol`` that comes on top. None
        where an instrument that is held has no volatility yet, or can't be valued.
        """

    @abstractmethod
    def covariance(self, symbol: str) -> float | None:
        """Return the covariance a year of an instrument's return with the money of all held.

        An order worth d in it changes the variance by 2 d times this, plus (d x volatility)^2.
        None where it isn't known, as for :meth:`deviation`.
        """

    @abstractmethod
    def cluster(self, symbol: str, side: Side, least: float) -> float | None:
        """Return the notional value held or working that moves with a ``side`` of ``symbol``.

        What counts is every position whose return's correlation, turned by its own side, is
        ``least`` or more; ``symbol`` itself too. None where a correlation isn't known yet.
        """

    def evidence(self, symbol: str) -> Mapping[str, object]:  # noqa: ARG002 - the port's
        """Return what decides on an order in ``symbol``, JSON-ready: it goes into the journal."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskState:
    """All that a check or sizer may look at. Money is in the account's currency.

    ``quote_rate`` turns one unit of the instrument's quote currency into the account's
    currency. ``quote`` is None where the instrument has no price. ``working_orders`` counts orders
    that are live or in doubt, ``sent`` are those of the last day at this account, oldest first,
    and ``messages`` the times of what else was sent there: closes, changes, cancellations.
    ``portfolio`` tells how the instruments move, None where nobody keeps that; ``records`` is
    each strategy's closed trades and ``closed`` those of the last day; ``opened_by`` is whose order
    opened what is held in a symbol; ``drawdown`` is the loss from the highest equity (0.05 is 5 %).
    ``differs`` says how the broker's record of the instrument isn't our book's, where it isn't.
    ``agent`` is what an agent has used of its budget, where it is an agent who asks.
    """

    time: int
    account: Account
    instrument: Instrument
    quote: Quote | None
    quote_rate: Decimal | None
    exposures: Sequence[Exposure]
    breaker: BreakerLevel
    working_orders: int = 0
    sent: Sequence[Sent] = ()
    messages: Sequence[int] = ()
    summed: Totals | None = None
    portfolio: Portfolio | None = None
    records: Mapping[str, TradeRecord] = field(default_factory=dict)
    closed: Sequence[ClosedTrade] = ()
    opened_by: Mapping[str, str] = field(default_factory=dict)
    drawdown: Decimal = _ZERO
    in_instrument: Sequence[Exposure] | None = None
    differs: str = ""
    agent: AgentStanding | None = None

    @property
    def here(self) -> Sequence[Exposure]:
        """The exposures in the instrument: ``in_instrument``, where whoever made it has them."""
        if self.in_instrument is not None:
            return self.in_instrument
        name = self.instrument.instrument
        return [each for each in self.exposures if each.instrument == name]

    @property
    def totals(self) -> Totals:
        """The sums of ``exposures``: ``summed``, where whoever made the state has kept them."""
        return Totals.of(self.exposures) if self.summed is None else self.summed


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An order that asks the gate for leave; ``reference_price`` is where it would fill.

    ``rests``: not now, but when the market has come to that price.
    """

    signal: Signal
    account: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None
    rests: bool = False


class Verdict(StrEnum):
    """What a check says of a proposal."""

    APPROVED = "approved"
    REDUCED = "reduced"
    VETOED = "vetoed"


class Finding(NamedTuple):
    """One check's verdict: its reason code, the limit, what was observed, and a sentence."""

    check: str
    verdict: Verdict
    quantity: Decimal
    code: str = ""
    limit: str = ""
    observed: str = ""
    message: str = ""


class Check(Plugin[S], ABC):
    """A pre-trade check: a pure function of a proposal and the risk state."""

    @abstractmethod
    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Approve, reduce or veto. An exception counts as a veto."""

    def passes(self, worst: Worst) -> bool:  # noqa: ARG002 - a port declares what its default ignores
        """Tell whether :meth:`review` would approve every order of a stretch of a backtest.

        A check that can tell from the worst of them isn't asked of each, which makes a backtest
        many times as fast. True promises it; False, the default, that it has to be asked. The
        promise is of the class that has the review: one that is derived from it, with a review of
        its own, makes its own.
        """
        return False

    def approve(self, proposal: Proposal) -> Finding:
        """Return a finding that lets the proposal pass as it is."""
        return Finding(self.name, Verdict.APPROVED, proposal.quantity)

    def veto(
        self, code: str, message: str, *, limit: object = "", observed: object = ""
    ) -> Finding:
        """Return a finding that refuses, with its code, limit and observed value."""
        return Finding(
            check=self.name,
            verdict=Verdict.VETOED,
            quantity=Decimal(0),
            code=code,
            limit=str(limit),
            observed=str(observed),
            message=message,
        )

    def reduce(
        self, code: str, quantity: Decimal, message: str, *, limit: object, observed: object
    ) -> Finding:
        """Return a finding that lets ``quantity`` pass, which is less than was proposed."""
        return Finding(
            check=self.name,
            verdict=Verdict.REDUCED,
            quantity=quantity,
            code=code,
            limit=str(limit),
            observed=str(observed),
            message=message,
        )


class Sizer(Plugin[S], ABC):
    """Turns a signal into a quantity."""

    @abstractmethod
    def size(self, signal: Signal, state: RiskState, price: Decimal) -> Decimal:
        """Return the wished quantity in base units, unrounded; 0 for none."""

    def always(self) -> Decimal | None:
        """Return what :meth:`size` returns whatever it is asked about; None, where that differs.

        A backtest that knows it needn't ask for each order. As with :meth:`Check.passes`, a class
        with a size of its own says so itself.
        """
        return None
