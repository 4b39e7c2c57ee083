"""What the tools that look at accounts and trade answer with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mtquant.agents.outside import Outside
from mtquant.agents.tool import Told
from mtquant.model import Number, Side, Text, Time

UNITS = (
    "quantity: base units; price: quote currency; money: the account's currency unless named; "
    "time: UTC"
)


class Fate(StrEnum):
    """What became of what an agent asked for.

    As FIX OrdStatus (39) where a broker has it; before that ``waiting_for_approval``, ``vetoed`` by
    the gate, or ``not_sent``. ``in_doubt``: whether the broker has it isn't known yet.
    """

    WAITING = "waiting_for_approval"
    VETOED = "vetoed"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    PENDING_NEW = "pending_new"
    NEW = "new"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class OrderTold(Told):
    """An order, a close or a proposal, and what became of it."""

    status: Fate
    client_order_id: str
    account: str | None = None
    symbol: Text | None = None
    side: Side | None = None
    quantity: Number | None = None
    filled_quantity: Number | None = None
    average_price: Number | None = None
    stop_loss: Number | None = None
    take_profit: Number | None = None
    verdict: str = ""
    reason: Outside = ""
    proposal: int | None = None
    expires: Time | None = None
    replayed: bool = False


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One check's word: its name, and why it reduced or vetoed; empty where it approved."""

    check: str
    verdict: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class PreviewTold(Told):
    """What an order would come to now; nothing was sent. Money in ``currency``."""

    approved: bool
    code: str
    account: str
    symbol: Text
    side: Side
    quantity: Number | None
    price: Number | None
    stop_loss: Number | None
    take_profit: Number | None
    currency: str
    notional: Number | None
    margin: Number | None
    cost: Number | None
    loss_at_stop: Number | None
    needs_approval: bool
    checks: tuple[Verdict, ...]


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """One proposal of the agent: what it is, and what became of it."""

    proposal: int | None
    client_order_id: str
    symbol: Text
    account: str
    status: Fate
    expires: Time | None
    outcome: Outside


@dataclass(frozen=True, kw_only=True)
class ProposalsTold(Told):
    """The agent's proposals, those that wait first."""

    proposals: tuple[Proposed, ...]


@dataclass(frozen=True, kw_only=True)
class Canceled:
    """One order that was to be cancelled: its status, or why it couldn't be."""

    client_order_id: str
    account: str
    status: str
    problem: Outside = ""


@dataclass(frozen=True, kw_only=True)
class CanceledTold(Told):
    """What became of the agent's orders that were to be cancelled."""

    orders: tuple[Canceled, ...]


@dataclass(frozen=True, kw_only=True)
class ProtectionTold(Told):
    """What protects a position, or the prices of a working order, after a change."""

    account: str
    symbol: Text
    quantity: Number | None
    limit_price: Number | None
    stop_price: Number | None
    stop_loss: Number | None
    take_profit: Number | None


@dataclass(frozen=True, kw_only=True)
class HaltTold(Told):
    """Whether all new exposure is halted, and what isn't cancelled yet."""

    halted: bool
    still: tuple[Outside, ...]


@dataclass(frozen=True, kw_only=True)
class AccountTold:
    """One account's money; ``breaker`` is the loss breaker's level."""

    account: str
    currency: str
    balance: Number | None
    equity: Number | None
    margin_used: Number | None
    margin_available: Number | None
    open_profit: Number | None
    breaker: str
    tradable: bool
    why: Outside


@dataclass(frozen=True, kw_only=True)
class PortfolioTold(Told):
    """All accounts; ``equity`` is their sum where they share one ``currency``, else null."""

    equity: Number | None
    currency: str | None
    accounts: tuple[AccountTold, ...]
    positions: int
    working_orders: int
    in_doubt: int
    halted: bool
    problems: tuple[Outside, ...]


@dataclass(frozen=True, kw_only=True)
class PositionTold:
    """One open position; ``held_by`` is the strategy, person or agent that opened it."""

    account: str
    position_id: Outside
    symbol: Text
    side: Side
    quantity: Number
    average_price: Number
    profit: Number
    stop_loss: Number | None
    take_profit: Number | None
    held_by: Outside
    mine: bool


@dataclass(frozen=True, kw_only=True)
class PositionsTold(Told):
    """The open positions over all accounts."""

    positions: tuple[PositionTold, ...]
    problems: tuple[Outside, ...]


@dataclass(frozen=True, kw_only=True)
class WorkingTold:
    """One order that may still act; ``client_order_id`` is the agent's own where it is its own."""

    account: str
    order_id: Outside
    client_order_id: Outside | None
    symbol: Text
    side: Side
    order_type: str
    quantity: Number
    filled_quantity: Number
    limit_price: Number | None
    stop_price: Number | None
    status: str
    mine: bool


@dataclass(frozen=True, kw_only=True)
class OrdersTold(Told):
    """The working orders over all accounts, and those whose fate isn't known."""

    orders: tuple[WorkingTold, ...]
    in_doubt: tuple[str, ...]
    problems: tuple[Outside, ...]
