"""What tools and fields of the contract were once called, and how long the old names still work.

A client may be older than its server, or newer. A renamed tool or field is accepted under its old
name for two minor versions of the contract; only the new name is listed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

KEPT_VERSIONS = 2
"""For so many minor versions after the rename the old name is understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """``old`` became ``new`` in contract version ``since``: a tool, or a field of ``tool``."""

    old: str
    new: str
    since: str
    tool: str | None = None

    def kept(self, version: str) -> bool:
        """Tell whether a server of contract ``version`` still understands the old name."""
        (major, minor), (first, then) = _numbers(version), _numbers(self.since)
        return major == first and minor < then + KEPT_VERSIONS


RENAMES: tuple[Rename, ...] = ()
"""Every rename since 1.0, oldest first. One that is no longer kept is to be deleted."""


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def current_tool(name: str, renames: tuple[Rename, ...] = RENAMES) -> str:
    """Return what the tool once called ``name`` is called now."""
    return next((each.new for each in renames if each.tool is None and each.old == name), name)


def current_fields(
    tool: str, arguments: Mapping[str, Any], renames: tuple[Rename, ...] = RENAMES
) -> Mapping[str, Any]:
    """Return ``arguments`` of ``tool`` under the names of now.

    Where both names of one field are given the old one stays as it is, to be refused as unknown.
    """
    names = {each.old: each.new for each in renames if each.tool == tool}
    return {
        (names[name] if name in names and names[name] not in arguments else name): value
        for name, value in arguments.items()
    }


def offered_name(name: str, offered: Collection[str], renames: tuple[Rename, ...] = RENAMES) -> str:
    """Return by which name a server that lists ``offered`` knows the tool ``name``."""
    if name in offered:
        return name
    return next(
        (
            each.old
            for each in renames
            if each.tool is None and each.new == name and each.old in offered
        ),
        name,
    )
