"""Messages as one printable line."""

from __future__ import annotations


def one_line(message: str) -> str:
    r"""Return ``message`` with line ends, escapes and other unprintables spelled out (\n, \x1b).

    Messages quote brokers and models: such text must neither drive a terminal nor forge a line.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in message
    )
