"""One self-contained HTML page that shows a run: works offline, on a phone, light and dark."""

from mtquant.report.content import (
    FillMark,
    LevelChange,
    Mark,
    PriceChart,
    Row,
    Ruling,
    RunReport,
    Table,
)
from mtquant.report.page import render, write_report

__all__ = [
    "FillMark",
    "LevelChange",
    "Mark",
    "PriceChart",
    "Row",
    "Ruling",
    "RunReport",
    "Table",
    "render",
    "write_report",
]
