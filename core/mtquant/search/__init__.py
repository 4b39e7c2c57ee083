"""The search for settings: many backtests, what they found, and how much of it is luck.

    from mtquant.search import optimize

    space = {"fast": range(5, 55, 5), "slow": range(20, 210, 10)}
    found = optimize("sma_cross", "eurusd.csv", space, where=["fast < slow"], symbol="EUR/USD",
                     timeframe="H1")
    found.best.params, found.deflated, found.overfit

The names below are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtquant.search.api import optimize as optimize
    from mtquant.search.api import searching as searching
    from mtquant.search.chance import bootstrapped_returns as bootstrapped_returns
    from mtquant.search.chance import shuffled_trades as shuffled_trades
    from mtquant.search.finding import Found as Found
    from mtquant.search.finding import Wanted as Wanted
    from mtquant.search.forward import hold_out as hold_out
    from mtquant.search.forward import walk_forward as walk_forward
    from mtquant.search.overfit import deflated_sharpe as deflated_sharpe
    from mtquant.search.overfit import overfitting as overfitting

_HOMES = {
    "Found": "finding",
    "Wanted": "finding",
    "bootstrapped_returns": "chance",
    "deflated_sharpe": "overfit",
    "hold_out": "forward",
    "optimize": "api",
    "overfitting": "overfit",
    "searching": "api",
    "shuffled_trades": "chance",
    "walk_forward": "forward",
}

__all__ = [*sorted(_HOMES)]  # noqa: PLE0604 - the names of _HOMES, which __getattr__ serves


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the named module holds
    """Load a public name from its module on first use (PEP 562)."""
    if name not in _HOMES:
        msg = f"module 'mtquant.search' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"mtquant.search.{_HOMES[name]}"), name)
