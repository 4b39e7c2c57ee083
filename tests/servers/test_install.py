"""A server installs and starts in a clean environment, outside the checkout, without extras."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CALL = """
import sys
from pathlib import Path
import anyio
from mtquant.contract import Endpoint
from mtquant.wire import Remote

SETTINGS = '{"prices": {"plugin": "walk"}, "clock": "stepped"}'

async def main():
    script = str(Path(sys.executable).with_name("mtquant-paper-server"))
    command = (script, "--settings", SETTINGS, "--state", sys.argv[1])
    async with Remote(Endpoint(command=command)) as paper:
        health = await paper.get_health()
        assert health.connected, health
        print((await paper.search_instruments("EUR")).instruments[0].instrument)

anyio.run(main)
"""


def run(*words: str | Path, cwd: Path) -> str:
    quiet = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(words, cwd=cwd, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wheels_work_without_the_checkout(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    for source in (ROOT, ROOT / "mcp_servers" / "paper"):
        run(
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "-w",
            wheels,
            source,
            cwd=tmp_path,
        )
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--upgrade", "pip", cwd=tmp_path)
    run(python, "-m", "pip", "install", "-q", *wheels.glob("*.whl"), cwd=tmp_path)
    assert run(python, "-c", CALL, tmp_path / "paper", cwd=tmp_path).strip() == "EURUSD"
    installed = {
        each["name"]
        for each in json.loads(run(python, "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    }
    assert not installed & {"pandas", "CurrencyConverter", "pytest"}
    listed = json.loads(
        run(tmp_path / "clean" / "bin" / "mtquant", "plugins", "--json", cwd=tmp_path)
    )
    assert {each["status"] for each in listed} == {"ok"}
    # So far with the newest mcp that may be had; now with the lowest that is allowed.
    (lowest,) = re.findall(r'"mcp>=([\d.]+),<3"', (ROOT / "pyproject.toml").read_text())
    run(python, "-m", "pip", "install", "-q", f"mcp=={lowest}", cwd=tmp_path)
    assert run(python, "-c", CALL, tmp_path / "lowest", cwd=tmp_path).strip() == "EURUSD"
