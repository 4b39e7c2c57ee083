"""The fast way through history: what is certain is reckoned, the rest is played in full.

Strategies hear every bar. What else the shell does at a step is left out only where it is known
beforehand what it comes to: where nothing happens (:mod:`mtquant.backtest.quiet`), and where all
that trades can be reckoned (:mod:`mtquant.backtest.stretch`). So the result is that of playing
every step, to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterator

from mtquant.backtest.ahead import Ahead
from mtquant.backtest.late import LateCovariance
from mtquant.backtest.played import Played, Series, hearers
from mtquant.backtest.quiet import Stillness, at_rest
from mtquant.backtest.shell import Shell
from mtquant.backtest.stretch.reckoner import Reckoner
from mtquant.backtest.tracks import Tracks

_SHORTEST, _LONGEST = 32, 8192
"""How many steps are looked ahead: more while nothing happens, fewer after something did."""


class Lane:
    """Plays the steps of a backtest, and writes down what the account is worth at each."""

    def __init__(
        self,
        shell: Shell,
        ahead: Ahead,
        stillness: Stillness,
        tracks: Tracks,
    ) -> None:
        played, closed = ahead.played, ahead.closed
        self._shell, self._steps, self._closed = shell, ahead.steps, closed
        self._stillness, self._tracks = stillness, tracks
        self._played, self._stream = played, ahead.stream
        self._by_series: dict[Series, list[Played]] = hearers(played)
        self._single = (
            ahead.stream is None
            and len(played) == 1
            and played[0].alone
            and all(len(each) == 1 for each in closed)
        )
        self._bars = [each[0] for each in closed] if self._single else []
        self._ahead = _SHORTEST
        self._reckoner: Reckoner | None = None

    def reckon(self, reckoner: Reckoner) -> None:
        """Let ``reckoner`` go ahead wherever it can."""
        self._reckoner = reckoner

    def play(self, first: int) -> Iterator[int]:
        """Play every step from ``first`` on; yield those that were played in full."""
        index, count = first, len(self._steps)
        while index < count:
            if self._reckoner is not None:
                for come in self._reckoner.go(index):
                    yield come
                    index = come + 1
            if index < count and self._still():
                index = self._pass(index)
            if index == count:
                break
            self._play_one(index)
            yield index
            index += 1

    def _play_one(self, index: int) -> None:
        time, bars = self._steps[index]
        if self._stream is not None:
            self._played[0].now = index
        self._shell.step(time, bars)
        self._tracks.note(index, self._shell.venue)

    def _pass(self, first: int) -> int:
        """Pass over the quiet steps from ``first`` on; return the next that isn't, or the end."""
        count = len(self._steps)
        while first < count:
            limit = min(count, first + self._ahead)
            end = self._pass_within(first, limit)
            self._ahead = min(2 * self._ahead, _LONGEST)
            if end < limit:
                self._ahead = max(_SHORTEST, min(2 * (end - first), _LONGEST))
                return end
            first = end
        return count

    def _pass_within(self, first: int, limit: int) -> int:
        """Pass over quiet steps as far as ``limit``; return the first that isn't."""
        shell, stillness = self._shell, self._stillness
        book = shell.book.account(shell.venue.name)
        if book.breaker is None or not stillness.can_tell():
            return first
        worth = stillness.worth(first, limit)
        loud = stillness.quiet_until(first, limit, worth, book.breaker)
        end = self._hear(first, loud)
        if end > first:
            equity = worth.equity[: end - first]
            book.breaker = stillness.folded(book.breaker, first, end, equity)
            shell.venue.quiet(self._steps[end - 1][0])
            if isinstance(shell.book.covariance, LateCovariance):
                shell.book.covariance.skip(first, end)
            self._tracks.fill(first, end, worth, float(shell.venue.exchange.balance))
        return end

    def _hear(self, first: int, limit: int) -> int:
        """Let the strategies hear the steps from ``first`` on, until one of them speaks.

        Return the step at which one does, or ``limit``.
        """
        if self._stream is not None:
            self._played[0].hear_on(self._stream, limit)
            spoken = self._played[0].spoken(first, limit)
            return spoken[0][0] if spoken else limit
        if self._single:
            return first + self._played[0].hear_stretch(self._bars[first:limit], first)
        for index in range(first, limit):
            for bar in self._closed[index]:
                for each in self._by_series.get((bar.instrument, bar.timeframe), ()):
                    if each.hear(bar, index):
                        return index
        return limit

    def _still(self) -> bool:
        """Tell whether nothing is under way that the next step would go on with."""
        shell = self._shell
        book = shell.book.account(shell.venue.name)
        return not (shell.busy or book.working or shell.book.suggestions or book.leaving) and all(
            at_rest(book.ours(symbol), target.signal.direction, spent=target.spent)
            for symbol, target in shell.book.targets.items()
        )
