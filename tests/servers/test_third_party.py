"""A stranger's distribution: small, found once installed, proven by the kit, and traded."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third_party"


def run(*words: str | Path, cwd: Path) -> str:
    quiet = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(words, cwd=cwd, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("coindesk/desk.py", 40),
        ("coindesk/momentum.py", 20),
        ("coindesk/weekend.py", 15),
        ("tests/test_coindesk.py", 10),
    ],
)
def test_it_is_small(path: str, most: int) -> None:
    """Counted are lines that aren't blank; the formatter has had its say."""
    lines = [each for each in (EXAMPLE / path).read_text().splitlines() if each.strip()]
    assert len(lines) <= most


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_it_is_installed_found_proven_and_traded(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    for source in (ROOT, EXAMPLE):
        words = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, source)
        run(*words, cwd=tmp_path)
    venv.create(tmp_path / "clean", with_pip=True)
    programs = tmp_path / "clean" / "bin"
    run(programs / "python", "-m", "pip", "install", "-q", "--upgrade", "pip", cwd=tmp_path)
    run(programs / "python", "-m", "pip", "install", "-q", *wheels.glob("*.whl"), cwd=tmp_path)
    listed = json.loads(run(programs / "mtquant", "plugins", "--json", cwd=tmp_path))
    found = {
        (each["kind"], each["name"]): each["status"]
        for each in listed
        if each["distribution"] == "coindesk-mtquant"
    }
    kinds = {("broker", "coindesk"), ("strategy", "momentum"), ("check", "weekend")}
    assert found == dict.fromkeys(kinds, "ok")

    told = json.loads(run(programs / "mtquant", "conformance", "coindesk", "--json", cwd=tmp_path))
    assert (told["failed"], len(told["targets"])) == (0, 4)
    assert told["passed"] > 4 * 150

    (tmp_path / "mtquant.toml").write_text((EXAMPLE / "mtquant.toml").read_text())
    assert fills_of_a_run(programs / "mtquant", tmp_path) >= 2


def fills_of_a_run(command: Path, folder: Path) -> int:
    """Run the engine until it has traded twice, stop it, and return its fills."""
    process = subprocess.Popen(
        [command, "run"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_until(lambda: count_fills(folder) >= 2 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    finally:
        process.kill()
    return count_fills(folder)


def wait_until(there: Callable[[], bool]) -> None:
    for _ in range(600):
        if there():
            return
        subprocess.run(["sleep", "0.1"], check=True)  # noqa: S607 - the machine's own
    pytest.fail("it did not trade within a minute")


def count_fills(folder: Path) -> int:
    """Return how many executions the journal holds by now."""
    path = folder / "state" / "journal.db"
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        try:
            rows = database.execute("SELECT count(*) FROM entry WHERE kind = 'fill'")
        except sqlite3.OperationalError:
            return 0  # not yet made
        return int(rows.fetchone()[0])
