"""What holds for all tests."""

import pytest
from hypothesis import HealthCheck, settings

# Nothing here is measured: on a new machine the first draw of a text builds tables for seconds.
settings.register_profile("mtquant", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mtquant")

SLOW_S = 400
"""A test of real processes ends on a machine that is a few times slower than the author's."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests the time they need where they don't name it themselves."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))
