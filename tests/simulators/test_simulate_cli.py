"""``mtquant simulate oanda``: from the command line to a venue that answers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from tests.simulators.desk import HEADERS, NETTING

from mtquant.errors import ConfigError
from mtquant_simulators.oanda.command import Wanted, settings_of

BARS = """time,open,high,low,close
2024-01-03T12:00:00Z,1.1,1.1,1.1,1.1
2024-01-03T12:01:00Z,1.2,1.2,1.2,1.2
"""


def test_a_file_of_bars_is_served_until_it_is_told_to_stop(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(BARS)
    command = [sys.executable, "-m", "mtquant", "simulate", "oanda", "--port", "0"]
    command += ["--data", f"EUR/USD={file}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/v3", process.stdout.readline())
            assert found is not None
            where = f"{found[0]}/accounts/{NETTING}/pricing?instruments=EUR_USD"
            price = requests.get(where, headers=HEADERS, timeout=20).json()["prices"][0]
            assert price["bids"][0]["price"] == "1.09995"
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


def test_one_that_a_program_started_ends_with_it(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(BARS)
    command = [sys.executable, "-m", "mtquant", "simulate", "oanda", "--port", "0", "--attached"]
    command += ["--data", f"EUR/USD={file}", "--settings", '{"clock": "stepped"}']
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said = "".join(process.stdout.readline() for _ in range(4))
        assert "Time stands at 2024-01-03T12:01:00Z until PUT /admin/clock." in said
        process.stdin.close()
        assert process.wait(20) == 0


def test_the_command_line_becomes_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bars.parquet"
    file.write_text("")
    monkeypatch.setenv("DESK_TOKEN", "a-token-of-my-own")
    wanted = Wanted(
        data=(f"EUR/USD={file}",),
        timeframe="H1",
        token="env:DESK_TOKEN",  # noqa: S106 - a reference
        speed=60,
        faults=("drop_after=0.5", 'next=["none"]'),
        settings=json.dumps({"admin": True}),
    )
    settings = settings_of(wanted)
    assert settings.prices["plugin"] == "parquet"
    assert (settings.token, settings.speed, settings.admin) == ("a-token-of-my-own", 60, True)
    assert (settings.faults.drop_after, settings.faults.next) == (0.5, ("none",))
    ticks = settings_of(Wanted(data=(f"EUR/USD={file}",), ticks=True))
    assert "tick_files" in ticks.prices


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Wanted(data=("bars.csv",)), "--data: 'bars.csv' is no KEY=VALUE"),
        (Wanted(data=("EUR/USD=/no/such.csv",)), "there is no file"),
        (Wanted(settings="{"), "--settings"),
        (Wanted(settings="[]"), "no JSON object"),
        (Wanted(faults=("drop_after=2",)), "faults.drop_after"),
        (Wanted(settings='{"tokens": 1}'), "no such setting"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_named(wanted: Wanted, problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        settings_of(wanted)
