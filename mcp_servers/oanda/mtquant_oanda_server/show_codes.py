"""The table of codes as Markdown: ``python -m mtquant_oanda_server.show_codes PAGE`` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from mtquant_oanda_server.codes import table

BEGIN = "<!-- codes: written by python -m mtquant_oanda_server.show_codes -->"
END = "<!-- end of codes -->"


def markdown() -> str:
    """Return the tables of statuses, reject reasons and reasons of an order's end."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "### HTTP status\n"
    yield from _table(
        ("status", "our code", "what is known"),
        ((f"`{name}`", f"`{code}`", known) for name, (code, known) in table()["http"].items()),
    )
    yield "\n### Why a request was refused (`rejectReason`, `errorCode`)\n"
    yield from _table(
        ("OANDA", "our code", "field"),
        (
            (f"`{name}`", f"`{code}`", f"`{field}`" if field else "")
            for part in ("reject", "error")
            for name, (code, field) in table()[part].items()
        ),
    )
    yield "\n### Why an order ended (`reason` of an `ORDER_CANCEL`)\n"
    yield from _table(
        ("OANDA", "our reason", "refused as, where it ended the moment it was sent"),
        (
            (f"`{name}`", f"`{reason}`", f"`{code}`" if code else "")
            for name, (reason, code, _) in table()["cancel"].items()
        ),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |".replace("|  |", "| |")


def inserted(page: str) -> str:
    """Return ``page`` with the tables between its two marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(inserted(path.read_text(encoding="utf-8")), encoding="utf-8")
