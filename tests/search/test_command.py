"""``mtquant optimize``, from its options to its answer."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from mtquant.cli import optimize
from mtquant.errors import ConfigError, MtquantError
from mtquant.search.state import StateFile

ROOT = Path(__file__).parents[2]
PROGRAM = """
import typer
from mtquant.cli import optimize
app = typer.Typer(pretty_exceptions_enable=False)
optimize.register(app)
app()
"""
ON = ["sma_cross", "--symbol", "EUR/USD", "--data", "walk", "--timeframe", "H1", "--workers", "1"]
SPACE = ["--range", "fast=2:5:3", "--range", "slow=5:8:3", "--where", "fast < slow"]
FEW = ["--min-trades", "1", "--monte-carlo", "50"]


def short(bars: int) -> list[str]:
    return ["--set", f"market.source.bars={bars}"]


def optimized(*arguments: str) -> Result:
    """Run the command; what it raises is raised here."""
    app = typer.Typer(pretty_exceptions_enable=False)
    optimize.register(app)
    result = CliRunner().invoke(app, [*ON, *short(120), *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def answered(*arguments: str) -> dict[str, Any]:
    result = optimized(*SPACE, *FEW, "--json", *arguments)
    assert result.exit_code == 0
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_grid_is_answered_with_luck_beside_the_optimum(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = optimized(*SPACE, *FEW, "--report", str(page))
    assert result.exit_code == 0
    for word in ("The best 3 of 3", "deflated Sharpe ratio", "neighbours", "days drawn", "3 of 3"):
        assert word in result.output
    assert "few days" in page.read_text() or "too few" in page.read_text()


def test_the_same_command_answers_the_same_and_goes_on_from_its_state(tmp_path: Path) -> None:
    state = tmp_path / "state"
    first = answered("--state", str(state))
    with_more = answered("--state", str(state), "--range", "stop_atr=2:3:1")
    assert answered("--state", str(state))["search"] != first["search"]  # more trials were made
    assert answered() == first
    search = with_more["search"]
    assert (search["trials"], search["deflated_sharpe"]["trials"]) == (6, 9)


def test_a_state_of_other_prices_is_refused(tmp_path: Path) -> None:
    state = tmp_path / "state"
    answered("--state", str(state))
    with pytest.raises(ConfigError, match="other prices"):
        answered("--state", str(state), *short(130))


def test_a_walk_forward_is_answered_by_window(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    answer = answered(
        *("--walk-forward", "rolling", "--train", "2d", "--test", "30", "--embargo", "4"),
        *("--report", str(page)),
    )
    forward = answer["walk_forward"]
    assert [each["test"] for each in forward["windows"]] == [[52, 82], [82, 112], [112, 120]]
    assert len(forward["equity"]) == 68
    assert answer["search"] is None
    assert "Equity out of sample" in page.read_text()


def test_looking_at_the_test_part_again_is_warned_of(tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "state"), "--split", "60/20/20", "--embargo", "5"]
    first, again = answered(*state), answered(*state)
    split = first["split"]
    assert split["looks_before"] == 0
    assert split["validation"]["steps"][0] - split["train"]["steps"][1] == 5
    warned = [
        [each for each in answer["warnings"] if "looked at" in each] for answer in (first, again)
    ]
    assert [len(each) for each in warned] == [0, 1]
    assert any("too few to judge by" in each for each in first["warnings"])


def test_no_candidate_ends_with_1() -> None:
    result = optimized(*SPACE, "--min-trades", "9999", "--monte-carlo", "50")
    assert result.exit_code == 1
    assert "No combination is a candidate" in result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--range"),
        (["--range", "fast=2"], "--range"),
        (["--range", "speed=2:3"], "is no parameter"),
        ([*SPACE, "--where", "__import__('os')"], "--where"),
        ([*SPACE, "--by", "luck"], "--by"),
        ([*SPACE, "--method", "genetic"], "--method"),
        ([*SPACE, "--trials", "5"], "--trials"),
        ([*SPACE, "--top", "0"], "--top"),
        ([*SPACE, "--split", "60/40"], "--split"),
        ([*SPACE, "--split", "a/b/c"], "--split"),
        ([*SPACE, "--split", "60/20/20", "--walk-forward", "rolling"], "--split"),
        ([*SPACE, "--walk-forward", "rolling"], "--walk-forward"),
        ([*SPACE, "--walk-forward", "sideways", "--train", "9", "--test", "9"], "--walk-forward"),
        ([*SPACE, "--train", "50"], "--train"),
        ([*SPACE, "--embargo", "5"], "--embargo"),
        ([*SPACE, "--on", "ray://host:1"], "--on"),
        ([*SPACE, "--monte-carlo", "-1", "--min-trades", "1"], "--monte-carlo"),
    ],
)
def test_a_wrong_option_is_told(arguments: list[str], problem: str) -> None:
    with pytest.raises(MtquantError, match=problem):
        optimized(*arguments)


@pytest.mark.slow
def test_ctrl_c_leaves_a_state_to_go_on_from(tmp_path: Path) -> None:
    state = tmp_path / "state"
    many = ["--range", "fast=2:9", "--range", "slow=10:40", "--state", str(state), *FEW]
    command = [sys.executable, "-c", PROGRAM, *ON[:-1], "2", *short(200), *many]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        cwd=ROOT,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        assert " of 248" in process.stderr.readline()
        # As a terminal does: to every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        said = process.communicate()[1]
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    kept = StateFile(state, dict(_about(state)))
    assert 24 <= len(kept.tried(None)) < 248
    kept.close()


def _about(path: Path) -> list[tuple[str, str]]:
    import sqlite3  # noqa: PLC0415 - to look inside

    with sqlite3.connect(path) as file:
        rows = file.execute("SELECT name, value FROM about WHERE name <> 'format'").fetchall()
    file.close()
    return rows
