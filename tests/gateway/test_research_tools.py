"""Indicators and backtests for agents: right figures, and nothing that could be abused."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import numpy as np
import pytest
from tests.gateway.reading import AGENT, CLAUDE, HISTORY, Place, catalogue, read, told

from mtquant import Settings, Strategy
from mtquant.agents import backtesting, research
from mtquant.agents.backtesting import Trial, Wrong, in_a_process, tried
from mtquant.agents.refusal import AgentRefused
from mtquant.agents.research import ResearchTools
from mtquant.agents.tool import Caller, agent_tools
from mtquant.backtest.api import backtest
from mtquant.clock import parse_time
from mtquant.contract import AgentBudget, Indicator
from mtquant.model import Bar, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant.plugins import Catalogue

TOOLS = agent_tools(ResearchTools)
H1 = Timeframe.H1
EVERYTHING = Caller(AGENT.model_copy(update={"budget": AgentBudget(strategies=("*",))}))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def tools(place: Place, plugins: Catalogue | None = None) -> ResearchTools:
    return ResearchTools(place.engine, plugins or catalogue())


class PathSettings(Settings):
    file: str = ""
    weight: float = 1.0


class Reader(Strategy[PathSettings]):
    """Reads a model from a file."""

    name = "reader"


class Broken(Indicator[Settings]):
    """Has no idea."""

    name = "broken"
    warmup = 3

    def compute(self, bar: Bar) -> float:
        return bar.close

    def batch(self, bars: BarArrays) -> Any:  # noqa: ANN401
        raise RuntimeError(f"canary {len(bars)}")


class Endless(Broken):
    """Needs more than there is."""

    name = "endless"
    warmup = 10**9


def with_more(*more: tuple[str, type]) -> Catalogue:
    made = Catalogue()
    for kind in ("strategy", "indicator"):
        for name in catalogue().names(kind):
            made.add(kind, catalogue().get(kind, name), "test", "")
    for kind, plugin in more:
        made.add(kind, plugin, "test", "")
    return made


@pytest.mark.anyio
async def test_an_indicator_is_worked_out_over_the_accounts_history(tmp_path: Path) -> None:
    async def use(place: Place) -> None:
        box = tools(place)
        bars = await place.engine.wiring.links["desk"].bars("EUR/USD", H1, 500)
        found = await box.get_indicator(CLAUDE, "sma", "EUR/USD", H1, {"period": 3}, 2)
        assert (found.lines, found.warmup, found.account) == (("value",), 3, "desk")
        [before, newest] = found.rows
        assert newest[1] == pytest.approx(np.mean(bars.close[-3:]), rel=1e-7)
        assert before[1] == pytest.approx(np.mean(bars.close[-4:-1]), rel=1e-7)
        assert parse_time(f"{newest[0]}:00Z") == bars.time[-1]

        bands = await box.get_indicator(CLAUDE, "bollinger", "EUR/USD", H1)
        assert bands.lines == ("upper", "middle", "lower")
        assert len(bands.rows) == 5
        assert all(row[1] > row[2] > row[3] for row in bands.rows)  # type: ignore[operator]
        assert told(TOOLS["get_indicator"], bands)[1] < 600

    await read(tmp_path, use)


@pytest.mark.anyio
async def test_an_indicator_that_warms_up_says_so_and_tells_no_number(tmp_path: Path) -> None:
    async def use(place: Place) -> None:
        found = await tools(place).get_indicator(CLAUDE, "sma", "EUR/USD", H1, {"period": 5000})
        assert found.bars == HISTORY
        assert "5000 bars to warm up" in found.summary
        value, _ = told(TOOLS["get_indicator"], found)
        assert [row[1] for row in value["rows"]] == [None] * 5

    await read(tmp_path, use)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "given", "code", "says"),
    [
        ("smaa", {}, "unknown_plugin", "sma"),
        ("sma", {"period": 1}, "invalid_argument", "greater than or equal"),
        ("sma", {"periods": 3}, "invalid_argument", "no such setting"),
        ("sma", {"period": "/etc/passwd"}, "invalid_argument", "text"),
        ("sma", {"period": float("nan")}, "invalid_argument", "too large"),
        ("sma", {"period": 1e300}, "invalid_argument", "too large"),
        ("vwap", {"session": "year"}, "invalid_argument", "text"),
        ("broken", {}, "failed", "RuntimeError"),
        ("endless", {}, "too_long", "1000000000"),
    ],
)
async def test_what_is_no_indicator_is_refused(
    tmp_path: Path, name: str, given: dict[str, Any], code: str, says: str
) -> None:
    async def use(place: Place) -> None:
        box = tools(place, with_more(("indicator", Broken), ("indicator", Endless)))
        with pytest.raises(AgentRefused, match=says) as refused:
            await box.get_indicator(CLAUDE, name, "EUR/USD", H1, given)
        assert refused.value.code == code
        assert "canary" not in json.dumps(refused.value.payload())
        assert place.venues["desk"].asked <= 1

    await read(tmp_path, use)


@pytest.mark.anyio
async def test_plugins_are_listed_with_what_the_budget_allows(tmp_path: Path) -> None:
    async def use(place: Place) -> None:
        found = await tools(place).list_plugins(CLAUDE, "strategy")
        assert [each.name for each in found.plugins if each.usable] == ["sma_cross"]
        cross = next(each for each in found.plugins if each.name == "sma_cross")
        assert "fast=10 (>= 2, <= 5000)" in cross.parameters
        assert "direction=long_short (long_short, long_only)" in cross.parameters
        everything = await tools(place).list_plugins(EVERYTHING, "strategy")
        assert all(each.usable for each in everything.plugins)
        assert told(TOOLS["list_plugins"], found)[1] < 3000
        indicators = await tools(place).list_plugins(CLAUDE, "indicator")
        assert {"sma", "rsi", "atr"} <= {each.name for each in indicators.plugins}
        assert all(each.usable and each.meaning for each in indicators.plugins)
        assert told(TOOLS["list_plugins"], indicators)[1] < 4000

    await read(tmp_path, use)


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_backtest_is_that_of_the_accounts_own_bars_and_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(research, "TIME_LIMIT_S", 90.0)  # the machine may be busy with others

    async def use(place: Place) -> None:
        link = place.engine.wiring.links["desk"]
        bars = await link.bars("USD/JPY", H1, 600)
        await place.see(symbol="USD/JPY")
        book = place.engine.book.account("desk")
        seen = book.quotes["USD/JPY"]
        book.price((replace(seen, ask=seen.ask + Decimal("0.02")),))  # 3 pips apart
        found = await tools(place).run_backtest(
            CLAUDE, "sma_cross", "USD/JPY", H1, 600, {"fast": 5, "direction": "long_only"}
        )
        quote = book.quotes["USD/JPY"]
        balance = round(Decimal(100_000) * (quote.bid + quote.ask) / 2, 2)
        same = backtest(
            "sma_cross",
            bars,
            params={"fast": 5, "direction": "long_only"},
            account={"currency": "JPY", "balance": balance, "spread_pips": "3"},
        ).stats
        assert found.trades == same.trades.trades > 5
        assert (found.bars, found.currency) == (600, "JPY")
        assert found.start_equity == pytest.approx(float(balance), rel=0.001)
        assert found.total_return == pytest.approx(100 * (same.returns.total_return or 0), abs=0.02)
        assert found.max_drawdown is not None
        assert found.costs == pytest.approx(same.costs.total, rel=0.01)
        assert any("in less than one" in each for each in found.cautions)
        _, size = told(TOOLS["run_backtest"], found)
        assert size < 1200

    await read(tmp_path, use)


@pytest.mark.anyio
async def test_a_strategy_beyond_the_budget_is_not_tried(tmp_path: Path) -> None:
    async def use(place: Place) -> None:
        with pytest.raises(AgentRefused, match="ema_cross") as refused:
            await tools(place).run_backtest(CLAUDE, "ema_cross", "EUR/USD", H1)
        assert refused.value.code == "not_in_budget"
        assert refused.value.next_step == "You may backtest sma_cross."
        with pytest.raises(AgentRefused, match="no strategy plugin") as refused:
            await tools(place).run_backtest(EVERYTHING, "os.system", "EUR/USD", H1)
        assert refused.value.code == "unknown_plugin"
        box = tools(place, with_more(("strategy", Reader)))
        with pytest.raises(AgentRefused, match="text"):
            await box.run_backtest(EVERYTHING, "reader", "EUR/USD", H1, 500, {"file": "/etc/hosts"})
        assert place.venues["desk"].asked == 0

    await read(tmp_path, use)


@pytest.mark.anyio
async def test_one_backtest_runs_at_a_time_and_none_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(place: Place) -> None:
        box = tools(place)
        async with box._alone():
            monkeypatch.setattr(research, "WAIT_S", 0.0)
            with pytest.raises(AgentRefused) as refused:
                await box.run_backtest(CLAUDE, "sma_cross", "EUR/USD", H1)
        assert refused.value.code == "busy"
        monkeypatch.undo()
        monkeypatch.setattr(research, "TIME_LIMIT_S", 0.0)
        for _ in range(2):  # the first leaves no lock behind
            with pytest.raises(AgentRefused) as refused:
                await box.run_backtest(CLAUDE, "sma_cross", "EUR/USD", H1)
            assert (refused.value.code, refused.value.field) == ("too_slow", "bars")

    await read(tmp_path, use)


def children() -> set[int]:
    """Return the processes that we have started and that aren't gone."""
    found = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(map(int, found.read_text().split()))


