"""A short chaos run, over both transports; ``make chaos`` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.plan import Blow, Victim, plan

KILLS = 12


def test_one_seed_gives_one_plan_and_every_kind_of_signal() -> None:
    chosen = plan(7, 200)

    assert chosen == plan(7, 200)
    assert chosen != plan(8, 200)
    acts = [*chosen.mixed, *chosen.servers_only]
    assert len(acts) == 200
    kinds = {(each.victim, each.blow) for each in acts}
    assert kinds == {(victim, blow) for victim in Victim for blow in Blow}
    assert all(each.victim is not Victim.ENGINE for each in chosen.servers_only)


@pytest.mark.slow
@pytest.mark.timeout(300)  # 45 s alone; others may hold the machine
def test_nothing_is_lost_doubled_or_left_behind(tmp_path: Path) -> None:
    # A process of its own: it becomes the reaper of its orphans.
    words = ["--kills", str(KILLS), "--seed", "0", "--folder", str(tmp_path), "--json"]
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *words],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, error = run.communicate()
    finally:
        run.terminate()  # where the time is over; it takes all that it started with it
        run.wait()

    assert out, error
    found = json.loads(out)
    assert found["failures"] == []
    assert run.returncode == 0
    assert (found["lost"], found["duplicated"], found["orphans"]) == (0, 0, 0)
    assert found["kills"] == KILLS
    assert min(found["executions"].values()) > 0, "both accounts traded"
