"""Prices as they were read, before anything is taken for granted about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from mtquant.clock import format_time
from mtquant.data.dialects import Dialect
from mtquant.data.fields import Integers
from mtquant.errors import ConfigError

Columns = Mapping[str, NDArray[np.float64]]
PLACES = 5
"""How many places a finding names."""


class Severity(StrEnum):
    """An error refuses the file, a warning doesn't."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something was found: the line, the bar's time (None where it has none), the value."""

    line: int
    time: int | None
    field: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a file that its reader should know.

    ``kind`` is a word for machines, ``count`` how often it was found, ``places`` the first few.
    ``problem`` completes the sentence "VALUE is ..."; ``sentence`` says it of all of them.
    """

    kind: str
    severity: Severity
    count: int
    places: tuple[Place, ...]
    problem: str
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """The rows of a file that have a time, in the file's order, as columns of shape (n,).

    ``time`` is int64 nanoseconds UTC, ``clock`` the same as the file writes it, before its time
    zone was taken into account. ``columns`` are float64: open, high, low, close and volume of
    bars, bid and ask of quotes, in the quote currency; what can't be read is NaN, and its text is
    in ``texts`` by row and column. ``line`` is where each row stands, counted from 1. ``lost`` are
    the rows that aren't here because they have no time or not every field. ``notes`` say what was
    decided in reading it. ``naive`` is true where a time names no zone.
    """

    where: str
    dialect: Dialect
    time: Integers
    clock: Integers
    columns: Columns
    line: Integers
    texts: Mapping[tuple[int, str], str] = field(default_factory=dict)
    lost: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
    naive: bool = False
    time_zone: str | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.time)

    @property
    def unit(self) -> str:
        """What ``line`` counts: lines of a text file, rows of anything else."""
        return "line" if self.dialect.separator else "row"

    @property
    def prices(self) -> tuple[str, ...]:
        """The names of its columns of prices."""
        return self.dialect.prices

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_]) -> Table:
        """Return the table of the ``chosen`` rows alone, in that order."""
        kept = np.arange(len(self))[chosen]
        after = {int(row): place for place, row in enumerate(kept)} if self.texts else {}
        return replace(
            self,
            time=self.time[kept],
            clock=self.clock[kept],
            columns={name: each[kept] for name, each in self.columns.items()},
            line=self.line[kept],
            texts={
                (after[row], name): text for (row, name), text in self.texts.items() if row in after
            },
        )

    def place(self, row: int, name: str) -> Place:
        """Return where ``row``'s ``name`` stands: a column's, or ``time``."""
        moment = int(self.time[row])
        if name == "time":
            value = format_time(moment)
            return Place(line=int(self.line[row]), time=moment, field=name, value=value)
        text = self.texts.get((row, name))
        value = shown(float(self.columns[name][row])) if text is None else text
        return Place(line=int(self.line[row]), time=moment, field=name, value=value)

    def error(self, finding: Finding) -> ConfigError:
        """Return the error that a finding is, at the first of its places."""
        if not finding.places:
            return ConfigError(self.where, finding.problem, finding.remedy)
        at = finding.places[0]
        value = at.value if len(at.value) <= 80 else f"{at.value[:77]}..."  # noqa: PLR2004 - a line's width
        return ConfigError(
            f"{self.where}, {self.unit} {at.line}, {at.field}",
            f"{value!r} is {finding.problem}",
            finding.remedy,
        )

    def refuse(self, findings: Iterable[Finding]) -> None:
        """Raise ConfigError of the error among ``findings`` that stands first in the file."""
        errors = [each for each in findings if each.severity is Severity.ERROR]
        if errors:
            raise self.error(min(errors, key=_first_line))


def lost(kind: str, places: tuple[Place, ...], count: int, problem: str = "not a time") -> Finding:
    """Return the finding of ``count`` rows that can't be any: ``fields`` or ``time`` is wrong."""
    sentence, remedy = _LOST[kind]
    return Finding(
        kind=kind,
        severity=Severity.ERROR,
        count=count,
        places=places,
        problem=problem,
        sentence=sentence,
        remedy=remedy,
    )


_LOST = {
    "fields": (
        "lines don't have as many fields as the first",
        "Separate by commas, with a point in decimals.",
    ),
    "time": (
        "times can't be read",
        "Write 2026-01-31T09:30:00Z, or 2026-01-31 09:30 for the same in UTC.",
    ),
}


def _first_line(finding: Finding) -> int:
    return finding.places[0].line if finding.places else 0


def shown(value: float) -> str:
    """Return a number as short as it can be written: 1.1, and 10 instead of 10.0."""
    return repr(value).removesuffix(".0")
