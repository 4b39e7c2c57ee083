"""The error every source gives for a symbol it hasn't got."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from mtquant.errors import ConfigError


def unknown_symbol(source: str, symbol: str, known: Iterable[str]) -> ConfigError:
    """Return the error for ``symbol``, which names the nearest of the ``known`` ones."""
    listed = sorted(known)
    near = difflib.get_close_matches(symbol.upper(), listed, n=3, cutoff=0.6) or listed
    return ConfigError(f"source {source}", f"no symbol {symbol!r}", f"Use {', '.join(near)}.")
