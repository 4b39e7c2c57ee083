"""Run the cases against a target, one after another, each on a flat account."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import anyio

import mtquant.testing.cases  # noqa: F401 - registers them
from mtquant.clock import Clock, Ids, SystemClock
from mtquant.errors import BrokerError
from mtquant.model import Capabilities
from mtquant.testing.bench import Bench, Target
from mtquant.testing.case import Case, Failed, Skipped, all_cases

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

    Raises Refused where the broker can't be reached, or its account is live.
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
    """Return what becomes of one case."""
    started = bench.clock.monotonic()
    outcome, why = Outcome.PASSED, ""
    missing = case.missing(bench.capabilities)
    if missing:
        outcome, why = Outcome.SKIPPED, f"not declared: {missing}"
    else:
        try:
            with anyio.fail_after(CASE_LIMIT_S):
                try:
                    await case.check(bench)
                finally:
                    with anyio.CancelScope(shield=True), anyio.move_on_after(CASE_LIMIT_S):
                        await bench.clean()
        except Skipped as skipped:
            outcome, why = Outcome.SKIPPED, f"not declared: {skipped}"
        except Failed as failed:
            outcome, why = Outcome.FAILED, str(failed)
        except BrokerError as error:
            outcome = Outcome.FAILED
            why = f"a call that must succeed failed: {error.code} ({error.outcome}): {error}"
        except TimeoutError:
            outcome, why = Outcome.FAILED, f"no end within {CASE_LIMIT_S:g} s"
        except Exception as error:  # noqa: BLE001 - an answer of a wrong shape may break a case anywhere
            outcome, why = Outcome.FAILED, f"{type(error).__name__}: {error}"
    return Result(case, target, outcome, why, bench.clock.monotonic() - started)
