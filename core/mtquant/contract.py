"""The ports: what a broker, strategy, indicator, check, sizer, source, store and notifier are.

``Broker`` is read twice: ``mtquant.wire.serve`` turns each of its tool methods into an MCP tool
of the same name, and ``mtquant.wire.Remote`` is a ``Broker`` whose other end is such a server.
Adding a tool is adding a method here, and nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mtquant.clock import SECOND
from mtquant.errors import ConfigError, ErrorCode, Outcome, Refused
from mtquant.model import (
    Account,
    Accounts,
    Advanced,
    Bar,
    Bars,
    Capabilities,
    Changes,
    ClientOrderId,
    CloseRequest,
    Fill,
    Fills,
    Health,
    Instrument,
    Instruments,
    Names,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    Positions,
    Quote,
    Quotes,
    Side,
    Signal,
    Text,
    Time,
    Timeframe,
)

CONTRACT_VERSION = "1.0"

_Method = TypeVar("_Method", bound=Callable[..., Any])
Limit = Annotated[int, Field(ge=1, le=1000)]
BarCount = Annotated[int, Field(ge=1, le=5000)]


class Scope(StrEnum):
    """What a tool may do to an account; a halt takes ``trade`` away and leaves the others."""

    READ = "read"
    REDUCE = "reduce"
    TRADE = "trade"


class PriceSide(StrEnum):
    """Which price a bar is made of."""

    BID = "bid"
    ASK = "ask"
    MID = "mid"


@dataclass(frozen=True, slots=True)
class Tool:
    """What the contract says of one tool besides its signature."""

    title: str
    scope: Scope


def tool(title: str, scope: Scope = Scope.READ) -> Callable[[_Method], _Method]:
    """Mark a method of a Broker as a tool of the contract."""

    def mark(method: _Method) -> _Method:
        method.__tool__ = Tool(title, scope)  # type: ignore[attr-defined]
        return method

    return mark


def tools_of(broker: type[Broker]) -> dict[str, Tool]:
    """Return the tools that ``broker``'s class implements, in the contract's order.

    A method that is inherited from Broker unchanged is a tool the venue lacks.
    """
    declared = {
        name: method.__tool__
        for kind in reversed(broker.__mro__)
        for name, method in vars(kind).items()
        if hasattr(method, "__tool__")
    }
    return {
        name: spec
        for name, spec in declared.items()
        if broker is Broker or getattr(broker, name) is not getattr(Broker, name, None)
    }


def _lacks(name: str) -> Refused:
    return Refused(
        ErrorCode.UNSUPPORTED,
        f"this broker does not offer {name}; get_capabilities lists what it does",
        outcome=Outcome.NOT_SENT,
    )


class Broker:
    """One account at one broker.

    Override the tools your venue has; the others refuse with ``unsupported``. Arguments arrive
    validated. Raise ``Refused`` where nothing happened and ``OutcomeUnknown`` where you can't
    tell; any other exception of a trading tool is reported as unknown. Symbols are the broker's
    own. ``closed`` turns true where the broker is a connection that is known to be dead.
    """

    closed: bool = False

    @tool("Health of the connection")
    async def get_health(self) -> Health:
        """Tell whether the venue is reached and may be traded, and the broker's own time."""
        raise _lacks("get_health")

    @tool("What this server offers")
    async def get_capabilities(self) -> Capabilities:
        """List the tools, order types and limits of this server."""
        raise _lacks("get_capabilities")

    @tool("Accounts")
    async def list_accounts(self) -> Accounts:
        """List the accounts this server trades."""
        raise _lacks("list_accounts")

    @tool("Account")
    async def get_account(self, account_id: Text | None = None) -> Account:
        """Return balance, equity and margin, in the account's currency."""
        raise _lacks("get_account")

    @tool("Search instruments")
    async def search_instruments(
        self, query: Text, limit: Limit = 100, cursor: Text | None = None
    ) -> Instruments:
        """Find instruments whose symbol or description contains the query; empty finds all."""
        raise _lacks("search_instruments")

    @tool("Instrument")
    async def get_instrument(self, instrument: Text) -> Instrument:
        """Return an instrument's steps, limits and margin."""
        raise _lacks("get_instrument")

    @tool("Quotes")
    async def get_quotes(self, instruments: Names) -> Quotes:
        """Return the newest bid and ask of up to 50 instruments."""
        raise _lacks("get_quotes")

    @tool("Bars")
    async def get_bars(
        self,
        instrument: Text,
        timeframe: Timeframe,
        from_: Time | None = None,
        to: Time | None = None,
        count: BarCount = 500,
        price: PriceSide = PriceSide.MID,
    ) -> Bars:
        """Return closed bars with from <= opening time < to, the last ``count`` of them."""
        raise _lacks("get_bars")

    @tool("Positions")
    async def get_positions(self, instrument: Text | None = None) -> Positions:
        """Return the open positions."""
        raise _lacks("get_positions")

    @tool("Orders")
    async def list_orders(
        self,
        status: OrderStatus | None = None,
        limit: Limit = 100,
        cursor: Text | None = None,
    ) -> Orders:
        """List orders, oldest first: the working ones, or all of one status."""
        raise _lacks("list_orders")

    @tool("Order")
    async def get_order(
        self, order_id: Text | None = None, client_order_id: ClientOrderId | None = None
    ) -> OrderReport:
        """Look one order up by either id; a not_found is an error of that code."""
        raise _lacks("get_order")

    @tool("Executions")
    async def list_fills(
        self,
        since: Text | None = None,
        order_id: Text | None = None,
        instrument: Text | None = None,
        limit: Limit = 1000,
    ) -> Fills:
        """List executions, oldest first, after the cursor ``since``."""
        raise _lacks("list_fills")

    @tool("Changes")
    async def get_changes(
        self,
        since: Text | None = None,
        limit: Limit = 1000,
        wait_s: Annotated[float, Field(ge=0, le=25)] = 0,
    ) -> Changes:
        """Return what changed after the cursor, waiting up to ``wait_s`` seconds for it."""
        raise _lacks("get_changes")

    @tool("Place an order", Scope.TRADE)
    async def place_order(self, order: OrderRequest) -> OrderReport:
        """Place an order. Sending the same client_order_id again never places a second one."""
        raise _lacks("place_order")

    @tool("Cancel an order", Scope.REDUCE)
    async def cancel_order(
        self, order_id: Text | None = None, client_order_id: ClientOrderId | None = None
    ) -> OrderReport:
        """Cancel a working order. A client_order_id never seen before is made void for ever."""
        raise _lacks("cancel_order")

    @tool("Close a position", Scope.REDUCE)
    async def close_position(self, close: CloseRequest) -> OrderReport:
        """Close a position, or part of it, at the market; it never opens one."""
        raise _lacks("close_position")

    @tool("Advance a simulated venue's clock", Scope.TRADE)
    async def advance_clock(self, to: Time) -> Advanced:
        """Move a stepped venue to a later time, filling what fills on the way."""
        raise _lacks("advance_clock")


