"""A run told by its entries, the same for one that is in a journal and for its replay."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from mtquant.clock import parse_time
from mtquant.decide import read_signal
from mtquant.drift.result import ZERO
from mtquant.model import Fill, Reason, Side, Signal

PROTECTIONS = {Reason.STOP_LOSS, Reason.TAKE_PROFIT, Reason.TRAILING_STOP}


class SignalKey(NamedTuple):
    """What names a signal in both: the ``number``-th of a strategy in a symbol at a time."""

    strategy_id: str
    instrument: str
    time: int
    number: int


class OrderKey(NamedTuple):
    """What names an order in both.

    ``origin`` is the time of the signal behind it, or the ``time`` of another order: of the one
    whose position a protective order closes. ``number`` tells apart what is alike otherwise.
    """

    strategy_id: str
    instrument: str
    origin: int
    what: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A signal and where it stands in the journal, 0 in a replay."""

    signal: Signal
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The gate's decision on the signal of ``origin``, a time.

    ``objection`` is the check that refused or made smaller, with its limit and what it saw, or the
    gate's sentence. ``quote`` are the bid and the ask, ``equity`` the equity in the account's
    currency that were decided on.
    """

    time: int
    strategy_id: str
    origin: int
    approved: bool
    code: str
    objection: str
    quote: tuple[Decimal, Decimal] | None
    equity: Decimal | None


@dataclass(slots=True, kw_only=True)
class Order:
    """An order and what came of it; a protective one has no client order id and was never sent.

    ``entry`` is the number of its intent in the journal, 0 in a replay. ``told`` are the stage,
    the status and the reason of each report. ``protects`` is the price it was to fill at.
    """

    key: OrderKey
    time: int
    entry: int
    account: str
    client_order_id: str
    side: Side
    quantity: Decimal
    opens: bool
    person: str = ""
    verdict: Verdict | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    protects: Decimal | None = None
    told: list[tuple[str, str, str]] = field(default_factory=list)
    reported: Decimal = ZERO
    fills: list[Fill] = field(default_factory=list)

    @property
    def filled(self) -> Decimal:
        """How many base units were executed."""
        return sum((each.quantity for each in self.fills), ZERO)

    @property
    def price(self) -> Decimal:
        """The average price of its executions, which it must have."""
        return sum((each.quantity * each.price for each in self.fills), ZERO) / self.filled

    @property
    def commission(self) -> Decimal:
        """What was paid for its executions, in the account's currency."""
        return sum((each.commission for each in self.fills), ZERO)


