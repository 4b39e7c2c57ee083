"""One self-contained HTML page that shows a run: works offline, on a phone, light and dark."""

from mtquant.report.content import FillMark, Mark, PriceChart, Row, RunReport, Table
from mtquant.report.page import render, write_report

__all__ = [
    "FillMark",
    "Mark",
    "PriceChart",
    "Row",
    "RunReport",
    "Table",
    "render",
    "write_report",
]
