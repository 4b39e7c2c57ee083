"""Which account takes new exposure. Closing never comes here: it goes to whoever holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What routing needs to know of an account; ``why`` says why it isn't tradable.

    ``differs`` says, by symbol, how the broker's record isn't our book's: nothing is opened there.
    """

    name: str
    tradable: bool
    symbols: frozenset[str]
    why: str = ""
    differs: Mapping[str, str] = field(default_factory=dict)

    def opens(self, symbol: str) -> bool:
        """Tell whether new exposure in ``symbol`` may go there."""
        return self.tradable and symbol in self.symbols and symbol not in self.differs


def choose(
    symbol: str, preference: Sequence[str], states: Mapping[str, AccountState]
) -> str | None:
    """Return the first preferred account that takes new exposure in ``symbol``, or None."""
    for name in preference:
        state = states.get(name)
        if state is not None and state.opens(symbol):
            return name
    return None


def routes(
    symbols: Iterable[str],
    preference: Callable[[str], Sequence[str]],
    states: Mapping[str, AccountState],
) -> dict[str, str | None]:
    """Return where new exposure in each symbol goes now."""
    return {symbol: choose(symbol, preference(symbol), states) for symbol in symbols}
