"""What a source, store, notifier and broker plugin are."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar

from mtquant.contract.broker import Broker
from mtquant.contract.plugin import Plugin, S
from mtquant.errors import ConfigError, PluginError
from mtquant.model import Bars, Fill, Ticks, Timeframe
from mtquant.model.arrays import BarArrays


class Source(Plugin[S], ABC):
    """Where bars come from when no broker is asked."""

    description: ClassVar[str]

    @abstractmethod
    def symbols(self) -> Sequence[str]:
        """Return the canonical symbols it has."""

    @abstractmethod
    def timeframe(self) -> Timeframe:
        """Return the timeframe of its bars."""

    @abstractmethod
    def bars(self, symbol: str) -> Bars:
        """Return all its bars of ``symbol``, oldest first, mid prices."""

    def sides(self, symbol: str) -> tuple[Bars, Bars] | None:
        """Return the bid bars and the ask bars of ``symbol``, where it has them apart."""
        return None

    def arrays(self, symbol: str) -> BarArrays:
        """Return what :meth:`bars` does, as arrays; override where that is had without objects."""
        return BarArrays.of(self.bars(symbol))

    def side_arrays(self, symbol: str) -> tuple[BarArrays, BarArrays] | None:
        """Return what :meth:`sides` does, as arrays; override where :meth:`arrays` is."""
        found = self.sides(symbol)
        return None if found is None else (BarArrays.of(found[0]), BarArrays.of(found[1]))

    def ticks(self, symbol: str) -> Ticks | None:
        """Return every quote of ``symbol``, oldest first, where it has them."""
        return None


class Store(Plugin[S], ABC):
    """Keeps what happened, for whoever reads it later."""

    @abstractmethod
    def fill(self, account: str, fill: Fill) -> None:
        """Keep an execution."""

    @abstractmethod
    def equity(self, time: int, account: str, balance: Decimal, equity: Decimal) -> None:
        """Keep an account's money at a time."""

    @abstractmethod
    def close(self) -> None:
        """Write what is not yet written."""


class Level(StrEnum):
    """How urgent a notice is."""

    INFO = "info"
    WARNING = "warning"
    ALARM = "alarm"


class Notifier(Plugin[S], ABC):
    """Tells people."""

    @abstractmethod
    def notify(self, level: Level, message: str) -> None:
        """Deliver ``message``; an exception is logged and stops nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a broker's MCP server is: a ``command`` to start, or a ``url`` with a bearer token.

    ``environment`` is handed to the started process; ``token`` never appears in text.
    """

    command: tuple[str, ...] = ()
    url: str | None = None
    token: str | None = field(default=None, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Refuse an endpoint that is nowhere, or in two places."""
        if bool(self.command) == bool(self.url):
            raise ConfigError("endpoint", "has not exactly one of command and url", "Give one.")


class BrokerPlugin(Plugin[S], ABC):
    """Tells where a broker's server is and how it spells symbols; needs no vendor library.

    Override :meth:`endpoints` where the server is a program of its own, or :meth:`broker` where
    ``mtquant serve`` shall be the server.
    """

    def endpoints(self, account: str, state_dir: str) -> Sequence[Endpoint]:
        """Return the servers before this account, the preferred one first.

        Unless overridden: ``mtquant serve`` with what :meth:`broker` returns.
        """
        settings = self.settings.model_dump_json(exclude_defaults=True)
        command = (sys.executable, "-m", "mtquant", "serve", self.name, "--account", account)
        return (Endpoint(command=(*command, "--state", state_dir, "--settings", settings)),)

    def broker(self, account: str, state_dir: str) -> Broker:
        """Return the broker that ``mtquant serve`` serves; its files go into ``state_dir``.

        Raises PluginError unless overridden.
        """
        raise PluginError(
            f"broker {self.name!r} has a server of its own: mtquant serve can't start it"
        )

    def spelling(self) -> Mapping[str, Any]:
        """Return the broker's symbol rules, as the settings of ``mtquant.symbols.Spelling``."""
        return {}
