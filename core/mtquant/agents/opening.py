"""Tools that open exposure: preview, propose, place. All of it goes through the gate."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

import anyio
from pydantic import Field

from mtquant.agents.fate import WAITS, Fates, digest_of, vetoed
from mtquant.agents.outside import outside
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.results import (
    UNITS,
    Fate,
    OrderTold,
    PreviewTold,
    ProposalsTold,
    Proposed,
    Verdict,
)
from mtquant.agents.tool import Caller, agent_tool
from mtquant.clock import SECOND
from mtquant.contract import AgentScope
from mtquant.control.finding import refresh
from mtquant.control.trading import Trading
from mtquant.decide import AgentOrdered, Record, Withdrawn
from mtquant.engine import Engine
from mtquant.errors import BrokerError
from mtquant.model import (
    ClientOrderId,
    Mode,
    OrderPreview,
    OrderRequest,
    OrderType,
    Positive,
    Quote,
    Side,
    Signal,
    Text,
    TimeInForce,
    plain,
)
from mtquant.risk import Decision
from mtquant.risk.agents import notional_of

WAITING_LIMIT = 5
"""How many proposals of one agent may wait at once: more would only tire who has to look."""
_DAY = 86_400 * SECOND
_PROPOSALS = 4
"""How many proposals within a day for each order that the budget allows."""
Confidence = Annotated[float, Field(ge=0, le=1)]
Rationale = Annotated[str, Field(min_length=1, max_length=500)]
Account = Annotated[str, Field(max_length=64)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an agent wants opened, prices in quote currency; no ``quantity``: the sizer decides."""

    client_order_id: str
    symbol: str
    side: Side
    quantity: Decimal | None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    confidence: float = 1.0
    rationale: str = ""
    account: str | None = None


