"""Where the server may go, and what the plugin hands it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
from tests.oanda.double import ACCOUNT

from mtquant.config import Config
from mtquant.errors import ConfigError
from mtquant.model import Environment
from mtquant.plugins import load_catalogue
from mtquant_brokers.oanda import Oanda, OandaSettings
from mtquant_oanda_server.__main__ import make
from mtquant_oanda_server.settings import OandaSettings as ServerSettings


def told(**changes: object) -> ServerSettings:
    found = ServerSettings.read({"account_id": ACCOUNT, **changes}, "settings")
    found.check()
    return found


def test_practice_is_the_default_and_the_host_follows_from_it() -> None:
    assert told().rest == "https://api-fxpractice.oanda.com"
    assert told().stream == "https://stream-fxpractice.oanda.com"
    assert told().kind is Environment.PRACTICE


def test_live_is_an_explicit_setting() -> None:
    live = told(environment="live")
    assert (live.rest, live.kind) == ("https://api-fxtrade.oanda.com", Environment.LIVE)


@pytest.mark.parametrize("url", ["https://api-fxtrade.oanda.com", "http://10.0.0.1:80", "x"])
def test_a_token_goes_to_oanda_or_to_this_machine(url: str) -> None:
    with pytest.raises(ConfigError, match="loopback"):
        told(url=url)
    with pytest.raises(ConfigError, match="loopback"):
        told(stream_url=url)


def test_a_simulator_is_never_live() -> None:
    assert told(url="http://127.0.0.1:1").kind is Environment.PRACTICE
    with pytest.raises(ConfigError, match="live"):
        told(url="http://localhost:1", environment="live")


@pytest.mark.parametrize("account", ["", "a/b", "a\nb"])
def test_an_account_number_is_no_path(account: str) -> None:
    with pytest.raises(ConfigError, match="account_id"):
        told(account_id=account)


def test_a_token_in_the_settings_is_refused_and_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        make({"account_id": ACCOUNT, "token": "deadbeefdeadbeef"}, tmp_path)
    assert "deadbeef" not in str(caught.value)


def plugin(**changes: object) -> Oanda:
    return Oanda(OandaSettings.read({"account_id": ACCOUNT, **changes}, "brokers.oanda"))


def test_the_plugin_hands_on_the_token_and_no_other_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_TOKEN", "the-token")
    (endpoint,) = plugin(access_token="env:MY_TOKEN").endpoints("main", str(tmp_path))  # noqa: S106 - its place
    assert dict(endpoint.environment) == {"MY_TOKEN": "the-token"}
    assert "the-token" not in " ".join(endpoint.command)
    assert "the-token" not in repr(endpoint)
    assert "--live" not in endpoint.command


def test_the_plugins_settings_are_ones_that_the_server_reads(tmp_path: Path) -> None:
    made = plugin(options={"timeout_s": 3.0}, url="http://127.0.0.1:1")
    (endpoint,) = made.endpoints("main", str(tmp_path))
    table = json.loads(endpoint.command[endpoint.command.index("--settings") + 1])
    assert ServerSettings.read(table, "settings").timeout_s == 3.0


def test_a_live_account_is_traded_only_where_its_number_is_repeated(tmp_path: Path) -> None:
    live = plugin(environment="live", trade_live=ACCOUNT).endpoints("main", str(tmp_path))[0]
    assert live.command[live.command.index("--live") + 1] == ACCOUNT
    for wrong in ({"trade_live": ACCOUNT}, {"environment": "live", "trade_live": "another"}):
        with pytest.raises(ConfigError, match="trade_live"):
            plugin(**wrong).endpoints("main", str(tmp_path))


def test_the_plugin_is_found_and_spells_as_oanda_does() -> None:
    made = load_catalogue().make("broker", "oanda", {"account_id": ACCOUNT}, where="x")
    assert made.spelling() == {"separator": "_"}


def test_a_wrong_setting_ends_the_server_with_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mtquant_oanda_server", "--settings", '{"account_id": "1", "x": 2}'],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "settings.x" in done.stderr


def test_the_documented_configuration_reaches_the_plugin(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/brokers/oanda.md").read_text(encoding="utf-8")
    block = page.split("```toml")[1].split("```")[0]
    config = Config.read(tomllib.loads(textwrap.dedent(block)), "page")
    table = config.brokers["oanda"]
    made = load_catalogue().make("broker", "oanda", table.settings, where="brokers.oanda")
    (endpoint,) = made.endpoints("oanda", str(tmp_path))
    told = json.loads(endpoint.command[endpoint.command.index("--settings") + 1])
    assert told["token"] == "file:~/.oanda-token"  # noqa: S105 - where it is
    assert told["account_id"] == "101-004-1234567-001"


def test_every_setting_of_the_server_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs/brokers/oanda.md").read_text(encoding="utf-8")
    for name in ServerSettings.model_fields:
        assert f"`{name}`" in page or f"`{name} = " in page, name
