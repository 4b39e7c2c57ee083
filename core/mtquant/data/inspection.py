"""All that there is to say about a file of prices."""

from __future__ import annotations

from dataclasses import dataclass

from mtquant.data.doubts import likely_timeframe, warnings
from mtquant.data.quality import errors
from mtquant.data.repair import Change, repair
from mtquant.data.table import Finding, Severity, Table
from mtquant.model.terms import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """What a table holds and what is wrong with it, errors first.

    ``timeframe`` is the one asked for or, where ``told`` is false, the one that its bars have by
    their distance; None for quotes, and where there is none. ``repaired`` is the table after
    ``changes``, and ``left`` are the errors that stay.
    """

    table: Table
    timeframe: Timeframe | None
    told: bool
    findings: tuple[Finding, ...]
    repaired: Table
    changes: tuple[Change, ...]
    left: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """True where nothing that was found is an error."""
        return all(each.severity is Severity.WARNING for each in self.findings)


def inspect(table: Table, timeframe: Timeframe | None = None) -> Inspection:
    """Return all that there is to say about ``table``; ``timeframe`` is what its bars shall be."""
    repaired, changes = repair(table)
    chosen = timeframe
    if table.dialect.what == "quotes":
        chosen = None
    elif chosen is None:
        chosen = likely_timeframe(repaired)
    found = errors(table, chosen)
    left = errors(repaired, chosen)
    known = {each.kind for each in found}
    found += [each for each in left if each.kind not in known]
    return Inspection(
        table=table,
        timeframe=chosen,
        told=timeframe is not None,
        findings=(*found, *(warnings(repaired, chosen) if len(repaired) else ())),
        repaired=repaired,
        changes=changes,
        left=tuple(left),
    )