class OpeningTools:
    """What an agent may open, within its budget."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._trading = Trading(engine)
        self._fates = Fates(engine)
        self._locks: dict[str, anyio.Lock] = {}

    @agent_tool("What an order would come to", AgentScope.READ)
    async def preview_trade(  # noqa: PLR0913, PLR0917 - a tool's arguments
        self,
        caller: Caller,
        symbol: Text,
        side: Side,
        stop_loss: Positive | None = None,
        take_profit: Positive | None = None,
        quantity: Positive | None = None,
        limit_price: Positive | None = None,
        confidence: Confidence = 1.0,
        account: Account | None = None,
    ) -> PreviewTold:
        """Ask what an order would come to now: size, the checks' verdicts, margin, cost, loss.

        Nothing is sent. Without ``quantity`` the sizer decides, from the stop's distance. Look at
        it before you propose or place.
        """
        wanted = Wanted(
            client_order_id="preview",
            symbol=symbol,
            side=side,
            quantity=quantity,
            limit_price=limit_price,
            stop_loss=stop_loss,
            take_profit=take_profit,
            confidence=confidence,
            account=account,
        )
        event = await self._event(caller, wanted)
        decision = self._engine.wiring.decider.preview(event)
        if isinstance(decision, str):
            return _unreviewed(caller, event, wanted, decision)
        return await self._previewed(event, wanted, decision)

    @agent_tool("Propose a trade", AgentScope.PROPOSE, changes=True)
    async def propose_trade(  # noqa: PLR0913, PLR0917 - a tool's arguments
        self,
        caller: Caller,
        client_order_id: ClientOrderId,
        symbol: Text,
        side: Side,
        stop_loss: Positive,
        rationale: Rationale,
        take_profit: Positive | None = None,
        confidence: Confidence = 1.0,
        quantity: Positive | None = None,
        account: Account | None = None,
    ) -> OrderTold:
        """Propose a market order in terms of risk: where you are wrong (stop_loss), why, how sure.

        The gate and the sizer decide how much; then it waits for a person, or is sent at once
        where your mode is auto. The same client_order_id never acts twice: repeat it after a
        timeout.
        """
        wanted = Wanted(
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            quantity=quantity,
            stop_loss=stop_loss,
            take_profit=take_profit,
            confidence=confidence,
            rationale=rationale,
            account=account,
        )
        return await self._open(caller, "propose_trade", wanted)

    @agent_tool("Place an order", AgentScope.TRADE, changes=True)
    async def place_order(  # noqa: PLR0913, PLR0917 - a tool's arguments
        self,
        caller: Caller,
        client_order_id: ClientOrderId,
        symbol: Text,
        side: Side,
        quantity: Positive,
        limit_price: Positive | None = None,
        stop_price: Positive | None = None,
        stop_loss: Positive | None = None,
        take_profit: Positive | None = None,
        rationale: Annotated[str, Field(max_length=500)] = "",
        account: Account | None = None,
    ) -> OrderTold:
        """Place exactly this order: market, or limit, stop, stop-limit by the prices given.

        The gate lets it pass as it is or not at all. Unless your mode is auto it waits for a
        person. The same client_order_id never acts twice: repeat it after a timeout.
        """
        wanted = Wanted(
            client_order_id=client_order_id,
            symbol=symbol,
            side=side,
            quantity=quantity,
            limit_price=limit_price,
            stop_price=stop_price,
            stop_loss=stop_loss,
            take_profit=take_profit,
            rationale=rationale,
            account=account,
        )
        return await self._open(caller, "place_order", wanted)

    @agent_tool("Look an order up", AgentScope.READ)
    async def get_order(self, caller: Caller, client_order_id: ClientOrderId) -> OrderTold:
        """Say what became of an order, close or proposal of yours, by your client_order_id.

        After any error or timeout of a call that trades, ask this before anything else.
        """
        request = self._fates.request(caller, client_order_id)
        if request is None:
            raise AgentRefused(
                "not_found",
                "nothing of yours was sent or proposed under this client_order_id",
                "It was vetoed, or never arrived: you may use the id.",
                field="client_order_id",
            )
        return await self._fates.told(request)

    @agent_tool("Your proposals", AgentScope.PROPOSE)
    async def list_proposals(self, caller: Caller) -> ProposalsTold:
        """List your proposals of 30 days and what became of them, those that wait first."""
        book = self._engine.book
        rows = []
        for each in book.requests.values():
            if each.source != caller.source or not each.opens:
                continue
            waits = book.suggestions.get(each.suggestion) if not each.client_order_id else None
            sent = self._engine.desk.tickets.get(each.client_order_id)
            status = Fate.WAITING if waits else Fate.NOT_SENT
            rows.append(
                Proposed(
                    proposal=each.suggestion or None,
                    client_order_id=each.request,
                    symbol=each.instrument,
                    account=each.account,
                    status=Fate(sent.status.value) if sent else status,
                    expires=waits.expires if waits else None,
                    outcome=book.outcomes.get(each.suggestion, ""),
                )
            )
        rows.sort(key=lambda each: each.status is not Fate.WAITING)
        waiting = sum(each.status is Fate.WAITING for each in rows)
        return ProposalsTold(
            summary=f"{waiting} of {len(rows)} proposals and orders wait for a person",
            units=UNITS,
            proposals=tuple(rows[:50]),
        )

    @agent_tool("Withdraw a proposal", AgentScope.PROPOSE, changes=True, always=True)
    async def withdraw_proposal(self, caller: Caller, client_order_id: ClientOrderId) -> OrderTold:
        """Take back a proposal of yours that waits for a person."""
        request = self._fates.request(caller, client_order_id)
        waits = self._engine.book.suggestions.get(request.suggestion) if request else None
        if request is None or waits is None or request.client_order_id:
            raise AgentRefused(
                "not_found",
                "no proposal of yours waits under this client_order_id",
                "list_proposals tells which wait; an order that was sent is cancelled instead.",
                field="client_order_id",
            )
        if caller.dry_run:
            return await self._fates.told(request)
        now = self._engine.wiring.clock.now()
        self._engine.emit(
            Withdrawn(
                time=now, number=waits.number, by=caller.source, why="the agent wants it no more"
            )
        )
        return await self._fates.told(request)

    async def _open(self, caller: Caller, tool: str, wanted: Wanted) -> OrderTold:
        """Take what is wanted through the gate once, and say what became of it."""
        digest = digest_of(tool, {name: str(getattr(wanted, name)) for name in Wanted.__slots__})
        async with self._locks.setdefault(caller.source, anyio.Lock()):
            known = await self._fates.replay(caller, wanted.client_order_id, digest)
            if known is not None:
                return known
            event = await self._event(caller, wanted, digest)
            if caller.dry_run or caller.agent.mode is Mode.MANUAL:
                return self._looked_at(caller, event, wanted)
            if event.asks:
                self._require_room(caller)
            return await self._emit(caller, event, wanted)

    async def _emit(self, caller: Caller, event: AgentOrdered, wanted: Wanted) -> OrderTold:
        effects = self._engine.emit(event)
        verdict = next(
            (
                each.body
                for each in reversed(effects)
                if isinstance(each, Record) and each.kind == "verdict"
            ),
            {},
        )
        if not verdict.get("approved"):
            code, why = str(verdict.get("code", "")), str(verdict.get("message", ""))
            return vetoed(
                wanted.client_order_id, event.account, wanted.symbol, wanted.side, code, why
            )
        await self._engine.idle()
        request = self._fates.request(caller, wanted.client_order_id)
        if request is None:
            raise AgentRefused("failed", "the order was not written down", "Tell the person.")
        return await self._fates.told(request)

    def _looked_at(self, caller: Caller, event: AgentOrdered, wanted: Wanted) -> OrderTold:
        """Answer what the gate says where nothing may leave."""
        decision = self._engine.wiring.decider.preview(event)
        why = "dry run" if caller.dry_run else "your mode is manual: a person sends orders himself"
        if isinstance(decision, str) or not decision.approved:
            code, text = (
                ("not_reviewed", decision)
                if isinstance(decision, str)
                else (decision.code, decision.message)
            )
            return vetoed(
                wanted.client_order_id, event.account, wanted.symbol, wanted.side, code, text
            )
        proposal = decision.proposal
        return OrderTold(
            summary=f"NOT SENT ({why}). The gate would let pass: {decision.message}",
            units=UNITS,
            status=Fate.NOT_SENT,
            client_order_id=wanted.client_order_id,
            account=event.account,
            symbol=wanted.symbol,
            side=wanted.side,
            quantity=proposal.quantity if proposal else None,
            stop_loss=proposal.stop_loss if proposal else None,
            take_profit=proposal.take_profit if proposal else None,
            verdict=decision.message,
            reason=why,
        )

    def _require_room(self, caller: Caller) -> None:
        """Refuse more proposals than a person can look at."""
        book = self._engine.book
        waiting = sum(
            each.signal.strategy_id == caller.source for each in book.suggestions.values()
        )
        if waiting >= WAITING_LIMIT:
            raise AgentRefused(
                "too_many_waiting",
                f"{waiting} proposals of yours wait for a person already",
                "Wait for the answers, or withdraw_proposal.",
            )
        most = _PROPOSALS * caller.agent.budget.orders
        since = book.time - _DAY
        made = sum(
            each.source == caller.source and each.opens and each.time > since
            for each in book.requests.values()
        )
        if made >= most:
            raise AgentRefused(
                "too_many_proposals",
                f"{made} proposals of yours in 24 hours; at most {most}",
                "Propose no more today.",
            )

    async def _event(self, caller: Caller, wanted: Wanted, digest: str = "") -> AgentOrdered:
        """Return the wish at the prices of now, at the account that it would go to."""
        account = self._trading.route(wanted.symbol, wanted.account)
        await self._see(caller, account, wanted.symbol)
        book = self._engine.book.account(account)
        quote = book.quotes.get(wanted.symbol)
        now = self._engine.wiring.clock.now()
        trades = AgentScope.TRADE in caller.agent.scopes
        return AgentOrdered(
            time=now,
            account=account,
            signal=_signal(caller, wanted, quote, now),
            request=wanted.client_order_id,
            digest=digest,
            order=None if wanted.quantity is None else self._order(caller, wanted),
            asks=not (trades and caller.agent.mode is Mode.AUTO),
        )

    async def _see(self, caller: Caller, account: str, symbol: str) -> None:
        """Take in the prices of now, here and wherever the agent holds something: losses count."""
        await refresh(self._engine, account, symbol)
        for name, book in self._engine.book.accounts.items():
            held = [
                each
                for each, holder in book.trades.opened_by.items()
                if holder == caller.source and each in book.holdings
            ]
            link = self._engine.wiring.links.get(name)
            if held and name != account and link is not None and link.connected:
                await refresh(self._engine, name, held[0])

    def _order(self, caller: Caller, wanted: Wanted) -> OrderRequest:
        kind = _kind(wanted)
        market = kind is OrderType.MARKET
        return OrderRequest(
            client_order_id=self._engine.wiring.decider.ids.new(),
            instrument=wanted.symbol,
            side=wanted.side,
            order_type=kind,
            quantity=wanted.quantity or Decimal(0),
            limit_price=wanted.limit_price,
            stop_price=wanted.stop_price,
            stop_loss=wanted.stop_loss,
            take_profit=wanted.take_profit,
            time_in_force=TimeInForce.FOK if market else TimeInForce.GTC,
            strategy_id=caller.source,
        )

    async def _previewed(
        self, event: AgentOrdered, wanted: Wanted, decision: Decision
    ) -> PreviewTold:
        proposal, state = decision.proposal, decision.state
        broker = await self._brokers_word(event, wanted, decision)
        currency = state.account.currency if state else ""
        worth = notional_of(proposal, state) if proposal and state else None
        word = "would pass" if decision.approved else f"VETOED ({decision.code})"
        loss = (
            f"; loss at the stop {broker.loss_at_stop:,.2f} {currency}"
            if (broker and broker.loss_at_stop is not None)
            else ""
        )
        waits = "; it then " + WAITS.partition(",")[0] if event.asks and decision.approved else ""
        return PreviewTold(
            summary=f"{word}: {decision.message}{loss}{waits}",
            units=UNITS,
            approved=decision.approved,
            code=decision.code,
            account=event.account,
            symbol=wanted.symbol,
            side=wanted.side,
            quantity=proposal.quantity if proposal else None,
            price=proposal.reference_price if proposal else None,
            stop_loss=proposal.stop_loss if proposal else None,
            take_profit=proposal.take_profit if proposal else None,
            currency=currency,
            notional=worth,
            margin=broker.margin_required if broker else None,
            cost=broker.commission + broker.spread_cost if broker else None,
            loss_at_stop=broker.loss_at_stop if broker else None,
            needs_approval=event.asks,
            checks=tuple(
                Verdict(check=each.check, verdict=each.verdict.value, why=each.message)
                for each in decision.findings
            ),
        )

    async def _brokers_word(
        self, event: AgentOrdered, wanted: Wanted, decision: Decision
    ) -> OrderPreview | None:
        """Return what the broker says an order would cost; None where he can't, or needn't."""
        proposal = decision.proposal
        if proposal is None or not proposal.quantity:
            return None
        order = event.order or OrderRequest(
            client_order_id=self._engine.wiring.decider.ids.new(),
            instrument=wanted.symbol,
            side=wanted.side,
            order_type=OrderType.MARKET,
            quantity=proposal.quantity,
            time_in_force=TimeInForce.FOK,
            stop_loss=proposal.stop_loss,
            take_profit=proposal.take_profit,
        )
        try:
            return await self._engine.wiring.links[event.account].preview(order)
        except BrokerError:
            return None


def _kind(wanted: Wanted) -> OrderType:
    if wanted.limit_price is not None and wanted.stop_price is not None:
        return OrderType.STOP_LIMIT
    if wanted.limit_price is not None:
        return OrderType.LIMIT
    return OrderType.MARKET if wanted.stop_price is None else OrderType.STOP


def _signal(caller: Caller, wanted: Wanted, quote: Quote | None, now: int) -> Signal:
    """Return the wish with distances from the price of now.

    Raises AgentRefused where a protection stands on the wrong side of it.
    """
    price = None
    if quote is not None:
        price = quote.ask if wanted.side is Side.BUY else quote.bid
    sized = wanted.quantity is None and price is not None
    return Signal(
        strategy_id=caller.source,
        instrument=wanted.symbol,
        time=now,
        direction=wanted.side.sign,
        reason=outside(wanted.rationale) or f"{caller.source} orders",
        stop_distance=_distance("stop_loss", wanted.stop_loss, price, wanted.side.sign)
        if sized
        else None,
        take_profit_distance=_distance("take_profit", wanted.take_profit, price, -wanted.side.sign)
        if sized
        else None,
        confidence=wanted.confidence,
    )


def _distance(
    field: str, protection: Decimal | None, price: Decimal | None, way: int
) -> Decimal | None:
    if protection is None or price is None:
        return None
    distance = (price - protection) * way
    if distance <= 0:
        raise AgentRefused(
            "invalid_price",
            f"{field}: {plain(protection)} is on the wrong side of the price, {plain(price)}",
            "A stop-loss stands below the price of a buy and above that of a sell, a take-profit "
            "the other way round. Correct it and call again.",
            field=field,
        )
    return distance


def _unreviewed(caller: Caller, event: AgentOrdered, wanted: Wanted, why: str) -> PreviewTold:
    return PreviewTold(
        summary=f"not looked at: {outside(why)}",
        units=UNITS,
        approved=False,
        code="not_reviewed",
        account=event.account,
        symbol=wanted.symbol,
        side=wanted.side,
        quantity=wanted.quantity,
        price=None,
        stop_loss=wanted.stop_loss,
        take_profit=wanted.take_profit,
        currency="",
        notional=None,
        margin=None,
        cost=None,
        loss_at_stop=None,
        needs_approval=caller.agent.mode is not Mode.AUTO,
        checks=(),
    )
