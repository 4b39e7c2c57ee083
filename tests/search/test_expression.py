"""Conditions between parameters."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.errors import ConfigError
from mtquant.search.expression import Constraint, Value

NAMES = ("fast", "slow", "direction", "trend.fast")
PARAMS: dict[str, Value] = {"fast": 5, "slow": 20, "direction": "long_only", "trend.fast": 7}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("fast < slow", True),
        ("slow < fast", False),
        ("fast * 4 == slow", True),
        ("fast < slow < 20", False),
        ("slow % fast == 0 and slow // fast == 4", True),
        ("not fast > 4 or slow / 2 == 10", True),
        ("-fast + +slow - 1 >= 14", True),
        ("direction == 'long_only'", True),
        ("direction != 'long_only'", False),
        ("trend.fast > fast", True),
        ("(fast + slow) * 2 <= 49.5", False),
        ("fast / 0 > 1", False),
        ("slow % (fast - 5) == 0", False),
        ("  fast < slow  ", True),
    ],
)
def test_a_condition_means_what_it_says(text: str, holds: bool) -> None:  # noqa: FBT001
    assert Constraint(text, NAMES).holds(PARAMS) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "fast.__class__",
        "fast.__class__.__mro__",
        "trend.slow < 5",
        "[fast for fast in (1, 2)]",
        "lambda: 1",
        "fast if slow else 1",
        "(fast := 3) < slow",
        "fast ** slow < 3",
        "fast << 9999999",
        "~fast",
        "fast in slow",
        "fast is slow",
        "f'{fast}'",
        "fast[0]",
        "{fast}",
        "b'x' == b'x'",
        "None == fast",
        "... == fast",
        "1j < fast",
        "unknown < 3",
        "fast <",
        "fast < slow; slow",
        "",
        "\x00",
        "(" * 300 + "fast" + ")" * 300,
        "fast" + " + fast" * 90,
        "fast < 1" + "0" * 1000,
    ],
)
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--where"):
        Constraint(text, NAMES)


@pytest.mark.parametrize("text", ["direction < 5", "direction + 1 > 2", "'a' * 1000000 == fast"])
def test_what_cannot_be_worked_out_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="can't be worked out"):
        Constraint(text, NAMES).holds(PARAMS)


@given(st.text(max_size=40))
def test_no_text_does_more_than_be_true_or_false(text: str) -> None:
    try:
        held = Constraint(text, NAMES).holds(PARAMS)
    except ConfigError:
        return
    assert isinstance(held, bool)
    kinds = (ast.Call, ast.Subscript, ast.Lambda, ast.comprehension, ast.NamedExpr, ast.Await)
    assert not any(
        isinstance(node, kinds) for node in ast.walk(ast.parse(text.strip(), mode="eval"))
    )


@given(
    st.integers(-99, 99), st.integers(-99, 99), st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
)
def test_comparisons_are_python_s(fast: int, slow: int, sign: str) -> None:
    wanted = {"<": fast < slow, "<=": fast <= slow, ">": fast > slow, ">=": fast >= slow}
    wanted |= {"==": fast == slow, "!=": fast != slow}
    held = Constraint(f"fast {sign} slow", ("fast", "slow")).holds({"fast": fast, "slow": slow})
    assert held is wanted[sign]
