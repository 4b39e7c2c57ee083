"""The books of a simulated account: its prices, orders, positions and money."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal

from mtquant.errors import ConfigError, ErrorCode
from mtquant.exchange.costs import money
from mtquant.exchange.hours import is_open, read_sessions
from mtquant.exchange.money import exposures, margin, open_profit, with_order
from mtquant.exchange.positions import Positions
from mtquant.exchange.rates import convert, paths
from mtquant.exchange.record import ZERO, Change, Record, Snapshot
from mtquant.exchange.settings import ExchangeSettings, instrument
from mtquant.exchange.validate import refuse
from mtquant.model import (
    Account,
    Environment,
    Instrument,
    OrderReport,
    OrderRequest,
    Position,
    Quote,
    plain,
)
from mtquant.symbols import unknown_instrument


class Books:
    """What one account has and what it is worth. Times are nanoseconds UTC.

    ``touched`` turns true when money or a position changed without an order or an execution.
    """

    def __init__(self, settings: ExchangeSettings, symbols: Iterable[str]) -> None:
        self.settings = settings
        self.terms = {symbol: settings.terms(symbol) for symbol in symbols}
        self.instruments: Mapping[str, Instrument] = {
            symbol: instrument(symbol, terms) for symbol, terms in self.terms.items()
        }
        self._check_overrides()
        self._sessions = {
            symbol: read_sessions(terms.sessions, terms.time_zone)
            for symbol, terms in self.terms.items()
        }
        self._paths = paths(self.instruments, settings.currency)
        self.quotes: dict[str, Quote] = {}
        self.balance = settings.balance
        self.time = 0
        self.touched = False
        self._record = Record()
        self._positions = Positions(settings.position_mode)

    def _check_overrides(self) -> None:
        """Refuse terms of a symbol that isn't traded: they would be passed over in silence."""
        for symbol in sorted(set(self.settings.instruments) - set(self.terms)):
            near = difflib.get_close_matches(symbol, sorted(self.terms), n=3, cutoff=0.4)
            hint = f"Did you mean {', '.join(near)}?" if near else "Take it out."
            raise ConfigError(f"instruments.{symbol}", "the account has no such symbol", hint)

    def restore(self, stored: Snapshot) -> None:
        """Continue where ``stored`` was taken."""
        self.balance, self.time = stored.balance, max(self.time, stored.time)
        self._record.restore(stored)
        self._positions.restore(stored.positions)

    @property
    def changes(self) -> list[Change]:
        """What changed since it was last taken."""
        return self._record.changes

    def take_changes(self) -> list[Change]:
        """Return what changed since the last time this was asked."""
        return self._record.take_changes()

    @property
    def seq(self) -> int:
        """The number of the newest change."""
        return self._record.seq

    @property
    def numbered(self) -> int:
        """How many orders, executions and tickets there have been."""
        return self._record.numbered

    @property
    def orders(self) -> Mapping[str, OrderReport]:
        """Every order by its id, oldest first."""
        return self._record.orders

    @property
    def by_client_id(self) -> Mapping[str, str]:
        """Order ids by the client order ids they were placed under."""
        return self._record.by_client_id

    def positions(self) -> list[Position]:
        """Return the open positions, with the profit that closing now would bring."""
        return [
            replace(each, unrealized_profit=money(self._open_profit(each)))
            for each in self._positions.open.values()
        ]

    def held(self) -> set[str]:
        """Return the symbols of the open positions."""
        return {each.instrument for each in self._positions.open.values()}

    def account(self, time: int) -> Account:
        """Return the account's money."""
        equity = self._equity()
        used = self._margin_used()
        return Account(
            account_id=self.settings.account_id,
            currency=self.settings.currency,
            environment=Environment.PAPER,
            position_mode=self.settings.position_mode,
            balance=self.balance,
            equity=equity,
            margin_used=used,
            margin_available=max(equity - used, ZERO),
            time=time,
            fifo=self.settings.fifo,
            margin_call=self._called(equity, used),
        )

    def rate(self, currency: str) -> Decimal:
        """Return what one unit of a quote currency is worth in the account's, at mid prices."""
        rate = convert(self._paths[currency], self.quotes)
        if rate is None:
            raise refuse(ErrorCode.NO_PRICE, f"no price yet to turn {currency} into money")
        return rate

    def is_open(self, symbol: str) -> bool:
        """Tell whether ``symbol`` trades at the exchange's time."""
        return is_open(self._sessions[symbol], self.terms[symbol].time_zone, self.time)

    def _known(self, symbol: str) -> Instrument:
        if symbol not in self.instruments:
            raise unknown_instrument(symbol, self.instruments, self.settings.account_id)
        return self.instruments[symbol]

    def _priced(self, symbol: str) -> tuple[Instrument, Quote]:
        each, quote = self._known(symbol), self.quotes.get(symbol)
        if quote is None:
            raise refuse(ErrorCode.NO_PRICE, "this instrument has no price yet", "instrument")
        self.rate(each.quote)
        return each, quote

    def _equity(self) -> Decimal:
        profits = (money(self._open_profit(each)) for each in self._positions.open.values())
        return self.balance + sum(profits, ZERO)

    def _open_profit(self, position: Position) -> Decimal:
        symbol = position.instrument
        return open_profit(position, self.quotes[symbol], self.rate(self.instruments[symbol].quote))

    def _margin_used(self) -> Decimal:
        held = exposures(self._positions.open.values())
        return margin(held, self.instruments, self.quotes, self.rate)

    def _called(self, equity: Decimal, used: Decimal) -> bool:
        return bool(used) and equity <= self.settings.margin_call_level * used

    def _margin_with(self, order: OrderRequest, quantity: Decimal) -> Decimal:
        """Return the margin in use once ``quantity`` of ``order`` has filled."""
        held = exposures(self._positions.open.values())
        mode = self.settings.position_mode
        after = with_order(held, order.instrument, order.side, quantity, mode)
        return margin(after, self.instruments, self.quotes, self.rate)

    def _check_margin(self, order: OrderRequest, quantity: Decimal, price: Decimal) -> None:
        """Refuse what the equity can't carry; what lowers the margin in use always passes."""
        used, needed = self._margin_used(), self._margin_with(order, quantity)
        if needed <= used:
            return
        each = self.instruments[order.instrument]
        worse = order.side.sign * (price - self.quotes[order.instrument].mid)
        cost = quantity * max(worse, ZERO) * self.rate(each.quote)
        equity = self._equity() - cost
        if needed > equity or self._called(self._equity(), used):
            raise refuse(
                ErrorCode.INSUFFICIENT_MARGIN,
                f"the order needs a margin of {plain(needed)} {self.settings.currency}, and the "
                f"equity is {plain(money(equity))}",
                "quantity",
            )
