"""Symbols both ways, by rule and by table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.exchange import Terms, instrument
from mtquant.symbols import Spelling, SymbolMap

PAIRS = ("EUR/USD", "GBP/USD", "USD/JPY", "XAU/USD")


def mapped(**rules: Any) -> SymbolMap:  # noqa: ANN401 - a spelling's settings
    spelling = Spelling(**rules)
    listed = [
        replace(instrument(pair, Terms()), instrument=spelling.broker_symbol(pair))
        for pair in PAIRS
    ]
    return SymbolMap("desk", spelling, listed)


@pytest.mark.parametrize(
    ("rules", "theirs"),
    [
        ({}, "EURUSD"),
        ({"suffix": ".a"}, "EURUSD.a"),
        ({"separator": "_"}, "EUR_USD"),
        ({"prefix": "FX:", "case": "lower"}, "FX:eurusd"),
        ({"table": {"EUR/USD": "EURO"}, "suffix": ".x"}, "EURO"),
    ],
)
def test_there_and_back(rules: dict[str, Any], theirs: str) -> None:
    symbols = mapped(**rules)
    assert symbols.theirs("EUR/USD") == theirs
    for pair in PAIRS:
        assert symbols.ours(symbols.theirs(pair)) == pair
    assert symbols.instrument("EUR/USD").quantity_step == Terms().quantity_step


def test_what_no_rule_explains_keeps_the_brokers_name() -> None:
    odd = replace(instrument("EUR/USD", Terms()), instrument="EURUSD_mini")
    symbols = SymbolMap("desk", Spelling(), [odd])
    assert symbols.ours("EURUSD_mini") == "EURUSD_mini"
    assert list(symbols.instruments) == ["EURUSD_mini"]


def test_an_unknown_symbol_names_the_nearest() -> None:
    with pytest.raises(Refused, match=r"desk has no instrument 'EURUSD'; did you mean EUR/USD"):
        mapped().theirs("EURUSD")
    with pytest.raises(Refused, match="search_instruments lists them") as caught:
        mapped().theirs("Q" * 5000)
    assert caught.value.code is ErrorCode.UNKNOWN_INSTRUMENT
    assert caught.value.outcome is Outcome.NOT_SENT
    assert len(str(caught.value)) < 200
