"""Getting prices in: what a file or a DataFrame holds, what is wrong with it, and repairing it."""

from __future__ import annotations

from mtquant.data.dialects import Dialect, Layout
from mtquant.data.frames import arrays_of_frame, table_of_frame
from mtquant.data.inspection import Inspection, inspect
from mtquant.data.quality import bars_of, errors, nothing
from mtquant.data.reading import Reading, read
from mtquant.data.repair import Change, repair
from mtquant.data.table import Finding, Place, Severity, Table
from mtquant.data.times import Zone
from mtquant.data.writing import write

__all__ = [
    "Change",
    "Dialect",
    "Finding",
    "Inspection",
    "Layout",
    "Place",
    "Reading",
    "Severity",
    "Table",
    "Zone",
    "arrays_of_frame",
    "bars_of",
    "errors",
    "inspect",
    "nothing",
    "read",
    "repair",
    "table_of_frame",
    "write",
]
