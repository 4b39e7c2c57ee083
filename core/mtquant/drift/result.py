"""What a comparison of a run with its replay brings: each difference, and the money by cause."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from mtquant.clock import format_time
from mtquant.model import plain

ZERO = Decimal(0)
FORMAT = "mtquant-drift/1"


class Cause(StrEnum):
    """Why a run and its replay differ."""

    SETTINGS = "settings"
    CODE = "code"
    DATA = "data"
    LATE_BAR = "late_bar"
    DOWN = "engine_down"
    FAILED = "strategy_failed"
    QUOTES = "not_recorded"
    VETO = "veto"
    BREAKER = "breaker"
    PERSON = "person"
    OUTAGE = "outage"
    BROKER = "broker"
    LOST_FILL = "lost_fill"
    PARTIAL = "partial_fill"
    EQUITY = "equity"
    SPREAD = "spread"
    SLIPPAGE = "slippage"
    COMMISSION = "commission"
    SWAP = "swap"
    UNEXPLAINED = "unexplained"
    REST = "conversion"

    @property
    def words(self) -> str:
        """What it means, for people."""
        return _WORDS[self]


_WORDS = {
    Cause.SETTINGS: "settings changed",
    Cause.CODE: "another version",
    Cause.DATA: "other prices",
    Cause.LATE_BAR: "bar came late",
    Cause.DOWN: "engine was down",
    Cause.FAILED: "strategy failed",
    Cause.QUOTES: "not recorded",
    Cause.VETO: "vetoed",
    Cause.BREAKER: "breaker or halt",
    Cause.PERSON: "a person",
    Cause.OUTAGE: "outage",
    Cause.BROKER: "broker refused",
    Cause.LOST_FILL: "fill missing",
    Cause.PARTIAL: "partial fill",
    Cause.EQUITY: "other equity",
    Cause.SPREAD: "spread",
    Cause.SLIPPAGE: "slippage",
    Cause.COMMISSION: "commission",
    Cause.SWAP: "swap",
    Cause.UNEXPLAINED: "unexplained",
    Cause.REST: "conversion and rounding",
}


@dataclass(frozen=True, slots=True)
class Because:
    """A cause, and the evidence for it in a sentence."""

    cause: Cause
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is in the run or in the replay alone, or differs.

    ``time`` is nanoseconds UTC: when the bar of a signal had closed, or when an order was made.
    ``kind`` is ``signal``, ``order``, ``fill`` or ``cost``; ``recorded`` and ``replayed`` say in
    words what each of the two had. ``price`` is recorded less replayed in the quote currency,
    ``pips`` the same in pips, ``money`` what it did to the profit in the account's currency: below
    zero the run earned less than the replay. All three are None where it has none. ``entry`` is
    the number of the journal's entry that it is about, None where the journal has none.
    """

    time: int
    kind: str
    instrument: str
    strategy_id: str
    recorded: str
    replayed: str
    because: Because
    price: Decimal | None = None
    pips: Decimal | None = None
    money: Decimal | None = None
    entry: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready: decimals as strings, the time as RFC 3339."""
        return {
            "time": format_time(self.time),
            "kind": self.kind,
            "instrument": self.instrument,
            "strategy": self.strategy_id,
            "recorded": self.recorded,
            "replayed": self.replayed,
            "price": _text(self.price),
            "pips": _text(self.pips),
            "money": _text(self.money),
            "cause": self.because.cause.value,
            "why": self.because.why,
            "entry": self.entry,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What of the drift one cause makes: how many differences, and their money together."""

    cause: Cause
    count: int
    money: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """How many there were in the run, in the replay, and alike in both."""

    recorded: int
    replayed: int
    same: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A run beside its replay.

    ``account`` is our name for the account that was replayed, ``currency`` its money. Profits are
    net of commission and swap, with what is still open valued at the last mid price. ``by_cause``
    adds up to ``difference``, to the last digit; the largest comes first. ``notes`` say what the
    comparison rests on. ``first`` and ``last`` are the times of the steps it covers.
    """

    journal: str
    account: str
    currency: str
    first: int
    last: int
    signals: Counted
    fills: Counted
    recorded_profit: Decimal
    replayed_profit: Decimal
    differences: tuple[Difference, ...]
    by_cause: tuple[Share, ...]
    notes: tuple[str, ...] = ()

    @property
    def difference(self) -> Decimal:
        """Return the run's profit less the replay's, in the account's currency."""
        return self.recorded_profit - self.replayed_profit

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready: decimals as strings, times as RFC 3339."""
        return {
            "format": FORMAT,
            "journal": self.journal,
            "account": self.account,
            "currency": self.currency,
            "first": format_time(self.first),
            "last": format_time(self.last),
            "drifts": bool(self.differences),
            "signals": _counted(self.signals),
            "fills": _counted(self.fills),
            "profit": {
                "recorded": plain(self.recorded_profit),
                "replayed": plain(self.replayed_profit),
                "difference": plain(self.difference),
            },
            "by_cause": [
                {"cause": each.cause.value, "count": each.count, "money": plain(each.money)}
                for each in self.by_cause
            ],
            "differences": [each.to_dict() for each in self.differences],
            "notes": list(self.notes),
        }


def _counted(counted: Counted) -> dict[str, int]:
    return {
        "recorded": counted.recorded,
        "replayed": counted.replayed,
        "same": counted.same,
    }


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
