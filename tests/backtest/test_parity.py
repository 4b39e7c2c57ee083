"""A backtest is what a run of the same configuration is, on a paper account behind its server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from mtquant import Source
from mtquant.assemble import assemble
from mtquant.backtest.run import prepare, run
from mtquant.backtest.setup import configure, table_of
from mtquant.clock import format_time, seeded
from mtquant.decide import AccountSeen, Event, Filled, OrderMoved
from mtquant.engine import Observer
from mtquant.model import Fill
from mtquant.model.arrays import BarArrays
from mtquant.plugins import load_catalogue

DATA = Path(__file__).parents[3] / "shared" / "data"
BARS = 400
FILES = {"GBP/USD": "gbpusd-h1.csv.gz", "USD/JPY": "usdjpy-h1.csv.gz"}
TERMS: dict[str, Any] = {
    "spread_pips": "0.8",
    "commission_per_million": "25",
    "slippage_pips": "0.1",
    "slippage_random_pips": "0.3",
    "swap_long": "-0.6",
    "swap_short": "0.2",
    "currency": "USD",
    # The wire spells a position of a netting account by its symbol: so does the backtest.
    "spelling": {"separator": "/"},
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "sma_cross": {"fast": 4, "slow": 12, "take_profit_atr": 3.0},
    "ema_cross": {"fast": 4, "slow": 12, "take_profit_atr": 3.0},
    "macd": {"take_profit_atr": 2.0},
    "rsi_reversion": {},
    "bollinger_breakout": {"take_profit_atr": 2.0},
    "donchian": {},
    "buy_and_hold": {},
    "pairs": {"period": 30, "entry": 1.2},
}


class Kept(Observer):
    """Keeps what a run did, and what its broker said of the account at each step."""

    def __init__(self) -> None:
        self.fills: list[Fill] = []
        self.moved: dict[str, str] = {}
        self.equity: dict[int, float] = {}

    def on_event(self, event: Event) -> None:
        """Keep executions, how orders ended, and the equity before a step's orders."""
        if isinstance(event, Filled):
            self.fills.append(event.fill)
        elif isinstance(event, OrderMoved):
            self.moved[event.client_order_id] = event.status.value
        elif isinstance(event, AccountSeen):
            self.equity[event.time] = float(event.account.equity)


def slices(folder: Path) -> dict[str, str]:
    """Write the first bars of the real files, and return where they are."""
    if not DATA.exists():
        pytest.skip("the folder with real prices isn't there")
    catalogue, found = load_catalogue(), {}
    table = {"files": {name: str(DATA / file) for name, file in FILES.items()}}
    source: Source[Any] = catalogue.make("source", "csv", table | {"timeframe": "H1"})
    for number, symbol in enumerate(FILES):
        path = folder / f"{number}.csv"
        _write(path, source.arrays(symbol))
        found[symbol] = str(path)
    return found


def _write(path: Path, bars: BarArrays) -> None:
    names = ("open", "high", "low", "close", "volume")
    columns = [getattr(bars, name)[:BARS].tolist() for name in names]
    lines = [
        ",".join([format_time(time), *(repr(each) for each in row)])
        for time, *row in zip(bars.time[:BARS].tolist(), *columns, strict=True)
    ]
    path.write_text("\n".join(["time,open,high,low,close,volume", *lines, ""]), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_backtest_is_what_the_run_is(strategy: str, tmp_path: Path) -> None:
    source = {"plugin": "csv", "files": slices(tmp_path), "timeframe": "H1"}
    table = table_of(
        strategy,
        list(FILES),
        "H1",
        source=source,
        params=STRATEGIES[strategy],
        account=TERMS,
        risk={"sizer": {"plugin": "fixed_quantity", "quantity": "20000"}},
    )
    table["engine"] = {"state_dir": str(tmp_path / "state")}
    config, catalogue = configure(table), load_catalogue()
    tested = run(prepare(config, catalogue), seed=3)
    assert tested.fills

    kept = Kept()
    made = assemble(config, catalogue, seeded(3), kept)
    anyio.run(made.engine.run, made.feed)
    assert tested.fills == tuple(kept.fills)
    ours = {each.client_order_id: each for each in tested.orders if each.client_order_id}
    assert {name: each.status.value for name, each in ours.items()} == kept.moved
    # What the broker says comes before a step's orders, what a backtest keeps after them.
    traded = {each.time for each in tested.fills}
    looked = [
        (float(equity), kept.equity[int(time)])
        for time, equity in zip(tested.time, tested.equity, strict=True)
        if int(time) not in traded
    ]
    assert len(looked) > BARS // 2
    assert [one for one, _ in looked] == [other for _, other in looked]