@pytest.mark.anyio
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
async def test_a_process_that_nobody_waits_for_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtesting, "_WORK", "import time; time.sleep(600)")
    before = children()
    async with anyio.create_task_group() as group:
        group.start_soon(in_a_process, trial({}), 90)
        while children() == before:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    while children() != before:  # the system tells of its end in a moment
        await anyio.lowlevel.checkpoint()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "work",
    [
        "raise SystemExit(3)",
        "import os; os.close(0); os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    ],
)
async def test_a_process_that_dies_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: str
) -> None:
    monkeypatch.setattr(backtesting, "_WORK", work)

    async def use(place: Place) -> None:
        with pytest.raises(AgentRefused, match="died") as refused:
            await tools(place).run_backtest(CLAUDE, "sma_cross", "EUR/USD", H1, HISTORY)
        assert refused.value.code == "failed"

    await read(tmp_path, use)


@pytest.mark.anyio
@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
async def test_the_process_writes_no_file_and_knows_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTQUANT_TOKEN", "canary")
    file = tmp_path / "written"
    probe = (
        "import os, mtquant.agents.backtesting as b\n"
        "def tried(trial):\n"
        "    print('a strategy may print')\n"
        f"    it = os.open({str(file)!r}, os.O_CREAT | os.O_WRONLY)\n"
        "    try:\n"
        "        os.write(it, b'x')\n"
        "    except OSError:\n"
        "        pass\n"
        "    return {'known': sorted(os.environ), 'given': trial.parameters}\n"
        "b.tried = tried; b.work()"
    )
    monkeypatch.setattr(backtesting, "_WORK", probe)
    found = await in_a_process(trial({"fast": 5}), 90)
    assert isinstance(found, dict)
    assert found["given"] == {"fast": 5}
    assert not any("MTQUANT" in name for name in found["known"])
    assert not file.exists() or file.read_text() == ""


def trial(parameters: dict[str, Any]) -> Trial:
    source = catalogue().make("source", "walk", {"bars": 300, "timeframe": "H1"})
    series = source.arrays("EUR/USD")
    return Trial(strategy="sma_cross", parameters=parameters, series=series, account={})


def test_what_is_wrong_with_a_trial_comes_back_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tried(trial({"fast": 1}))
    assert isinstance(wrong, Wrong)
    assert wrong.where is not None
    assert "fast" in wrong.where
    assert "greater than or equal to 2" in wrong.problem

    def explodes(*_: object, **__: object) -> Sequence[object]:
        raise RuntimeError("canary")

    monkeypatch.setattr("mtquant.backtest.api.backtest", explodes)
    failed = tried(trial({}))
    assert isinstance(failed, Wrong)
    assert "RuntimeError" in failed.problem
    assert "canary" not in failed.problem
