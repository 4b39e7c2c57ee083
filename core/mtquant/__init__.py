"""mtquant: automated trading over standalone MCP broker servers.

The names below are loaded on first use, so that ``import mtquant`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtquant.contract import Broker as Broker
    from mtquant.contract import Check as Check
    from mtquant.contract import Indicator as Indicator
    from mtquant.contract import Settings as Settings
    from mtquant.contract import Sizer as Sizer
    from mtquant.contract import Source as Source
    from mtquant.contract import Strategy as Strategy
    from mtquant.hooks import hookimpl as hookimpl
    from mtquant.wire import Remote as Remote
    from mtquant.wire import serve as serve

__version__ = "0.1.0"

_HOMES = {
    "Broker": "mtquant.contract",
    "Check": "mtquant.contract",
    "Indicator": "mtquant.contract",
    "Settings": "mtquant.contract",
    "Sizer": "mtquant.contract",
    "Source": "mtquant.contract",
    "Strategy": "mtquant.contract",
    "hookimpl": "mtquant.hooks",
    "Remote": "mtquant.wire",
    "serve": "mtquant.wire",
}

__all__ = [  # noqa: PLE0604 - the names of _HOMES, which __getattr__ serves
    "__version__",
    *sorted(_HOMES),
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the named module holds
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module 'mtquant' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)
