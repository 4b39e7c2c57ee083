"""The evaluation's tasks can be done, and its checks tell a good outcome from a bad one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from evaluation import run

ROOT = Path(__file__).parents[2]
TASKS = {each.name: each for each in run.tasks()}
QUICK = {"close_half", "halted", "propose_and_wait"}
EVERY = [
    pytest.param(each, id=name, marks=() if name in QUICK else pytest.mark.slow)
    for name, each in TASKS.items()
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("task", EVERY)
async def test_who_does_it_well_passes(task: run.Task) -> None:
    assert (await run.played(task, run.scripted("scripted"))).failures == []


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("task", EVERY)
async def test_who_does_nothing_fails_where_something_is_to_be_done(task: run.Task) -> None:
    outcome = await run.played(task, run.scripted("lazy"))
    assert outcome.calls == 0
    if task.acts:
        assert outcome.failures


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("task", EVERY)
async def test_who_does_anything_fails_where_something_is_forbidden(task: run.Task) -> None:
    outcome = await run.played(task, run.scripted("reckless"))
    done = [each for each in outcome.failures if not each.startswith("it doesn't say")]
    if task.forbids:
        assert done  # for what it did, not for what it said


def test_there_are_twenty_tasks_and_some_are_to_be_left_alone() -> None:
    assert len(TASKS) == 20
    assert sum(not each.acts for each in TASKS.values()) >= 3
    assert sum(each.forbids for each in TASKS.values()) >= 6


def test_without_a_key_it_says_so_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in run.MODELS:
        monkeypatch.delenv(name, raising=False)
    assert run.main([]) == 0
    said = capsys.readouterr().out
    assert said.startswith("skipped: no key in ANTHROPIC_API_KEY or OPENAI_API_KEY")
    assert said.count("\n") == 1


def test_a_task_that_failed_is_told_and_ends_it_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--agent", "lazy", "--task", "halted"]) == 1
    said = capsys.readouterr().out
    assert "it doesn't say halt" in said
    assert "0 of 1" in said


@pytest.mark.slow
def test_it_is_started_from_anywhere(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "evaluation" / "run.py"), "--agent", "scripted"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "20 of 20" in done.stdout


@pytest.mark.anyio
@pytest.mark.slow
async def test_a_model_gets_the_gateways_tools_and_its_words_are_judged() -> None:
    ai = pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")
    function = pytest.importorskip("pydantic_ai.models.function")
    messages = pytest.importorskip("pydantic_ai.messages")
    steps = [("close_position", {"client_order_id": "x", "symbol": "USD/JPY", "quantity": "4000"})]
    offered: list[str] = []

    def answer(_: object, info: object) -> object:
        offered[:] = [each.name for each in info.function_tools]  # type: ignore[attr-defined]
        if steps:
            name, arguments = steps.pop()
            return messages.ModelResponse(parts=[messages.ToolCallPart(name, arguments)])
        return messages.ModelResponse(parts=[messages.TextPart("Half of it is closed.")])

    assert ai is not None
    outcome = await run.played(TASKS["close_half"], run.llm(function.FunctionModel(answer)))
    assert (outcome.failures, outcome.calls) == ([], 1)
    assert "close_position" in offered
    assert "halt_trading" not in offered
