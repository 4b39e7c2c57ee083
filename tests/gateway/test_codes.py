"""The code that approves an agent's order from its client: only its own, and not by guessing."""

from __future__ import annotations

import json
from decimal import Decimal
from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.cli import tables
from mtquant.control.arguments import Nothing
from mtquant.control.codes import LENGTH, ApprovalCodes
from mtquant.control.commands import Commands
from mtquant.control.looking import Looking

NUMBER, DIGEST = 3, "0f3a"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def codes() -> ApprovalCodes:
    return ApprovalCodes(b"k" * 32)


def wrong() -> str:
    """Return a code that is well made, and another's."""
    return codes().code(NUMBER + 1, DIGEST)


def test_the_code_that_is_shown_is_taken() -> None:
    shown = codes().code(NUMBER, DIGEST)
    assert len(shown) == LENGTH
    assert set(shown) <= set(ALPHABET)
    assert codes().matches(NUMBER, DIGEST, shown)


@given(st.data())
def test_it_is_typed_in_either_case_and_with_spaces(data: st.DataObject) -> None:
    shown = codes().code(NUMBER, DIGEST)
    typed = "".join(
        data.draw(st.sampled_from(["", " ", "\t", " \n"]))
        + (each.lower() if data.draw(st.booleans()) else each)
        for each in shown
    )
    assert codes().matches(NUMBER, DIGEST, typed)


@given(st.integers(1, 50), st.text(ALPHABET.lower(), max_size=8), st.binary(min_size=32))
def test_it_is_of_one_order_and_one_engine(number: int, digest: str, key: bytes) -> None:
    shown = codes().code(NUMBER, DIGEST)
    if (number, digest) != (NUMBER, DIGEST):
        assert not codes().matches(number, digest, shown)
    if key != b"k" * 32:
        assert not ApprovalCodes(key).matches(NUMBER, DIGEST, shown)


@given(st.text())
def test_what_is_no_code_is_a_no_and_never_an_error(typed: str) -> None:
    made = codes()
    plain = "".join(typed.split()).upper()
    assert made.matches(NUMBER, DIGEST, typed) == (plain == made.code(NUMBER, DIGEST))


@pytest.mark.parametrize("typed", ["", " ", "é" * 8, "\ud800" * 8, "A" * 1_000_000])
def test_odd_answers_are_no(typed: str) -> None:
    assert not codes().matches(NUMBER, DIGEST, typed)


def test_after_five_wrong_ones_the_right_one_is_no_more() -> None:
    made = codes()
    for _ in range(4):
        assert not made.matches(NUMBER, DIGEST, wrong())
    assert made.matches(NUMBER, DIGEST, made.code(NUMBER, DIGEST))
    assert not made.matches(NUMBER, DIGEST, wrong())
    assert not made.matches(NUMBER, DIGEST, made.code(NUMBER, DIGEST))
    assert made.matches(NUMBER + 1, DIGEST, made.code(NUMBER + 1, DIGEST))


def test_another_digest_is_no_way_to_more_tries() -> None:
    made = codes()
    for each in range(5):
        assert not made.matches(NUMBER, f"{each}", wrong())
    assert not made.matches(NUMBER, DIGEST, made.code(NUMBER, DIGEST))


def suggestion(number: int, strategy: str) -> SimpleNamespace:
    """Return as much of a suggestion as is shown of one."""
    order = SimpleNamespace(
        instrument="EUR/USD",
        side=SimpleNamespace(value="buy"),
        quantity=Decimal(1000),
        stop_loss=None,
        take_profit=None,
    )
    signal = SimpleNamespace(reason="said so", strategy_id=strategy)
    return SimpleNamespace(
        number=number,
        account="a",
        order=order,
        price=Decimal("1.1"),
        signal=signal,
        verdict="approved",
        created=0,
        expires=0,
        digest=DIGEST,
    )


def engine() -> Any:  # noqa: ANN401 - as much of an engine as is looked at
    waiting = {1: suggestion(1, "trend"), 2: suggestion(2, "agent:claude")}
    book = SimpleNamespace(suggestions=waiting, halted="", accounts={}, paused={}, targets={})
    decider = SimpleNamespace(hearing=SimpleNamespace(failed={}))
    wiring = SimpleNamespace(links={}, decider=decider)
    desk = SimpleNamespace(in_doubt=list)
    return SimpleNamespace(book=book, wiring=wiring, desk=desk, told=[], snapshot=dict)


@pytest.mark.anyio
async def test_a_person_sees_the_code_of_an_agents_suggestion_alone() -> None:
    made = codes()
    first, second = (await Looking(engine(), made.code).suggestions(Nothing()))["suggestions"]
    assert "code" not in first
    assert made.matches(2, DIGEST, second["code"])

    shown = StringIO()
    with tables.quiet(shown):
        tables.show_suggestions({"suggestions": [first, second]})
    assert shown.getvalue().count("code ") == 1
    assert second["code"] in shown.getvalue()


@pytest.mark.anyio
@pytest.mark.parametrize("look", ["todo", "overview"])
async def test_nothing_else_that_is_looked_at_has_the_code(look: str) -> None:
    made = codes()
    seen = json.dumps(await getattr(Looking(engine(), made.code), look)(Nothing()))
    assert "suggestion" in seen
    assert made.code(2, DIGEST) not in seen
    assert '"code"' not in seen


def test_each_engine_has_codes_of_its_own() -> None:
    first, second = Commands(engine()), Commands(engine())
    assert first.codes.code(2, DIGEST) != second.codes.code(2, DIGEST)


def test_commands_of_other_parts_are_added_and_replace_none() -> None:
    commands = Commands(engine())
    halt, other = commands.table["halt"], cast("Any", object())
    commands.add({"halt": other, "agents": other})
    assert commands.table["halt"] is halt
    assert commands.table["agents"] is other
