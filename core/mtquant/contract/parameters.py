"""What can be set of a plugin: declared once, in its settings, and read from there.

The configuration validates by the same declaration, ``mtquant plugins KIND NAME`` and the
reference print it, and an optimiser takes its bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One setting: its type in words, its default and its bounds.

    ``required`` where it has no default; ``minimum`` and ``maximum`` are in the setting's own
    unit, and ``open_minimum`` and ``open_maximum`` tell whether the bound itself is excluded;
    ``choices`` are all it may be, where they are few.
    """

    name: str
    kind: str
    default: Any
    required: bool
    minimum: Any = None
    maximum: Any = None
    open_minimum: bool = False
    open_maximum: bool = False
    choices: tuple[str, ...] = ()

    @property
    def bounds(self) -> str:
        """The bounds in words, empty where there are none."""
        if self.choices:
            return ", ".join(self.choices)
        low = None if self.minimum is None else f"{'>' if self.open_minimum else '>='} "
        high = None if self.maximum is None else f"{'<' if self.open_maximum else '<='} "
        parts = [
            sign + f"{bound:g}" if isinstance(bound, float) else f"{sign}{bound}"
            for sign, bound in ((low, self.minimum), (high, self.maximum))
            if sign is not None
        ]
        return ", ".join(parts)


def parameters(settings: type[BaseModel]) -> tuple[Parameter, ...]:
    """Return the settings that ``settings`` declares, in their order."""
    return tuple(_parameter(name, field) for name, field in settings.model_fields.items())


def _parameter(name: str, field: FieldInfo) -> Parameter:
    found: dict[str, Any] = {}
    for mark in (*field.metadata, *_inner(field.annotation)):
        for ours, theirs in (("minimum", "ge"), ("maximum", "le")):
            if (bound := getattr(mark, theirs, None)) is not None:
                found[ours] = bound
        for ours, theirs in (("minimum", "gt"), ("maximum", "lt")):
            if (bound := getattr(mark, theirs, None)) is not None:
                found[ours], found[f"open_{ours}"] = bound, True
    required = field.default is PydanticUndefined and field.default_factory is None
    default = field.get_default(call_default_factory=True, validated_data={})
    return Parameter(
        name=name,
        kind=_words(field.annotation),
        default=None if required else default,
        required=required,
        choices=_choices(field.annotation),
        **found,
    )


def _inner(annotation: Any) -> Iterator[Any]:  # noqa: ANN401 - an annotation
    """Yield the marks of annotations inside, such as those of one that may also be None."""
    if get_origin(annotation) is Annotated:
        first, *marks = get_args(annotation)
        for mark in marks:
            yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)
        yield from _inner(first)
    elif get_origin(annotation) in {Union, UnionType}:
        for each in get_args(annotation):
            yield from _inner(each)


def _choices(annotation: Any) -> tuple[str, ...]:  # noqa: ANN401 - an annotation
    if get_origin(annotation) is Literal:
        return tuple(str(each) for each in get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(each.value) for each in annotation)
    if get_origin(annotation) in {Union, UnionType}:
        return tuple(choice for each in get_args(annotation) for choice in _choices(each))
    return ()


_WORDS = {
    "int": "whole number",
    "float": "number",
    "Decimal": "decimal",
    "str": "text",
    "bool": "true or false",
}


def _words(annotation: Any) -> str:  # noqa: ANN401, PLR0911 - an annotation; one line for each shape
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inside[0])
    if origin is Literal:
        return "one of"
    if origin in {Union, UnionType}:
        kinds = [_words(each) for each in inside if each is not NoneType]
        return " or ".join(dict.fromkeys(kinds)) + (", or none" if NoneType in inside else "")
    if isinstance(origin, type) and issubclass(origin, tuple):
        return f"list of {_words(inside[0])}"
    if inside:
        return f"table of {_words(inside[-1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "one of"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    return _WORDS.get(getattr(annotation, "__name__", ""), "value")
