"""What a simulated account is made of: its money, costs, steps and where its prices come from."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mtquant.contract import Settings
from mtquant.errors import ConfigError
from mtquant.model import AssetClass, Instrument, Number, OrderType, Positive, Text
from mtquant.symbols import Spelling

_METALS = {"XAU", "XAG", "XPT", "XPD"}
ORDER_TYPES = (OrderType.MARKET, OrderType.LIMIT, OrderType.STOP)
Share = Annotated[Number, Field(gt=0, le=1)]
NotNegative = Annotated[Number, Field(ge=0)]


class Terms(Settings):
    """The terms an instrument trades on.

    ``spread_pips`` is ask less bid in pips. ``commission_per_million`` is charged on each
    execution for a million of notional, in the account's currency. ``margin_rate`` is margin
    over notional (1/30 is 30:1). Quantities are in base units. ``pip_size`` and ``price_step``
    are those of the symbol's kind (see :func:`instrument`) unless they are given.
    """

    spread_pips: NotNegative = Decimal(1)
    commission_per_million: NotNegative = Decimal(0)
    margin_rate: Share = Decimal("0.0333")
    quantity_min: Positive = Decimal(1000)
    quantity_step: Positive = Decimal(1000)
    quantity_max: Positive = Decimal(100_000_000)
    pip_size: Positive | None = None
    price_step: Positive | None = None

    @model_validator(mode="after")
    def _on_grid(self) -> Self:
        if self.quantity_min % self.quantity_step or self.quantity_max % self.quantity_step:
            raise ValueError("quantity_min and quantity_max must be multiples of quantity_step")
        return self


class ExchangeSettings(Terms):
    """One simulated account and the terms of its instruments.

    ``currency`` is the account's (ISO 4217) and ``balance`` its opening balance in it.
    ``instruments`` overrides terms for single symbols.
    """

    account_id: Text = "paper"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    balance: Positive = Decimal(100_000)
    instruments: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)

    def terms(self, symbol: str) -> Terms:
        """Return the terms of ``symbol``: the account's, with the symbol's own on top."""
        common = {name: getattr(self, name) for name in Terms.model_fields}
        return Terms.read(common | dict(self.instruments.get(symbol, {})), f"instruments.{symbol}")


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

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not str(self.prices.get("plugin", "")):
            raise ValueError('prices needs a source, such as prices = { plugin = "walk" }')
        if self.rebase and (self.clock != "real" or self.speed != 1):
            raise ValueError("rebase goes with clock = real and speed = 1")
        return self


def instrument(symbol: str, terms: Terms) -> Instrument:
    """Return the instrument that a canonical ``BASE/QUOTE`` symbol names, on ``terms``.

    Where the terms don't say: a pip is 0.01 of a yen or forint pair and of a metal, 0.0001 of
    another; prices move in tenths of a pip, metals in whole ones. Raises ConfigError where
    ``symbol`` is no pair.
    """
    base, _, quote = symbol.partition("/")
    if not base or not quote:
        raise ConfigError("symbols", f"{symbol!r} is no BASE/QUOTE pair", "Write EUR/USD.")
    metal = base in _METALS
    coarse = metal or quote in {"JPY", "HUF"}
    pip = terms.pip_size or (Decimal("0.01") if coarse else Decimal("0.0001"))
    return Instrument(
        instrument=symbol,
        asset_class=AssetClass.METAL if metal else AssetClass.FOREX,
        base=base,
        quote=quote,
        price_step=terms.price_step or (pip if metal else pip / 10),
        pip_size=pip,
        quantity_min=terms.quantity_min,
        quantity_max=terms.quantity_max,
        quantity_step=terms.quantity_step,
        margin_rate=terms.margin_rate,
        order_types=ORDER_TYPES,
        description=f"{base} against {quote}",
    )
