"""What happens, and what is to be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mtquant.comparison import Compared, Comparison
from mtquant.contract import Agent, Level
from mtquant.model import (
    Account,
    Bar,
    CashFlow,
    CloseRequest,
    Fill,
    Instrument,
    Mode,
    OrderRequest,
    OrderStatus,
    Position,
    Quote,
    Side,
    Signal,
)
from mtquant.risk import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class BarClosed:
    """A bar closed; ``trade`` is False while history warms the strategies up."""

    time: int
    bar: Bar
    trade: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """First sight of an account: what it holds now isn't ours, unless ``adopt`` says so."""

    time: int
    name: str
    account: Account
    positions: tuple[Position, ...]
    adopt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSeen:
    """An account's money and prices, as its broker tells them."""

    time: int
    name: str
    account: Account
    quotes: tuple[Quote, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotesSeen:
    """Prices of an account's broker, as they come."""

    time: int
    name: str
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """An execution at an account."""

    time: int
    name: str
    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class CashMoved:
    """Money came to an account, or left it, without an execution: by its broker's word."""

    time: int
    name: str
    cash_flow: CashFlow


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMoved:
    """One of our orders changed its state. ``absent``: proven never to have lived."""

    time: int
    name: str
    client_order_id: str
    status: OrderStatus
    reason: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutesChanged:
    """Which accounts can be traded, what they list, and where new exposure goes.

    ``differing`` is, by account and symbol, where the broker's record isn't our book's.
    """

    time: int
    tradable: frozenset[str]
    instruments: Mapping[str, Mapping[str, Instrument]]
    routes: Mapping[str, str | None]
    differing: Mapping[str, Mapping[str, Compared]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedChanged:
    """The prices of a symbol stopped coming, for the reason ``why``, or (empty) come again."""

    time: int
    symbol: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSet:
    """A person set who sends a strategy's orders."""

    time: int
    strategy_id: str
    mode: Mode
    by: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A person wants an order sent. It is spelled our way and has its client order id."""

    time: int
    by: str
    account: str
    order: OrderRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentsEnrolled:
    """Who the agents are from now on, with their scopes and budgets, by name."""

    time: int
    agents: Mapping[str, Agent]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOrdered:
    """An agent wants exposure opened at ``account``.

    ``signal`` says what and why; the sizer decides how much, unless ``order`` names it. ``request``
    and ``digest`` are the agent's id for it and what names what it asked. ``asks``: the order waits
    for a person.
    """

    time: int
    account: str
    signal: Signal
    request: str
    digest: str
    order: OrderRequest | None = None
    asks: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """Whoever asked for a suggestion wants it no more."""

    time: int
    number: int
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseOrdered:
    """A person wants a position in ``symbol``, spelled our way, closed, or part of it.

    ``side`` is the closing side. ``request`` and ``digest`` are as for :class:`AgentOrdered`, where
    an agent wants it.
    """

    time: int
    by: str
    account: str
    symbol: str
    side: Side
    close: CloseRequest
    request: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A person's answer to a suggestion, bound to what he was shown by its ``digest``."""

    time: int
    number: int
    approved: bool
    by: str
    why: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HaltSet:
    """A person stopped all new exposure, or (``on`` False) lets trading go on.

    ``flatten``: every position at every account is closed, too.
    """

    time: int
    on: bool
    by: str
    why: str
    flatten: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CashFlowExpected:
    """A person is about to pay in (``amount`` above zero) or out; zero: none is expected any more.

    It is neither profit nor loss: the loss breaker takes it for a cash flow when the balance shows
    it. In the account's currency.
    """

    time: int
    account: str
    amount: Decimal
    by: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A person accepted the broker's record of an account where it isn't what our book says."""

    time: int
    by: str
    why: str
    comparison: Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Nothing is left to do of what :class:`Leave` asked for."""

    time: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticked:
    """Time passed, and nothing else happened: what has a time limit is looked at."""

    time: int


Event = (
    BarClosed
    | Opened
    | AccountSeen
    | QuotesSeen
    | Filled
    | CashMoved
    | OrderMoved
    | RoutesChanged
    | FeedChanged
    | ModeSet
    | Ordered
    | AgentsEnrolled
    | AgentOrdered
    | Withdrawn
    | CloseOrdered
    | Answered
    | HaltSet
    | CashFlowExpected
    | Accepted
    | Left
    | Ticked
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Send an order that the gate approved. The instrument is spelled our way.

    ``person`` is who ordered it; empty where a strategy did. ``notional`` is what an agent's is
    worth, in the account's currency.
    """

    account: str
    order: OrderRequest
    person: str = ""
    notional: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close a position in ``symbol``, spelled our way; ``side`` is the closing side."""

    account: str
    symbol: str
    side: Side
    close: CloseRequest
    person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Put an entry into the journal; durably where it must survive us.

    ``decision`` is the gate's, where the entry is its verdict.
    """

    kind: str
    body: dict[str, Any]
    durable: bool = False
    decision: Decision | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tell:
    """Tell people."""

    level: Level
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """Cancel and close at an account what its book's ``leaving`` says, until it is done."""

    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder:
    """Cancel an order of ours that works, and would open exposure."""

    account: str
    client_order_id: str
    why: str


Effect = Submit | Close | CancelOrder | Leave | Record | Tell
