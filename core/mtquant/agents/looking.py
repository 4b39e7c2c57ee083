"""Tools that look at what is held and what works, over all accounts."""

from __future__ import annotations

import re
from decimal import Decimal

from mtquant.agents.outside import is_symbol
from mtquant.agents.results import (
    UNITS,
    AccountTold,
    OrdersTold,
    PortfolioTold,
    PositionsTold,
    PositionTold,
    WorkingTold,
)
from mtquant.agents.tool import Caller, agent_tool
from mtquant.book import AccountBook
from mtquant.contract import AgentScope, BreakerLevel
from mtquant.control.finding import links
from mtquant.engine import Engine
from mtquant.errors import BrokerError
from mtquant.link import Link
from mtquant.model import Account, Names, OrderReport, Position, plain

_CURRENCY = re.compile("[A-Z]{3}")
_MOST = 200
"""The most rows of one answer."""


class LookingTools:
    """What stands where; nothing is changed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @agent_tool("Portfolio over all accounts", AgentScope.READ)
    async def get_portfolio(self, caller: Caller) -> PortfolioTold:  # noqa: ARG002 - a tool's
        """Money, margin and loss breaker of every account, and how much is open. Begin with it."""
        accounts = [await self._account(link) for link in links(self._engine, None)]
        books = self._engine.book.accounts.values()
        known = [each for each in accounts if each.equity is not None]
        currencies = {each.currency for each in known}
        whole = len(currencies) == 1 and len(known) == len(accounts)
        equity = sum((each.equity or Decimal(0) for each in known), Decimal(0)) if whole else None
        currency = next(iter(currencies)) if whole else None
        problems = tuple(f"{each.account}: {each.why}" for each in accounts if each.why)
        halted = bool(self._engine.book.halted)
        positions = sum(len(each.holdings) for each in books)
        worth = f"{equity:,.2f} {currency}" if equity is not None else "not one sum"
        return PortfolioTold(
            summary=f"{len(accounts)} accounts, equity {worth}, {positions} positions open"
            + ("; trading is HALTED" if halted else "")
            + (f"; problems: {len(problems)}" if problems else ""),
            units=UNITS,
            equity=equity,
            currency=currency,
            accounts=tuple(accounts),
            positions=positions,
            working_orders=sum(len(each.working) for each in books),
            in_doubt=len(self._engine.desk.in_doubt()),
            halted=halted,
            problems=problems,
        )

    async def _account(self, link: Link) -> AccountTold:
        book, state = self._engine.book.account(link.name), link.state()
        account, why = book.account, state.why
        if link.connected:
            try:
                account = await link.account()
            except BrokerError as error:
                why = str(error)
        return _account_told(link.name, book, account, why, tradable=state.tradable)

    @agent_tool("Open positions", AgentScope.READ)
    async def get_positions(
        self, caller: Caller, symbols: Names | None = None, account: str | None = None
    ) -> PositionsTold:
        """List open positions with profit and protections. ``mine`` marks those you opened.

        Only those may you close or protect.
        """
        rows: list[PositionTold] = []
        problems: list[str] = []
        for link in links(self._engine, account):
            try:
                found = await link.positions() if link.connected else ()
            except BrokerError as error:
                problems.append(f"{link.name}: {error}")
                continue
            if not link.connected:
                problems.append(f"{link.name} isn't connected")
            book = self._engine.book.account(link.name)
            rows += [
                _position_told(book, each, caller)
                for each in found
                if is_symbol(each.instrument) and (not symbols or each.instrument in symbols)
            ]
        profit = ", ".join(
            f"{each.side} {plain(each.quantity)} {each.symbol} at {each.account}"
            for each in rows[:5]
        )
        return PositionsTold(
            summary=f"{len(rows)} open positions" + (f": {profit}" if rows else ""),
            units=UNITS,
            positions=tuple(rows[:_MOST]),
            problems=tuple(problems),
        )

    @agent_tool("Working orders", AgentScope.READ)
    async def list_orders(self, caller: Caller, account: str | None = None) -> OrdersTold:
        """List orders that may still act, and your own whose fate isn't known yet."""
        rows: list[WorkingTold] = []
        problems: list[str] = []
        own = {
            each.client_order_id: each.request
            for each in self._engine.book.requests.values()
            if each.source == caller.source and each.client_order_id
        }
        for link in links(self._engine, account):
            try:
                found = await link.working_orders() if link.connected else ()
            except BrokerError as error:
                problems.append(f"{link.name}: {error}")
                continue
            if not link.connected:
                problems.append(f"{link.name} isn't connected")
            rows += [
                _working_told(link.name, each, own) for each in found if is_symbol(each.instrument)
            ]
        doubtful = [
            own[each.client_order_id]
            for each in self._engine.desk.in_doubt()
            if each.client_order_id in own
        ]
        return OrdersTold(
            summary=f"{len(rows)} working orders, {sum(each.mine for each in rows)} of them yours"
            + (f"; in doubt: {', '.join(doubtful)}" if doubtful else ""),
            units=UNITS,
            orders=tuple(rows[:_MOST]),
            in_doubt=tuple(doubtful),
            problems=tuple(problems),
        )


def _account_told(
    name: str, book: AccountBook, account: Account | None, why: str, *, tradable: bool
) -> AccountTold:
    level = book.breaker.level if book.breaker else BreakerLevel.NORMAL
    return AccountTold(
        account=name,
        currency=account.currency if account and _CURRENCY.fullmatch(account.currency) else "",
        balance=account.balance if account else None,
        equity=account.equity if account else None,
        margin_used=account.margin_used if account else None,
        margin_available=account.margin_available if account else None,
        open_profit=account.equity - account.balance if account else None,
        breaker=level.name.lower(),
        tradable=tradable,
        why=why,
    )


def _position_told(book: AccountBook, each: Position, caller: Caller) -> PositionTold:
    holder = book.trades.opened_by.get(each.instrument, "")
    return PositionTold(
        account=book.name,
        position_id=each.position_id,
        symbol=each.instrument,
        side=each.side,
        quantity=each.quantity,
        average_price=each.average_price,
        profit=each.unrealized_profit,
        stop_loss=each.stop_loss,
        take_profit=each.take_profit,
        held_by=holder,
        mine=holder == caller.source,
    )


def _working_told(account: str, each: OrderReport, own: dict[str, str]) -> WorkingTold:
    mine = each.client_order_id in own
    return WorkingTold(
        account=account,
        order_id=each.order_id,
        client_order_id=own[each.client_order_id or ""] if mine else each.client_order_id,
        symbol=each.instrument,
        side=each.side,
        order_type=each.order_type.value,
        quantity=each.quantity,
        filled_quantity=each.filled_quantity,
        limit_price=each.limit_price,
        stop_price=each.stop_price,
        status=each.status.value,
        mine=mine,
    )
