"""One self-contained HTML page that shows a backtest, or compares several."""

from mtquant.backtest.page.document import render, write_page

__all__ = ["render", "write_page"]
