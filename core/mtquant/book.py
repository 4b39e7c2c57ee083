"""The book: a fold of fills, quotes and broker snapshots into positions, exposure and equity.

It never asks anyone anything; whoever feeds it the same events holds the same book.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mtquant.clock import SECOND
from mtquant.comparison import Compared
from mtquant.contract import Agent, Portfolio, Sent, agent_of
from mtquant.covariance import Covariance
from mtquant.exposures import Exposures
from mtquant.model import (
    Account,
    CashFlow,
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
from mtquant.portfolio import MeasuredPortfolio
from mtquant.risk import BreakerState
from mtquant.trades import Trades

ZERO = Decimal(0)
DAY = 86_400 * SECOND
MONTH = 30 * DAY


@dataclass(frozen=True, slots=True)
class Holding:
    """A net position: signed quantity in base units at an average price."""

    quantity: Decimal
    average_price: Decimal

    def after(self, side: Side, quantity: Decimal, price: Decimal) -> Holding:
        """Return the holding after an execution, by netting.

        What adds to the position moves the average price; what reduces it doesn't; what is left
        after crossing zero stands at the execution's price.
        """
        change = side.sign * quantity
        total = self.quantity + change
        if self.quantity * change >= 0:
            cost = self.quantity * self.average_price + change * price
            return Holding(total, cost / total)
        return Holding(total, self.average_price if self.quantity * total >= 0 else price)


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """One of our orders that may still act: live, being sent, or in doubt."""

    client_order_id: str
    instrument: str
    side: Side
    quantity: Decimal
    opens: bool
    status: OrderStatus


@dataclass(slots=True)
class Target:
    """What strategies want to hold; ``spent`` once its one attempt to open has been made.

    ``strategies`` are those that agree with it.
    """

    signal: Signal
    strategies: tuple[str, ...]
    spent: bool = False
    waiting: str = ""


@dataclass(slots=True, kw_only=True)
class Leaving:
    """That an account is to be left, in part or whole: until that is done, or called off.

    ``share`` of each position is to be closed, 0 for none, and with ``cancel`` what works and
    would open is cancelled. ``cause`` is ``halt`` or ``breaker``; ``by`` and ``why`` say who asked
    for it. ``stay`` is what of each position stays, by ticket, None before the first look.
    """

    account: str
    share: Decimal
    cancel: bool
    cause: str
    by: str
    why: str
    stay: dict[str, Decimal] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedFlow:
    """A deposit (above zero) or withdrawal that a person has told of before.

    ``gap`` is by how much the broker's balance was above our own fold of it at that time.
    """

    amount: Decimal
    gap: Decimal
    by: str
    why: str

    def arrived(self, gap: Decimal) -> bool:
        """Tell whether it has come, if the broker's balance is above ours by ``gap`` now."""
        return _meets(gap - self.gap, self.amount)


def _meets(amount: Decimal, expected: Decimal) -> bool:
    """Tell whether a change of the balance is one that was expected.

    What else moves the balance meanwhile, such as a swap, may be a fiftieth of it.
    """
    return abs(amount - expected) <= abs(expected) / 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """An order that waits for a person: what, where, why, until when.

    ``order`` is spelled our way and has no client order id of a sent order: that is made on
    approval. ``price`` is where it would have filled when it was suggested; ``digest`` binds an
    approval to exactly this order; ``verdict`` is the gate's sentence. ``request`` is the id under
    which an agent asked for it, empty where a strategy wants it.
    """

    number: int
    account: str
    order: OrderRequest
    signal: Signal
    price: Decimal
    created: int
    expires: int
    digest: str
    verdict: str
    request: str = ""

    @property
    def agents(self) -> bool:
        """True where an agent asks for it, not a strategy."""
        return agent_of(self.signal.strategy_id) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRequest:
    """What an agent asked for under an id of its own, once for all: the same id never acts twice.

    ``request`` is the agent's id and ``digest`` names what it asked for; ``client_order_id`` is
    ours, empty while ``suggestion`` waits for a person (0 for none). ``opens``: exposure.
    """

    source: str
    request: str
    digest: str
    account: str
    instrument: str
    opens: bool
    time: int
    client_order_id: str = ""
    suggestion: int = 0


