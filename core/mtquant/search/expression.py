"""Conditions between parameters, such as ``fast < slow``: read, never run as code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mtquant.errors import ConfigError

Value = int | float | str | bool
"""What a parameter may be set to."""

_LONGEST = 1_000
_DEEPEST = 50
_REMEDY = "Write names, numbers, comparisons, and, or, not, + - * / // % and parentheses."
_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}


class Constraint:
    """A condition that a combination of parameters must meet.

    ``text`` may hold the ``names`` given, numbers, texts in quotes, comparisons, ``and``, ``or``,
    ``not``, ``+ - * / // %`` and parentheses. A text is only compared. Raises ConfigError where it
    holds anything else: no call, no index, no attribute of an object is ever looked at.
    """

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text = text
        self._names = set(names)
        if len(text) > _LONGEST:
            raise self._wrong(f"is longer than {_LONGEST} characters")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._wrong("is no condition") from None
        self._check(tree.body, 0)
        self._tree = tree.body

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Return whether ``params`` meet it.

        Raises ConfigError where it can't be worked out, as for a text plus a number. What divides
        by zero is not met.
        """
        try:
            return bool(_value(self._tree, params))
        except ZeroDivisionError:
            return False
        except (TypeError, OverflowError) as error:
            raise self._wrong(f"can't be worked out: {error}") from None

    def _wrong(self, problem: str) -> ConfigError:
        shown = self.text if len(self.text) <= _LONGEST else self.text[:60] + "..."
        return ConfigError("--where", f"{shown!r} {problem}", _REMEDY)

    def _check(self, node: ast.AST, depth: int) -> None:
        """Raise ConfigError unless ``node`` and all below it are of the kinds that are known."""
        if depth > _DEEPEST:
            raise self._wrong("is too deeply nested")
        match node:
            case ast.Constant(value=bool() | int() | float() | str()):
                return
            case ast.Name() | ast.Attribute(value=ast.Name()):
                name = _name(node)
                if name not in self._names:
                    have = ", ".join(sorted(self._names))
                    raise self._wrong(f"names {name!r}, which isn't varied (there are {have})")
                return
            case ast.BoolOp():
                below = node.values
            case ast.BinOp(op=op) if type(op) in _BINARY:
                below = [node.left, node.right]
            case ast.UnaryOp(op=op) if type(op) in _UNARY:
                below = [node.operand]
            case ast.Compare() if all(type(each) in _COMPARED for each in node.ops):
                below = [node.left, *node.comparators]
            case _:
                raise self._wrong(f"holds a {type(node).__name__}")
        for each in below:
            self._check(each, depth + 1)


def _name(node: ast.expr) -> str:
    """Return ``fast`` of a name, ``trend.fast`` of a strategy's parameter."""
    match node:
        case ast.Attribute(value=ast.Name(id=table), attr=key):
            return f"{table}.{key}"
        case ast.Name(id=name):
            return name
    raise TypeError(type(node).__name__)


def _value(node: ast.expr, params: Mapping[str, Value]) -> Any:  # noqa: ANN401 - a number, text or truth
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BoolOp(op=op, values=values):
            choose = all if isinstance(op, ast.And) else any
            return choose(_value(each, params) for each in values)
        case ast.UnaryOp(op=sign, operand=operand):
            return _UNARY[type(sign)](_value(operand, params))
        case ast.BinOp(left=left, op=sum_, right=right):
            return _BINARY[type(sum_)](_number(left, params), _number(right, params))
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [_value(each, params) for each in (left, *others)]
            return all(
                _COMPARED[type(each)](one, other)
                for each, one, other in zip(ops, values, values[1:], strict=False)
            )
        case _:
            return params[_name(node)]


def _number(node: ast.expr, params: Mapping[str, Value]) -> float:
    """Return what is reckoned with: a text times a number would be a long text."""
    value = _value(node, params)
    if isinstance(value, str):
        msg = f"{value!r} is no number"
        raise TypeError(msg)
    return float(value) if abs(value) > 1e15 else value  # noqa: PLR2004 - beyond exact floats
