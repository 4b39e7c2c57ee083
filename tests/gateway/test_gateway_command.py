"""``mtquant gateway`` as it is typed: in front of a running engine, or with one of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from rich.console import Console
from typer.testing import CliRunner

import mtquant.gateway
from mtquant.agents.registry import Registry
from mtquant.cli import app, gating
from mtquant.cli.init import write
from mtquant.cli.run import Run
from mtquant.config import Config, load_config
from mtquant.contract import Agent
from mtquant.errors import ConfigError

MTQUANT = [sys.executable, "-c", "from mtquant.cli import main; main()"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with a configuration and an agent, claude."""
    write(tmp_path / "mtquant.toml")
    Registry(tmp_path / "mtquant-state").add(Agent(name="claude"))
    return tmp_path


class Instead:
    """Takes the place of the engine, and of the wire; keeps what each was to do."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, runs: bool) -> None:
        self.run: Run | None = None
        self.served: dict[str, Any] = {}
        self.running: dict[str, Any] | None = {"agents": []} if runs else None
        monkeypatch.setattr(gating, "keep", self._keep)
        monkeypatch.setattr(gating, "reach", self._reach)
        monkeypatch.setattr(mtquant.gateway, "run_gateway_stdio", self._serve)
        monkeypatch.setattr(mtquant.gateway, "run_gateway_http", self._serve)

    def _keep(self, run: Run) -> int:
        self.run = run
        return 0

    async def _reach(self, *_: object) -> dict[str, Any] | None:
        return self.running

    async def _serve(self, desk: object, tools: object, **how: object) -> None:
        self.served = how | {"desk": type(desk).__name__, "tools": tools}


def served(place: Path, words: str) -> int:
    line = ["gateway", *words.split(), "--config", str(place / "mtquant.toml")]
    done = CliRunner().invoke(app, line)
    if isinstance(done.exception, ConfigError):
        raise done.exception
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.stdout == ""  # it is the client's
    return done.exit_code


def test_in_front_of_a_running_engine_it_is_a_bridge(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = Instead(monkeypatch, runs=True)
    assert served(place, "--agent claude --dry-run") == 0
    assert instead.run is None
    assert instead.served["desk"] == "ReachedDesk"
    assert (instead.served["agent"], instead.served["dry_run"]) == ("claude", True)
    assert "halt_trading" in instead.served["tools"]


def test_over_http_tokens_of_the_registry_open_it_until_they_are_revoked(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = Instead(monkeypatch, runs=True)
    registry = Registry(place / "mtquant-state")
    token = registry.renew("claude")
    assert served(place, "--http 8765 --name desk.example --issuer https://id.example") == 0
    how = instead.served
    assert (how["port"], how["host"], how["names"]) == (8765, "127.0.0.1", ("desk.example",))
    assert (how["issuer"], how["dry_run"], how["signals"]) == ("https://id.example", False, True)
    assert how["authenticate"](token) == "claude"
    assert how["authenticate"](f"{token}x") is None
    registry.revoke("claude")
    assert how["authenticate"](token) is None


def test_without_an_engine_one_is_started_that_no_strategy_trades(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = Instead(monkeypatch, runs=False)
    assert served(place, "--agent claude") == 0
    run = instead.run
    assert run is not None
    assert (run.passive, run.live) == (True, False)
    assert run.beside is not None
    assert run.out is run.console  # nothing is printed where the client reads
    assert run.console.stderr


def test_a_replay_is_refused_unless_an_engine_runs_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "mtquant.toml"
    text = path.read_text().replace(
        'feed = "live" ', 'feed = "replay"\nsource = { plugin = "ecb" }\n#'
    )
    path.write_text(text)
    Instead(monkeypatch, runs=False)
    with pytest.raises(ConfigError, match=r"market\.feed: 'replay'.*mtquant run"):
        served(place, "--agent claude")
    Instead(monkeypatch, runs=True)
    assert served(place, "--agent claude") == 0


def test_a_real_account_is_confirmed_before_it_is_traded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "mtquant.toml"
    path.write_text(
        path.read_text().replace("[brokers.paper-a]", '[brokers.paper-a]\nlive_account = "7"')
    )
    instead = Instead(monkeypatch, runs=False)
    with pytest.raises(ConfigError, match="account 7 isn't confirmed"):
        served(place, "--agent claude --live")
    assert instead.run is None
    served(place, "--agent claude --live --confirm 7")
    assert instead.run is not None
    assert instead.run.live


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "neither is given.*--agent NAME.*--http PORT"),
        ("--agent claude --http 8765", "both are given"),
        ("--agent bob", "no agent 'bob'.*mtquant agents add bob. Agents: claude"),
        ("--agent claude --host 0.0.0.0", "They belong to --http"),
        ("--agent claude --expose", "They belong to --http"),
        ("--http 8765 --host 0.0.0.0", "'0.0.0.0' is not a loopback address"),
        ("--http 8765 --tls no.pem no.key", "no.pem"),
        ("--http 8765 --issuer http://id.example", "gateway.issuer: 'http://id.example'"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str, said: str
) -> None:
    instead = Instead(monkeypatch, runs=False)
    with pytest.raises(ConfigError, match=said):
        served(place, words)
    assert instead.run is None
    assert instead.served == {}


def test_where_the_agents_cant_be_read_nothing_is_served(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = Instead(monkeypatch, runs=True)
    (place / "mtquant-state" / "agents.json").write_text("{")
    for words in ("--agent claude", "--http 8765"):
        with pytest.raises(ConfigError, match=r"agents\.json: can't be used"):
            served(place, words)
    assert instead.served == {}


def test_run_serves_agents_on_the_port_of_the_file_or_of_the_option(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtquant.cli import run  # noqa: PLC0415 - beside the engine that it starts

    runs: list[Run] = []
    seen: list[Config] = []

    def mounted(config: Config, _: Console) -> None:
        seen.append(config)

    def keep(wanted: Run) -> int:
        runs.append(wanted)
        return 0

    monkeypatch.setattr(run, "keep", keep)
    monkeypatch.setattr(gating, "mounted", mounted)
    path = str(place / "mtquant.toml")
    line = ["run", "--config", path]
    for words in ([], ["--gateway", "8765"], ["--set", "gateway.http=8766"]):
        assert CliRunner().invoke(app, [*line, *words]).exit_code == 0
    assert [each.gateway.http for each in seen] == [8765, 8766]
    assert not any(each.passive for each in runs)


def test_a_mounted_gateway_is_as_the_table_says(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instead = Instead(monkeypatch, runs=False)
    table = ["gateway.http=8765", 'gateway.names=["desk.example"]', "gateway.dry_run=true"]
    beside = gating.mounted(load_config(place / "mtquant.toml", table), Console(stderr=True))
    anyio.run(lambda: beside(None, task_status=anyio.TASK_STATUS_IGNORED))  # type: ignore[arg-type]
    how = instead.served
    assert (how["port"], how["names"], how["dry_run"]) == (8765, ("desk.example",), True)
    assert not how["signals"]  # the engine has its own


def test_a_port_that_is_taken_is_told_as_such(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Instead(monkeypatch, runs=True)

    async def taken(*_: object, **__: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(mtquant.gateway, "run_gateway_http", taken)
    with pytest.raises(ConfigError, match=r"port 8765 of .* can't be had: Address already"):
        served(place, "--http 8765")


CONFIG = """
[engine]
state_dir = "state"
on_stop = "keep"
dead_man_s = 0
[market]
timeframe = "S1"
poll_s = 0.1
[brokers.a]
plugin = "paper"
clock = "real"
rebase = true
history = 200
symbols = ["EUR/USD"]
spelling = { suffix = ".a" }
prices = { plugin = "walk", timeframe = "S1", bars = 5000 }
[risk]
sizer = { plugin = "fixed_quantity", quantity = "1000" }
[risk.checks]
stale_price = { max_age_s = 30 }
[approval]
max_drift = "0.5"
"""
BUDGET = "--instrument EUR/USD --notional 5000 --orders 5 --loss 100"


class Desk:
    """A folder with a configuration and an agent who may propose; commands as a person types."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mtquant.toml").write_text(CONFIG)
        words = f"agents add claude --scope read --scope propose {BUDGET}"
        self.token = self.typed(*words.split()).strip()

    def typed(self, *words: str) -> str:
        done = subprocess.run(
            [*MTQUANT, *words], cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        server = StdioServerParameters(
            command=MTQUANT[0], args=[*MTQUANT[1:], "gateway", "--agent", "claude"], cwd=self.folder
        )
        async with Client(server) as client:
            yield client

    async def waiting(self) -> dict[str, Any]:
        """Return what a person sees of the one suggestion that waits."""
        shown = await anyio.to_thread.run_sync(self.typed, "suggestions", "--json")
        (found,) = json.loads(shown)["suggestions"]
        return dict(found)


async def proposed(client: Client, name: str) -> dict[str, Any]:
    wish = {
        "client_order_id": name,
        "symbol": "EUR/USD",
        "side": "buy",
        "stop_loss": "0.5",
        "rationale": "a test",
    }
    answer = await client.call_tool("propose_trade", wish)
    assert answer.structured_content is not None, answer.content
    return dict(answer.structured_content)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.slow
def test_an_agent_over_stdio_proposes_and_a_person_approves_from_another_terminal(
    desk: Desk,
) -> None:
    async def talk() -> str:
        async with desk.client() as client:
            assert (await proposed(client, "p1"))["status"] == "waiting_for_approval"
            seen = await desk.waiting()
            for tool in ("list_proposals", "get_decisions", "get_risk_status"):
                answer = await client.call_tool(tool, {})
                assert not answer.is_error, answer.content
                assert seen["code"] not in answer.model_dump_json()
            said = await anyio.to_thread.run_sync(desk.typed, "approve", str(seen["number"]))
            assert "approved" in said
            told = await client.call_tool("get_order", {"client_order_id": "p1"})
            assert told.structured_content is not None
            assert told.structured_content["status"] == "filled"
            listed = await anyio.to_thread.run_sync(desk.typed, "agents", "--json")
            assert json.loads(listed)["agents"][0]["used"]["orders"] == 1
            return str(seen["code"])

    code = anyio.run(talk)
    state = desk.folder / "state"
    assert not (state / "control.json").exists()  # it ended in its own time
    for path in state.rglob("*"):
        assert not path.is_file() or code.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_one_engine_serves_agents_over_http_and_a_client_over_stdio(desk: Desk) -> None:
    engine = subprocess.Popen(
        [*MTQUANT, "run", "--gateway", "0"], cwd=desk.folder, stderr=subprocess.PIPE, text=True
    )
    try:
        url = _address(engine)
        ask = {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}}

        def status(token: str) -> int:
            head = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
            return httpx2.post(url, json=ask, headers=head).status_code

        assert status("mtq_nobody") == 401
        assert status(desk.token) != 401

        async def talk() -> None:
            async with desk.client() as client:
                assert (await proposed(client, "p1"))["status"] == "waiting_for_approval"
                await desk.waiting()
                desk.typed("agents", "revoke", "claude")
                refused = await client.call_tool("get_portfolio", {})
                assert refused.is_error
                assert "mtquant agents" in refused.model_dump_json()

        anyio.run(talk)
        assert status(desk.token) == 401
        desk.typed("stop")
        assert engine.wait(timeout=30) == 0
    finally:
        engine.kill()
        engine.communicate()


def _address(engine: subprocess.Popen[str]) -> str:
    assert engine.stderr is not None
    for line in engine.stderr:
        found = re.search(r"agents are served at (http://\S+)", line)
        if found:
            return found[1]
    raise AssertionError("the engine ended")
