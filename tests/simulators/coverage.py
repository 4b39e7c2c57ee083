"""Run the simulators' tests and print what of OANDA's description they touch.

``python -m tests.simulators.coverage``
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from tests.simulators.conftest import COVERAGE

if __name__ == "__main__":
    os.environ[COVERAGE] = "1"
    sys.exit(pytest.main([str(Path(__file__).parent), "-q", "-m", "not slow", *sys.argv[1:]]))