class Settings(BaseModel):
    """Base of every plugin's settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, table: Mapping[str, Any], where: str) -> Self:
        """Validate ``table``, which stands at ``where``.

        Raises ConfigError, which names the key, the value, what is wrong and what would be right.
        """
        try:
            return cls.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            path = ".".join([where, *(str(part) for part in first["loc"])]).strip(".")
            if first["type"] == "extra_forbidden":
                known = ", ".join(sorted(cls.model_fields)) or "none"
                raise ConfigError(path, "no such setting", f"Known here: {known}.") from None
            if first["type"] == "missing":
                raise ConfigError(path, "is missing", "Add it.") from None
            problem = f"{first['input']!r}: {first['msg'].removeprefix('Value error, ')}"
            raise ConfigError(path, problem, "Correct the value.") from None


S = TypeVar("S", bound=Settings)


class Plugin(Generic[S]):
    """A named thing with validated settings: ``class SmaCross(Strategy[SmaCrossSettings])``."""

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - handed through
        """Take the settings class from the generic argument."""
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Settings):
                    cls.Settings = argument


class Indicator(Plugin[S], ABC):
    """A series computed from bars: stepped live, run over arrays on history, the same bits.

    Values are float64; a bar before the warm-up is over has NaN. ``self[0]`` is the value at
    the newest bar, ``self[1]`` the one before; at most ``DEPTH`` values are kept.
    """

    DEPTH: ClassVar[int] = 64

    @property
    @abstractmethod
    def warmup(self) -> int:
        """How many bars it takes until the first value."""

    @property
    def value(self) -> float:
        """The value at the newest bar; NaN while it warms up."""
        return self[0]

    @property
    def ready(self) -> bool:
        """True once the newest value is a number."""
        return not np.isnan(self[0])

    @abstractmethod
    def __getitem__(self, back: int) -> float:
        """Return the value ``back`` bars ago; NaN where there is none."""

    @abstractmethod
    def update(self, bar: Bar) -> float:
        """Take one closed bar and return the value at it."""

    @abstractmethod
    def batch(self, bars: Bars) -> NDArray[np.float64]:
        """Return the whole series, shape (len(bars),), bit-identical to stepping."""


class Strategy(Plugin[S]):
    """Decides what to hold in one instrument.

    Override ``on_start`` to take indicators with :meth:`indicator` and ``on_bar`` to return
    ``self.long(...)``, ``self.short(...)``, ``self.flat(...)`` or None. A strategy sees closed
    bars only and can't reach a broker. Indicators are updated before ``on_bar``, which is first
    called when all of them are ready.
    """

    def __init__(
        self,
        settings: S,
        *,
        strategy_id: str,
        instrument: str,
        timeframe: Timeframe,
        indicators: Callable[[str, Mapping[str, Any]], Indicator[Any]],
    ) -> None:
        super().__init__(settings)
        self.strategy_id = strategy_id
        self.instrument = instrument
        self.timeframe = timeframe
        self._make = indicators
        self._indicators: list[Indicator[Any]] = []
        self._time = 0
        self.on_start()

    def indicator(self, name: str, **settings: Any) -> Indicator[Any]:  # noqa: ANN401 - its own
        """Return the named indicator over this strategy's bars."""
        made = self._make(name, settings)
        self._indicators.append(made)
        return made

    @property
    def warmup(self) -> int:
        """How many bars the slowest indicator needs before its first value."""
        return max((each.warmup for each in self._indicators), default=0)

    def step(self, bar: Bar) -> Signal | None:
        """Update the indicators with ``bar`` and ask :meth:`on_bar`, once all are ready."""
        for each in self._indicators:
            each.update(bar)
        self._time = bar.time + bar.timeframe.seconds * SECOND
        return self.on_bar(bar) if all(each.ready for each in self._indicators) else None

    def on_start(self) -> None:
        """Take indicators and set up; called once, before the first bar."""

    def on_bar(self, bar: Bar) -> Signal | None:
        """Return what to hold from now on, or None for no change."""
        raise NotImplementedError

    def long(self, reason: str, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold a long position."""
        return self._signal(1, reason, details)

    def short(self, reason: str, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold a short position."""
        return self._signal(-1, reason, details)

    def flat(self, reason: str, **details: Any) -> Signal:  # noqa: ANN401 - Signal names them
        """Return a signal to hold nothing."""
        return self._signal(0, reason, details)

    def _signal(self, direction: int, reason: str, details: dict[str, Any]) -> Signal:
        return Signal(
            strategy_id=self.strategy_id,
            instrument=self.instrument,
            time=self._time,
            direction=direction,
            reason=reason,
            **details,
        )


class BreakerLevel(IntEnum):
    """How far the loss breaker has tripped."""

    NORMAL = 0
    WARNED = 1
    REDUCING = 2
    HALTED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What one account holds, or may come to hold, in one instrument (canonical symbol).

    ``quantity`` is signed; ``working`` is the signed sum of orders that are live or in doubt and
    would open exposure; ``notional_rate`` turns base units into the account's currency.
    """

    instrument: str
    quantity: Decimal
    working: Decimal
    notional_rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskState:
    """All that a check or sizer may look at. Money is in the account's currency.

    ``quote_rate`` turns one unit of the instrument's quote currency into the account's
    currency. ``quote`` is None where the instrument has no price.
    """

    time: int
    account: Account
    instrument: Instrument
    quote: Quote | None
    quote_rate: Decimal | None
    exposures: Sequence[Exposure]
    breaker: BreakerLevel


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """An order that asks the gate for leave; ``reference_price`` is where it would fill."""

    signal: Signal
    account: str
    side: Side
    quantity: Decimal
    reference_price: Decimal
    stop_loss: Decimal | None
    take_profit: Decimal | None


class Verdict(StrEnum):
    """What a check says of a proposal."""

    APPROVED = "approved"
    REDUCED = "reduced"
    VETOED = "vetoed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
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

    def approve(self, proposal: Proposal) -> Finding:
        """Return a finding that lets the proposal pass as it is."""
        return Finding(check=self.name, verdict=Verdict.APPROVED, quantity=proposal.quantity)

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


class Source(Plugin[S], ABC):
    """Where bars come from when no broker is asked."""

    description: ClassVar[str]

    @abstractmethod
    def symbols(self) -> Sequence[str]:
        """Return the canonical symbols it has."""

    @abstractmethod
    def timeframe(self) -> Timeframe:
        """Return the timeframe of its bars."""

    @abstractmethod
    def bars(self, symbol: str) -> Bars:
        """Return all its bars of ``symbol``, oldest first, mid prices."""


class Store(Plugin[S], ABC):
    """Keeps what happened, for whoever reads it later."""

    @abstractmethod
    def fill(self, account: str, fill: Fill) -> None:
        """Keep an execution."""

    @abstractmethod
    def equity(self, time: int, account: str, balance: Decimal, equity: Decimal) -> None:
        """Keep an account's money at a time."""

    @abstractmethod
    def close(self) -> None:
        """Write what is not yet written."""


class Level(StrEnum):
    """How urgent a notice is."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class Notifier(Plugin[S], ABC):
    """Tells people."""

    @abstractmethod
    def notify(self, level: Level, message: str) -> None:
        """Deliver ``message``; an exception is logged and stops nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a broker's MCP server is: a ``command`` to start, or a ``url`` with a bearer token.

    ``environment`` is handed to the started process; ``token`` never appears in text.
    """

    command: tuple[str, ...] = ()
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class BrokerPlugin(Plugin[S], ABC):
    """Tells where a broker's server is and how it spells symbols; needs no vendor library."""

    @abstractmethod
    def endpoints(self, account: str, state_dir: str) -> Sequence[Endpoint]:
        """Return the servers before this account, the preferred one first."""

    def spelling(self) -> Mapping[str, Any]:
        """Return the broker's symbol rules, as the settings of ``mtquant.symbols.Spelling``."""
        return {}


def iterate(bars: Bars) -> Iterator[Bar]:
    """Yield each bar of a series, oldest first."""
    return (bars.bar(index) for index in range(len(bars)))
