"""The conformance kit of the broker contract: numbered cases that a broker passes or fails.

``BrokerContract`` runs them as pytest tests, ``mtquant conformance`` as a command.
"""

from mtquant.testing.case import Case, Failed, Group, Skipped, all_cases
from mtquant.testing.contract import BrokerContract
from mtquant.testing.run import Outcome, Result, run
from mtquant.testing.targets import near, wire

__all__ = [
    "BrokerContract",
    "Case",
    "Failed",
    "Group",
    "Outcome",
    "Result",
    "Skipped",
    "all_cases",
    "near",
    "run",
    "wire",
]
