"""What is looked at on this machine; a killed engine is not taken for a running one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mtquant.clock import ManualClock
from mtquant.config import load_config
from mtquant.journal import Journal
from mtquant.machine import Look, State, in_use, look_around

_CANARY = "canary-7f3a"
_HOLD = """
import sys
from pathlib import Path
from mtquant.clock import ManualClock
from mtquant.journal import Journal

journal = Journal(Path(sys.argv[1]), ManualClock())
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mtquant.toml"
    path.write_text('[engine]\nstate_dir = "state"\n[brokers.a]\nplugin = "paper"\n')
    path.chmod(0o600)
    return path


def looks(path: Path) -> dict[str, Look]:
    return {each.what: each for each in look_around(load_config(path), path)}


def test_a_journal_is_in_use_as_long_as_its_holder_lives(file: Path) -> None:
    folder = file.parent / "state"
    assert not in_use(folder)
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = looks(file)["journal"].seen
        assert in_use(folder)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()

    assert f"in use by process {holder.pid}" in told
    assert not in_use(folder)
    assert "not in use" in looks(file)["journal"].seen


def test_a_journal_that_is_none_is_a_problem(file: Path) -> None:
    folder = file.parent / "state"
    Journal(folder, ManualClock()).close()
    (folder / "journal.db").write_text("not a database, and long enough not to be taken for one")

    found = looks(file)["journal"]

    assert found.state is State.PROBLEM
    assert "can't be opened" in found.seen


def test_a_state_folder_that_is_a_file_is_a_problem(file: Path) -> None:
    (file.parent / "state").write_text("")

    assert looks(file)["state folder"].state is State.PROBLEM


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
@pytest.mark.parametrize(("mode", "state"), [(0o600, None), (0o640, None), (0o660, State.PROBLEM)])
def test_a_file_that_others_may_change_is_a_problem(
    file: Path, mode: int, state: State | None
) -> None:
    file.chmod(mode)

    found = looks(file).get("configuration's mode")

    assert (found.state if found else None) is state


def test_a_secret_in_the_file_itself_is_told_and_not_shown(file: Path) -> None:
    file.write_text(
        file.read_text()
        + f'[notifiers.webhook]\nurl = "https://x.example"\ntoken_of_it = "{_CANARY}"\n'
    )

    found = looks(file)["secret notifiers.webhook.token_of_it"]

    assert found.state is State.WARNING
    assert "seems to stand in" in found.seen
    assert _CANARY not in str(found)
