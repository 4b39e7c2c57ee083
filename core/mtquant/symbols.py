"""Our symbols and each broker's: ``EUR/USD`` here, ``EURUSD.a`` or ``EUR_USD`` there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field

from mtquant.contract import Settings
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import Instrument


class Spelling(Settings):
    """How a broker spells symbols: by rule, and by table where the rule doesn't hold.

    The rule puts ``separator`` between base and quote, and ``prefix`` and ``suffix`` around;
    ``case`` folds the letters. ``table`` maps canonical symbols to the broker's and wins.
    """

    prefix: str = ""
    suffix: str = ""
    separator: str = ""
    case: Literal["upper", "lower"] = "upper"
    table: Mapping[str, str] = Field(default_factory=dict)

    def broker_symbol(self, symbol: str) -> str:
        """Return the broker's spelling of a canonical ``symbol``."""
        if symbol in self.table:
            return self.table[symbol]
        folded = symbol.replace("/", self.separator)
        folded = folded.upper() if self.case == "upper" else folded.lower()
        return f"{self.prefix}{folded}{self.suffix}"


class SymbolMap:
    """One broker's instruments under our symbols, both ways.

    Each listed instrument is named by the table, else as base/quote or as its base alone (a share)
    if the rule agrees; one that neither explains keeps the broker's symbol.
    """

    def __init__(self, account: str, spelling: Spelling, listed: Iterable[Instrument]) -> None:
        self.account = account
        self.instruments: dict[str, Instrument] = {}
        self._ours: dict[str, str] = {}
        by_table = {theirs: ours for ours, theirs in spelling.table.items()}
        for each in listed:
            names = (f"{each.base}/{each.quote}", each.base)
            by_rule = (name for name in names if spelling.broker_symbol(name) == each.instrument)
            ours = by_table.get(each.instrument) or next(by_rule, each.instrument)
            self.instruments[ours] = each
            self._ours[each.instrument] = ours

    def theirs(self, symbol: str) -> str:
        """Return the broker's symbol.

        Raises Refused (unknown_instrument), naming the nearest symbols, where it lists none.
        """
        return self.instrument(symbol).instrument

    def ours(self, symbol: str) -> str:
        """Return our symbol of a broker's, or the broker's own where we know none."""
        return self._ours.get(symbol, symbol)

    def instrument(self, symbol: str) -> Instrument:
        """Return the broker's instrument of our ``symbol``; raises Refused as :meth:`theirs`."""
        if symbol in self.instruments:
            return self.instruments[symbol]
        raise unknown_instrument(symbol, self.instruments, self.account)


def unknown_instrument(symbol: str, known: Iterable[str], holder: str) -> Refused:
    """Return the refusal of an unknown symbol, which names the nearest ones ``holder`` has."""
    near = difflib.get_close_matches(symbol.upper(), sorted(known), n=3, cutoff=0.4)
    hint = f"did you mean {', '.join(near)}?" if near else "search_instruments lists them"
    return Refused(
        ErrorCode.UNKNOWN_INSTRUMENT,
        f"{holder} has no instrument {symbol[:32]!r}; {hint}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
        field="instrument",
    )
