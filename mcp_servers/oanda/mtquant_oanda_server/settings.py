"""What the server is told: which account at which host, and how patient it is."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from mtquant.contract import Settings
from mtquant.errors import ConfigError
from mtquant.model import Environment

_HOSTS = {
    "practice": ("https://api-fxpractice.oanda.com", "https://stream-fxpractice.oanda.com"),
    "live": ("https://api-fxtrade.oanda.com", "https://stream-fxtrade.oanda.com"),
}
Seconds = Annotated[float, Field(gt=0, le=600)]


class OandaSettings(Settings):
    """The settings of an OANDA account. Times are in seconds.

    ``account_id`` is OANDA's number, such as ``101-004-1234567-001``; ``token`` says where the
    personal access token is: ``env:NAME``, ``file:PATH`` (mode 0600) or ``keyring:SERVICE/NAME``.
    ``environment`` chooses OANDA's host, and nothing else does; ``url`` is a simulator's on the
    loopback interface instead, ``stream_url`` the same unless its streams are elsewhere.
    """

    account_id: str
    token: str = "env:OANDA_TOKEN"  # noqa: S105 - where it is, not what it is
    environment: Literal["practice", "live"] = "practice"
    url: str = ""
    stream_url: str = ""
    clock: Literal["real", "stepped"] = "real"
    """``stepped`` where ``url`` is a simulator's whose time this server moves, for a replay."""
    client_extensions: bool = True
    """Carry client order ids at OANDA. Off for an account that is linked with MT4 alone."""
    tag: str = "mtquant"
    """The tag of orders that name no strategy."""
    guaranteed_stops: bool = False
    """Make every stop-loss a guaranteed one, where the account may have them."""
    history: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """How many transactions from before the start are read."""
    timeout_s: Seconds = 10.0
    """How long an answer of OANDA may take."""
    connect_timeout_s: Seconds = 5.0
    silence_s: Seconds = 12.0
    """A stream that is silent for so long is dead: OANDA's heartbeat comes every 5 s."""
    quote_age_s: Seconds = 30.0
    """A quote that nothing has confirmed for so long is asked for anew, and never served."""
    settling_window_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    """How long after a send without an answer an order may still appear."""
    requests_per_second: Annotated[float, Field(gt=0, le=100)] = 100.0
    connections_per_second: Annotated[float, Field(gt=0, le=2)] = 2.0

    @property
    def rest(self) -> str:
        """Return the base address of requests."""
        return (self.url or _HOSTS[self.environment][0]).rstrip("/")

    @property
    def stream(self) -> str:
        """Return the base address of streams."""
        return (self.stream_url or self.url or _HOSTS[self.environment][1]).rstrip("/")

    @property
    def kind(self) -> Environment:
        """Return practice or live, by the host alone."""
        return Environment(self.environment)

    @property
    def stepped(self) -> bool:
        """Return True where time stands still until it is moved."""
        return self.clock == "stepped"

    @property
    def pace(self) -> float | None:
        """Return how many requests a second may leave; None where no second passes."""
        return None if self.stepped else self.requests_per_second

    def check(self) -> None:
        """Raise ConfigError where an address is neither OANDA's nor on this machine.

        And where a clock is to be moved that is OANDA's own.
        """
        if self.stepped and not self.url:
            raise ConfigError(
                "settings.clock",
                "'stepped' is for a simulator, and url names none: OANDA's own time passes",
                "Leave it out, or write the simulator's address into url.",
            )
        for name, address in (("url", self.url), ("stream_url", self.stream_url)):
            if not address:
                continue
            host = urlsplit(address).hostname or ""
            if not (host == "localhost" or _is_loopback(host)):
                raise ConfigError(
                    f"settings.{name}",
                    f"{address!r} isn't on the loopback interface, and a token would leave this"
                    " machine for a host that isn't OANDA's",
                    "Leave it out; environment chooses OANDA's own host.",
                )
            if self.environment == "live":
                raise ConfigError(
                    "settings.environment",
                    f"'live' goes with OANDA's own host, and {name} names another",
                    "Leave one of the two out.",
                )
        if not self.account_id.isprintable() or not self.account_id or "/" in self.account_id:
            raise ConfigError(
                "settings.account_id",
                f"{self.account_id!r} is no account number",
                "OANDA shows it as 101-004-1234567-001.",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
