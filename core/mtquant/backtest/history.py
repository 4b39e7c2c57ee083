"""What was traded in a backtest, made when it is first asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import chain

from mtquant.backtest.collect import Witnessed
from mtquant.backtest.result import ZERO, Costs, Trade
from mtquant.backtest.trips import round_trips
from mtquant.backtest.venue import CountingExchange, Paid
from mtquant.model import Fill, OrderReport
from mtquant.model.arrays import BarArrays


class LateHistory:
    """The history of a backtest, made when it is first asked for; see :class:`History`.

    ``earned`` is what the account's balance has changed by.
    """

    def __init__(
        self,
        witness: Witnessed,
        exchange: CountingExchange,
        prices: Mapping[str, BarArrays],
        earned: Decimal,
    ) -> None:
        self._witness, self._exchange, self._prices = witness, exchange, prices
        self._earned = earned

    @cached_property
    def _reckoned(self) -> list[list[Fill]]:
        """The executions that were reckoned, stretch by stretch."""
        return [block.fills() for block in self._witness.blocks]

    @cached_property
    def _paid(self) -> dict[str, Paid]:
        found = dict(self._exchange.paid)
        for block in self._witness.blocks:
            found |= block.paid()
        return found

    @cached_property
    def orders(self) -> tuple[OrderReport, ...]:
        """Every order at the exchange, oldest first."""
        found = [*self._exchange.orders.values()]
        for block, fills in zip(self._witness.blocks, self._reckoned, strict=True):
            found += block.orders(fills)
        return tuple(sorted(found, key=lambda each: int(each.order_id[1:])))

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        """Every execution, oldest first."""
        found = [*chain(self._witness.fills, *self._reckoned)]
        return tuple(sorted(found, key=lambda each: int(each.execution_id[1:])))

    @cached_property
    def round_trips(self) -> tuple[Trade, ...]:
        """The trades."""
        intents = dict(self._witness.intents)
        for block in self._witness.blocks:
            intents |= block.intents()
        return round_trips(self.fills, self._exchange, self._paid, intents, self._prices)

    @cached_property
    def costs(self) -> Costs:
        """What all executions cost together, and the swap."""
        fills = self.fills
        booked = sum((each.realized_profit - each.commission for each in fills), start=ZERO)
        return costs_of(fills, self._paid, self._earned - booked)


def costs_of(fills: Sequence[Fill], paid_for: Mapping[str, Paid], swap: Decimal) -> Costs:
    """Return what all ``fills`` cost together, and the swap."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills:
        paid = paid_for.get(fill.execution_id, Paid())
        sums["spread"] += paid.spread
        sums["slippage"] += paid.slippage
        sums["commission"] += fill.commission
    return Costs(
        spread=sums["spread"],
        slippage=sums["slippage"],
        commission=sums["commission"],
        swap=-swap,
    )
