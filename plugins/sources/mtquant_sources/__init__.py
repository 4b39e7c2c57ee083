"""First-party sources of mtquant: ecb, csv, parquet and walk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import Source, hookimpl


@hookimpl
def sources() -> Sequence[type[Source[Any]]]:
    """Bring ecb, csv, parquet and walk."""
    from mtquant_sources.ecb import Ecb  # noqa: PLC0415 - see mtquant.hooks
    from mtquant_sources.files import Csv, Parquet  # noqa: PLC0415 - see mtquant.hooks
    from mtquant_sources.walk import Walk  # noqa: PLC0415 - see mtquant.hooks

    return (Ecb, Csv, Parquet, Walk)
