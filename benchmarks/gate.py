"""What the gate costs: a verdict with every check on, and what keeps its state up to date.

30 instruments with their correlations, some of them held; quotes come between the orders, as they
do in a market. The reference in the same run is a pluggy hook with as many implementations as
there are checks, all of which do nothing. The numbers after p50 and p99 are ratios to it.

    python benchmarks/gate.py [--quotes 10000000] [--json]
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pluggy

from mtquant.book import AccountBook, Book
from mtquant.clock import SECOND, Ids, ManualClock, seeded
from mtquant.contract import Check, Finding, Proposal, RiskState, Settings, Sizer
from mtquant.decide.flow import Flow
from mtquant.exchange import Terms, instrument
from mtquant.journal import Journal
from mtquant.model import (
    Account,
    Bar,
    Environment,
    Fill,
    PositionMode,
    Quote,
    Side,
    Signal,
    Timeframe,
)
from mtquant.risk import BreakerRules, Decision, Gate, step
from mtquant_risk import checks, sizers

NOW = 1_768_219_200 * SECOND
EQUITY = Decimal(10_000_000)
DOLLARS = {
    "EUR": 1.1, "GBP": 1.28, "USD": 1.0, "CHF": 1.12, "CAD": 0.71, "AUD": 0.65, "NZD": 0.6,
}  # fmt: skip
SYMBOLS = [f"{base}/{quote}" for base, quote in permutations(DOLLARS, 2)][:30]
ROUNDS = 5_000
ON: dict[str, dict[str, Any]] = {
    "regulatory": {"profile": "esma"},
    "budgets": {"of": {"trend": {"max_gross": "20", "per_minute": 60, "max_loss": "0.1"}}},
    "stop_required": {"required": True},
    "trading_hours": {"calendars": {}},
    "notional": {"max_gross": "1000"},
    "currency_exposure": {"max_net": "1000"},
    "position_limit": {"max_quantity": "1000000000"},
    "portfolio_risk": {"max_volatility": "1000", "max_cluster": "1000", "required": True},
    "margin": {"min_level": "0.001"},
}
"""Switched on, and so wide that every check is asked and none refuses."""


class Plain(Check[Settings]):
    """A third party's check."""

    name = "third_party"

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002 - the port's
        return self.approve(proposal)


class Desk:
    """An account that holds ``positions`` tickets in 30 instruments, and the gate before it."""

    def __init__(self, positions: int) -> None:
        self.random = Random(1)  # noqa: S311 - prices, not secrets
        self.listed = {symbol: instrument(symbol, Terms()) for symbol in SYMBOLS}
        book = Book()
        book.time = NOW
        self.account = self._account(book)
        for number in range(positions):
            self._hold(number)
        self._teach(book)
        self.account.breaker = step(None, BreakerRules(), EQUITY, NOW)
        self.flow = Flow(book, self._gate(), Ids(ManualClock(), seeded(1)))
        self.signal = Signal(
            strategy_id="trend",
            instrument="EUR/CHF",
            time=NOW,
            direction=1,
            reason="benchmark",
            stop_distance=Decimal("0.005"),
        )

    def _account(self, book: Book) -> AccountBook:
        found = book.account("a")
        found.list_instruments(self.listed)
        found.see(
            Account(
                account_id="1",
                currency="USD",
                environment=Environment.PAPER,
                position_mode=PositionMode.NETTING,
                balance=EQUITY,
                equity=EQUITY,
                margin_used=Decimal(0),
                margin_available=EQUITY,
                time=NOW,
            )
        )
        found.price([self.quote(symbol) for symbol in SYMBOLS])
        return found

    def _hold(self, number: int) -> None:
        symbol = SYMBOLS[number % len(SYMBOLS)]
        fill = Fill(
            execution_id=f"E{number}",
            order_id=f"O{number}",
            client_order_id=f"C{number}",
            instrument=symbol,
            side=Side.BUY if number % 3 else Side.SELL,
            quantity=Decimal(1000),
            price=self.account.quotes[symbol].mid,
            time=NOW,
        )
        self.account.our_ids.add(f"C{number}")
        self.account.fold(fill)

    def _teach(self, book: Book) -> None:
        for number in range(100):
            for symbol in SYMBOLS:
                bar = Bar(
                    instrument=symbol,
                    timeframe=Timeframe.H1,
                    time=NOW - (100 - number) * 3600 * SECOND,
                    open=1.0,
                    high=1.1,
                    low=0.9,
                    close=math.exp(self.random.gauss(0, 0.001)),
                )
                book.covariance.bar(bar)

    @staticmethod
    def _gate() -> Gate:
        sizer: Sizer[Any] = next(
            each(each.Settings.read({"fraction": "0.0001"}, "benchmark"))
            for each in sizers()
            if each.name == "fixed_fraction"
        )
        asked: list[Check[Any]] = []
        for each in checks():
            wanted = ON.get(each.name, {})
            known = {
                key: value for key, value in wanted.items() if key in each.Settings.model_fields
            }
            asked.append(each(each.Settings.read(known, "benchmark")))
        return Gate(sizer, [*asked, Plain(Settings())], BreakerRules())

    def quote(self, symbol: str) -> Quote:
        base, _, other = symbol.partition("/")
        grid = self.listed[symbol].price_step
        middle = DOLLARS[base] / DOLLARS[other] * (1 + self.random.gauss(0, 0.0001))
        price = Decimal(round(middle / float(grid))) * grid
        return Quote(instrument=symbol, bid=price - grid, ask=price + grid, time=NOW)

    def state(self) -> RiskState:
        found = self.flow.state(self.account, "EUR/CHF")
        assert found is not None
        return found

    def review(self) -> Decision:
        return self.flow.gate.review(self.signal, "a", self.state())