class Story:
    """Gathers signals, verdicts, orders and executions from entries, oldest first.

    ``terms`` are the newest of each account's instruments that were decided on, ``spreads`` their
    spreads then. ``unbooked`` is what of a balance no execution made, by the signal that was
    decided on then; it is left out where an execution may be in one of both alone.
    """

    def __init__(self) -> None:
        self.signals: dict[SignalKey, Heard] = {}
        self.verdicts: dict[tuple[str, str, int], list[Verdict]] = defaultdict(list)
        self.orders: dict[OrderKey, Order] = {}
        self.fills: list[tuple[int, Fill]] = []
        self._by_id: dict[str, Order] = {}
        self._newest: dict[tuple[str, str], Verdict] = {}
        self.terms: dict[tuple[str, str], dict[str, Any]] = {}
        self.spreads: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
        self.unbooked: dict[tuple[str, str, int], Decimal] = {}
        self._booked, self._sent_until = ZERO, 0
        self._opener: dict[tuple[str, str], Order] = {}
        self._seen: set[tuple[str, str]] = set()
        self._numbers: Counter[tuple[str | int, ...]] = Counter()

    def signal(self, entry: int, body: dict[str, Any]) -> None:
        """Take a strategy's signal in."""
        signal = read_signal(body)
        place = (signal.strategy_id, signal.instrument, signal.time)
        self._numbers[place] += 1
        key = SignalKey(*place, self._numbers[place])
        self.signals[key] = Heard(signal=signal, entry=entry)

    def verdict(self, time: int, body: dict[str, Any]) -> None:
        """Take a decision of the gate in."""
        signal, state, account = body["signal"], body.get("state") or {}, body["account"]
        symbol = signal["instrument"]
        money, quote = state.get("account"), state.get("quote")
        verdict = Verdict(
            time=time,
            strategy_id=signal["strategy_id"],
            origin=parse_time(signal["time"]),
            approved=bool(body["approved"]),
            code=str(body.get("code", "")),
            objection=_objection(body),
            quote=None if quote is None else (Decimal(quote["bid"]), Decimal(quote["ask"])),
            equity=None if money is None else Decimal(money["equity"]),
        )
        place = (verdict.strategy_id, symbol, verdict.origin)
        self.verdicts[place].append(verdict)
        self._newest[account, symbol] = verdict
        if "instrument" in state:
            self.terms[account, symbol] = state["instrument"]
        if verdict.quote is not None:
            bid, ask = verdict.quote
            self.spreads[account, symbol].append(ask - bid)
        if money is not None and parse_time(money["time"]) > self._sent_until:
            self.unbooked[place] = Decimal(money["balance"]) - self._booked

    def intent(self, time: int, entry: int, body: dict[str, Any]) -> None:
        """Take in an order that is about to be sent."""
        request, symbol, account = body["request"], body["instrument"], body["account"]
        verdict = self._newest.get((account, symbol))
        person = str(body.get("person") or "")
        origin = 0 if person or verdict is None else verdict.origin
        # Where several strategies agree, the gate knows them by all their names.
        strategy = person or (verdict.strategy_id if verdict else "")
        what = "open" if body["opens"] else "close"
        order = Order(
            key=self._key(strategy, symbol, origin, what),
            time=time,
            entry=entry,
            account=account,
            client_order_id=body["client_order_id"],
            side=Side(body["side"]),
            quantity=Decimal(request["quantity"]),
            opens=bool(body["opens"]),
            person=person,
            verdict=verdict,
            stop_loss=_price(request.get("stop_loss")),
            take_profit=_price(request.get("take_profit")),
        )
        self.orders[order.key] = self._by_id[order.client_order_id] = order

    def report(self, body: dict[str, Any]) -> None:
        """Take in what became of an order."""
        order = self._by_id.get(body["client_order_id"])
        if order is not None:
            order.told.append((body["stage"], body["status"], body["why"] or ""))
            order.reported = max(order.reported, Decimal(body.get("filled") or 0))

    def fill(self, entry: int, account: str, fill: Fill) -> None:
        """Take an execution in, once."""
        if (account, fill.execution_id) in self._seen:
            return
        self._seen.add((account, fill.execution_id))
        self.fills.append((entry, fill))
        self._booked += fill.realized_profit - fill.commission
        order = self._by_id.get(fill.client_order_id or "")
        if order is None:
            order = self._protective(entry, account, fill)
        else:
            self._sent_until = fill.time
        order.fills.append(fill)
        if order.opens:
            self._opener[account, fill.instrument] = order

    def _protective(self, entry: int, account: str, fill: Fill) -> Order:
        """Return the order of the broker's own that an execution without our id belongs to."""
        known = self._by_id.get(f"{account} {fill.order_id}")
        if known is not None:
            return known
        opener = self._opener.get((account, fill.instrument))
        stands = None
        if opener is not None and fill.reason is Reason.STOP_LOSS:
            stands = opener.stop_loss
        elif opener is not None and fill.reason is Reason.TAKE_PROFIT:
            stands = opener.take_profit
        strategy, origin = "", 0
        if opener is not None:
            strategy, origin = opener.key.strategy_id, opener.key.origin
        order = Order(
            key=self._key(strategy, fill.instrument, origin, "protect"),
            time=fill.time,
            entry=entry,
            account=account,
            client_order_id="",
            side=fill.side,
            quantity=fill.quantity,
            opens=False,
            protects=stands,
        )
        self.orders[order.key] = self._by_id[f"{account} {fill.order_id}"] = order
        return order

    def _key(self, strategy: str, symbol: str, origin: int, what: str) -> OrderKey:
        place = (strategy, symbol, origin, what)
        self._numbers[place] += 1
        return OrderKey(*place, self._numbers[place])


def _objection(body: dict[str, Any]) -> str:
    for each in body.get("findings") or ():
        if each["verdict"] != "approved":
            seen = f", saw {each['observed']}" if each.get("observed") else ""
            limit = f" (limit {each['limit']}{seen})" if each.get("limit") else ""
            return f"{each['check']}: {each['message'] or each['code']}{limit}"
    return str(body.get("message") or body.get("code", ""))


def _price(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
