"""Asks the gate about one order of a stretch, where it can't be told of all orders at once.

It is the gate itself, with its sizer and its checks, over what is known of an account that holds
nothing. A check that can tell from the order's own measures that it would approve isn't asked.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import numpy as np

from mtquant.backtest.conversion import Conversion
from mtquant.backtest.stretch.known import Known, Money, Unknown, known_at
from mtquant.backtest.stretch.money import Money as Pricing
from mtquant.backtest.tape import Ints
from mtquant.clock import SECOND
from mtquant.contract import (
    BreakerLevel,
    Check,
    Finding,
    Proposal,
    RiskState,
    Verdict,
    Worst,
)
from mtquant.exchange.costs import CENT
from mtquant.model import Instrument, Signal
from mtquant.model.arrays import Floats
from mtquant.risk import Decision, Gate

_DAY = 86_400 * SECOND
_ABOVE = 1 + 1e-9
"""More than floats are off by."""


class _Screened:
    """A check that is asked only where it can't tell from the worst of an order."""

    def __init__(self, check: Check[Any], asker: Asker) -> None:
        self.name = check.name
        self._check, self._asker = check, asker

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Approve, or ask."""
        if self._check.passes(self._asker.worst(proposal)):
            return Finding(self.name, Verdict.APPROVED, proposal.quantity)
        return self._check.review(proposal, state)


class Asker:
    """Asks about the orders of one strategy in one instrument, in their order."""

    def __init__(
        self,
        gate: Gate,
        place: tuple[str, str, Instrument],
        money: Pricing,
        quotes: Conversion,
        times: Ints,
        volatility: Floats,
    ) -> None:
        self._strategy_id, self._account, self._each = place
        self._money, self._quotes, self._times = money, quotes, times
        self._volatility = volatility
        screened = [cast("Check[Any]", _Screened(each, self)) for each in gate.checks]
        self._gate = Gate(gate.sizer, screened, gate.rules, gate.watch)
        self._level, self._currency = BreakerLevel.NORMAL, ""
        self._opened: deque[int] = deque()
        self._sent: deque[int] = deque()
        self._state: Known | None = None
        self._used, self._step = 0.0, 0
        self._measured: tuple[Proposal, Worst] | None = None

    def begin(
        self, level: BreakerLevel, currency: str, opened: Sequence[int], sent: Sequence[int]
    ) -> None:
        """Begin a stretch, before which was ``opened`` and ``sent`` at these times."""
        self._level, self._currency = level, currency
        self._opened, self._sent = deque(opened), deque(sent)

    def sent(self, step: int, *, opens: bool) -> None:
        """Take in that an order is sent at ``step``; the book remembers a day."""
        time = int(self._times[step])
        for times in (self._sent, self._opened) if opens else (self._sent,):
            times.append(time)
            while times[0] <= time - _DAY:
                times.popleft()

    def __call__(self, signal: Signal, step: int, equity: int, used: float) -> Decision | None:
        """Return what the gate decides; None where it would look at what isn't known.

        ``equity`` is in 0.0001 of the account's currency; no more margin than ``used`` was in use.
        """
        self._step, self._used = step, used
        account = Money(equity * CENT, self._currency)
        self._state = known_at(step, account, self._each, self._money, self._quotes, self._level)
        try:
            return self._gate.review(signal, self._account, cast("RiskState", self._state))
        except Unknown:
            return None

    def worst(self, proposal: Proposal) -> Worst:
        """Return the measures of one order."""
        if self._measured is None or self._measured[0] is not proposal:
            self._measured = proposal, self._measures(proposal)
        return self._measured[1]

    def _measures(self, proposal: Proposal) -> Worst:
        state, step = self._state, self._step
        if state is None:
            raise Unknown
        quote, time = state.quote, state.time
        price = max(proposal.reference_price, quote.mid) * state.quote_rate
        return Worst(
            strategy_id=self._strategy_id,
            instrument=self._each,
            currency=self._currency,
            quantity=proposal.quantity,
            notional=price * proposal.quantity,
            equity=state.account.equity,
            margin_used=Decimal(self._used * _ABOVE) + (CENT if self._used else 0),
            spread=quote.spread / quote.mid,
            stopped=proposal.stop_loss is not None,
            volatility=float(self._volatility[step]) * _ABOVE,
            opened=np.array([*self._opened, time], np.int64),
            messages=np.array([*self._sent, time], np.int64),
        )
