"""Prints what of OANDA's description the tests have touched."""

from __future__ import annotations

import os

import pytest
from tests.simulators.spec import MISSING, spec

COVERAGE = "MTQUANT_SPEC_COVERAGE"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    against = spec()
    if COVERAGE not in os.environ:
        return
    terminalreporter.section("OANDA's description of its API")
    terminalreporter.write_line(MISSING if against is None else against.table())
