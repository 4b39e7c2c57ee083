"""A result as pandas DataFrames; needs the extra pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mtquant.backtest.result import Result
from mtquant.errors import PluginError

if TYPE_CHECKING:
    import pandas as pd

_PLAIN = ("instrument", "strategy_id", "entry_reason", "exit_reason", "bars")
_NUMBERS = ("quantity", "entry_price", "exit_price", "profit", "adverse", "favourable")
_COSTS = ("spread", "commission", "slippage", "swap")


def _pandas() -> Any:  # noqa: ANN401 - a module
    try:
        import pandas as pd  # noqa: PLC0415 - heavy, and in an extra
    except ImportError:
        raise PluginError("DataFrames need pandas: install mtquant with its extra pandas") from None
    return pd


def trade_table(result: Result) -> pd.DataFrame:
    """Return the round trips, one row each, oldest exit first."""
    pandas, trades = _pandas(), result.round_trips
    columns: dict[str, Any] = {
        "side": [each.side.value for each in trades],
        "entry_time": _times(pandas, [each.entry_time for each in trades]),
        "exit_time": _times(pandas, [each.exit_time for each in trades]),
    }
    columns |= {name: [getattr(each, name) for each in trades] for name in _PLAIN}
    columns |= {name: [float(getattr(each, name)) for each in trades] for name in _NUMBERS}
    columns |= {name: [float(getattr(each.costs, name)) for each in trades] for name in _COSTS}
    order = ["instrument", "side", "quantity", "entry_time", "entry_price", "exit_time"]
    rest = [name for name in columns if name not in order]
    table: pd.DataFrame = pandas.DataFrame(columns, columns=order + rest)
    return table


def equity_table(result: Result) -> pd.DataFrame:
    """Return equity, balance and exposure by the time of each step."""
    pandas = _pandas()
    index = _times(pandas, result.time).rename("time")
    columns = {
        "equity": result.equity,
        "balance": result.balance,
        "exposure": result.exposure,
    }
    table: pd.DataFrame = pandas.DataFrame(columns, index=index)
    return table


def _times(pandas: Any, nanoseconds: Any) -> Any:  # noqa: ANN401 - a module, an array, an index
    return pandas.to_datetime(nanoseconds, unit="ns", utc=True)
