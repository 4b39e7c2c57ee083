"""A short chaos run, over both transports; ``make chaos`` is the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.brokers import LATEST_S
from tests.chaos.oanda import BROKEN
from tests.chaos.plan import LATE_ANSWER_S, Blow, Mishap, Victim, bad_days, plan


def test_one_seed_gives_one_plan_and_every_kind_of_signal() -> None:
    chosen = plan(7, 200)

    assert chosen == plan(7, 200)
    assert chosen != plan(8, 200)
    acts = [*chosen.mixed, *chosen.servers_only]
    assert len(acts) == 200
    kinds = {(each.victim, each.blow) for each in acts}
    assert kinds == {(victim, blow) for victim in Victim for blow in Blow}
    assert all(each.victim is not Victim.ENGINE for each in chosen.servers_only)


def test_one_seed_gives_the_same_bad_days_and_every_kind_of_mishap() -> None:
    days = list(islice(bad_days(7), 200))

    assert days == list(islice(bad_days(7), 200))
    assert {each.mishap for each in days} == set(Mishap)
    latest = 2.0 + 0.8 + LATE_ANSWER_S  # the line holds it up, and delays it; OANDA is slow
    assert latest <= LATEST_S, "what is proven absent must not come after all"


def run(folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Run the chaos in a process of its own: it becomes the reaper of its orphans."""
    words = (*words, "--seed", "0", "--folder", str(folder), "--json")
    chaos = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", *words],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        out, error = chaos.communicate()
    finally:
        chaos.terminate()  # where the time is over; it takes all that it started with it
        chaos.wait()
    assert out, error
    return chaos.returncode, json.loads(out)


@pytest.mark.slow
@pytest.mark.timeout(300)  # 45 s alone; others may hold the machine
@pytest.mark.parametrize(("broker", "kills"), [("paper", 12), ("oanda", 9)])
def test_nothing_is_lost_doubled_or_left_behind(broker: str, kills: int, tmp_path: Path) -> None:
    code, found = run(tmp_path, "--broker", broker, "--kills", str(kills))

    assert found["failures"] == []
    assert code == 0
    assert (found["lost"], found["duplicated"], found["orphans"]) == (0, 0, 0)
    assert found["kills"] == kills
    assert min(found["executions"].values()) > 0, "both accounts traded"
    if broker == "oanda":
        assert found["found_by_extensions"][BROKEN] > 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("mistake", "noticed"),
    [
        ("no_extensions", "is acknowledged, and http hasn't got it"),
        ("sent_again", "-2, of which the journal has no intent"),
    ],
)
def test_a_mistake_in_the_server_is_noticed(mistake: str, noticed: str, tmp_path: Path) -> None:
    code, found = run(tmp_path, "--broker", "oanda", "--kills", "3", "--mistake", mistake)

    assert code == 1
    assert any(noticed in each for each in found["failures"]), found["failures"]
