"""An account and an instrument that tests of the gate, its checks and its sizers begin with."""

from __future__ import annotations

from decimal import Decimal

from mtquant.model import Account, AssetClass, Environment, Instrument, PositionMode

_MONEY = Decimal(100_000)


def eurusd(quantity_max: int) -> Instrument:
    """Return EUR/USD in steps of 1,000, at a margin of 5 %."""
    return Instrument(
        instrument="EUR/USD",
        asset_class=AssetClass.FOREX,
        base="EUR",
        quote="USD",
        price_step=Decimal("0.00001"),
        pip_size=Decimal("0.0001"),
        quantity_min=Decimal(1000),
        quantity_max=Decimal(quantity_max),
        quantity_step=Decimal(1000),
        margin_rate=Decimal("0.05"),
    )


def account(currency: str, time: int) -> Account:
    """Return a paper account of 100,000 that holds nothing."""
    return Account(
        account_id="7",
        currency=currency,
        environment=Environment.PAPER,
        position_mode=PositionMode.NETTING,
        balance=_MONEY,
        equity=_MONEY,
        margin_used=Decimal(0),
        margin_available=_MONEY,
        time=time,
    )
