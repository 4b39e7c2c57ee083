"""What the runs of one preparation share: worked out when it is first asked for, and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")
_MOST_BYTES = 256 * 2**20
"""How much is kept; what was asked for longest ago is forgotten first."""


class Once:
    """A memory by key. It isn't sent along to other processes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def ask(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """Return what ``make`` makes for ``key``, of ``size`` bytes."""
        if key in self._kept:
            self._kept.move_to_end(key)
            found: T = self._kept[key][0]
            return found
        made = make()
        self._kept[key] = made, size(made)
        self._bytes += self._kept[key][1]
        while self._bytes > _MOST_BYTES and len(self._kept) > 1:
            _, (_, gone) = self._kept.popitem(last=False)
            self._bytes -= gone
        return made

    def __reduce__(self) -> tuple[type[Once], tuple[()]]:
        """Begin anew elsewhere."""
        return Once, ()
