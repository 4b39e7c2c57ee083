"""What an indicator is: one definition, stepped live and run over arrays on history."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mtquant.contract.plugin import Plugin, S
from mtquant.model import Bar
from mtquant.model.arrays import BarArrays

DEPTH = 64
"""How many of its last values an indicator keeps."""


Values = float | tuple[float, ...]
"""An indicator's lines at one bar: a number where it has one line, else one for each."""


class Told:
    """An indicator's last rows, read off series that are known beforehand.

    ``at`` is the newest bar; ``lines`` are the series, a row is a number where there is one.
    """

    def __init__(self, lines: Sequence[Sequence[float]]) -> None:
        self._lines = lines
        self.at = -1

    def __getitem__(self, back: int) -> Any:  # noqa: ANN401 - a number, or one for each line
        """Return the row ``back`` bars ago, NaN before the first; raises IndexError beyond it."""
        if back >= DEPTH:
            raise IndexError(back)
        index, lines = self.at - back, self._lines
        if len(lines) == 1:
            return lines[0][index] if index >= 0 else math.nan
        return tuple(line[index] if index >= 0 else math.nan for line in lines)


class Line:
    """One of an indicator's series: ``line[0]`` at the newest bar, ``line[1]`` the one before."""

    __slots__ = ("_label", "_place", "_rows")

    def __init__(self, label: str, rows: deque[Any] | Told, place: int | None) -> None:
        self._label = label
        self._rows = rows
        self._place = place

    def __getitem__(self, back: int) -> float:
        """Return the value ``back`` bars ago; NaN where there is none.

        Raises IndexError outside 0 to ``DEPTH`` - 1: the future isn't known, and older values
        aren't kept.
        """
        if back < 0:
            raise IndexError(f"{self._label}[{back}]: a value of the future; 0 is the newest bar's")
        try:
            row = self._rows[back]
        except IndexError:
            raise IndexError(f"{self._label}[{back}]: the last {DEPTH} are kept") from None
        value: float = row if self._place is None else row[self._place]
        return value

    @property
    def value(self) -> float:
        """The value at the newest bar; NaN while it warms up."""
        return self[0]

    def follow(self, rows: Told) -> None:
        """Read its values off ``rows`` from now on."""
        self._rows = rows


class Indicator(Plugin[S], ABC):
    """One or several series computed from bars: stepped live, run over arrays, the same bits.

    ``lines`` names the series, and ``main`` the one that ``self[0]`` (at the newest bar) and
    ``self[1]`` (the one before) are of: the first, unless said otherwise. Any line is an
    attribute: ``bands.upper[0]``. Values are float64; a bar before the warm-up is over has NaN.

    A subclass implements :attr:`warmup`, :meth:`compute` and :meth:`batch`.
    """

    lines: ClassVar[tuple[str, ...]] = ("value",)
    main: ClassVar[str] = ""

    def __init__(self, settings: S) -> None:
        super().__init__(settings)
        alone = len(self.lines) == 1
        unknown: Values = math.nan if alone else (math.nan,) * len(self.lines)
        self._last: deque[Values] = deque([unknown] * DEPTH, maxlen=DEPTH)
        self._rows: deque[Values] | Told = self._last
        self._lines = {
            name: Line(f"{self.name}.{name}", self._rows, None if alone else place)
            for place, name in enumerate(self.lines)
        }
        main = self.main or self.lines[0]
        self._main = self._lines[main]
        self._place = None if alone else self.lines.index(main)

    @property
    @abstractmethod
    def warmup(self) -> int:
        """How many bars it takes until every line has its first value."""

    @abstractmethod
    def compute(self, bar: Bar) -> Values:
        """Take one closed bar and return the lines at it, in their order.

        Raises ValueError, and forgets the bar, where a number it reads isn't finite.
        """

    @abstractmethod
    def batch(self, bars: BarArrays) -> Mapping[str, NDArray[np.float64]]:
        """Return each line's whole series, shape (len(bars),), bit-identical to stepping."""

    def update(self, bar: Bar) -> None:
        """Take one closed bar in."""
        self._last.appendleft(self.compute(bar))

    @property
    def put(self) -> Callable[[Values], None]:
        """What takes the lines at the next bar, where :meth:`batch` has told them already."""
        return self._last.appendleft

    def follow(self, told: Told) -> None:
        """Read its values off ``told`` from now on; whoever moves that moves the indicator."""
        self._rows = told
        for line in self._lines.values():
            line.follow(told)

    def place_of(self, line: Indicator[Any] | Line) -> int | None:
        """Return which of its lines ``line`` is, the main one if it is itself; None if none."""
        found = self._main if line is self else line
        places = [at for at, each in enumerate(self._lines.values()) if each is found]
        return places[0] if places else None

    def __getitem__(self, back: int) -> float:
        """Return the main line's value ``back`` bars ago, as :meth:`Line.__getitem__`."""
        if back >= 0:
            try:
                row = self._rows[back]
            except IndexError:
                pass
            else:
                value: float = row if self._place is None else row[self._place]  # type: ignore[index,assignment]
                return value
        return self._main[back]  # which says what is wrong with it

    def line(self, name: str) -> Line:
        """Return a line by its name; raises AttributeError, which names the lines."""
        return self.__getattr__(name)

    def __getattr__(self, name: str) -> Line:
        """Return a line as an attribute; raises AttributeError, which names the lines."""
        lines = self.__dict__.get("_lines", {})
        if name in lines:
            found: Line = lines[name]
            return found
        raise AttributeError(f"{type(self).__name__} has no {name!r}; lines: {', '.join(lines)}")

    @property
    def value(self) -> float:
        """The main line's value at the newest bar; NaN while it warms up."""
        return self._main.value

    @property
    def ready(self) -> bool:
        """True once every line's newest value is a number."""
        newest = self._rows[0]
        if isinstance(newest, tuple):
            return not any(map(math.isnan, newest))
        return newest == newest  # noqa: PLR0124 - NaN alone differs from itself
