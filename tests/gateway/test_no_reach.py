"""No tool that reads writes a file, runs code or fetches an address, whatever its arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mtquant.agents.desk import TOOLS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_tools_that_read_touch_nothing_but_the_state_folder(tmp_path: Path) -> None:
    script = Path(__file__).with_name("no_reach.py")
    run = "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv[:] = sys.argv[2:];"
    run += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", run, str(ROOT), str(script), str(tmp_path)],
        capture_output=True, text=True, timeout=90, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, *lines = done.stdout.splitlines()
    calls, answered = map(int, first.split()[1:])
    assert calls > 10 * len([each for each in TOOLS.values() if not each.mark.changes])
    assert answered > 10  # some of them did work
    touched = [tuple(json.loads(line)) for line in lines]
    wrong = [(event, what) for event, what in touched if not harmless(event, what, tmp_path)]
    assert not wrong, wrong[:10]


def harmless(event: str, what: str, folder: Path) -> bool:
    """Tell whether an event is one of the engine's own work."""
    if event == "import":
        return True  # loading a library of ours; what it opens is looked at
    if event == "read":
        libraries = (sys.prefix, sys.base_prefix, str(ROOT), str(folder), "/usr/share/zoneinfo")
        return what.isdigit() or what.startswith(libraries)
    if event in {"exec", "compile"}:
        # Loading a module, and reading an annotation of our own, which calls nothing.
        return "(" not in what
    if event == "write":
        return what.startswith(str(folder))
    return False
