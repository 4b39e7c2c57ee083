"""The command: what a trader types and reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mtquant.cli import app
from mtquant.errors import ConfigError

TRIED = [
    "sma_cross",
    *("--symbol", "EUR/USD", "--data", "walk", "--timeframe", "H1"),
    *("--param", "fast=3", "--param", "slow=8"),
    *("--set", "market.source.bars=400"),
]


def typed(*words: str) -> Result:
    """Run the command; an error that has a message is raised as it is."""
    return CliRunner().invoke(app, ["backtest", *words], catch_exceptions=False)


def figures(*words: str) -> dict[str, Any]:
    """Run the command for machines."""
    done = typed(*words, "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_trader_reads_figures_costs_and_warnings() -> None:
    done = typed(*TRIED, "--account", "commission_per_million=20")
    assert done.exit_code == 0
    for words in ("Profit factor", "Maximum drawdown", "Commission", "400 steps", "warning: "):
        assert words in done.output


def test_machines_read_the_same_as_json() -> None:
    found = figures(*TRIED)
    assert found["card"]["bars"] == 400
    assert found["card"]["config"]["strategies"]["sma_cross"]["fast"] == 3
    assert found["statistics"]["trades"]["trades"] > 0


def test_a_card_makes_the_result_again(tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    first = figures(*TRIED, "--card", str(card), "--seed", "4")
    again = typed("--again", str(card))
    assert again.exit_code == 0
    assert "the same to the cent" in again.output
    kept = json.loads(card.read_text())
    assert kept == first["card"]

    kept["result"]["equity"] = "1"
    kept["data"]["EUR/USD"] = "0" * 64
    card.write_text(json.dumps(kept))
    other = typed("--again", str(card))
    assert other.exit_code == 1
    assert "the prices are others" in other.output
    assert "equity:" in other.output


def test_a_page_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = typed(*TRIED, "--report", str(page))
    assert done.exit_code == 0
    assert str(page) in done.output.replace("\n", "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_card_stands_beside_a_run_in_its_report(tmp_path: Path) -> None:
    card, page = tmp_path / "card.json", tmp_path / "both.html"
    typed(*TRIED, "--card", str(card))
    done = typed(*TRIED, "--param", "slow=21", "--report", str(page), "--beside", str(card))
    assert done.exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "2 backtests side by side" in text
    assert "strategies.sma_cross.slow" in text
    with pytest.raises(ConfigError, match="--beside: goes with a report"):
        typed(*TRIED, "--beside", str(card))


def test_a_whole_configuration_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "mtquant.toml"
    path.write_text(
        """
[market]
feed = "replay"
timeframe = "H1"
source = { plugin = "walk", bars = 300 }
[brokers.desk]
plugin = "paper"
prices = { plugin = "walk", bars = 300 }
symbols = ["EUR/USD"]
[strategies.one]
plugin = "sma_cross"
symbols = ["EUR/USD"]
fast = 3
slow = 8
[strategies.two]
plugin = "ema_cross"
symbols = ["EUR/USD"]
timeframe = "H4"
fast = 2
slow = 5
""",
        encoding="utf-8",
    )
    found = figures("--config", str(path))
    assert set(found["card"]["config"]["strategies"]) == {"one", "two"}
    with pytest.raises(ConfigError, match="Leave those out"):
        typed("sma_cross", "--config", str(path))


def test_the_future_is_looked_for() -> None:
    done = typed(*TRIED, "--check-lookahead")
    assert done.exit_code == 0
    assert "no look-ahead" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "STRATEGY: is missing"),
        (["sma_cross"], "--symbol: is missing"),
        (["sma_cross", "--symbol", "EUR/USD"], "--data: is missing"),
        ([*TRIED[:3], "--data", "walk"], "--timeframe: is missing"),
        ([*TRIED, "--param", "fast"], "'strategies.sma_cross.fast' is not KEY=VALUE"),
        ([*TRIED, "--param", "fast=x"], "strategies.sma_cross.fast"),
        ([*TRIED, "--account", "spread=1"], "spread"),
        (["--again", "none.json"], "none.json: no such file"),
    ],
)
def test_what_is_wrong_is_named(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed(*words)
    assert message in str(caught.value)


def test_a_file_that_is_no_card_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "[1]", "nonsense"):
        path = tmp_path / "card.json"
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"run card|can't be read"):
            typed("--again", str(path))
