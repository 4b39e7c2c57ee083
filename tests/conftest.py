"""What holds for all tests."""

import pytest

SLOW_S = 400
"""A test of real processes ends on a machine that is a few times slower than the author's."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests the time they need where they don't name it themselves."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_S))
