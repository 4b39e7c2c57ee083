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


def _first(group: BaseExceptionGroup[BrokerError]) -> BrokerError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


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
        outcome, why = await _try(partial(case.check, bench))
    finally:
        with anyio.CancelScope(shield=True):
            left, problem = await _try(partial(_tidy, bench))
    if left is Outcome.FAILED and outcome is not Outcome.FAILED:
        return left, f"the account can't be left flat: {problem}"
    return outcome, why


async def _tidy(bench: Bench) -> None:
    await bench.ready()
    await bench.clean()


async def _try(act: Callable[[], Awaitable[None]]) -> tuple[Outcome, str]:
    """Return what becomes of ``act``, and why."""
    try:
        with anyio.fail_after(CASE_LIMIT_S):
            await act()
    except Exception as error:  # noqa: BLE001 - an answer of a wrong shape may break a case anywhere
        return _told(error)
    return Outcome.PASSED, ""


def _told(error: BaseException) -> tuple[Outcome, str]:
    match error:
        case BaseExceptionGroup():
            return _told(error.exceptions[0])
        case Skipped():
            return Outcome.SKIPPED, str(error)
        case Failed():
            return Outcome.FAILED, str(error)
        case BrokerError():
            why = f"a call that must succeed failed: {error.code} ({error.outcome}): {error}"
            return Outcome.FAILED, why
        case TimeoutError():
            return Outcome.FAILED, f"no end within {CASE_LIMIT_S:g} s"
        case _:
            return Outcome.FAILED, f"{type(error).__name__}: {error}"
