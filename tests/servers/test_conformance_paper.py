"""The kit against the paper server, as its users run it: over stdio, and over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

import anyio
import pytest

from mtquant.clock import SystemClock
from mtquant.contract import Endpoint, Scope
from mtquant.ledger import Ledger
from mtquant.testing import all_cases, run, wire
from mtquant.testing.run import Outcome, Run
from mtquant.testing.targets import NEWEST, OLDEST
from mtquant.wire import run_http, serve
from mtquant_paper_server.__main__ import make

TOKEN = "a-token-of-the-conformance-tests"  # noqa: S105 - for this test alone
SETTINGS = (
    "{}",
    '{"position_mode": "hedging", "liquidity": "10000", "commission_per_million": "30"}',
    '{"clock": "real", "rebase": true, "history": 99, "minimum_stop_pips": "5", "currency": "JPY"}',
)


def told(*words: str) -> dict[str, object]:
    """Return what the command tells, as JSON; every case must have passed or been skipped."""
    command = [sys.executable, "-m", "mtquant", "conformance", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: dict[str, object] = json.loads(done.stdout or done.stderr)
    assert found["failed"] == 0, failures(found)
    assert done.returncode == 0
    return found


def failures(found: dict[str, object]) -> list[str]:
    """Return what failed, a line each."""
    targets = found["targets"]
    assert isinstance(targets, list)
    return [
        f"{each['case']} {target['target']}: {each['why']}"
        for target in targets
        for each in target["cases"]
        if each["outcome"] == "failed"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
def test_the_paper_server_passes(settings: str, tmp_path: Path) -> None:
    files = {name: tmp_path / f"kit.{name}" for name in ("xml", "svg", "md")}
    words = ["--junit", str(files["xml"]), "--badge", str(files["svg"]), "--matrix"]
    found = told("paper", "--settings", settings, *words, str(files["md"]))
    assert found["broker"] == "paper"
    suites = ET.parse(files["xml"]).getroot()  # noqa: S314 - our own output
    assert [each.get("tests") for each in suites] == [str(len(all_cases()))] * 2
    assert "passed" in files["svg"].read_text(encoding="utf-8")
    assert "# paper: contract 1." in files["md"].read_text(encoding="utf-8")


async def over_http(folder: Path, protocol: str) -> Run:
    """Serve a paper account over HTTP, and return what the kit says of it."""
    done: list[Run] = []
    account = make({}, folder)
    with closing(Ledger(folder / "ledger.db", SystemClock())) as ledger:
        async with account, anyio.create_task_group() as group:
            server = serve(account, ledger=ledger)
            port: int = await group.start(
                partial(run_http, server, tokens={TOKEN: frozenset(Scope)}, port=0)
            )
            at = Endpoint(url=f"http://127.0.0.1:{port}/mcp", token=TOKEN)
            done.append(await run(wire(at, protocol=protocol)))
            group.cancel_scope.cancel()
    return done[0]


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [NEWEST, OLDEST])
def test_the_paper_server_passes_over_http(protocol: str, tmp_path: Path) -> None:
    done = anyio.run(over_http, tmp_path, protocol)
    assert [each.why for each in done.results if each.outcome is Outcome.FAILED] == []
    assert len(done.results) == len(all_cases())
