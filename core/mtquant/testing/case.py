"""A conformance case: a numbered promise of the broker contract, and how it is checked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from inspect import getdoc
from typing import TYPE_CHECKING

from mtquant.model import Capabilities, OrderReport

if TYPE_CHECKING:
    from mtquant.testing.bench import Bench

SHOWN_LIMIT = 300
Check = Callable[["Bench"], Awaitable[None]]


class Group(StrEnum):
    """What a case is about; its number begins with the group's letters."""

    CAPABILITIES = "CAP"
    DATA = "DAT"
    ORDERS = "ORD"
    PROTECTIONS = "PRT"
    TIME_IN_FORCE = "TIF"
    IDEMPOTENCY = "IDM"
    FILLS = "FIL"
    POSITIONS = "POS"
    REFUSALS = "REF"
    RESTART = "RST"
    CONCURRENCY = "CON"
    STREAMS = "STR"
    HOSTILE = "HST"


def shown(value: object) -> str:
    """Return ``value`` as a failure tells it: short, and in decimals as they are written."""
    match value:
        case OrderReport():
            filled = f"{value.filled_quantity} of {value.quantity} filled"
            return (
                f"order {value.order_id}, {value.status}: {value.side} {value.order_type}, {filled}"
            )
        case tuple() | list() | set() | frozenset():
            return ", ".join(shown(each) for each in value) or "none"
        case _:
            text = str(value)
            return text if len(text) <= SHOWN_LIMIT else f"{text[:SHOWN_LIMIT]}…"


class Failed(AssertionError):
    """A broker broke a promise; the message says what was expected, what came, and the remedy."""

    def __init__(self, expected: object, got: object, remedy: str = "") -> None:
        text = f"expected {shown(expected)}; got {shown(got)}"
        super().__init__(f"{text}. {remedy}" if remedy else text)
        self.remedy = remedy


class Skipped(Exception):
    """The case does not apply to what the broker declares."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case. ``needs`` are what must be declared for it to apply, such as ``type:stop``."""

    number: str
    title: str
    needs: tuple[str, ...]
    check: Check

    @property
    def remedy(self) -> str:
        """What a broker's author can do where it fails: the check's docstring."""
        return getdoc(self.check) or ""

    @property
    def group(self) -> Group:
        """The group that the number names."""
        return Group(self.number[:3])

    def missing(self, capabilities: Capabilities) -> str:
        """Return the first need that isn't declared, empty where all are."""
        declared = declared_by(capabilities)
        return next((each for each in self.needs if each not in declared), "")


_CASES: dict[str, Case] = {}


def case(number: str, title: str, *needs: str) -> Callable[[Check], Check]:
    """Register a check under its number."""

    def register(check: Check) -> Check:
        if number in _CASES:
            msg = f"two cases are numbered {number}"
            raise ValueError(msg)
        _CASES[number] = Case(number, title, needs, check)
        return check

    return register


def all_cases() -> tuple[Case, ...]:
    """Return every registered case, by group and number."""
    order = list(Group)
    return tuple(sorted(_CASES.values(), key=lambda each: (order.index(each.group), each.number)))


def declared_by(capabilities: Capabilities) -> frozenset[str]:
    """Return what ``capabilities`` declare, as the words that cases need."""

    def words(kind: str, values: Iterable[str]) -> set[str]:
        return {f"{kind}:{each}" for each in values}

    return frozenset(
        words("tool", capabilities.tools)
        | words("type", capabilities.order_types)
        | words("tif", capabilities.time_in_force)
        | words("feature", capabilities.features)
        | words("mode", (capabilities.position_mode,))
        | words("clock", (capabilities.clock,))
    )
