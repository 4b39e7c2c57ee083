"""The kit as pytest tests: one for each case, against each end of the wire."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

import anyio

from mtquant.contract import Broker, Endpoint
from mtquant.testing.case import Case, all_cases
from mtquant.testing.run import Outcome, Result, run
from mtquant.testing.targets import NEWEST, OLDEST, near, wire

_DONE: dict[type, dict[str, dict[str, Result]]] = {}


class BrokerContract:
    """Derive a test class from this, and say what is tested: a broker, a server, or both.

    Override :meth:`broker` to return a broker on an empty paper account, which is left and
    entered anew at each restart, or :meth:`endpoint` to return where its server is. Each case is
    a test of its own; all of them run once for each end and generation of the protocol, when the
    first is asked for.
    """

    protocols: ClassVar[tuple[str, ...]] = (NEWEST, OLDEST)

    def broker(self) -> Broker | None:
        """Return the broker to test near at hand, None to leave that out."""
        return None

    def endpoint(self) -> Endpoint | None:
        """Return where the server to test is, None to leave that out."""
        return None

    def pytest_generate_tests(self, metafunc: Any) -> None:  # noqa: ANN401 - pytest's
        """Make a test of each case for each end and generation of the protocol."""
        cases, targets = all_cases(), list(self.targets())
        if not targets:  # pytest would skip it all, and nobody would notice
            msg = f"{type(self).__name__} overrides neither broker() nor endpoint()"
            raise TypeError(msg)
        metafunc.parametrize("case", cases, ids=[each.number for each in cases])
        metafunc.parametrize("target", targets)

    def test_contract(self, case: Case, target: str) -> None:
        """Assert that ``case`` passed; skip it where the broker doesn't declare what it needs."""
        import pytest  # noqa: PLC0415 - only who runs the kit under pytest needs it

        result = self._results(target)[case.number]
        if result.outcome is Outcome.SKIPPED:
            pytest.skip(result.why)
        assert result.outcome is Outcome.PASSED, f"{case.number} {case.title}: {result.why}"  # noqa: S101

    def _results(self, target: str) -> dict[str, Result]:
        """Return the results against ``target``; a class runs each target once."""
        done = _DONE.setdefault(type(self), {})
        if target not in done:
            done[target] = {each.case.number: each for each in self._run(target)}
        return done[target]

    def _run(self, target: str) -> tuple[Result, ...]:
        end, _, protocol = target.partition(" ")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if end == "near":
                at = near(self._made, folder, protocol=protocol)
            else:
                endpoint = self.endpoint()
                if endpoint is None:
                    return ()
                at = wire(endpoint, protocol=protocol)
            return anyio.run(run, at).results

    def _made(self) -> Broker:
        broker = self.broker()
        if broker is None:
            msg = "broker() returned None"
            raise TypeError(msg)
        return broker

    def targets(self) -> Iterator[str]:
        """Return the ends to test, with each generation of the protocol."""
        for protocol in self.protocols:
            if type(self).broker is not BrokerContract.broker:
                yield f"near {protocol}"
            if type(self).endpoint is not BrokerContract.endpoint:
                yield f"wire {protocol}"
