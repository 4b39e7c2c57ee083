"""Text for the page: every word from outside is escaped here or where it is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

_HYPHEN = re.compile(r"(?<![\w-])-(?=[\d.])")
NONE = "\N{EN DASH}"


def signed(text: str) -> str:
    """Return ``text`` with minus signs before its numbers; the hyphens of a date stay."""
    return _HYPHEN.sub("\N{MINUS SIGN}", text)


def money(amount: float | None) -> str:
    """Return an amount of the account's currency, to two places."""
    return NONE if amount is None else signed(f"{amount:,.2f}")


def percent(share: float | None) -> str:
    """Return a fraction as percent, to two places."""
    return NONE if share is None else signed(f"{share:,.2%}")


def number(value: float | None) -> str:
    """Return a ratio, to two places."""
    return NONE if value is None else signed(f"{value:,.2f}")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table of plain text: the first column names its row."""
    top = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        f"{''.join(f'<td>{escape(each)}</td>' for each in others)}</tr>"
        for name, *others in rows
    )
    shown = f' class="{kind}"' if kind else ""
    return (
        f'<div class="wide"><table{shown}><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def section(title: str, content: str, kind: str = "") -> str:
    """Return ``content`` (HTML) under ``title`` (text)."""
    shown = f' class="{kind}"' if kind else ""
    return f"<section{shown}><h2>{escape(title)}</h2>{content}</section>\n"
