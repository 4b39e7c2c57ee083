"""What stands behind the two accounts: paper servers, or OANDA's before a simulated OANDA."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

STDIO, HTTP = "stdio", "http"
ACCOUNTS = (STDIO, HTTP)
BALANCE = "1000000"
OANDA_IDS = {STDIO: "101-001-1000001-001", HTTP: "101-001-1000001-002"}
OANDA_TOKEN = "simulated-oanda-token"  # noqa: S105 - the simulator's own, the same everywhere
LATEST_S = 3.8
"""How late an order may come to act at OANDA, by the line and by OANDA itself, in a run."""

# As wild as nothing real, so that stops and limits are hit within seconds.
_MARKETS = {
    "EUR/USD": {"price": 1.1, "volatility": 1.0},
    "GBP/USD": {"price": 1.27, "volatility": 1.0},
    "AUD/USD": {"price": 0.66, "volatility": 1.0},
    "USD/JPY": {"price": 145.0, "volatility": 1.0, "decimals": 3},
}
_PRICES = {"plugin": "walk", "timeframe": "S1", "bars": 9000, "markets": _MARKETS}
_COSTS = {"commission_per_million": "20", "slippage_random_pips": "0.5"}


@dataclass(frozen=True, slots=True)
class Broker:
    """One kind of server before both accounts.

    ``stdio`` is the engine's table of the one that it starts itself, ``settings`` are those of the
    HTTP server and ``spelling`` how that one spells symbols. ``bars`` says where the engine has
    bars from, ``sockets`` how many a server holds towards its venue.
    """

    name: str
    module: str
    stdio: Mapping[str, Any]
    settings: Mapping[str, Any]
    spelling: Mapping[str, str]
    bars: str = "history"
    sockets: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


def paper() -> Broker:
    """Return the paper servers, each of which is its own exchange."""
    spelling = {"separator": "_"}
    settings: dict[str, Any] = {
        "clock": "real",
        "rebase": True,
        "history": 200,
        "balance": BALANCE,
        **_COSTS,
        # An order takes as long as at a venue: else hardly a signal would come in the middle.
        "faults": {"delay_s": 0.04},
        "prices": _PRICES,
    }
    return Broker(
        "paper",
        "mtquant_paper_server",
        {"plugin": "paper", **settings, "spelling": {"suffix": ".a"}},
        {**settings, "account_id": HTTP, "spelling": spelling},
        spelling,
    )


def oanda(venue_port: int) -> Broker:
    """Return OANDA's servers before the OANDA that is reached at ``venue_port``."""
    url = f"http://127.0.0.1:{venue_port}"
    # Short, as the engine's: but nothing is proven absent that may still be on its way.
    options = {
        "timeout_s": 1.5,
        "connect_timeout_s": 1.0,
        "silence_s": 3.0,
        "quote_age_s": 5.0,
        "settling_window_s": LATEST_S + 1.2,
    }
    ids = {name: {"account_id": number, "url": url} for name, number in OANDA_IDS.items()}
    return Broker(
        "oanda",
        "mtquant_oanda_server",
        {"plugin": "oanda", **ids[STDIO], "options": options},
        {**ids[HTTP], **options},
        {"separator": "_"},
        bars="quotes",  # OANDA has none of a second
        sockets=10,  # two streams, and up to eight for requests
        environment={"OANDA_TOKEN": OANDA_TOKEN},
    )


def simulated_oanda() -> dict[str, Any]:
    """Return the settings of the simulated OANDA: both accounts, and faults to be switched."""
    return {
        "accounts": [{"account_id": each, "balance": BALANCE} for each in OANDA_IDS.values()],
        "prices": _PRICES,
        "history": 1000,
        "terms": _COSTS,
        "limits": {"on": False},  # a line that is cut again and again would meet them only
        "admin": True,
        "heartbeat_s": 1.0,
    }