def measured(act: Callable[[], object], before: Callable[[], object] | None = None) -> list[float]:
    """Return the microseconds of each of ``ROUNDS`` calls, in order of their size."""
    took = []
    for _ in range(ROUNDS):
        if before is not None:
            before()
        start = time.perf_counter_ns()
        act()
        took.append((time.perf_counter_ns() - start) / 1000)
    return sorted(took)


def pluggy_hook(count: int) -> Callable[[], object]:
    """Return a call of a hook that ``count`` plugins implement and that does nothing."""
    spec, impl = pluggy.HookspecMarker("b"), pluggy.HookimplMarker("b")

    class Spec:
        @spec
        def review(self, proposal: object, state: object) -> None:
            """Do nothing."""

    class Silent:
        @impl
        def review(self, proposal: object, state: object) -> None:
            """Do nothing."""

    manager = pluggy.PluginManager("b")
    manager.add_hookspecs(Spec)
    for number in range(count):
        manager.register(Silent(), name=f"{number}")
    return lambda: manager.hook.review(proposal=1, state=2)


def durable(desk: Desk, folder: Path) -> tuple[list[float], list[float]]:
    """Return the times of a verdict that is on disk, and of a bare append to SQLite."""
    journal = Journal(folder / "journal", ManualClock())
    bare = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    bare.execute("PRAGMA journal_mode=WAL")
    bare.execute("PRAGMA synchronous=FULL")
    bare.execute("CREATE TABLE entries (body TEXT)")
    body = json.dumps(desk.review().payload())

    def keep() -> None:
        journal.append("verdict", desk.review().payload(), durable=True)

    def reference() -> None:
        bare.execute("INSERT INTO entries VALUES (?)", (body,))

    try:
        return measured(keep), measured(reference)
    finally:
        journal.close()
        bare.close()


def growth(desk: Desk, quotes: int) -> float:
    """Return how many MiB more are held after so many quotes, with a verdict every 1,000."""
    made = [desk.quote(symbol) for symbol in SYMBOLS for _ in range(30)]
    for each in made:
        desk.account.price([each])
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(quotes):
        desk.account.price([made[number % len(made)]])
        if number % 1000 == 0:
            desk.review()
    gc.collect()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quotes", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}

    def note(name: str, took: list[float], reference: float) -> None:
        p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        rows[name] = {"p50_us": p50, "p99_us": p99, "p50_ratio": p50 / reference}
        if not wanted.json:
            print(f"{name:44}{p50:10.1f}{p99:10.1f}{p50 / reference:8.2f}x")

    if not wanted.json:
        print(f"{'':44}{'p50 us':>10}{'p99 us':>10}{'ratio':>9}")
    desks = {positions: Desk(positions) for positions in (10, 50, 500)}
    count = len(desks[50].flow.gate.checks)
    hook = measured(pluggy_hook(count))
    base = hook[len(hook) // 2]
    note(f"pluggy hook, {count} that do nothing", hook, base)
    for positions, desk in desks.items():
        decision = desk.review()
        assert decision.approved, decision.message
        note(f"verdict, {count} checks, {positions} positions", measured(desk.review), base)
    desk = desks[50]
    fresh = [desk.quote(symbol) for symbol in SYMBOLS]

    def quote() -> None:
        desk.account.price([fresh[desk.random.randrange(len(fresh))]])

    note("verdict after a quote", measured(desk.review, before=quote), base)
    note("taking in a quote", measured(quote), base)
    proposal, state = desk.review().proposal, desk.state()
    assert proposal is not None
    for check in desk.flow.gate.checks:
        note(f"  {check.name}", measured(partial(check.review, proposal, state)), base)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        kept, bare = durable(desk, Path(folder))
    disk = bare[len(bare) // 2]
    note("bare fsynced append to SQLite", bare, disk)
    note("verdict on disk (journal, fsync)", kept, disk)
    grown = growth(desk, wanted.quotes)
    rows["growth"] = {"quotes": wanted.quotes, "mib": grown}
    if wanted.json:
        json.dump(rows, sys.stdout, indent=2)
    else:
        print(f"after {wanted.quotes:,} quotes the process holds {grown:.1f} MiB more")


if __name__ == "__main__":
    main()
