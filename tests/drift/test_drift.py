"""Drift: a run that was replayed is the same; what was planted is listed, with its cause."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.drift.runs import CATALOGUE, HOUR, Run, Writing, table

from mtquant.backtest.memory import Memory
from mtquant.backtest.venue import Venue
from mtquant.clock import format_time
from mtquant.decide import HaltSet, ModeSet, Ordered
from mtquant.drift import Cause, Drift, drift_of
from mtquant.drift.setting import differing
from mtquant.errors import ErrorCode, Refused
from mtquant.model import (
    Advanced,
    Mode,
    OrderReport,
    OrderRequest,
    OrderType,
    Side,
    TimeInForce,
)
from mtquant.model.arrays import BarArrays

DESK = "brokers.desk."
OF_A_BROKER = {"brokers": {"desk": {"plugin": "oanda", "account_id": "1"}}}


def drift(folder: Path, *changes: str, config: Path | None = None) -> Drift:
    return drift_of(folder, config=config, changes=changes, catalogue=CATALOGUE)


def causes(found: Drift) -> dict[Cause, int]:
    return {each.cause: each.count for each in found.by_cause if each.count}


def configured(folder: Path, made: dict[str, Any]) -> Path:
    path = folder / "other.toml"
    path.write_text(tomli_w.dumps(made), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Run(folder=tmp_path_factory.mktemp("paper"), table=table()).write()


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Run(folder=tmp_path_factory.mktemp("live"), table=table(), live=True, first=20).write()


# --- nothing differs -----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["paper", "live"])
def test_a_run_that_is_replayed_is_the_same(which: str, request: pytest.FixtureRequest) -> None:
    found = drift(request.getfixturevalue(which))

    assert found.differences == ()
    assert found.difference == 0
    assert found.by_cause == ()
    assert found.signals.recorded == found.signals.replayed == found.signals.same > 10
    assert found.fills.recorded == found.fills.replayed == found.fills.same > 25


def test_several_symbols_and_strategies_are_the_same_too(tmp_path: Path) -> None:
    made = table(
        strategies__trend__symbols=["EUR/USD", "USD/JPY"],
        strategies__slow={"plugin": "ema_cross", "symbols": ["EUR/USD"], "fast": 5, "slow": 20},
        brokers__desk__currency="EUR",
    )
    found = drift(Run(folder=tmp_path, table=made).write())

    assert found.differences == ()
    assert found.currency == "EUR"
    assert found.fills.same > 25


@pytest.mark.parametrize("kind", ["paper", "live"])
def test_a_run_that_stopped_before_the_prices_ended_is_the_same(
    tmp_path: Path, paper: Path, kind: str
) -> None:
    orders = drift(paper, f"{DESK}slippage_pips=0.6").differences
    hours = [(each.time - orders[0].time) // HOUR for each in orders]
    start = (orders[0].time - drift(paper).first) // HOUR
    # Right after an order was sent: a live account takes it although no later bar was heard.
    stops, live = start + hours[8] + 1, kind == "live"
    run = Run(folder=tmp_path, table=table(), live=live, stops=stops, first=5 if live else 0)
    found = drift(run.write())
    assert found.differences == ()
    assert found.fills.same > 5


def test_an_account_that_a_server_keeps_is_replayed_from_what_it_held_at_first(
    tmp_path: Path,
) -> None:
    said = table(brokers__desk__balance="50000", brokers__desk__clock="real")
    said["brokers"]["desk"] |= {"rebase": True, "history": 20, "faults": {"delay_s": 0.5}}
    said["market"] = {"feed": "live", "timeframe": "H1"}
    run = Run(folder=tmp_path, table=table(), live=True, first=20, stops=80, said=said)
    found = drift(run.write())
    assert found.differences == ()
    assert found.fills.same > 5


def by_ann(shell: Writing) -> None:
    order = OrderRequest(
        client_order_id="01HK2W1Q00T8F11CA769NBD6B8",
        instrument="EUR/USD",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(3000),
        stop_loss=Decimal("0.9"),
        time_in_force=TimeInForce.FOK,
    )
    shell.emit(Ordered(time=shell.clock.now(), by="ann", account="desk", order=order))


def halt(*, on: bool, flatten: bool = False) -> Callable[[Writing], None]:
    def said(shell: Writing) -> None:
        time = shell.clock.now()
        shell.emit(HaltSet(time=time, on=on, by="ann", why="news", flatten=flatten))

    return said


def manual(shell: Writing) -> None:
    time = shell.clock.now()
    shell.emit(ModeSet(time=time, strategy_id="trend", mode=Mode.MANUAL, by="ann"))


@pytest.mark.parametrize("kind", ["paper", "live"])
def test_what_persons_did_is_done_again_at_its_time(tmp_path: Path, kind: str) -> None:
    acts = {30: by_ann, 60: halt(on=True, flatten=True), 80: halt(on=False), 120: manual}
    folder = Run(folder=tmp_path, table=table(), live=kind == "live", first=20, acts=acts)
    if kind == "paper":
        folder.first = 0
    found = drift(folder.write())

    assert found.differences == ()
    assert 10 < found.fills.same < 100
    text = (tmp_path / "journal.db").read_bytes()
    assert text.count(b'"ann"') > 4, "they are in the journal"


# --- settings and costs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "cause", "kind"),
    [
        (f"{DESK}commission_per_million=35", Cause.COMMISSION, "cost"),
        (f"{DESK}slippage_pips=0.6", Cause.SLIPPAGE, "cost"),
        (f"{DESK}spread_pips=1.8", Cause.SPREAD, "cost"),
        ("strategies.trend.fast=4", Cause.SETTINGS, "signal"),
        ("risk.sizer.fraction=0.0005", Cause.SETTINGS, "fill"),
    ],
)
def test_a_changed_setting_is_named_with_both_values(
    paper: Path, change: str, cause: Cause, kind: str
) -> None:
    found = drift(paper, change)
    key, _, value = change.partition("=")

    first = found.differences[0]
    assert (first.because.cause, first.kind) == (cause, kind)
    assert first.because.why.startswith(f"{key} was ")
    assert f", is {value} in the replay" in first.because.why
    assert Cause.UNEXPLAINED not in causes(found)
    mine = next(each.money for each in found.by_cause if each.cause is cause)
    assert abs(mine) > abs(found.difference) / 2


def test_stops_that_fill_in_the_same_bar_as_orders_are_explained_too(tmp_path: Path) -> None:
    made = table(strategies__trend__symbols=["EUR/USD", "USD/JPY"])
    prices = made["market"]["source"] | {"bars": 300}
    made["market"]["source"] = made["brokers"]["desk"]["prices"] = prices
    found = drift(Run(folder=tmp_path, table=made).write(), "strategies.trend.fast=4")

    assert set(causes(found)) == {Cause.SETTINGS, Cause.EQUITY}
    assert any("follows from" in each.because.why for each in found.differences)


def test_a_cheaper_run_earned_more_by_what_it_saved(paper: Path) -> None:
    found = drift(paper, f"{DESK}slippage_pips=0.6")
    slipped = [each for each in found.differences if each.because.cause is Cause.SLIPPAGE]

    assert {each.pips for each in slipped if each.pips is not None} == {Decimal("-0.4")}
    assert {each.price for each in slipped if each.price is not None} == {Decimal("-0.00004")}
    assert all(each.money > 0 for each in slipped if each.pips is not None and each.money)
    assert found.difference > 0
    assert slipped[0].recorded == "slippage 0.2 pips"
    assert slipped[0].replayed == "slippage 0.6 pips"
    assert slipped[0].entry is not None


def test_swaps_that_only_the_run_paid_are_one_difference(tmp_path: Path) -> None:
    made = table(brokers__desk__swap_long="-5", brokers__desk__swap_short="-5")
    found = drift(Run(folder=tmp_path, table=made).write(), f"{DESK}swap_long=0",
                  f"{DESK}swap_short=0")  # fmt: skip

    [swap] = [each for each in found.differences if each.because.cause is Cause.SWAP]
    assert swap.money is not None
    assert swap.money < 0
    assert "swap_long was -5, is 0 in the replay" in swap.because.why


def test_the_account_may_have_another_name_in_what_was_backtested(
    paper: Path, tmp_path: Path
) -> None:
    made = table(brokers__desk__slippage_pips="0.6")
    made["brokers"] = {"backtest": made["brokers"]["desk"]}
    found = drift(paper, config=configured(tmp_path, made))

    assert found.account == "backtest"
    assert found.differences[0].because.why == (
        "brokers.backtest.slippage_pips was 0.2, is 0.6 in the replay"
    )
    assert Cause.OUTAGE not in causes(found)


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        f"{DESK}commission_per_million": st.sampled_from(["0", "20", "60"]),
        f"{DESK}slippage_pips": st.sampled_from(["0", "0.2", "0.7"]),
        f"{DESK}spread_pips": st.sampled_from(["0", "1", "2.5"]),
        "strategies.trend.fast": st.integers(2, 6),
        "risk.sizer.fraction": st.sampled_from(["0.0005", "0.001", "0.004"]),
    },
)


@given(CHANGES)
@settings(max_examples=6, deadline=None)
def test_causes_add_up_to_the_drift_and_nothing_stays_unexplained(
    paper: Path, changes: dict[str, object]
) -> None:
    found = drift(paper, *(f"{key}={value}" for key, value in changes.items()))

    assert sum(each.money for each in found.by_cause) == found.difference
    assert Cause.UNEXPLAINED not in causes(found)
    rest = next((each.money for each in found.by_cause if each.cause is Cause.REST), Decimal(0))
    assert abs(rest) < 2, "a dollar account trades euros for dollars: only cents are rounded"
    assert found.fills.same <= min(found.fills.recorded, found.fills.replayed)
    unlike = {"commission_per_million": "20", "slippage_pips": "0.2", "spread_pips": "1"}
    unlike |= {"fast": "3", "fraction": "0.001"}
    changed = any(str(value) != unlike[key.split(".")[-1]] for key, value in changes.items())
    assert bool(found.differences) == changed


def test_another_version_alone_is_no_drift_and_is_named_where_a_signal_differs(
    tmp_path: Path,
) -> None:
    run = Run(folder=tmp_path / "a", table=table())
    assert drift(run.write()).differences == ()

    class Older(Run):
        def about_it(self) -> dict[str, Any]:
            about = super().about_it()
            plugins = about["plugins"] | {"strategy sma_cross": "mtquant 0.0.9"}
            return about | {"plugins": plugins}

    # Its code was another: here, its settings stand for that, and the journal says the new ones.
    made = table(strategies__trend__fast=4)
    found = drift(Older(folder=tmp_path / "b", table=made, said=table()).write())
    assert found.differences[0].because.cause is Cause.CODE
    assert "strategy sma_cross: mtquant 0.0.9 then, mtquant " in found.differences[0].because.why


def test_numbers_that_mean_the_same_are_no_changed_settings() -> None:
    ours = {"risk": {"a": "0.50", "b": 3, "c": True, "d": [1, 2]}, "engine": {"state_dir": "x"}}
    theirs = {"risk": {"a": 0.5, "b": "3.0", "c": True, "d": [1, 2]}}
    assert differing(ours, theirs) == []
    assert [str(each) for each in differing(ours, {"risk": {"a": "0.5", "c": 1, "e": 7}})] == [
        "risk.b was 3, is not set in the replay",
        "risk.c was True, is 1 in the replay",
        "risk.d was [1, 2], is not set in the replay",
        "risk.e was not set, is 7 in the replay",
    ]


# --- prices --------------------------------------------------------------------------------------


def altered(index: int, by: float) -> Memory:
    bars = BarArrays.of(CATALOGUE.make("source", "walk", WALK).bars("EUR/USD"))
    close, high, low = bars.close.copy(), bars.high.copy(), bars.low.copy()
    close[index] += by
    high[index], low[index] = max(high[index], close[index]), min(low[index], close[index])
    return Memory({"EUR/USD": replace(bars, close=close, high=high, low=low)})


WALK = {"seed": 3, "bars": 160, "timeframe": "H1"}


def test_a_bar_that_was_another_one_live_is_named(tmp_path: Path) -> None:
    run = Run(folder=tmp_path / "a", table=table(), live=True, first=20, source=altered(70, 0.01))
    folder = run.write()

    assert drift(folder).differences == (), "by itself it can't tell"
    found = drift(folder, config=configured(tmp_path, table()))
    data = [each for each in found.differences if each.because.cause is Cause.DATA]
    assert data
    assert data[0].because.why.startswith("the bar of 2024-01-03T22:00:00Z is ")
    assert "in the run" in data[0].because.why
    assert Cause.UNEXPLAINED not in causes(found)


def test_a_file_that_was_changed_since_shows_in_the_prices_that_were_decided_on(
    tmp_path: Path,
) -> None:
    bars = CATALOGUE.make("source", "walk", WALK).bars("EUR/USD")
    file = tmp_path / "eurusd.csv"

    def write(changed: dict[int, float]) -> None:
        rows = ["time,open,high,low,close,volume"]
        for index, time in enumerate(bars.time):
            close = bars.close[index] + changed.get(index, 0.0)
            high, low = max(bars.high[index], close), min(bars.low[index], close)
            rows.append(f"{format_time(time)},{bars.open[index]},{high},{low},{close},0")
        file.write_text("\n".join(rows) + "\n", encoding="utf-8")

    write({})
    source = {"plugin": "csv", "files": {"EUR/USD": str(file)}, "timeframe": "H1"}
    made = table(market__source=source, brokers__desk__prices=source)
    folder = Run(folder=tmp_path / "run", table=made).write()
    assert drift(folder).differences == ()

    decided = drift(folder, f"{DESK}slippage_pips=0.9").differences[0].time
    length = 3600 * 1_000_000_000
    write({bars.time.index(decided - length): 0.004})
    found = drift(folder)
    assert Cause.DATA in causes(found)
    assert any("bid/ask were" in each.because.why for each in found.differences)


# --- what happens to an engine -------------------------------------------------------------------


def test_what_was_missed_while_the_engine_was_down_is_listed(tmp_path: Path) -> None:
    run = Run(folder=tmp_path, table=table(), live=True, first=20, down=(60, 90))
    found = drift(run.write())

    down = [each for each in found.differences if each.because.cause is Cause.DOWN]
    assert {each.kind for each in down} >= {"signal", "order"}
    assert all(each.recorded == "none" for each in down if each.kind == "signal")
    assert down[0].because.why == "it was stopped, 2024-01-03T13:00:00Z to 2024-01-04T18:30:00Z"
    assert Cause.UNEXPLAINED not in causes(found)


def test_a_bar_that_came_late_warmed_up_only(tmp_path: Path) -> None:
    steps = list(range(40, 140))
    run = Run(folder=tmp_path, table=table(), live=True, first=20, late=steps)
    found = drift(run.write())

    late = [each for each in found.differences if each.because.cause is Cause.LATE_BAR]
    assert late
    assert late[0].recorded == "none"
    assert " s after its end, and only warmed the strategy up" in late[0].because.why


def test_an_execution_that_the_journal_lacks_is_a_lost_fill(tmp_path: Path) -> None:
    lost: list[str] = []

    def loses(kind: str, body: dict[str, Any]) -> bool:
        if kind == "fill" and body["fill"]["client_order_id"] and not lost:
            lost.append(body["fill"]["client_order_id"])
            return True
        return False

    found = drift(Run(folder=tmp_path, table=table(), loses=loses).write())

    assert causes(found) == {Cause.LOST_FILL: 1}
    [difference] = found.differences
    assert difference.kind == "fill"
    assert difference.recorded.endswith(", not filled")
    assert "the broker reported " in difference.because.why
    assert "the journal has 0 of it" in difference.because.why


def test_what_another_account_filled_otherwise_is_the_outages(tmp_path: Path) -> None:
    sent: list[str] = []

    def elsewhere(kind: str, body: dict[str, Any]) -> bool:
        if kind == "intent":
            sent.append(body["client_order_id"])
        # The desk was down for the sixth order and those after it, but not for the last ones.
        number = len(sent) + (kind == "verdict")  # it comes before its order
        if 5 < number < 12 and kind in {"intent", "fill", "order", "verdict"}:
            body["account"] = "spare"
        return False

    folder = Run(folder=tmp_path, table=table(), loses=elsewhere).write()
    same = drift(folder)
    assert same.differences == ()
    assert same.notes == (
        "orders at spare are compared with those of the one account of the replay",
    )
    found = drift(folder, f"{DESK}slippage_pips=0.6")
    outage = [each for each in found.differences if each.because.cause is Cause.OUTAGE]
    assert {each.because.why for each in outage} == {
        "it was sent to spare, and is replayed as one of desk"
    }
    assert len(outage) > 3
    assert Cause.SLIPPAGE in causes(found)


class Refusing(Venue):
    """Refuses the third order."""

    asked = 0

    async def place(self, order: OrderRequest) -> OrderReport:
        self.asked += 1
        if self.asked == 3:
            raise Refused(ErrorCode.INSUFFICIENT_MARGIN, "margin is short")
        return await super().place(order)


def test_an_order_that_the_broker_refused_is_listed_with_his_words(tmp_path: Path) -> None:
    found = drift(Run(folder=tmp_path, table=table(), venue=Refusing).write())

    first = found.differences[0]
    assert first.because.cause is Cause.BROKER
    assert "margin is short" in first.because.why
    assert first.recorded.endswith(", not filled")
    assert Cause.UNEXPLAINED not in causes(found)


class Wide(Venue):
    """Its spread is twelve pips for some forty hours."""

    begun: int | None = None

    def move(self, to: int) -> Advanced:
        moved = super().move(to)
        self.begun = self.begun or to
        if not 40 < (to - self.begun) // 3_600_000_000_000 < 80:
            return moved
        quote = self.exchange.quotes["EUR/USD"]
        half = Decimal("0.0006")
        wide = replace(quote, bid=quote.mid - half, ask=quote.mid + half)
        self.exchange.quotes["EUR/USD"] = wide
        return replace(moved, account=self.exchange.account(to), quotes=(wide,))


def test_a_spread_that_vetoed_live_is_shown_with_its_limit(tmp_path: Path) -> None:
    run = Run(folder=tmp_path / "a", table=table(), live=True, first=20, venue=Wide)
    folder = run.write()
    assert drift(folder).differences == (), "the replay takes the prices of the journal"

    found = drift(folder, config=configured(tmp_path, table()))
    vetoed = [each for each in found.differences if each.because.cause is Cause.VETO]
    assert vetoed
    assert vetoed[0].because.why.startswith("in the run: spread: ")
    assert "limit" in vetoed[0].because.why
    assert vetoed[0].kind == "order"
    assert vetoed[0].recorded == "none"
    spread = [each for each in found.differences if each.because.cause is Cause.SPREAD]
    assert "the spread was 12 pips, 1 pips in the replay" in {
        each.because.why for each in spread
    }, "what was closed meanwhile paid it"


def test_a_brokers_account_is_simulated_on_its_own_terms(tmp_path: Path) -> None:
    said = table() | OF_A_BROKER | {"market": {"feed": "live", "timeframe": "H1"}}
    made = table(brokers__desk__slippage_pips="0.3", brokers__desk__commission_per_million="30")
    found = drift(Run(folder=tmp_path, table=made, live=True, first=20, said=said).write())

    assert set(causes(found)) <= {Cause.SLIPPAGE, Cause.COMMISSION, Cause.EQUITY, Cause.SPREAD}
    slipped = next(each for each in found.differences if each.because.cause is Cause.SLIPPAGE)
    assert slipped.because.why.startswith("decided at ")
    assert slipped.pips == Decimal("0.3")
    assert slipped.money is not None
    assert slipped.money < 0
    assert any("without commission and slippage" in each for each in found.notes)


# --- for machines --------------------------------------------------------------------------------


def test_its_json_is_the_same_each_time_and_holds_no_float(paper: Path) -> None:
    texts = {json.dumps(drift(paper, "strategies.trend.fast=4").to_dict()) for _ in range(2)}
    assert len(texts) == 1
    found = json.loads(texts.pop(), parse_float=pytest.fail)
    assert list(found) == [
        *("format", "journal", "account", "currency", "first", "last", "drifts", "signals"),
        *("fills", "profit", "by_cause", "differences", "notes"),
    ]
    assert list(found["differences"][0]) == [
        *("time", "kind", "instrument", "strategy", "recorded", "replayed", "price", "pips"),
        *("money", "cause", "why", "entry"),
    ]
    assert found["format"] == "mtquant-drift/1"
    assert found["drifts"] is True
