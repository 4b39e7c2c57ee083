"""What is searched: the values of each parameter, and which combinations are allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import product

from mtquant.clock import Random
from mtquant.errors import ConfigError
from mtquant.search.expression import Constraint, Value

Params = tuple[tuple[str, Value], ...]
"""One combination: each parameter's name and value, in the order of the axes."""

_LARGEST = 1_000_000
_DRAWS = 200
"""How many combinations are drawn for each wanted, before constraints leave no hope of more."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter and its values, in the order they are shown.

    ``ordered`` is true of a range, where the values beside each other are neighbours.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool = True

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError(self.name, "has no value to try", "Give at least one.")
        if len(set(self.values)) != len(self.values):
            raise ConfigError(self.name, "has a value twice", "Give each once.")


def range_of(text: str) -> Axis:
    """Return the axis that ``NAME=FIRST:LAST`` or ``NAME=FIRST:LAST:STEP`` names.

    LAST is among the values where the steps meet it. Whole numbers stay whole. Raises ConfigError.
    """
    name, equals, told = text.partition("=")
    parts = told.split(":")
    try:
        numbers = [Decimal(part.strip()) for part in parts]
    except InvalidOperation:
        numbers = []
    if not (equals and name.strip() and len(numbers) in {2, 3}) or not all(
        number.is_finite() for number in numbers
    ):
        raise ConfigError(
            "--range", f"{text!r} is no range", "Write NAME=FIRST:LAST:STEP, such as fast=5:50:5."
        )
    first, last, *steps = numbers
    step = steps[0] if steps else Decimal(1)
    if step <= 0 or last < first:
        raise ConfigError(
            "--range", f"{text!r} has no value", "FIRST must not be above LAST, STEP above zero."
        )
    if (last - first) / step > _LARGEST:
        raise ConfigError("--range", f"{text!r} has too many values", "Take a larger step.")
    count = int((last - first) // step) + 1
    whole = all(number == number.to_integral_value() for number in (first, step))
    values = [first + step * index for index in range(count)]
    return Axis(name.strip(), tuple(int(each) if whole else float(each) for each in values))


def choice_of(text: str) -> Axis:
    """Return the axis that ``NAME=ONE,OTHER`` names; numbers and true or false are read as such.

    Raises ConfigError.
    """
    name, equals, told = text.partition("=")
    values = [part.strip() for part in told.split(",")]
    if not equals or not name.strip() or not all(values):
        raise ConfigError(
            "--choice", f"{text!r} is no choice", "Write NAME=ONE,OTHER, such as direction=both."
        )
    return Axis(name.strip(), tuple(_read(each) for each in values), ordered=False)


def _read(text: str) -> Value:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


@dataclass(frozen=True, slots=True)
class Space:
    """All combinations of the axes' values that meet every constraint."""

    axes: tuple[Axis, ...]
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def of(cls, axes: Sequence[Axis], where: Sequence[str] = ()) -> Space:
        """Return the space of ``axes`` in which every condition of ``where`` holds.

        Raises ConfigError where there is no axis, one is named twice, or a condition is wrong.
        """
        names = [axis.name for axis in axes]
        if not axes:
            raise ConfigError("--range", "nothing is varied", "Such as --range fast=5:50:5.")
        if len(set(names)) != len(names):
            raise ConfigError("--range", "a parameter is varied twice", "Name each once.")
        return cls(tuple(axes), tuple(Constraint(text, names) for text in where))

    @property
    def size(self) -> int:
        """How many combinations there are, allowed or not."""
        return math.prod(len(axis.values) for axis in self.axes)

    def allows(self, params: Params) -> bool:
        """Return whether ``params`` meet every constraint."""
        named: Mapping[str, Value] = dict(params)
        return all(each.holds(named) for each in self.constraints)

    def at(self, places: Sequence[int]) -> Params:
        """Return the combination of the ``places``-th value of each axis."""
        return tuple(
            (axis.name, axis.values[place]) for axis, place in zip(self.axes, places, strict=True)
        )

    def places(self, params: Params) -> tuple[int, ...]:
        """Return where the values of ``params`` stand on their axes; see :meth:`at`."""
        named = dict(params)
        return tuple(axis.values.index(named[axis.name]) for axis in self.axes)

    def grid(self) -> Iterator[Params]:
        """Return every allowed combination, the last axis moving fastest.

        Raises ConfigError where there are more than a million.
        """
        if self.size > _LARGEST:
            raise ConfigError(
                "--method",
                f"a grid of {self.size:,} combinations is too large",
                "Take larger steps, or --method random with --trials.",
            )
        everything = product(*(range(len(axis.values)) for axis in self.axes))
        return (params for places in everything if self.allows(params := self.at(places)))

    def draw(self, count: int, rng: Random) -> list[Params]:
        """Return up to ``count`` different allowed combinations, each as likely as another.

        Fewer where there are no more, or so few that chance doesn't find them.
        """
        if self.size <= _LARGEST:
            allowed = list(self.grid())
            return rng.sample(allowed, min(count, len(allowed)))
        found: dict[Params, None] = {}
        for _ in range(count * _DRAWS):
            params = self.at([rng.randrange(len(axis.values)) for axis in self.axes])
            if self.allows(params):
                found[params] = None
            if len(found) == count:
                break
        return list(found)

    def neighbours(self, params: Params) -> list[Params]:
        """Return the allowed combinations one step away in one parameter of a range."""
        places = self.places(params)
        found = []
        for index, axis in enumerate(self.axes):
            for place in (places[index] - 1, places[index] + 1):
                if axis.ordered and 0 <= place < len(axis.values):
                    near = self.at([*places[:index], place, *places[index + 1 :]])
                    if self.allows(near):
                        found.append(near)
        return found
