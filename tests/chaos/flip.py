"""The strategy of the chaos run: it changes its mind at every bar, so that orders never cease.

Installed by the runner in a folder of the engine's own, as a stranger's plugin would be.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from mtquant import Settings, Strategy, hookimpl
from mtquant.clock import SECOND
from mtquant.model import Bar, Signal


class FlipSettings(Settings):
    """``stop_share``: how far the protective stop stands off, as a share of the price."""

    stop_share: float = 0.0003


class Flip(Strategy[FlipSettings]):
    """Long, short, flat, one bar each: a turn is a close and an order that opens."""

    name = "flip"

    def on_bar(self, bar: Bar) -> Signal:
        turn = bar.time // (bar.timeframe.seconds * SECOND) % 3
        if turn == 2:
            return self.flat("its turn")
        # Near enough that stops are hit, also while nobody looks.
        stop = Decimal(f"{self.settings.stop_share * bar.close:.3g}")
        hold = self.long if turn == 0 else self.short
        return hold("its turn", stop_distance=stop)


@hookimpl
def strategies() -> Sequence[type[Strategy[FlipSettings]]]:
    return [Flip]
