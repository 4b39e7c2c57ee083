"""The session in the documents is what happens when it is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_recorded_session_runs_as_it_is_told() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "record.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
