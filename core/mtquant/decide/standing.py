"""What an agent has used of its budget, from the book alone.

A position belongs to whoever opened it. So that an agent's losses are its own, it opens nothing
where somebody else holds or has orders working; ``beside`` says who does.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from mtquant.book import DAY, ZERO, AccountBook, Book
from mtquant.contract import AgentStanding, agent_of

_ONE = Decimal(1)


def standing(
    book: Book,
    source: str,
    account: AccountBook | None = None,
    symbol: str = "",
    instead_of: str = "",
) -> AgentStanding | None:
    """Return what the agent ``source`` has used; None where no such agent is enrolled.

    ``account`` and ``symbol`` are where it wants to open; its order ``instead_of`` there is left
    out, which the one under review replaces.
    """
    agent = book.agents.get(agent_of(source) or "")
    if agent is None:
        return None
    currency, since = agent.budget.currency, book.time - DAY
    accounts = book.accounts.values()
    sent = [
        (each, item)
        for each in accounts
        for item in each.sent
        if item.strategy_id == source and (not instead_of or item.client_order_id != instead_of)
    ]
    counted = [
        (each, item)
        for each, item in sent
        if max(item.time, item.filled) > since or item.client_order_id in each.working
    ]
    closed = _sum(currency, ((each, _closed(each, source, since)) for each in accounts))
    unclosed = _sum(currency, ((each, _open_profit(each, source)) for each in accounts))
    return AgentStanding(
        agent=agent,
        orders=sum(item.time > since for _, item in sent),
        opened=_sum(currency, ((each, item.notional) for each, item in counted)),
        held=_sum(currency, ((each, _held(each, source, instead_of)) for each in accounts)),
        lost=_lost(closed, unclosed),
        rate=rate_to(account, currency) if account else None,
        beside=_beside(account, source, symbol) if account else "",
    )


def rate_to(account: AccountBook, currency: str) -> Decimal | None:
    """Return what one unit of the account's currency is worth in ``currency``; None if unknown."""
    if account.account is None:
        return None
    if account.account.currency == currency:
        return _ONE
    rate = account.rate(currency)
    return _ONE / rate if rate else None


def _held(account: AccountBook, source: str, instead_of: str) -> Decimal:
    """Return the notional value of what the agent holds, and of what its orders may still open."""
    total = ZERO
    replaced = account.working.get(instead_of)
    exposures = account.exposures.all()
    if replaced is not None and replaced.opens:
        exposures = account.exposures.without(replaced.instrument, replaced.side, replaced.quantity)
    for each in exposures:
        if account.trades.opened_by.get(each.instrument) == source:
            total += each.size * each.notional_rate
    return total


def _sum(currency: str, parts: Iterable[tuple[AccountBook, Decimal | None]]) -> Decimal | None:
    """Return a sum over accounts in ``currency``; None where a part of it can't be known."""
    total = ZERO
    for account, amount in parts:
        if amount == ZERO:
            continue
        rate = rate_to(account, currency)
        if amount is None or rate is None or not amount.is_finite():
            return None
        total += amount * rate
    return total


def _closed(account: AccountBook, source: str, since: int) -> Decimal:
    """Return what the agent's trades that were closed after ``since`` have brought."""
    return sum(
        (
            each.profit
            for each in account.trades.closed
            if each.strategy_id == source and each.time > since
        ),
        ZERO,
    )


def _lost(closed: Decimal | None, unclosed: Decimal | None) -> Decimal | None:
    """Return what was lost: an open profit doesn't make up for a closed loss."""
    if closed is None or unclosed is None:
        return None
    return max(-closed, ZERO) + max(-unclosed, ZERO)


def _open_profit(account: AccountBook, source: str) -> Decimal | None:
    """Return what the agent's open trades have brought so far; None where one can't be valued."""
    total = ZERO
    for symbol, name in account.trades.opened_by.items():
        held = account.holdings.get(symbol)
        if name != source or held is None:
            continue
        open_profit = account.open_profit(symbol)
        if open_profit is None:
            return None
        total += open_profit + account.trades.pending(symbol)
    return total


def _beside(account: AccountBook, source: str, symbol: str) -> str:
    """Return who else holds, or may come to hold, something in ``symbol`` at ``account``."""
    if symbol in account.holdings:
        holder = account.trades.opened_by.get(symbol, "somebody else")
        if holder != source:
            return holder
    for each in account.working.values():
        if each.instrument == symbol and each.opens:
            whose = account.owner(each.client_order_id) or "somebody else"
            if whose != source:
                return whose
    return ""


def agent_works(account: AccountBook, symbol: str) -> str:
    """Return the agent whose order may still open something in ``symbol``; empty for none."""
    for each in account.working.values():
        if each.instrument == symbol and each.opens:
            whose = account.owner(each.client_order_id)
            if agent_of(whose) is not None:
                return whose
    return ""
