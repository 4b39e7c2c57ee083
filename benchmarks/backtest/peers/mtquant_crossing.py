"""mtquant: as ``mtquant_bars.py``, by a Strategy that declares the crossing that it waits for.

It is asked at bars with a crossing alone, live as in a backtest, where crossings are told from
arrays. So it is no ``event``; what it signals goes the same way as there, through the same gate.
"""

from __future__ import annotations

from backtest.peers.mtquant_bars import CrossSettings
from backtest.peers.mtquant_bars import main as run_and_report
from backtest.task import TIE

from mtquant import Strategy
from mtquant.model import Bar, Signal


class Cross(Strategy[CrossSettings]):
    name = "cross_declared"

    def on_start(self) -> None:
        fast = self.indicator("sma", period=self.settings.fast)
        slow = self.indicator("sma", period=self.settings.slow)
        # Its noise is a share of the price, which is about 1.
        self.cross = self.crossing(fast, slow, noise=TIE)

    def on_bar(self, bar: Bar) -> Signal | None:
        if bar.time == self.settings.last:
            return None
        return self.long("above") if self.cross.side > 0 else self.short("below")


def main() -> None:
    run_and_report("mtquant (declared)", "array", Cross)


if __name__ == "__main__":
    main()
