"""What the tools of review answer."""

from __future__ import annotations

from dataclasses import dataclass

from mtquant.agents.outside import Outside
from mtquant.agents.tool import Told
from mtquant.model import Number, Time


@dataclass(frozen=True, kw_only=True)
class AccountRisk:
    """One account: losses since the day and week began and from the peak, and what is left.

    ``left`` is how much more may be lost, in percent, until nothing is opened any more.
    """

    account: str
    currency: str
    equity: Number | None
    breaker: str
    day_loss: float | None
    week_loss: float | None
    peak_loss: float | None
    left: float | None
    in_doubt: int
    tradable: bool
    why: Outside


@dataclass(frozen=True, kw_only=True)
class BudgetUse:
    """An agent's budget of 24 hours: used and its limit. None where it can't be known."""

    agent: str
    mode: str
    currency: str
    opened: Number | None
    held: Number | None
    notional_limit: Number
    orders: int | None
    orders_limit: int
    lost: Number | None
    loss_limit: Number
    instruments: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RiskLimits:
    """Losses, in percent, at which an account warns, opens nothing more, and halts."""

    warn: float
    reduce: float
    halt: float
    day: float | None
    week: float | None
    peak: float | None


@dataclass(frozen=True, kw_only=True)
class RiskTold(Told):
    """What is lost, what may be, and what is used of budgets."""

    halted: Outside
    paused: tuple[Outside, ...]
    accounts: tuple[AccountRisk, ...]
    limits: RiskLimits
    budgets: tuple[BudgetUse, ...]


@dataclass(frozen=True, kw_only=True)
class DecisionRow:
    """One verdict: why in the gate's words, reason in those of who asked, checks that objected."""

    time: Time
    source: str
    account: str
    symbol: Outside
    side: str
    quantity: str | None
    approved: bool
    code: str
    why: Outside
    checks: tuple[str, ...]
    reason: Outside


@dataclass(frozen=True, kw_only=True)
class DecisionsTold(Told):
    """Verdicts of the risk gate, newest first."""

    decisions: tuple[DecisionRow, ...]


@dataclass(frozen=True, kw_only=True)
class RecordRow:
    """Closed trades of one source at one account; source all is everybody together."""

    account: str
    source: str
    trades: int
    wins: int
    losses: int
    won: Number
    lost: Number
    profit_factor: float | None
    expectancy: Number | None
    day_trades: int
    day_profit: Number


@dataclass(frozen=True, kw_only=True)
class AccountEquity:
    """One account's equity, its highest, and the fall from it; None where it can't be known."""

    account: str
    currency: str
    equity: Number | None
    peak: Number | None
    drawdown: float | None


@dataclass(frozen=True, kw_only=True)
class PerformanceTold(Told):
    """What came of trades; unknown says what can't be told, and why."""

    accounts: tuple[AccountEquity, ...]
    records: tuple[RecordRow, ...]
    unknown: tuple[str, ...]
