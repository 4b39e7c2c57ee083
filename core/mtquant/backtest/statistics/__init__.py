"""What a backtest's result says, in the figures traders know; see docs/statistics.md."""

from mtquant.backtest.statistics.cautions import Caution
from mtquant.backtest.statistics.costs import CostFigures, RejectionCount
from mtquant.backtest.statistics.exposure import Exposure
from mtquant.backtest.statistics.figures import Period, Statistics, statistics
from mtquant.backtest.statistics.holding import BuyAndHold
from mtquant.backtest.statistics.returns import DatedReturn, Returns, YearOfReturns
from mtquant.backtest.statistics.risk import DatedDrawdown, Risk
from mtquant.backtest.statistics.rows import Section
from mtquant.backtest.statistics.trades import Group, TradeFigures

__all__ = [
    "BuyAndHold",
    "Caution",
    "CostFigures",
    "DatedDrawdown",
    "DatedReturn",
    "Exposure",
    "Group",
    "Period",
    "RejectionCount",
    "Returns",
    "Risk",
    "Section",
    "Statistics",
    "TradeFigures",
    "YearOfReturns",
    "statistics",
]
