"""Faults on demand: what a venue does on a bad day, repeatable from a seed."""

from __future__ import annotations

import anyio

from mtquant.clock import SECOND, Clock, seeded
from mtquant.errors import ErrorCode, OutcomeUnknown, Refused, Retry
from mtquant.exchange import Faults
from mtquant.model import CloseRequest, OrderReport, OrderRequest, OrderType


class FaultMaker:
    """Applies ``faults``, counted in seconds of ``clock`` since it was made."""

    def __init__(self, faults: Faults, clock: Clock) -> None:
        self._faults = faults
        self._clock = clock
        self._rng = seeded(faults.seed)
        self._since = clock.now()
        self._frozen_at: int | None = None

    async def before_order(self, order: OrderRequest | CloseRequest) -> None:
        """Delay, refuse or requote an order before the venue sees it."""
        if self._faults.delay_s:
            await anyio.sleep(self._faults.delay_s)
        if self._drawn(self._faults.reject):
            raise Refused(
                ErrorCode.BROKER_REJECTED,
                "the venue rejects this order (a fault on demand)",
                broker_code="FAULT_REJECT",
            )
        market = isinstance(order, CloseRequest) or order.order_type is OrderType.MARKET
        if market and self._drawn(self._faults.requote):
            raise Refused(
                ErrorCode.BROKER_REJECTED,
                "requote: the price has moved (a fault on demand)",
                broker_code="FAULT_REQUOTE",
                retry=Retry.AFTER_FIX,
            )

    def after_order(self, order: OrderRequest | CloseRequest, report: OrderReport) -> OrderReport:
        """Say nothing of an order that the venue took, or return its report."""
        if self._drawn(self._faults.silent):
            raise OutcomeUnknown(
                "the venue did not answer (a fault on demand)",
                verify={"tool": "get_order", "args": {"client_order_id": order.client_order_id}},
            )
        return report

    def market_time(self, now: int) -> int:
        """Return the market's time: where prices freeze or their stream dies, it stands still."""
        if self._dead(self._faults.freeze_after_s) or self._dead(self._faults.prices_die_after_s):
            self._frozen_at = now if self._frozen_at is None else self._frozen_at
            return self._frozen_at
        return now

    def price_age(self) -> float | None:
        """Return for how long the stream of prices has been dead, None while it lives.

        A frozen market, unlike a dead stream, still beats: its age is nought.
        """
        if self._dead(self._faults.prices_die_after_s):
            return self._passed() - (self._faults.prices_die_after_s or 0)
        return 0.0 if self._dead(self._faults.freeze_after_s) else None

    def _dead(self, after_s: float | None) -> bool:
        return after_s is not None and self._passed() >= after_s

    def _passed(self) -> float:
        return (self._clock.now() - self._since) / SECOND

    def _drawn(self, share: float) -> bool:
        return bool(share) and self._rng.random() < share
