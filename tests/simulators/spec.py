"""OANDA's own description of its API, tightened until it says something.

As published it has no required fields, no discriminators and forbids nothing, so that ``{}`` would
be a valid answer to everything. Here a transaction, an order and an order request are resolved by
their type, extra properties are forbidden, decimals, times and ids have their patterns, and what
every answer must have is required. It is OANDA's file, read and never copied.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator  # type: ignore[import-untyped]

PATH = Path(__file__).parents[3] / "shared" / "reference" / "oanda-v20-openapi.json"
MISSING = f"OANDA's description of its API isn't at {PATH}"
Json = dict[str, Any]

_TIME = r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z|\d{1,10}\.\d{9})$"
_SENT_TIME = r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z|\d{1,10}(\.\d{1,9})?)$"
_NUMBER = r"^-?\d+(\.\d+)?$"
_PATTERNS = (
    ("RFC 3339", _TIME),
    ("A decimal number", _NUMBER),
    ("numerical OANDA-assigned", r"^[1-9]\d*$"),
    ("OANDA-assigned OrderID", r"^[1-9]\d*$"),
    ("OANDA-assigned TradeID", r"^[1-9]\d*$"),
    ('delimited string with format "{siteID}', r"^\d+-\d+-\d+-\d+$"),
    ('delimited by a "_"', r"^[A-Z0-9]+_[A-Z0-9]+$"),
    ("ISO 4217", r"^[A-Z]{3}$"),
)
UNREADABLE = "#/responses/400"
"""The error without more: half of the GETs are described without a 400, one without a 401."""
NOT_OFFERED = frozenset(
    {
        "GET /instruments/{instrument}/price",
        "GET /instruments/{instrument}/price/range",
        "GET /pricing",
        "GET /pricing/range",
        "GET /users/{userSpecifier}",
        "GET /users/{userSpecifier}/externalInfo",
    }
)
"""Operations that OANDA's documentation doesn't have and its clients don't know."""
_BASE = ("id", "time", "userID", "accountID", "batchID", "type")
_SENT = "Sent"
WRONG_FORMATS: Mapping[str, str] = {
    "OrderCancelTransaction": "clientOrderID",
    "OrderCancelRejectTransaction": "clientOrderID",
    "MarketOrderDelayedTradeClose": "clientTradeID",
}
"""Properties that are said to be OANDA's numbers and are the client's own ids."""


