"""The trail of agents: nothing that was tried is missing, and reading doesn't fill the journal."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mtquant.agents.refusal import AgentRefused
from mtquant.agents.throttle import ALWAYS_PER_S, BURST, PAUSE_S, REFUSED, Throttle
from mtquant.agents.tool import Caller
from mtquant.agents.trail import AgentTrail
from mtquant.clock import SECOND, ManualClock
from mtquant.contract import Agent, AgentBudget
from mtquant.journal import Journal

CLAUDE = Caller(Agent(name="claude", budget=AgentBudget(calls_per_second=2)))
OTHER = Caller(Agent(name="other", budget=AgentBudget(calls_per_second=2)))


def bodies(journal: Journal, kind: str) -> list[dict[str, Any]]:
    return [each.body for each in journal.entries(kind)]


def test_reads_are_told_at_once_and_counted_after(tmp_path: Path) -> None:
    clock = ManualClock(SECOND)
    journal = Journal(tmp_path, clock)
    trail = AgentTrail(journal, clock)
    for _ in range(1000):
        trail.read("claude", "get_quotes")
    assert bodies(journal, "agent_reads") == [{"agent": "claude", "calls": {"get_quotes": 1}}]

    clock.set(clock.now() + 61 * SECOND)
    trail.read("claude", "get_bars")

    counted = Counter[str]()
    for body in bodies(journal, "agent_reads"):
        counted.update(body["calls"])
    assert counted == {"get_quotes": 1000, "get_bars": 1}
    journal.close()


def test_what_was_only_counted_is_written_when_the_engine_ends(tmp_path: Path) -> None:
    clock = ManualClock(SECOND)
    journal = Journal(tmp_path, clock)
    trail = AgentTrail(journal, clock)
    for _ in range(5):
        trail.read("claude", "get_quotes", "rate_limited")
    trail.settle()
    trail.settle()
    (_, counted) = bodies(journal, "agent_reads")
    assert counted == {"agent": "claude", "calls": {"get_quotes rate_limited": 4}}
    journal.close()


def test_a_call_is_kept_short_and_without_what_is_secret(tmp_path: Path) -> None:
    clock = ManualClock(SECOND)
    journal = Journal(tmp_path, clock)
    AgentTrail(journal, clock).called(
        "claude",
        "place_order",
        {"api_key": "hunter2", "rationale": "x" * 100_000},
        "vetoed",
        seconds=0.25,
        dry_run=True,
    )
    (body,) = bodies(journal, "agent_call")
    assert "hunter2" not in str(body)
    assert len(str(body)) < 2000
    assert (body["code"], body["ms"], body["dry_run"]) == ("vetoed", 250.0, True)
    journal.close()


def test_a_flood_is_turned_away_and_comes_back_with_time() -> None:
    clock = ManualClock(SECOND)
    throttle = Throttle(clock)
    for _ in range(2 * BURST):
        throttle.admit(CLAUDE, always=False)
    with pytest.raises(AgentRefused, match="more than 2 calls a second"):
        throttle.admit(CLAUDE, always=False)
    throttle.admit(OTHER, always=False)
    throttle.admit(CLAUDE, always=True)
    clock.set(clock.now() + SECOND)
    throttle.admit(CLAUDE, always=False)


def test_getting_out_is_held_up_by_no_other_call_but_bounded_as_well() -> None:
    clock = ManualClock(SECOND)
    throttle = Throttle(clock)
    for _ in range(REFUSED):
        throttle.note_refused("claude")
    with pytest.raises(AgentRefused, match="were refused within"):
        throttle.admit(CLAUDE, always=False)
    for _ in range(int(BURST * ALWAYS_PER_S)):
        throttle.admit(CLAUDE, always=True)
    with pytest.raises(AgentRefused, match="calls a second"):
        throttle.admit(CLAUDE, always=True)
    clock.set(clock.now() + int((PAUSE_S + 1) * SECOND))
    throttle.admit(CLAUDE, always=False)
