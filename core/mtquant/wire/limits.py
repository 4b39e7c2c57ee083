"""The last line before a venue: limits of the server itself, which no client can lift.

They are few and blunt on purpose. The risk gate in front of a strategy knows more; this stands
where even a client without one, or a stolen token, must pass.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from mtquant.clock import Clock
from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import ModifyRequest, OrderRequest, plain

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a server lets through; None and an empty set bound nothing.

    ``largest_order`` is in base units. ``orders_per_minute`` counts new orders and changes, not
    what cancels, protects or closes. ``instruments`` are those that may be traded, in the broker's
    spelling. ``calls_per_second`` bounds all calls of one token, with bursts of twice as many.
    """

    largest_order: Decimal | None = None
    orders_per_minute: int | None = None
    instruments: frozenset[str] = frozenset()
    calls_per_second: float | None = None

    def shown(self) -> dict[str, object]:
        """Return the limits JSON-ready."""
        largest = self.largest_order
        return {
            "largest_order": None if largest is None else plain(largest),
            "orders_per_minute": self.orders_per_minute,
            "instruments": sorted(self.instruments),
            "calls_per_second": self.calls_per_second,
        }


class Gatekeeper:
    """Applies ``limits`` on the time of ``clock``."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self.limits = limits
        self._clock = clock
        self._orders: deque[float] = deque()
        self._allowance: dict[str, tuple[float, float]] = {}

    def admit_call(self, caller: str) -> None:
        """Count one call of ``caller``; raises Refused (rate_limited) where it is too fast."""
        rate = self.limits.calls_per_second
        if rate is None:
            return
        now = self._clock.monotonic()
        left, since = self._allowance.get(caller, (2 * rate, now))
        left = min(2 * rate, left + (now - since) * rate)
        self._allowance[caller] = (max(left - 1, 0) if left >= 1 else left, now)
        if left < 1:
            raise _too_fast(f"more than {rate:g} calls a second", (1 - left) / rate)

    def admit_order(self, request: object) -> None:
        """Raise Refused where an order or a change is beyond the limits; otherwise count it."""
        if not isinstance(request, OrderRequest | ModifyRequest):
            return
        self._check_size(request)
        if isinstance(request, OrderRequest):
            self._check_instrument(request.instrument)
            if request.reduce_only:
                return
        most = self.limits.orders_per_minute
        if most is None:
            return
        now = self._clock.monotonic()
        while self._orders and self._orders[0] <= now - MINUTE_S:
            self._orders.popleft()
        if len(self._orders) >= most:
            wait = self._orders[0] + MINUTE_S - now if self._orders else MINUTE_S
            raise _too_fast(f"more than {most} orders a minute", wait)
        self._orders.append(now)

    def _check_size(self, request: OrderRequest | ModifyRequest) -> None:
        most = self.limits.largest_order
        if most is not None and request.quantity is not None and request.quantity > most:
            raise _denied(f"at most {plain(most)} base units an order", "quantity")

    def _check_instrument(self, instrument: str) -> None:
        if self.limits.instruments and instrument not in self.limits.instruments:
            raise _denied("this instrument is not on the server's list", "instrument")


def _denied(limit: str, field: str) -> Refused:
    return Refused(
        ErrorCode.RISK_DENIED,
        f"{field}: the server's own limit: {limit}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.NEVER,
        field=field,
    )


def _too_fast(limit: str, wait_s: float) -> Refused:
    return Refused(
        ErrorCode.RATE_LIMITED,
        f"the server's own limit: {limit}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.SAFE,
        retry_after_s=wait_s,
    )
