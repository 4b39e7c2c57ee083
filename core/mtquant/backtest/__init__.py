"""Trading on history: the live decisions over recorded prices, at once and without a server.

    from mtquant.backtest import backtest

    result = backtest("sma_cross", "eurusd.csv", symbol="EUR/USD", timeframe="H1")
    result.stats, result.trades, result.plot()

The names below are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtquant.backtest.api import backtest as backtest
    from mtquant.backtest.result import Result as Result
    from mtquant.backtest.result import Trade as Trade

_HOMES = {
    "backtest": "mtquant.backtest.api",
    "Result": "mtquant.backtest.result",
    "Trade": "mtquant.backtest.result",
}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604 - the names of _HOMES, which __getattr__ serves


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the named module holds
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module 'mtquant.backtest' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)