def _words(camel: str) -> str:
    """Return the type that a definition such as MarketIfTouchedOrder is of."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", camel).upper()


class Spec:
    """The description; counts what has been held against it."""

    def __init__(self, raw: Json) -> None:
        self._raw = raw
        self.operations: Counter[str] = Counter()
        self.schemas: Counter[str] = Counter()
        self.known_operations = {
            f"{method.upper()} {path}"
            for path, methods in raw["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict)
        }
        self.definitions: Json = {}
        for name, schema in raw["definitions"].items():
            self.definitions[name] = _tightened(schema)
            self.definitions[name + _SENT] = _sent(_tightened(schema))
        for name, key in WRONG_FORMATS.items():
            for sent in ("", _SENT):
                self.definitions[name + sent]["properties"][key].pop("pattern")
        self._resolve("Transaction", "Transaction", 0)
        self._resolve("Order", "Order", 0)
        self._resolve("OrderRequest", "OrderRequest", len("OrderRequest"))
        for name, schema in self.definitions.items():
            if name.endswith("Transaction") and "properties" in schema:
                schema["required"] = list(_BASE)

    def _resolve(self, name: str, suffix: str, cut: int) -> None:
        """Let ``name`` mean the definition that its ``type`` names."""
        kinds = {}
        for each in self._raw["definitions"]:
            if each.endswith(suffix) and each != name:
                kinds[_words(each[:-cut] if cut else each.removesuffix("Order"))] = each
        if suffix == "Transaction":
            kinds = {_words(each.removesuffix(suffix)): each for each in kinds.values()}
        for sent in ("", _SENT):
            self.definitions[name + sent] = {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"enum": sorted(kinds)}},
                "allOf": [
                    {
                        "if": {"properties": {"type": {"const": kind}}},
                        "then": {"$ref": f"#/definitions/{each}{sent}"},
                    }
                    for kind, each in kinds.items()
                ],
            }

    def find(self, method: str, path: str) -> tuple[str, Json] | None:
        """Return the operation that a request's path is of, the most literal one."""
        found = []
        for template, methods in self._raw["paths"].items():
            pattern = re.sub(r"\{\w+\}", "[^/]+", template)
            if re.fullmatch(pattern, path) and method.lower() in methods:
                found.append((template.count("{"), template, methods[method.lower()]))
        if not found:
            return None
        _, template, operation = min(found, key=lambda each: each[0])
        return f"{method} {template}", operation

    def check_request(
        self, method: str, path: str, query: Iterable[str], body: object
    ) -> list[str]:
        """Return what is wrong with a request."""
        found = self.find(method, path)
        if found is None:
            return [f"{method} {path} is no operation"]
        known, schema = set(), None
        for each in found[1]["parameters"]:
            parameter = self._raw["parameters"][_name(each)] if "$ref" in each else each
            if parameter["in"] == "query":
                known.add(parameter["name"])
            elif parameter["in"] == "body":
                schema = parameter["schema"]
        problems = [f"{found[0]}: query {each}" for each in query if each not in known]
        if body is not None and schema is None:
            problems.append(f"{found[0]}: takes no body")
        elif schema is not None:
            problems += self._check(_sent(_tightened(schema)), body or {}, found[0])
        return problems

    def check_answer(self, method: str, path: str, status: int, body: object) -> list[str]:
        """Return what is wrong with an answer; its operation and schemas are counted."""
        found = self.find(method, path)
        if found is None:
            return [f"{method} {path} is no operation"]
        name, operation = found
        self.operations[name] += 1
        refused = {key: {"$ref": UNREADABLE} for key in ("400", "401")}
        responses = refused | operation["responses"]
        if str(status) not in responses:
            return [f"{name}: {status} is no answer of it"]
        response = responses[str(status)]
        if "$ref" in response:
            response = self._raw["responses"][_name(response)]
        schema = _tightened(response.get("schema", {}))
        if status < 300 and "lastTransactionID" in schema.get("properties", {}):
            schema["required"] = ["lastTransactionID"]
        return self._check(schema, body, f"{name} {status}")

    def check_line(self, method: str, path: str, line: Json) -> list[str]:
        """Return what is wrong with a line of a stream."""
        found = self.find(method, path)
        if found is None:
            return [f"{method} {path} is no operation"]
        self.operations[found[0]] += 1
        if line.get("type") == "HEARTBEAT":
            of = "PricingHeartbeat" if "pricing" in path else "TransactionHeartbeat"
        else:
            of = "ClientPrice" if "pricing" in path else "Transaction"
        return self._check({"$ref": f"#/definitions/{of}"}, line, found[0])

    def _check(self, schema: Json, value: object, where: str) -> list[str]:
        validator = Draft7Validator({**schema, "definitions": self.definitions})
        problems = [
            f"{where}: {'.'.join(str(each) for each in error.absolute_path)}: {error.message[:200]}"
            for error in validator.iter_errors(value)
        ]
        self._count(schema, value)
        return problems

    def _count(self, schema: Json, value: object) -> None:
        """Count the definitions that a value was held against."""
        if "$ref" in schema:
            name = _name(schema)
            schema = self.definitions[name]
            self.schemas[name.removesuffix(_SENT)] += 1
        if isinstance(value, dict):
            for each in schema.get("allOf", ()):
                if each["if"]["properties"]["type"]["const"] == value.get("type"):
                    self._count(each["then"], value)
            for key, inner in value.items():
                self._count(schema.get("properties", {}).get(key, {}), inner)
        elif isinstance(value, list):
            for inner in value:
                self._count(schema.get("items", {}), inner)

    def table(self) -> str:
        """Return what was touched and what wasn't, for people."""
        lines = [f"operations: {len(self.operations)} of {len(self.known_operations)}"]
        lines += [f"  {self.operations[each]:6} {each}" for each in sorted(self.known_operations)]
        known = {
            each for each, schema in self._raw["definitions"].items() if "properties" in schema
        }
        seen = known & self.schemas.keys()
        lines.append(f"schemas: {len(seen)} of {len(known)}")
        lines += [f"  {self.schemas[each]:6} {each}" for each in sorted(known)]
        return "\n".join(lines)


def _name(schema: Json) -> str:
    return str(schema["$ref"]).rsplit("/", 1)[-1]


def _tightened(schema: Any) -> Any:  # noqa: ANN401 - JSON Schema
    """Return ``schema`` without extra properties, its formats as patterns."""
    if isinstance(schema, list):
        return [_tightened(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _tightened(each) for key, each in schema.items() if key != "format"}
    if isinstance(schema.get("properties"), dict):
        made["additionalProperties"] = False
    form = schema.get("format")
    if schema.get("type") == "string" and isinstance(form, str):
        for start, pattern in _PATTERNS:
            if start in form:
                made["pattern"] = pattern
                break
    return made


def _sent(schema: Any) -> Any:  # noqa: ANN401 - JSON Schema
    """Return ``schema`` for what a client sends: times may be shorter, a null takes away."""
    if isinstance(schema, list):
        return [_sent(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _sent(each) for key, each in schema.items()}
    if made.get("pattern") == _TIME:
        made["pattern"] = _SENT_TIME
    if isinstance(made.get("$ref"), str):
        reference = {"$ref": f"{made['$ref']}{_SENT}"}
        return {"anyOf": [reference, {"type": "null"}]} if "Details" in made["$ref"] else reference
    return made


@cache
def spec() -> Spec | None:
    """Return the description, None where it isn't on this machine."""
    return Spec(json.loads(PATH.read_text())) if PATH.is_file() else None
