"""The venue: its accounts, its prices, and the one place where its time is brought forward."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mtquant.clock import Clock, ManualClock, PassingClock
from mtquant.contract import Source
from mtquant.errors import ConfigError
from mtquant_simulators.oanda.account import Account
from mtquant_simulators.oanda.prices import Tape
from mtquant_simulators.oanda.settings import OandaSettings
from mtquant_simulators.oanda.text import name_of

_KEPT = 50_000


@dataclass(frozen=True, slots=True)
class Price:
    """A price as it was published: OANDA's ``name`` of an instrument, bid, ask and time."""

    name: str
    bid: Decimal
    ask: Decimal
    time: int
    tradeable: bool


class Venue:
    """Accounts that share prices and time. ``published`` counts the prices given out so far."""

    def __init__(self, settings: OandaSettings, source: Source[Any], clock: Clock) -> None:
        self.settings = settings
        self.tape = Tape(settings, source, clock.now())
        self._steps = ManualClock(self.tape.begin) if settings.stepped else None
        self._clock: Clock | PassingClock = self._steps or PassingClock(
            clock, clock.now(), self.tape.begin, settings.speed
        )
        self.time = self.tape.begin
        self.names = {name_of(symbol): symbol for symbol in self.tape.symbols}
        self.accounts = {
            each.account_id: Account(settings, each, self.tape.symbols, self.time)
            for each in settings.accounts
        }
        self.published = 0
        self._prices: deque[Price] = deque(maxlen=_KEPT)
        self._fed = self.tape.until(self.time)
        for step in {each.symbol: each for each in self.tape.steps[: self._fed]}.values():
            for account in self.accounts.values():
                self.tape.feed(account.exchange, step)
        self._latest = {symbol: self._price(symbol) for symbol in self.tape.symbols}

    def advance(self, to: int) -> None:
        """Move a stepped venue to ``to``, matching all on the way; an earlier time moves nothing.

        Raises ValueError where time passes by itself.
        """
        if self._steps is None:
            msg = "the venue's time passes by itself"
            raise ValueError(msg)
        self._steps.set(to)
        self.sync()

    def sync(self) -> None:
        """Come to the present: match every price that has become known, let time fall due."""
        now = max(self.time, self._clock.now())
        until = self.tape.until(now)
        for step in self.tape.steps[self._fed : until]:
            self.time = max(self.time, step.time)
            for account in self.accounts.values():
                account.come_to(step.time)
                self.tape.feed(account.exchange, step)
                account.note()
            self._publish(step.symbol)
        self._fed = until
        self.time = now
        for account in self.accounts.values():
            account.come_to(now)
            account.halted = self.over
            account.note()
            account.watch_margin()

    @property
    def over(self) -> bool:
        """Whether the recorded prices have ended: nothing trades any more."""
        return self._fed >= len(self.tape.steps)

    def _publish(self, symbol: str) -> None:
        price = self._price(symbol)
        self._latest[symbol] = price
        self._prices.append(price)
        self.published += 1

    def _price(self, symbol: str) -> Price:
        exchange = next(iter(self.accounts.values())).exchange
        quote = exchange.quotes[symbol]
        return Price(name_of(symbol), quote.bid, quote.ask, quote.time, exchange.is_open(symbol))

    def latest(self, symbol: str) -> Price:
        """Return the newest price of our ``symbol``."""
        price = self._latest[symbol]
        exchange = next(iter(self.accounts.values())).exchange
        tradeable = exchange.is_open(symbol) and not self.over
        return Price(price.name, price.bid, price.ask, price.time, tradeable)

    def since(self, count: int) -> list[Price]:
        """Return the prices published after the first ``count``, as far as they are kept."""
        fresh = min(self.published - count, len(self._prices))
        return [
            self._prices[index] for index in range(len(self._prices) - fresh, len(self._prices))
        ]


def load_source(settings: OandaSettings) -> Source[Any]:
    """Return the source plugin that the settings name; raises ConfigError or PluginError."""
    from mtquant.plugins import load_catalogue  # noqa: PLC0415 - loads every plugin

    table = dict(settings.prices)
    name = str(table.pop("plugin"))
    source = load_catalogue().make("source", name, table, where="prices")
    if not isinstance(source, Source):
        raise ConfigError("prices.plugin", f"{name!r} is no source", "Name one, such as walk.")
    return source
