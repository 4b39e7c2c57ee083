"""The kit passes a good broker, near and far, and catches each wrong one by the case named."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import pytest
from tests.kernel.wrong_brokers import WRONG, Good, Hedging, folder_ledger
from typer.testing import CliRunner

from mtquant.cli import app
from mtquant.contract import Broker
from mtquant.errors import Refused
from mtquant.model import Capabilities, Environment
from mtquant.testing import BrokerContract, all_cases, near, run
from mtquant.testing.case import Group, case, declared_by
from mtquant.testing.connection import Target
from mtquant.testing.report import (
    as_badge,
    as_json,
    as_junit,
    as_list,
    as_matrix,
    as_shield,
)
from mtquant.testing.run import Outcome, Run
from mtquant.testing.targets import NEWEST
from mtquant.wire import Remote, serve

CASES = {each.number: each for each in all_cases()}


class TestNetting(BrokerContract):
    def broker(self) -> Broker:
        return Good()


class TestHedging(BrokerContract):
    protocols = (NEWEST,)

    def broker(self) -> Broker:
        return Hedging()


def test_there_are_at_least_a_hundred_cases_in_thirteen_groups() -> None:
    assert len(CASES) >= 100
    assert {each.group for each in CASES.values()} == set(Group)
    for group in Group:
        numbers = [int(each.number[4:]) for each in CASES.values() if each.group is group]
        assert numbers == list(range(1, len(numbers) + 1))
    assert len({each.title for each in CASES.values()}) == len(CASES)


def test_every_case_has_a_remedy_to_offer() -> None:
    assert [each.number for each in CASES.values() if not each.remedy.endswith(".")] == []


def wrongly(name: str, folder: Path) -> Target:
    kind, _ = WRONG[name]
    made: list[Good] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[Remote]:
        made[:] = made or [kind()]
        ledger = folder_ledger(kind, folder)
        try:
            async with made[0], Remote(serve(made[0], ledger=ledger)) as remote:
                yield remote
        finally:
            ledger.close()

    return Target(name, connect)


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_broker_is_caught_by_its_case(name: str, tmp_path: Path) -> None:
    _, number = WRONG[name]
    done = anyio.run(run, wrongly(name, tmp_path), [CASES[number]])
    (result,) = done.results
    assert result.outcome is Outcome.FAILED, result.why
    assert "expected" in result.why or "must succeed" in result.why
    assert result.why.endswith(".")


def test_at_least_fifteen_mistakes_are_tried() -> None:
    assert len(WRONG) >= 15
    assert {number for _, number in WRONG.values()} <= set(CASES)


def test_a_live_account_is_not_traded(tmp_path: Path) -> None:
    class Live(Good):
        async def get_capabilities(self) -> Capabilities:
            from dataclasses import replace  # noqa: PLC0415

            return replace(await super().get_capabilities(), environment=Environment.LIVE)

    with pytest.raises(Refused, match="live"):
        anyio.run(run, near(Live, tmp_path))


def test_two_cases_of_one_number_are_refused() -> None:
    with pytest.raises(ValueError, match="CAP-001"):
        case("CAP-001", "again")(CASES["CAP-001"].check)


# --- what a run leaves behind ----------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    chosen = [CASES[each] for each in ("CAP-003", "ORD-006", "DAT-012", "REF-003")]
    folder = tmp_path_factory.mktemp("runs")
    return [anyio.run(run, wrongly("CancelsWhenSent", folder), chosen)]


def test_json_tells_each_case(runs: list[Run]) -> None:
    told = json.loads(json.dumps(as_json(runs)))
    assert (told["passed"], told["failed"], told["skipped"]) == (2, 1, 1)
    (target,) = told["targets"]
    failed = [each for each in target["cases"] if each["outcome"] == "failed"]
    assert [each["case"] for each in failed] == ["ORD-006"]
    assert "not when it is sent" in failed[0]["why"]


def test_junit_is_what_other_tools_read(runs: list[Run]) -> None:
    root = ET.fromstring(as_junit(runs))  # noqa: S314 - our own output
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    assert [each.get("name", "")[:7] for each in suite if each.find("failure") is not None] == [
        "ORD-006"
    ]


def test_the_matrix_and_the_badge_come_from_the_run(runs: list[Run]) -> None:
    matrix = as_matrix(runs)
    assert "| order types | market, limit" in matrix
    assert re.search(r"\| ORD-006 \|.*\| \*\*failed\*\* \|", matrix)
    assert "| position mode | netting | hedging |" in matrix
    shield = json.loads(as_shield(runs))
    assert (shield["message"], shield["schemaVersion"]) == ("1 failed", 1)
    badge = as_badge(runs)
    assert "1 failed" in badge
    ET.fromstring(badge)  # noqa: S314 - our own output
    assert declared_by(runs[0].capabilities) >= {"type:limit", "mode:netting", "clock:real"}


# --- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "0 brokers are named"),
        (["paper", "--url", "http://127.0.0.1:1/mcp"], "2 brokers are named"),
        (["nosuch"], "no broker plugin is called 'nosuch'"),
        (["paper", "--case", "XYZ-1"], "neither a case nor a group"),
        (["paper", "--settings", "{"], "--settings"),
        (["paper", "--settings", "[1]"], "is no JSON object"),
        (["--command", "false"], "can't be used"),
        (["--command", "'"], "can't be read"),
    ],
    ids=range(8),
)
def test_a_wrong_call_is_one_line_and_exit_2(words: list[str], told: str) -> None:
    done = CliRunner().invoke(app, ["conformance", *words])
    assert done.exit_code
    assert told in str(done.exception)


def test_the_documented_cases_are_the_cases() -> None:
    text = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")
    _, _, listed = text.partition("## The cases")
    wanted = as_list(all_cases())
    assert f"## The cases{listed}" == wanted, "write what report.as_list returns into the document"
