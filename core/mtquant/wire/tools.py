"""Tools as the wire sees them: derived, once, from the methods of ``Broker``.

A tool's arguments are a dataclass: the request its method takes, or one made of its parameters.
The same adapters read and write them at both ends, and give the schemas that clients are shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, make_dataclass
from functools import cache
from inspect import Parameter, cleandoc, signature
from typing import Annotated, Any, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from mtquant.contract import Broker, Scope, Tool, tools_of
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import UNCHANGED

Schema = dict[str, Any]
_BOUNDS = {"pattern", "maxLength", "minimum", "maximum", "exclusiveMinimum", "maxItems", "default"}
_LONG = 150
"""A definition of more characters that is used twice is written once."""
_NAME = re.compile(r"[a-z_]{1,32}", re.ASCII)
_KINDS: dict[type, frozenset[str]] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number", "integer"}),  # 5.0 is an integer; pydantic refuses 5.5
    str: frozenset({"string", "array"}),  # some clients send an array as a JSON string
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}


@dataclass(frozen=True, slots=True)
class Spec:
    """One tool: what the contract says of it, its adapters and its schemas.

    ``flat`` is true where the method takes the request itself and not its fields, and ``changes``
    where an argument that is absent leaves something as it is.
    """

    name: str
    tool: Tool
    description: str
    request: Callable[..., Any]
    flat: bool
    changes: bool
    arguments: TypeAdapter[Any]
    result: TypeAdapter[Any]
    input_schema: Schema
    output_schema: Schema

    @property
    def trades(self) -> bool:
        """True where a lost answer leaves the account's state unknown."""
        return self.tool.scope is not Scope.READ

    def parse(self, arguments: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the tool's request
        """Return the request that ``arguments`` make, or refuse them without echoing a value."""
        properties: Schema = self.input_schema["properties"]
        for name, value in arguments.items():
            if name not in properties:
                shown = name if _NAME.fullmatch(name) else None
                raise _invalid("an argument this tool does not take", shown)
            expected = properties[name].get("type")
            kinds = frozenset((expected,) if isinstance(expected, str) else expected or ())
            if kinds and not kinds & _KINDS.get(type(value), frozenset()):
                raise _invalid(f"takes {' or '.join(sorted(kinds))}", name)
        try:
            return self.arguments.validate_python(dict(arguments))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise _invalid(first["msg"], ".".join(map(str, first["loc"]))) from None

    def dump(self, request: object) -> dict[str, Any]:
        """Return the arguments that ``request`` makes; what is None stays out.

        Raises Refused where an order would not read back as the same order: a float, say, that
        loses digits on its way.
        """
        try:
            arguments: dict[str, Any] = self.arguments.dump_python(
                request,
                mode="json",
                by_alias=True,
                warnings=False,
                # In a change None says "clear", and what is left out says "as it is".
                exclude_defaults=self.changes,
                exclude_none=not self.changes,
            )
        except (PydanticSerializationError, AttributeError, TypeError, ValueError):
            raise _invalid("a value of the wrong type", None) from None
        if self.flat and self.parse(arguments) != request:
            raise _invalid("a value would change on its way", None)
        return arguments

    async def invoke(
        self,
        method: Callable[..., Awaitable[Any]],
        request: Any,  # noqa: ANN401 - the tool's request
    ) -> Any:  # noqa: ANN401 - the tool's result
        """Call ``method`` with ``request``, or with its fields."""
        if self.flat:
            return await method(request)
        return await method(**{each.name: getattr(request, each.name) for each in fields(request)})

    def dump_result(self, result: object) -> tuple[dict[str, Any], str]:
        """Return ``result`` as JSON-ready value and as text; NaN raises ValueError."""
        value = self.result.dump_python(result, mode="json", by_alias=True, warnings="error")
        return value, json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _invalid(problem: str, name: str | None) -> Refused:
    return Refused(
        ErrorCode.INVALID_ARGUMENT,
        f"{name or 'arguments'}: {problem}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
        field=name,
    )


def specs_of(kind: type[Broker]) -> dict[str, Spec]:
    """Return the tools that ``kind`` offers; the contract's own signature wins.

    Quotes can be watched wherever they can be asked for: ``serve`` sees to it.
    """
    offered = tools_of(kind)
    if "get_quotes" in offered:
        offered |= {"watch_quotes": tools_of(Broker)["watch_quotes"]}
    return {
        name: spec_of(name, tool, getattr(Broker, name, None) or getattr(kind, name))
        for name, tool in offered.items()
    }


@cache
def spec_of(name: str, tool: Tool, method: Callable[..., Any], given: int = 1) -> Spec:
    """Return what ``method`` is as a tool; its first ``given`` parameters aren't arguments."""
    hints = get_type_hints(method, include_extras=True)
    parameters = list(signature(method).parameters.values())[given:]
    only = hints[parameters[0].name] if len(parameters) == 1 else None
    flat = is_dataclass(only)
    request: Any = only if flat else _request_of(name, parameters, hints)
    arguments, result = _adapter(request), _adapter(hints["return"])
    return Spec(
        name=name,
        tool=tool,
        description=_text_of(method),
        request=request,
        flat=flat,
        changes=any(each.default is UNCHANGED for each in fields(request)),
        arguments=arguments,
        result=result,
        input_schema=slim(arguments.json_schema())
        | {"additionalProperties": False}
        | ({"description": _text_of(request)} if flat else {}),
        output_schema=slim(result.json_schema(mode="serialization"), outgoing=True)
        | {"description": _text_of(hints["return"]).partition("\n")[0]},
    )


def _text_of(thing: object) -> str:
    return cleandoc(thing.__doc__ or "").replace("``", "")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type
    return TypeAdapter(kind)


def _request_of(name: str, parameters: list[Parameter], hints: Mapping[str, Any]) -> type:
    """Make a dataclass of a method's parameters; a trailing underscore is dropped on the wire."""
    columns: list[tuple[str, Any, Any]] = []
    for each in parameters:
        alias = each.name.rstrip("_")
        hint = hints[each.name]
        typed = hint if alias == each.name else Annotated[hint, Field(alias=alias)]
        default = field() if each.default is Parameter.empty else field(default=each.default)
        columns.append((each.name, typed, default))
    return make_dataclass(name, columns, frozen=True)


def slim(schema: Schema, *, outgoing: bool = False) -> Schema:
    """Return a JSON schema that says the same in half the bytes.

    Titles, null defaults and the descriptions of inner types go; ``anyOf`` with null becomes a
    list of types; a definition used once, or no object, is written where it is used. What is
    ``outgoing`` keeps no bounds either: they tell a caller nothing that it must obey.
    """
    definitions: Schema = schema.pop("$defs", {})
    if outgoing:
        schema, definitions = _unbounded(schema), _unbounded(definitions)
    uses = re.findall(r'"#/\$defs/(\w+)"', json.dumps([schema, definitions]))
    kept = {
        name
        for name, each in definitions.items()
        if uses.count(name) > 1 and (each.get("type") == "object" or len(str(each)) > _LONG)
    }
    slimmed = _slim(schema, definitions, kept)
    if kept:
        slimmed["$defs"] = {
            name: _slim(definitions[name], definitions, kept) for name in sorted(kept)
        }
    return slimmed


def _unbounded(schema: Any) -> Any:  # noqa: ANN401 - a JSON value
    if isinstance(schema, list):
        return [_unbounded(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key == "enum" else _unbounded(value)
        for key, value in schema.items()
        if key not in _BOUNDS or isinstance(value, dict)  # a property may bear such a name
    }


def _slim(schema: Schema, definitions: Schema, kept: set[str]) -> Schema:
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    if name in definitions and name not in kept:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _slim(definitions[name] | beside, definitions, kept)
    slimmed: Schema = {}
    for key, value in schema.items():
        if key in ("title", "description") or (key == "default" and value is None):
            continue
        if key == "properties":
            slimmed[key] = {k: _slim(v, definitions, kept) for k, v in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            slimmed[key] = _slim(value, definitions, kept)
        elif key == "anyOf":
            slimmed |= _any_of([_slim(each, definitions, kept) for each in value])
        else:
            slimmed[key] = value
    return slimmed


def _any_of(choices: list[Schema]) -> Schema:
    others = [each for each in choices if each != {"type": "null"}]
    if len(others) != 1 or len(choices) != 2 or "type" not in others[0]:  # noqa: PLR2004 - X or null
        return {"anyOf": choices}
    (only,) = others
    kinds = [only["type"]] if isinstance(only["type"], str) else list(only["type"])
    nullable = only | {"type": [*kinds, "null"]}
    return nullable | {"enum": [*only["enum"], None]} if "enum" in only else nullable
