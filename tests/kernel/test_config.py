"""Configuration errors name the file, the key, the value and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtquant.cli.init import TEMPLATE
from mtquant.config import load_config, secret
from mtquant.errors import ConfigError

GOOD = """
[brokers.a]
command = ["a-server"]
[brokers.b]
server = "https://b.example/mcp"
token = "env:B_TOKEN"
[strategies.s]
plugin = "sma_cross"
symbols = ["EUR/USD"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mtquant.toml"
    path.write_text(text)
    return path


def test_a_good_one_is_read(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.symbols() == ("EUR/USD",)
    assert config.preference("EUR/USD") == ("a", "b")
    assert config.engine.state_dir == str(tmp_path / "mtquant-state")


def test_the_template_is_read(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, TEMPLATE))
    assert config.preference("USD/JPY") == ("paper-b", "paper-a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "[engine]\nstate_dri = 'x'",
            r"mtquant\.toml: engine\.state_dri: no such setting.*state_dir",
        ),
        ("[engine]\nhealth_interval_s = -1", r"engine\.health_interval_s: -1: .*greater than 0"),
        ("[market]\nfeed = 'replay'", r"market\.source: is missing"),
        ("[market]\ntimeframe = 'M7'", r"market\.timeframe: 'M7'"),
        ("[route]\nprefer = ['c']", r"route\.prefer: no broker 'c'\. Brokers: a, b\."),
        ("[route.symbols]\n'EUR/USD' = ['c']", r"route\.symbols\.EUR/USD: no broker 'c'"),
        ("[brokers.c]", r"brokers\.c: says not exactly one of plugin, command, server"),
        ("[brokers.c]\ncommand = ['x']\nlot = 1", r"brokers\.c\.lot: no such setting"),
        (
            "[brokers.c]\nplugin = 'oanda'\ntoken = 'env:T'",
            r"brokers\.c\.token: is the bearer",
        ),
        ("[brokers.c]\ncommand = ['x']\ntoken = 'env:T'", r"brokers\.c\.token: .*Name the server"),
        ("[brokers.c]\nserver = 'http://c.example'", r"brokers\.c\.server: .*must be https"),
        ("[brokers.c]\nserver = 'https://u:p@c.example'", r"carries a password"),
        (
            "[strategies.t]\nplugin = 'x'\nsymbols = ['EUR/USD', 'EUR/USD']",
            r"strategies\.t\.symbols: .* names a symbol twice",
        ),
        ("[strategies.t]\nplugin = 'x'", r"strategies\.t\.symbols: is missing"),
        ("= 3", r"not valid TOML"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, GOOD + change))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file\. `mtquant init` writes one"):
        load_config(tmp_path / "none.toml")


def test_secrets_come_from_the_environment_or_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK", "s3cret")
    assert secret("env:DESK", "token") == "s3cret"
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    assert secret(f"file:{file}", "token") == "s3cret"
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"may be read by others \(mode 0644\)\. chmod 600"):
        secret(f"file:{file}", "token")


@pytest.mark.parametrize(
    "reference", ["env:NOT_SET_ANYWHERE", "file:/no/such/file", "hunter2hunter2"]
)
def test_a_bad_reference_never_shows_a_secret(reference: str) -> None:
    with pytest.raises(ConfigError) as caught:
        secret(reference, "brokers.b.token")
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).startswith("brokers.b.token: ")
