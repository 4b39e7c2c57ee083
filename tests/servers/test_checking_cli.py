"""The commands that look: doctor, symbols, config, log. They tell, and change nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import pytest
from typer.testing import CliRunner, Result

from mtquant.cli import app
from mtquant.config import load_config, secret
from mtquant.errors import ConfigError, MtquantError
from mtquant.secrets import masked

pytestmark = pytest.mark.slow  # real processes, or days of prices

CONFIG = """
[engine]
state_dir = "state"
[brokers.a]
plugin = "paper"
symbols = ["EUR/USD", "USD/JPY"]
spelling = { suffix = ".a" }
prices = { plugin = "walk", bars = 500 }
clock = "real"
rebase = true
[brokers.b]
plugin = "paper"
symbols = ["EUR/USD"]
spelling = { separator = "_" }
quantity_step = "100"
quantity_min = "100"
prices = { plugin = "walk", bars = 500 }
clock = "real"
rebase = true
[strategies.trend]
plugin = "sma_cross"
symbols = ["EUR/USD"]
[profile.fast.strategies.trend]
fast = 5
"""
CANARY = "hunter2-canary"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mtquant.toml"
    path.write_text(CONFIG)
    path.chmod(0o644)
    return path


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(path)])


def looks(path: Path, *words: str) -> dict[str, dict[str, Any]]:
    done = run(path, "doctor", "--json", *words)
    found = json.loads(done.stdout)
    assert done.exit_code == int(not found["healthy"])
    return {each["what"]: each for each in found["looks"]}


# --- doctor --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fit_machine_is_told_so(file: Path) -> None:
    found = looks(file)

    assert {each["state"] for each in found.values()} <= {"ok", "warning"}
    assert "paper account a, USD, netting" in found["broker a"]["seen"]
    assert "s from ours" in found["broker b: clock"]["seen"]
    assert found["strategy trend"]["seen"] == "sma_cross on EUR/USD"


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "after", "what", "seen"),
    [
        (
            'spelling = { separator = "_" }\n',
            'spelling = { separator = "_" }\ncommand = ["/no/such/server"]\n',
            "configuration",
            "brokers.b: says not exactly one of plugin, command, server, endpoints",
        ),
        ("fast = 5", "fast = 5\n[brokers.c]\nplugin = 'papre'", "broker c", "did you mean paper?"),
        (
            'symbols = ["EUR/USD"]\n[profile',
            'symbols = ["EUR/CHF"]\n[profile',
            "strategy trend",
            "no broker of its route lists EUR/CHF",
        ),
        ("sma_cross", "sma_croos", "strategy trend", "did you mean"),
        ("fast = 5", "fast = 5\n[risk.checks.order_size]\nmax = 1", "settings", "risk.checks."),
    ],
)
def test_what_is_wrong_is_named_and_the_rest_is_looked_at_all_the_same(
    file: Path, before: str, after: str, what: str, seen: str
) -> None:
    change(file, before, after)

    found = looks(file)

    assert found[what]["state"] == "problem"
    assert seen in found[what]["seen"]
    assert found["python"]["state"] == "ok"
    assert what == "configuration" or found["broker a"]["state"] == "ok"


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told(file: Path) -> None:
    file.write_text("[brokers.gone]\ncommand = ['/no/such/server']\n")

    assert "can't be reached (FileNotFoundError)" in looks(file)["broker gone"]["seen"]


@pytest.mark.slow
def test_a_server_that_hangs_is_given_up_on(file: Path) -> None:
    sleeps = json.dumps([sys.executable, "-c", "import time; time.sleep(60)"])
    file.write_text(f"[brokers.slow]\ncommand = {sleeps}\n[engine]\nstate_dir = 'state'\n")

    found = looks(file, "--limit", "1")

    assert found["broker slow"]["seen"] == "no answer within 1 s"
    assert found["broker slow"]["remedy"].endswith("slow.log")


@pytest.mark.slow
def test_a_state_folder_that_others_can_read_is_a_problem(file: Path) -> None:
    folder = file.parent / "state"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)

    found = looks(file)["state folder"]

    assert found["state"] == "problem"
    assert found["remedy"] == f"chmod 700 {folder}"


@pytest.mark.slow
def test_a_secret_that_cannot_be_had_is_a_problem_and_one_that_can_is_not_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(
        file,
        "[strategies.trend]",
        '[brokers.d]\nserver = "http://127.0.0.1:9/mcp"\ntoken = "env:MTQUANT_TEST_TOKEN"\n'
        "[strategies.trend]",
    )
    assert looks(file)["secret brokers.d.token"]["state"] == "problem"
    monkeypatch.setenv("MTQUANT_TEST_TOKEN", CANARY)

    done = run(file, "doctor", "--json")

    assert json.loads(done.stdout)["looks"]
    assert CANARY not in done.output


def test_without_a_configuration_the_machine_is_looked_at(tmp_path: Path) -> None:
    found = looks(tmp_path / "none.toml")

    assert found["configuration"]["state"] == "warning"
    assert found["configuration"]["remedy"] == "`mtquant init` writes one."


# --- symbols -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_symbols_are_listed_with_each_brokers_spelling(file: Path) -> None:
    rows = json.loads(run(file, "symbols", "list", "--json").stdout)

    assert rows == {
        "EUR/USD": {"a": "EURUSD.a", "b": "EUR_USD"},
        "USD/JPY": {"a": "USDJPY.a", "b": None},
    }
    assert "USD/JPY" not in run(file, "symbols", "list", "--search", "eur").output


@pytest.mark.slow
def test_a_symbol_is_mapped_side_by_side(file: Path) -> None:
    found = json.loads(run(file, "symbols", "map", "EUR/USD", "--json").stdout)

    assert [found[name]["instrument"] for name in ("a", "b")] == ["EURUSD.a", "EUR_USD"]
    assert found["b"]["quantity_step"] == "100"
    done = run(file, "symbols", "map", "EUR/USX")
    assert "no broker lists 'EUR/USX'. Did you mean EUR/USD" in str(done.exception)


@pytest.mark.slow
def test_what_differs_between_brokers_is_told_and_what_matters_fails(file: Path) -> None:
    done = run(file, "symbols", "check")
    assert done.exit_code == 0
    assert "EUR/USD: quantity step is 1000 at a, 100 at b" in done.output
    change(file, 'symbols = ["EUR/USD"]\n[profile', 'symbols = ["EUR/CHF"]\n[profile')

    done = run(file, "symbols", "check")

    assert done.exit_code == 1
    assert "EUR/CHF: no broker lists it" in done.output


# --- config --------------------------------------------------------------------------------------


def test_a_valid_configuration_is_told_with_what_it_holds(file: Path) -> None:
    done = run(file, "config", "check")

    assert "valid: 2 brokers, 1 strategy, 1 symbol" in done.output


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("sma_cross", "sma_croos", "no strategy plugin is called 'sma_croos'"),
        ("[profile.fast", "fats = 5\n[profile.fast", "strategies.trend.fats: no such setting"),
        (
            "[profile.fast",
            "fast = 90\n[profile.fast",
            r"fast (90) must be less than slow (30)",
        ),
        ("[engine]", "[notifiers.pigeon]\n[engine]", "no notifier plugin is called 'pigeon'"),
        ("[engine]", "[risk.checks.margin]\nmin = 3\n[engine]", "risk.checks.margin.min"),
        ("[engine]", '[market]\ntimeframe = "H1"\n[engine]', ""),
    ],
)
def test_a_mistake_is_told_with_its_place(
    file: Path, before: str, after: str, message: str
) -> None:
    change(file, before, after)

    done = run(file, "config", "check")

    assert (done.exit_code == 0) == (not message)
    assert message in str(done.exception or "")


def test_bars_that_cannot_be_built_are_told(file: Path) -> None:
    change(file, "[engine]", '[market]\ntimeframe = "H1"\n[engine]')
    change(file, 'plugin = "sma_cross"', 'plugin = "sma_cross"\ntimeframe = "M5"')

    done = run(file, "config", "check")

    assert "M5 bars can't be built from H1 bars" in str(done.exception)


def test_the_whole_configuration_is_shown_with_its_defaults_and_can_be_read_again(
    file: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.toml"
    again.write_text(run(file, "config", "show").stdout)

    assert load_config(again) == load_config(file)
    assert json.loads(run(file, "config", "show", "--json").stdout)["market"]["poll_s"] == 1.0


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"token": "env:DESK"}, {"token": "env:DESK"}),
        ({"token": CANARY}, {"token": "***"}),
        (
            {"smtp_password": CANARY, "a": [{"api_key": CANARY}]},
            {"smtp_password": "***", "a": [{"api_key": "***"}]},
        ),
        ({"url": f"https://u:{CANARY}@x.example/y"}, {"url": "https://***@x.example/y"}),
        ({"secret": 12345}, {"secret": "***"}),
        ({"password": {"of": [CANARY, {"x": 7}]}}, {"password": {"of": ["***", {"x": "***"}]}}),
        ({"tokens": [CANARY, "env:DESK"]}, {"tokens": ["***", "env:DESK"]}),
        (
            {"command": ["server", "--token", CANARY, "--port", "1"]},
            {"command": ["server", "--token", "***", "--port", "1"]},
        ),
        ({"command": [f"--api-key={CANARY}"]}, {"command": ["--api-key=***"]}),
        ({"command": [f"API_KEY={CANARY}"]}, {"command": ["API_KEY=***"]}),
        ({"url": f"https://{CANARY}@x.example"}, {"url": "https://***@x.example"}),
        ({"url": f"https://u:a@{CANARY}@x.example"}, {"url": "https://***@x.example"}),
        (
            {"url": f"https://x.example?a=1&token={CANARY}"},
            {"url": "https://x.example?a=1&token=***"},
        ),
        (
            {"credentials": CANARY, "private-key": CANARY},
            {"credentials": "***", "private-key": "***"},
        ),
        ({"key": CANARY, "monkey": "x"}, {"key": "***", "monkey": "x"}),
        ({"symbols": {"TOKEN/USD": "TOKENUSD"}}, {"symbols": {"TOKEN/USD": "TOKENUSD"}}),
        ({"fast": 5, "name": "x"}, {"fast": 5, "name": "x"}),
    ],
)
def test_what_looks_like_a_secret_is_masked(table: Any, expected: Any) -> None:  # noqa: ANN401
    assert masked(table) == expected


def test_a_profile_is_laid_over_and_changes_over_that(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_config(file).strategies["trend"].settings == {}
    monkeypatch.setenv("MTQUANT_PROFILE", "fast")
    assert load_config(file).strategies["trend"].settings == {"fast": 5}

    changed = load_config(file, ["strategies.trend.fast=7", "engine.on_stop=keep"])

    assert changed.strategies["trend"].settings == {"fast": 7}
    assert changed.engine.on_stop == "keep"
    monkeypatch.setenv("MTQUANT_PROFILE", "slow")
    with pytest.raises(ConfigError, match=r"no table \[profile.slow\]. Profiles: fast"):
        load_config(file)


@pytest.mark.parametrize("wrong", ["engine", "=3", "a..b=1", "engine.state_dir.x=1"])
def test_a_change_that_is_none_is_told(file: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        load_config(file, [wrong])


# --- secrets -------------------------------------------------------------------------------------


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory; one entry can't be read."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        if username == "locked":
            raise RuntimeError(CANARY)
        return CANARY if (service, username) == ("desk", "trading") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


def test_a_secret_comes_from_the_keyring_and_is_in_no_error() -> None:
    before = keyring.get_keyring()
    keyring.set_keyring(Ring())  # type: ignore[no-untyped-call]
    try:
        assert secret("keyring:desk/trading", "x") == CANARY
        with pytest.raises(
            ConfigError, match=r"holds nothing under 'desk/other'.*keyring set desk"
        ):
            secret("keyring:desk/other", "x")
        with pytest.raises(ConfigError, match="can't be read: RuntimeError") as told:
            secret("keyring:desk/locked", "x")
        assert CANARY not in str(told.value)
        assert told.value.__cause__ is None
    finally:
        keyring.set_keyring(before)


def test_a_keyring_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(ConfigError, match=r'pip install "mtquant\[keyring\]"'):
        secret("keyring:desk/trading", "x")


# --- real money ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "--live"), "no broker names a real account"),
        (("run", "--live", "--confirm", "9"), "account 77 isn't confirmed"),
    ],
)
def test_real_money_is_not_traded_by_accident(
    file: Path, words: tuple[str, ...], message: str
) -> None:
    if "--confirm" in words:
        change(file, "[brokers.b]\n", '[brokers.b]\nlive_account = "77"\n')

    done = run(file, *words)

    assert isinstance(done.exception, MtquantError)
    assert message in str(done.exception)
    assert not (file.parent / "state").exists()


def test_the_log_of_no_engine_is_told(file: Path) -> None:
    assert "no engine has run here" in str(run(file, "log").exception)
