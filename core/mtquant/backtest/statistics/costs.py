"""What trading cost, and what became of signals that weren't traded."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from mtquant.backtest.result import Rejection, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class CostFigures:
    """What trading cost, in the account's currency: positive is paid, swap may be earned.

    ``before_costs`` is the net profit with all costs added again; ``share`` is the costs over that,
    None where nothing was earned before costs.
    """

    spread: float
    commission: float
    slippage: float
    swap: float
    total: float
    before_costs: float
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectionCount:
    """How often ``who`` (``risk`` or ``broker``) refused with ``code``, and one message.

    ``reduced`` is true for those of which a smaller order was sent after all; ``example`` is the
    message of the first.
    """

    who: str
    code: str
    reduced: bool
    count: int
    example: str


def cost_figures(result: Result, net_profit: float) -> CostFigures:
    """Return what ``result`` cost to earn ``net_profit``."""
    costs = result.costs
    total = float(costs.total)
    before = net_profit + total
    return CostFigures(
        spread=float(costs.spread),
        commission=float(costs.commission),
        slippage=float(costs.slippage),
        swap=float(costs.swap),
        total=total,
        before_costs=before,
        share=total / before if before > 0 else None,
    )


def rejection_counts(rejections: tuple[Rejection, ...]) -> tuple[RejectionCount, ...]:
    """Return the rejections by who and code, the most frequent first."""
    counts = Counter((each.who, each.code, each.reduced) for each in rejections)
    # The last one to be set under a key stays: backwards that is the first message.
    first = {(each.who, each.code, each.reduced): each.message for each in reversed(rejections)}
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        RejectionCount(who=who, code=code, reduced=reduced, count=count, example=first[key])
        for key, count in ordered
        for who, code, reduced in (key,)
    )
