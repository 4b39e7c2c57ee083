"""What a simulated account is made of: its money, costs, steps and where its prices come from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mtquant.contract import Settings
from mtquant.errors import ConfigError
from mtquant.exchange.hours import Hours, read_sessions
from mtquant.model import (
    AssetClass,
    Instrument,
    Number,
    OrderType,
    PositionMode,
    Positive,
    SwapUnit,
    Text,
    TradingSession,
)
from mtquant.symbols import Spelling

_OUNCES = {
    "contract_size": Decimal(100),
    "quantity_min": Decimal(1),
    "quantity_step": Decimal(1),
    "quantity_max": Decimal(100_000),
}
"""A lot of a metal and its steps, in ounces: a thousand of them would be 10 lots of gold."""
_METALS = {"XAU", "XAG", "XPT", "XPD"}
ORDER_TYPES = tuple(OrderType)
Share = Annotated[Number, Field(gt=0, le=1)]
NotNegative = Annotated[Number, Field(ge=0)]
ROLLOVER = Hours(time_zone="America/New_York", time="17:00")
"""When the trading day of foreign exchange ends."""


class Terms(Settings):
    """The terms an instrument trades on.

    ``spread_pips`` is ask less bid in pips, where prices come as mids. Commission is charged on
    each execution in the account's currency: for a million of notional, for a base unit, for the
    execution as such, and as a share of the notional. A market, stop or touched order fills
    ``slippage_pips`` worse than the price, and up to ``slippage_random_pips`` more, drawn from the
    account's seed. ``liquidity`` is how many base units fill at one price or in one bar; what is
    left waits for the next. ``margin_rate`` is margin over notional (1/30 is 30:1). Swaps are what
    a long or short position earns (negative: pays) a night, in ``swap_unit``. ``sessions`` are
    ``"sun 17:00 - fri 17:00"``, in ``time_zone``; none means round the clock. Quantities are in
    base units: lots of 100,000 in steps of 1,000, and of metals lots of 100 ounces in steps of one,
    unless they are given. ``pip_size`` and ``price_step`` are those of the symbol's kind (see
    :func:`instrument`) unless they are given.
    """

    spread_pips: NotNegative = Decimal(1)
    commission_per_million: NotNegative = Decimal(0)
    commission_per_unit: NotNegative = Decimal(0)
    commission_per_trade: NotNegative = Decimal(0)
    commission_rate: NotNegative = Decimal(0)
    slippage_pips: NotNegative = Decimal(0)
    slippage_random_pips: NotNegative = Decimal(0)
    liquidity: Positive | None = None
    margin_rate: Share = Decimal("0.0333")
    swap_long: Number = Decimal(0)
    swap_short: Number = Decimal(0)
    swap_unit: SwapUnit = SwapUnit.PIPS
    minimum_stop_pips: NotNegative = Decimal(0)
    sessions: tuple[str, ...] = ()
    time_zone: str = "America/New_York"
    contract_size: Positive = Decimal(100_000)
    quantity_min: Positive = Decimal(1000)
    quantity_step: Positive = Decimal(1000)
    quantity_max: Positive = Decimal(100_000_000)
    pip_size: Positive | None = None
    price_step: Positive | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.quantity_min % self.quantity_step or self.quantity_max % self.quantity_step:
            raise ValueError("quantity_min and quantity_max must be multiples of quantity_step")
        if self.liquidity is not None and self.liquidity < self.quantity_step:
            raise ValueError("liquidity must be at least quantity_step")
        read_sessions(self.sessions, self.time_zone)
        return self


class ExchangeSettings(Terms):
    """One simulated account and the terms of its instruments.

    ``currency`` is the account's (ISO 4217) and ``balance`` its opening balance in it. In
    ``hedging`` mode each order opens a ticket of its own; with ``fifo`` the oldest of an
    instrument must be closed first. Where the equity falls to ``margin_call_level`` times the
    margin in use, no new risk is taken; at ``close_out_level`` positions are closed. Swaps are
    due at ``rollover``, three of them on ``triple_swap_day``. ``margin_rates`` sets the margin of
    a class, ``instruments`` overrides terms for single symbols. ``seed`` is that of the slippage.
    """

    account_id: Text = "paper"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    balance: Positive = Decimal(100_000)
    position_mode: PositionMode = PositionMode.NETTING
    fifo: bool = False
    margin_call_level: NotNegative = Decimal(1)
    close_out_level: NotNegative = Decimal("0.5")
    rollover: Hours = ROLLOVER
    triple_swap_day: Literal["mon", "tue", "wed", "thu", "fri"] = "wed"
    margin_rates: Mapping[AssetClass, Share] = Field(default_factory=dict)
    seed: int = 0
    instruments: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    def terms(self, symbol: str) -> Terms:
        """Return the terms of ``symbol``: the account's, its class's, and its own on top.

        Metals trade in ounces, unless the account says otherwise.
        """
        common = {name: getattr(self, name) for name in Terms.model_fields}
        if asset_class(symbol) is AssetClass.METAL:
            common |= {
                name: size for name, size in _OUNCES.items() if name not in self.model_fields_set
            }
        by_class = self.margin_rates.get(asset_class(symbol))
        if by_class is not None:
            common["margin_rate"] = by_class
        return Terms.read(common | dict(self.instruments.get(symbol, {})), f"instruments.{symbol}")


class Faults(Settings):
    """What goes wrong on purpose, to see a strategy or a client suffer; all off by default.

    ``delay_s`` passes before an order is looked at. The other figures are shares of the orders,
    drawn from ``seed``: ``reject`` refuses one, ``requote`` refuses a market order for a new price,
    ``silent`` takes one and never says so. From ``freeze_after_s`` on no price moves, and from
    ``prices_die_after_s`` on the stream of prices is dead while the rest of the server beats.
    """

    seed: int = 0
    delay_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    reject: Annotated[float, Field(ge=0, le=1)] = 0.0
    requote: Annotated[float, Field(ge=0, le=1)] = 0.0
    silent: Annotated[float, Field(ge=0, le=1)] = 0.0
    freeze_after_s: Annotated[float, Field(ge=0)] | None = None
    prices_die_after_s: Annotated[float, Field(ge=0)] | None = None


class PaperSettings(ExchangeSettings):
    """A paper account: a simulated account with prices and a clock.

    ``prices`` names a source plugin and holds its settings; ``symbols`` are those of it that the
    account trades (all if empty) and ``spelling`` is how the server spells them. With ``clock``
    stepped the client moves time; with ``real`` it passes, ``speed`` simulated seconds a second.
    ``rebase`` shifts the recorded times so that the account opens now, after ``history`` bars.
    """

    prices: Mapping[str, Any] = Field(default_factory=lambda: {"plugin": "walk"})
    symbols: tuple[str, ...] = ()
    spelling: Spelling = Spelling()
    clock: Literal["stepped", "real"] = "stepped"
    speed: Annotated[float, Field(gt=0, le=1e9)] = 1.0
    rebase: bool = False
    history: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    faults: Faults = Faults()

    @model_validator(mode="after")
    def _of_paper(self) -> Self:
        if not str(self.prices.get("plugin", "")):
            raise ValueError('prices needs a source, such as prices = { plugin = "walk" }')
        if self.rebase and (self.clock != "real" or self.speed != 1):
            raise ValueError("rebase goes with clock = real and speed = 1")
        return self


def asset_class(symbol: str) -> AssetClass:
    """Return the class of a canonical ``BASE/QUOTE`` symbol: a metal, or else foreign exchange."""
    return AssetClass.METAL if symbol.partition("/")[0] in _METALS else AssetClass.FOREX


def instrument(symbol: str, terms: Terms) -> Instrument:
    """Return the instrument that a canonical ``BASE/QUOTE`` symbol names, on ``terms``.

    Where the terms don't say: a pip is 0.01 of a yen or forint pair and of a metal, 0.0001 of
    another; prices move in tenths of a pip, metals in whole ones. Raises ConfigError where
    ``symbol`` is no pair.
    """
    base, _, quote = symbol.partition("/")
    if not base or not quote:
        raise ConfigError("symbols", f"{symbol!r} is no BASE/QUOTE pair", "Write EUR/USD.")
    metal = asset_class(symbol) is AssetClass.METAL
    coarse = metal or quote in {"JPY", "HUF"}
    pip = terms.pip_size or (Decimal("0.01") if coarse else Decimal("0.0001"))
    return Instrument(
        instrument=symbol,
        asset_class=asset_class(symbol),
        base=base,
        quote=quote,
        price_step=terms.price_step or (pip if metal else pip / 10),
        pip_size=pip,
        quantity_min=terms.quantity_min,
        quantity_max=terms.quantity_max,
        quantity_step=terms.quantity_step,
        contract_size=terms.contract_size,
        margin_rate=terms.margin_rate,
        minimum_stop_distance=terms.minimum_stop_pips * pip,
        order_types=ORDER_TYPES,
        description=f"{base} against {quote}",
        swap_long=terms.swap_long,
        swap_short=terms.swap_short,
        swap_unit=terms.swap_unit,
        sessions=tuple(
            TradingSession(opens=each.opens, closes=each.closes)
            for each in read_sessions(terms.sessions, terms.time_zone)
        ),
        time_zone=terms.time_zone if terms.sessions else "UTC",
    )
