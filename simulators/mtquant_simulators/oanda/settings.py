"""What the simulated OANDA is made of: accounts, prices, time, limits and what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from mtquant.contract import Settings
from mtquant.model import Number, Positive

Share = Annotated[float, Field(ge=0, le=1)]
TOKEN = "simulated-oanda-token"  # noqa: S105 - of a simulator on loopback
_MARGINS: Mapping[str, Any] = {"margin_rate": Decimal("0.0333")}


class AccountSettings(Settings):
    """One account. With ``hedging`` every order opens a trade, else it reduces the oldest first.

    ``account_id`` is ``site-division-user-number``; ``balance`` is the opening one in ``currency``.
    """

    account_id: Annotated[str, Field(pattern=r"^\d{3}-\d{3}-\d{1,12}-\d{3}$")] = (
        "101-001-1000001-001"
    )
    alias: str = "Primary"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    balance: Positive = Decimal(100_000)
    hedging: bool = False


class Limits(Settings):
    """The documented limits, in force where ``on``; what exceeds one is answered 429.

    Each counts for a client address. ``retry_after_s`` is what the header Retry-After says.
    """

    on: bool = True
    requests_per_s: Annotated[int, Field(ge=1)] = 100
    connections_per_s: Annotated[int, Field(ge=1)] = 2
    streams: Annotated[int, Field(ge=1)] = 20
    retry_after_s: Annotated[int, Field(ge=0)] = 1


class Faults(Settings):
    """What goes wrong on purpose; all off. Shares are of the writing requests, drawn by ``seed``.

    ``drop_after`` closes the connection after the venue has acted, ``hold_after`` keeps it open and
    never answers, ``error_before`` and ``error_after`` answer ``status`` before or after it has
    acted. ``slow_s`` passes before any answer. ``next`` lists faults for the next writes, in order,
    before anything is drawn, by these names or ``none``. A stream is cut after
    ``cut_stream_after`` lines, its heartbeats say ``stale_heartbeat_s`` too early a time, and from
    ``silent_stream_after`` lines on it stays open and says nothing more.
    """

    seed: int = 0
    drop_after: Share = 0.0
    hold_after: Share = 0.0
    error_before: Share = 0.0
    error_after: Share = 0.0
    status: Literal[500, 502, 503, 504] = 503
    slow_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    next: tuple[
        Literal["drop_after", "hold_after", "error_before", "error_after", "none"], ...
    ] = ()
    cut_stream_after: Annotated[int, Field(ge=1)] | None = None
    silent_stream_after: Annotated[int, Field(ge=1)] | None = None
    stale_heartbeat_s: Annotated[float, Field(ge=0)] = 0.0


class OandaSettings(Settings):
    """The simulated venue.

    ``prices`` names a source plugin and holds its settings; ``symbols`` are those of it that are
    traded, all if empty. Time passes ``speed`` times as fast as the clock; where ``clock`` is
    ``stepped`` it stands, at the recorded times, until ``PUT /admin/clock`` moves it, and no limit
    a second is in force, because no second passes. With ``rebase`` the
    recorded times are shifted so that the venue opens now, after ``history`` bars; without it the
    venue's time begins there, wherever the clock stands. ``terms`` are those of every instrument
    (see :class:`mtquant.exchange.Terms`), ``instruments`` overrides them by canonical symbol.
    ``token`` is the bearer token that every request needs. A stream sends a heartbeat every
    ``heartbeat_s`` of the clock, looks for news every ``poll_s``, and at most one price of an
    instrument in ``conflate_s`` of venue time. ``admin`` opens ``/admin/faults``.
    """

    token: Annotated[str, Field(min_length=16)] = TOKEN
    accounts: tuple[AccountSettings, ...] = (
        AccountSettings(),
        AccountSettings(account_id="101-001-1000001-002", alias="Hedging", hedging=True),
    )
    prices: Mapping[str, Any] = Field(
        default_factory=lambda: {"plugin": "walk", "timeframe": "S5", "bars": 30_000}
    )
    symbols: tuple[str, ...] = ()
    clock: Literal["real", "stepped"] = "real"
    speed: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    rebase: bool = True
    history: Annotated[int, Field(ge=0, le=1_000_000)] = 5000
    terms: Mapping[str, Any] = Field(default_factory=dict)
    instruments: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    limits: Limits = Limits()
    faults: Faults = Faults()
    admin: bool = False
    heartbeat_s: Annotated[float, Field(gt=0)] = 5.0
    poll_s: Annotated[float, Field(gt=0, le=1)] = 0.02
    conflate_s: Annotated[float, Field(ge=0)] = 0.25
    close_out_level: Number = Decimal("0.5")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [each.account_id for each in self.accounts]
        if not ids or len(set(ids)) < len(ids):
            raise ValueError("accounts needs at least one account, each with an id of its own")
        if not str(self.prices.get("plugin", "")):
            raise ValueError('prices needs a source, such as prices = { plugin = "walk" }')
        return self

    @property
    def stepped(self) -> bool:
        """Whether time stands still until a client moves it."""
        return self.clock == "stepped"

    def exchange_terms(self) -> dict[str, Any]:
        """Return the terms of the exchange: OANDA's, with what the settings say on top."""
        return {
            "quantity_min": Decimal(1),
            "quantity_step": Decimal(1),
            "quantity_max": Decimal(100_000_000),
            "swap_unit": "annual_rate",
            **_MARGINS,
            **self.terms,
        }
