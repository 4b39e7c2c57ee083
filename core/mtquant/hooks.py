"""The catalogue of doors: one hook for each kind of plugin.

A plugin package names a module under the entry point group ``mtquant``; that module implements
any of these hooks, each returning the plugin classes it brings::

    from mtquant import hookimpl

    @hookimpl
    def strategies():
        from my_package.cross import MyCross
        return [MyCross]

Import inside the hook: listing plugins then costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pluggy

from mtquant.contract import (
    BrokerPlugin,
    Check,
    Indicator,
    Notifier,
    Plugin,
    Sizer,
    Source,
    Store,
    Strategy,
)

GROUP = "mtquant"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

KINDS: dict[str, type[Plugin[Any]]] = {
    "broker": BrokerPlugin,
    "strategy": Strategy,
    "indicator": Indicator,
    "check": Check,
    "sizer": Sizer,
    "source": Source,
    "store": Store,
    "notifier": Notifier,
}
"""Each kind and the class its plugins derive from."""

HOOKS = {
    "broker": "brokers",
    "strategy": "strategies",
    "indicator": "indicators",
    "check": "checks",
    "sizer": "sizers",
    "source": "sources",
    "store": "stores",
    "notifier": "notifiers",
}
"""Each kind and the hook that brings its plugins."""


class Doors:
    """The hooks."""

    @hookspec
    def brokers(self) -> Sequence[type[BrokerPlugin[Any]]]:
        """Brokers: where a server is and how it spells symbols."""
        return ()

    @hookspec
    def strategies(self) -> Sequence[type[Strategy[Any]]]:
        """Strategies: what to hold."""
        return ()

    @hookspec
    def indicators(self) -> Sequence[type[Indicator[Any]]]:
        """Indicators: series computed from bars."""
        return ()

    @hookspec
    def checks(self) -> Sequence[type[Check[Any]]]:
        """Pre-trade checks."""
        return ()

    @hookspec
    def sizers(self) -> Sequence[type[Sizer[Any]]]:
        """Sizers: how much."""
        return ()

    @hookspec
    def sources(self) -> Sequence[type[Source[Any]]]:
        """Sources of bars."""
        return ()

    @hookspec
    def stores(self) -> Sequence[type[Store[Any]]]:
        """Stores of fills and equity."""
        return ()

    @hookspec
    def notifiers(self) -> Sequence[type[Notifier[Any]]]:
        """Notifiers: how people are told."""
        return ()
