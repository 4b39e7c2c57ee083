"""Run the cases against a target, one after another, each on a flat account."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import anyio

import mtquant.testing.cases  # noqa: F401 - registers them
from mtquant.clock import Clock, Ids, SystemClock
from mtquant.errors import BrokerError
from mtquant.model import Capabilities
from mtquant.testing.bench import Bench
from mtquant.testing.case import Case, Failed, Skipped, all_cases
from mtquant.testing.connection import Target

CASE_LIMIT_S = 30.0
TIDY_REMEDY = "Working orders must be cancellable, and positions closable, at any time."


class Outcome(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One case against one target; ``why`` it failed or was skipped."""

    case: Case
    target: str
    outcome: Outcome
    why: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """All results against one target, and what the broker declares."""

    target: str
    capabilities: Capabilities
    results: tuple[Result, ...]


async def run(
    target: Target,
    cases: Sequence[Case] | None = None,
    *,
    on_result: Callable[[Result], None] = lambda _: None,
    clock: Clock | None = None,
) -> Run:
    """Return the results of ``cases`` (all unless given) against ``target``.

    Raises Refused where the broker can't be reached, its account is live, or it isn't empty.
    """
    clock = clock or SystemClock()
    results: list[Result] = []
    bench = Bench(target, clock, Ids(clock))
    try:
        async with bench.opened():
            for each in all_cases() if cases is None else cases:
                result = await run_case(bench, each, target.name)
                results.append(result)
                on_result(result)
    except BaseExceptionGroup as group:
        # The task that holds the connection wraps what is raised beside it.
        refusals, others = group.split(BrokerError)
        if refusals is None or others is not None:
            raise
        raise _first(refusals) from None
    return Run(target.name, bench.capabilities, tuple(results))


def _first(error: BaseException) -> BaseException:
    """Return the first of what a group of tasks raised, or what was raised alone."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def run_case(bench: Bench, case: Case, target: str) -> Result:
    """Return what becomes of one case; what it leaves behind is part of it."""
    started = bench.clock.monotonic()
    outcome, why = await _case(bench, case)
    return Result(case, target, outcome, why, bench.clock.monotonic() - started)


async def _case(bench: Bench, case: Case) -> tuple[Outcome, str]:
    missing = case.missing(bench.capabilities)
    if missing:
        return Outcome.SKIPPED, f"not declared: {missing}"
    outcome, why = await _try(bench.ready)
    if outcome is Outcome.FAILED:
        return outcome, f"the case can't begin: {why}"
    try:
        outcome, why = await _try(partial(case.check, bench), case.remedy)
    finally:
        with anyio.CancelScope(shield=True):
            left, problem = await _try(bench.tidy)
    if left is Outcome.FAILED and outcome is not Outcome.FAILED:
        return left, f"the account can't be left flat: {problem}"
    return outcome, why


async def _try(
    act: Callable[[], Awaitable[None]], remedy: str = TIDY_REMEDY
) -> tuple[Outcome, str]:
    """Return what becomes of ``act``, and why; ``remedy`` is for what brings none of its own."""
    try:
        with anyio.fail_after(CASE_LIMIT_S):
            await act()
    except Exception as error:  # noqa: BLE001 - an answer of a wrong shape may break a case anywhere
        return _told(_first(error), remedy)
    return Outcome.PASSED, ""


def _told(error: BaseException, remedy: str) -> tuple[Outcome, str]:
    if isinstance(error, Skipped):
        return Outcome.SKIPPED, str(error)
    if isinstance(error, Failed) and error.remedy:
        return Outcome.FAILED, str(error)
    return Outcome.FAILED, f"{_reason(error).removesuffix('.')}. {remedy}"


def _reason(error: BaseException) -> str:
    match error:
        case Failed():
            return str(error)
        case BrokerError():
            return f"a call that must succeed failed: {error.code} ({error.outcome}): {error}"
        case TimeoutError():
            return f"no end within {CASE_LIMIT_S:g} s"
        case _:
            return f"{type(error).__name__}: {error}"