@dataclass(slots=True)
class AccountBook:
    """What we know of one account. ``balance`` is our own fold, not the broker's word.

    ``external`` is what the account holds that isn't ours: signed base units by symbol.
    ``differing`` is what the broker's record says otherwise, by symbol: nothing is opened there.
    ``cash_flows`` are the ids of those that the broker has told. ``paid`` is what was paid in or
    out by his word and isn't in an equity yet that the loss breaker has judged; ``anticipated``
    what came as a person had said, and he hasn't told yet.
    """

    name: str
    account: Account | None = None
    balance: Decimal = ZERO
    tradable: bool = False
    breaker: BreakerState | None = None
    instruments: Mapping[str, Instrument] = field(default_factory=dict)
    holdings: dict[str, Holding] = field(default_factory=dict)
    external: dict[str, Decimal] = field(default_factory=dict)
    quotes: dict[str, Quote] = field(default_factory=dict)
    working: dict[str, Working] = field(default_factory=dict)
    executions: set[str] = field(default_factory=set)
    our_ids: set[str] = field(default_factory=set)
    person_ids: set[str] = field(default_factory=set)
    sent: tuple[Sent, ...] = ()
    messages: tuple[int, ...] = ()

    exposures: Exposures = field(default_factory=Exposures)
    trades: Trades = field(default_factory=Trades)
    portfolio: Portfolio | None = None
    leaving: Leaving | None = None
    expected: ExpectedFlow | None = None
    cash_flows: set[str] = field(default_factory=set)
    paid: Decimal = ZERO
    anticipated: Decimal = ZERO
    differing: Mapping[str, Compared] = field(default_factory=dict)

    def see(self, account: Account) -> None:
        """Take in what the broker says of the account."""
        self.account = account
        self.exposures.settle(account.currency, self.instruments)

    def gap(self) -> Decimal:
        """Return by how much the broker's balance is above our own fold of it."""
        return self.account.balance - self.balance if self.account else ZERO

    def flowed(self) -> Decimal:
        """Return the deposit or withdrawal that has come now, if one was expected; else zero."""
        if self.expected is None or not self.expected.arrived(self.gap()):
            return ZERO
        amount = self.expected.amount
        self.anticipate(amount)
        return amount

    def anticipate(self, amount: Decimal) -> None:
        """Take in that what a person had said was expected has come: the balance shows it."""
        self.expected = None
        self.balance += amount
        self.anticipated += amount

    def move_cash(self, flow: CashFlow) -> bool:
        """Take in what the broker tells of money; False, changing nothing, where he had told it."""
        if flow.cash_flow_id in self.cash_flows:
            return False
        self.cash_flows.add(flow.cash_flow_id)
        self.balance += flow.amount
        if flow.kind.transfer and self.anticipated and _meets(flow.amount, self.anticipated):
            self.balance -= self.anticipated
            self.anticipated = ZERO
        elif flow.kind.transfer:
            self.paid += flow.amount
            if self.expected is not None and _meets(flow.amount, self.expected.amount):
                self.expected = None
        return True

    def counted(self) -> Decimal:
        """Return what was paid in or out and is in the broker's balance now; zero from then on."""
        gap = self.gap()
        if self.account is None or abs(gap) >= abs(gap + self.paid):
            return ZERO  # what the broker said of the account is from before
        amount, self.paid = self.paid, ZERO
        return amount

    def list_instruments(self, instruments: Mapping[str, Instrument]) -> None:
        """Take in what can be traded at the account."""
        self.instruments = instruments
        self.exposures.settle(self.account.currency if self.account else "", instruments)

    def price(self, quotes: Sequence[Quote]) -> None:
        """Take in prices."""
        self.quotes.update((quote.instrument, quote) for quote in quotes)
        self.exposures.quote(quotes)

    def work(self, order: Working) -> None:
        """Take in an order of ours that may act from now on."""
        self.working[order.client_order_id] = order
        take = self.exposures.work if order.opens else self.exposures.close
        take(order.instrument, order.side, order.quantity)

    def done(self, client_order_id: str) -> None:
        """Take in that an order of ours can act no more."""
        order = self.working.pop(client_order_id)
        take = self.exposures.work if order.opens else self.exposures.close
        take(order.instrument, order.side, -order.quantity)

    def note_sent(self, sent: Sent) -> None:
        """Remember an order that opens exposure, for a day."""
        since = sent.time - DAY
        self.sent = (
            *(each for each in self.sent if each.time > since or self._counts(each, since)),
            sent,
        )
        held = self.holdings.get(sent.instrument)
        self.trades.sent(sent.strategy_id, sent.instrument, flat=held is None)

    def _counts(self, sent: Sent, since: int) -> bool:
        """Tell whether an older order still counts: an agent's that works, or filled lately."""
        working = sent.client_order_id in self.working
        return sent.notional is not None and (working or sent.filled > since)

    def note_message(self, time: int) -> None:
        """Remember a close, a change or a cancellation that was sent, for a day."""
        since = time - DAY
        self.messages = (*(each for each in self.messages if each > since), time)

    def owner(self, client_order_id: str) -> str:
        """Return whose order this is that opens exposure; empty where it isn't known."""
        return next(
            (each.strategy_id for each in self.sent if each.client_order_id == client_order_id), ""
        )

    def forget_sent(self, client_order_id: str) -> None:
        """Forget an order that came to nothing: its wish may be tried again at once."""
        self.sent = tuple(each for each in self.sent if each.client_order_id != client_order_id)

    def adopt(self, position: Position, *, ours: bool = False) -> None:
        """Take in a position that was there before us: as external, or as the strategies'."""
        quantity = position.side.sign * position.quantity
        held = self.holdings.get(position.instrument, Holding(ZERO, ZERO))
        after = held.after(position.side, position.quantity, position.average_price)
        self.holdings[position.instrument] = after
        self._expose(position.instrument)
        if not ours:
            self.external[position.instrument] = (
                self.external.get(position.instrument, ZERO) + quantity
            )

    def fold(self, fill: Fill) -> bool:
        """Take an execution in; return False, changing nothing, where it was seen before."""
        if fill.execution_id in self.executions:
            return False
        self.executions.add(fill.execution_id)
        if fill.client_order_id in self.person_ids:
            self._note_filled(fill)
        foreign = self._foreign(fill)
        if foreign:
            self.external[fill.instrument] = self.external.get(fill.instrument, ZERO) + foreign
        before = self.holdings.get(fill.instrument)
        if before is None:
            before = Holding(ZERO, ZERO)
            self._begin(fill)
        after = before.after(fill.side, fill.quantity, fill.price)
        if after.quantity:
            self.holdings[fill.instrument] = after
        else:
            self.holdings.pop(fill.instrument, None)
        self._expose(fill.instrument)
        profit = fill.realized_profit - fill.commission
        self.balance += profit
        self.trades.filled(fill.instrument, profit, fill.time, flat=not after.quantity)
        return True

    def _note_filled(self, fill: Fill) -> None:
        """Remember when an agent's order was filled last: what it opens counts from then on."""
        self.sent = tuple(
            replace(each, filled=max(each.filled, fill.time))
            if each.client_order_id == fill.client_order_id and each.notional is not None
            else each
            for each in self.sent
        )

    def _begin(self, fill: Fill) -> None:
        """Take in whose a position is that this execution opens: another may have asked since.

        Nobody's, where it isn't of our orders: an agent's order that still works there must not
        make the agent the owner of what a person trades at the broker's own screen.
        """
        cid = fill.client_order_id
        if cid in self.our_ids:
            return
        if cid is None or cid not in self.person_ids:
            self.trades.forget(fill.instrument)
            return
        for each in self.sent:
            if each.client_order_id == cid:
                self.trades.sent(each.strategy_id, fill.instrument, flat=True)

    def differ(self, differing: Mapping[str, Compared]) -> None:
        """Take in in which symbols the broker's record says something else."""
        changed = [
            symbol
            for symbol in {*self.differing, *differing}
            if self.differing.get(symbol) != differing.get(symbol)
        ]
        self.differing = differing
        for symbol in changed:
            self._expose(symbol)

    def _expose(self, symbol: str) -> None:
        """Value the position in ``symbol``: while records differ, the larger one counts."""
        held, doubted = self.holdings.get(symbol), self.differing.get(symbol)
        quantity = held.quantity if held else ZERO
        if doubted is not None:
            quantity = max(quantity, doubted.theirs, key=abs)
        self.exposures.hold(symbol, quantity)

    def accept(
        self, symbol: str, quantity: Decimal, average_price: Decimal, strategies: Decimal
    ) -> None:
        """Take over a position from the broker's record, as a person accepted it.

        ``strategies`` is how much of it is the strategies'; the rest is external.
        """
        if self.ours(symbol) and not strategies:
            self.trades.forget(symbol)
        self.holdings.pop(symbol, None)
        self.external.pop(symbol, None)
        if quantity:
            self.holdings[symbol] = Holding(quantity, average_price)
        if quantity != strategies:
            self.external[symbol] = quantity - strategies
        self.differing = {name: each for name, each in self.differing.items() if name != symbol}
        self._expose(symbol)

    def accept_balance(self, balance: Decimal) -> None:
        """Take over the balance from the broker's record, as a person accepted it.

        A deposit or withdrawal that is still expected is measured from there.
        """
        self.balance = balance
        if self.expected is not None:
            self.expected = replace(self.expected, gap=ZERO)

    def _foreign(self, fill: Fill) -> Decimal:
        """Return how much of an execution, signed, changes what isn't the strategies'.

        An execution without a client order id is a protective order's, and the strategies', where
        it reduces what they hold. What a person trades through us opens beside them; where it
        closes, it closes what isn't theirs first.
        """
        change = fill.side.sign * fill.quantity
        held = self.ours(fill.instrument)
        if fill.client_order_id in self.our_ids:
            return ZERO
        if fill.client_order_id is None:
            return change if abs(held + change) >= abs(held) else ZERO
        if fill.client_order_id not in self.person_ids:
            return change
        beside = self.external.get(fill.instrument, ZERO)
        room = max(abs(change) - (abs(beside) if beside * change < 0 else ZERO), ZERO)
        taken = min(room, abs(held)) if held * change < 0 else ZERO
        return change - fill.side.sign * taken

    def ours(self, symbol: str) -> Decimal:
        """Return the signed quantity that our own orders hold."""
        held = self.holdings.get(symbol)
        return (held.quantity if held else ZERO) - self.external.get(symbol, ZERO)

    def rate(self, currency: str) -> Decimal | None:
        """Return what one unit of ``currency`` is worth in the account's; None if unknown."""
        return self.exposures.rate(currency)

    def unrealized(self) -> Decimal | None:
        """Return the open profit in the account's currency: longs at the bid, shorts at the ask.

        None where a held instrument has no quote or no rate to the account's currency.
        """
        total = ZERO
        for symbol in self.holdings:
            profit = self.open_profit(symbol)
            if profit is None:
                return None
            total += profit
        return total

    def open_profit(self, symbol: str) -> Decimal | None:
        """Return the open profit of what is held in ``symbol``; None where it can't be known."""
        held, quote = self.holdings.get(symbol), self.quotes.get(symbol)
        instrument = self.instruments.get(symbol)
        rate = self.rate(instrument.quote) if instrument else None
        if held is None or quote is None or rate is None:
            return None
        price = quote.bid if held.quantity > 0 else quote.ask
        return held.quantity * (price - held.average_price) * rate

    def equity(self) -> Decimal | None:
        """Return our balance plus open profit; None where it can't be known."""
        open_profit = self.unrealized() if self.account else None
        return None if open_profit is None else self.balance + open_profit


