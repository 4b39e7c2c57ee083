"""Our book beside a broker's record: what each says of positions and money."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from mtquant.model import plain

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One instrument's net position, in signed base units, as we say and as the broker says.

    ``strategies`` is what of ours is the strategies'; the rest is external. ``average_price`` is
    the broker's, zero where he shows no position.
    """

    instrument: str
    ours: Decimal
    strategies: Decimal
    theirs: Decimal
    average_price: Decimal

    @property
    def differs(self) -> bool:
        """True where we and the broker don't say the same."""
        return self.ours != self.theirs

    def __str__(self) -> str:
        return f"{self.instrument}: we say {plain(self.ours)}, they say {plain(self.theirs)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One account: every instrument that either holds, and the balance."""

    account: str
    positions: tuple[Compared, ...]
    our_balance: Decimal
    their_balance: Decimal

    @property
    def differing(self) -> tuple[Compared, ...]:
        """The positions that differ."""
        return tuple(each for each in self.positions if each.differs)

    @property
    def balance_differs(self) -> bool:
        """True where the money differs."""
        return self.our_balance != self.their_balance

    @property
    def agrees(self) -> bool:
        """True where nothing differs."""
        return not self.differing and not self.balance_differs

    @property
    def sentences(self) -> list[str]:
        """What differs, in words."""
        found = [str(each) for each in self.differing]
        if self.balance_differs:
            ours, theirs = plain(self.our_balance), plain(self.their_balance)
            found.append(f"balance: we say {ours}, they say {theirs}")
        return found

    def __str__(self) -> str:
        return "; ".join(self.sentences) or "the books agree"


def strategies_part(had: Decimal, theirs: Decimal) -> Decimal:
    """Return what of a broker's position stays the strategies', who held ``had`` of ours.

    They never hold more than there is: what is more than theirs is somebody else's, and what is
    less is gone from what isn't theirs first.
    """
    return max(min(had, theirs), _ZERO) if had > 0 else min(max(had, theirs), _ZERO)
