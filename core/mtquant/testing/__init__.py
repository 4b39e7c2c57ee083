"""For a plugin author's own tests: the conformance kit of the broker contract, and a strategy run.

``BrokerContract`` runs the numbered cases as pytest tests, ``mtquant conformance`` as a command.
``signals`` runs a strategy over bars.
"""

from mtquant.testing.case import Case, Failed, Group, Skipped, all_cases
from mtquant.testing.contract import BrokerContract
from mtquant.testing.run import Outcome, Result, run
from mtquant.testing.strategy import make_strategy, signals
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
    "make_strategy",
    "near",
    "run",
    "signals",
    "wire",
]
