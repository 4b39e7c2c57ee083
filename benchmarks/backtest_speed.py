"""How many bars a second a backtest plays, and what passing over quiet bars is worth.

    python benchmarks/backtest_speed.py --bars 100000

Random M1 bars, the built-in moving-average cross with brackets, the risk gate with its default
checks, 20 a million commission. The reference in the same run is the same backtest with every bar
played in full (``stepwise``), on a tenth of the bars. CPU seconds, so that other programs on the
machine count less.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from mtquant.backtest.run import Prepared, prepare, run
from mtquant.backtest.setup import configure, table_of
from mtquant.plugins import load_catalogue


def prepared(bars: int, fast: int, slow: int) -> Prepared:
    """Return a backtest of so many bars."""
    markets = {"EUR/USD": {"price": 1.1, "volatility": 0.08, "decimals": 5}}
    source: dict[str, Any] = {
        "plugin": "walk",
        "markets": markets,
        "bars": bars,
        "timeframe": "M1",
    }
    table = table_of(
        "sma_cross",
        ["EUR/USD"],
        "M1",
        source=source,
        params={"fast": fast, "slow": slow},
        account={"commission_per_million": "20", "spread_pips": "0.2"},
        risk={"sizer": {"plugin": "fixed_quantity", "quantity": "10000"}},
    )
    return prepare(configure(table), load_catalogue())


def measured(made: Prepared, *, stepwise: bool) -> tuple[float, int]:
    """Return bars a CPU second, and executions."""
    before = time.process_time()
    result = run(made, stepwise=stepwise)
    return len(result.time) / (time.process_time() - before), len(result.fills)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bars", type=int, default=100_000)
    bars: int = parser.parse_args().bars
    run(prepared(1000, 10, 30))  # imports and first uses
    print(
        f"{'averages':>10} {'bars':>10} {'executions':>11} {'bars/s':>9} {'all played':>11} ratio"
    )
    for fast, slow in ((10, 30), (50, 200), (200, 1000)):
        made, tenth = prepared(bars, fast, slow), prepared(bars // 10, fast, slow)
        rate, fills = measured(made, stepwise=False)
        whole, _ = measured(tenth, stepwise=True)
        print(
            f"{f'{fast}/{slow}':>10} {bars:>10,} {fills:>11,} {rate:>9,.0f} {whole:>11,.0f} "
            f"{rate / whole:.1f}"
        )


if __name__ == "__main__":
    main()
