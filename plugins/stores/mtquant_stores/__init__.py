"""First-party stores of mtquant: csv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import hookimpl
from mtquant.contract import Store


@hookimpl
def stores() -> Sequence[type[Store[Any]]]:
    """Bring csv."""
    from mtquant_stores.files import CsvStore  # noqa: PLC0415 - see mtquant.hooks

    return (CsvStore,)