@dataclass(slots=True)
class Book:
    """All accounts, what strategies want, and where new exposure may go (None: nowhere now).

    ``wishes`` are each symbol's newest signals by strategy, and ``targets`` what they come to;
    ``states`` is what strategies asked to be kept, by their key; ``modes`` are changes of a
    strategy's mode, with the mode that was configured then; ``outcomes`` is what became of
    suggestions, by number; ``answered`` is, by symbol, which direction a person didn't want, and
    until when he isn't asked again; ``paused`` says why a symbol takes no new exposure, and
    ``halted`` who stopped all of it and why, empty while nobody has. ``agents`` are those enrolled,
    by name, and ``requests`` what they asked for in the last month, by source and their own id.
    """

    accounts: dict[str, AccountBook] = field(default_factory=dict)
    wishes: dict[str, dict[str, Signal]] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    routes: dict[str, str | None] = field(default_factory=dict)
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    modes: dict[str, tuple[Mode, Mode]] = field(default_factory=dict)
    suggestions: dict[int, Suggestion] = field(default_factory=dict)
    outcomes: dict[int, str] = field(default_factory=dict)
    answered: dict[str, tuple[int, int]] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    halted: str = ""
    agents: Mapping[str, Agent] = field(default_factory=dict)
    requests: dict[tuple[str, str], AgentRequest] = field(default_factory=dict)
    time: int = 0
    covariance: Covariance = field(default_factory=Covariance)

    def account(self, name: str) -> AccountBook:
        """Return the book of account ``name``, new if it is the first time."""
        if name not in self.accounts:
            made = self.accounts[name] = AccountBook(name)
            made.portfolio = MeasuredPortfolio(made.exposures, self.covariance)
        return self.accounts[name]

    def note_request(self, request: AgentRequest) -> None:
        """Remember what an agent asked for, for a month; a newer word on the same id counts."""
        since = request.time - MONTH
        for key in [key for key, each in self.requests.items() if each.time <= since]:
            del self.requests[key]
        self.requests[request.source, request.request] = request

    def equity(self) -> Decimal | None:
        """Return the equity of all accounts together, without those never seen.

        None where one can't be known, or where the accounts' currencies differ.
        """
        currencies = {each.account.currency for each in self.accounts.values() if each.account}
        known = [each.equity() for each in self.accounts.values() if each.account or each.balance]
        if len(currencies) != 1 or None in known:
            return None
        return sum((equity for equity in known if equity is not None), ZERO)
