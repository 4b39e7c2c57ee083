"""Honest brokers of every shape pass the kit: what they lack is skipped, and nothing fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.kernel.wrong_brokers import Good, Stepped

from mtquant.contract import Broker
from mtquant.model import (
    Account,
    Capabilities,
    Changes,
    CloseRequest,
    Feature,
    Fills,
    Health,
    Instrument,
    Instruments,
    OrderReport,
    OrderRequest,
    Orders,
    OrderStatus,
    OrderType,
    Positions,
    Quotes,
    TimeInForce,
)
from mtquant.testing import near, run
from mtquant.testing.run import Outcome, Run
from mtquant.wire.offered import check_offered


class ReadOnly(Broker):
    """Has the tools that every broker has, and none that trades."""

    order_types: tuple[OrderType, ...] = ()
    times: tuple[TimeInForce, ...] = ()

    def __init__(self) -> None:
        self.venue = Good()

    async def get_health(self) -> Health:
        return await self.venue.get_health()

    async def get_capabilities(self) -> Capabilities:
        return replace(
            await self.venue.get_capabilities(),
            order_types=self.order_types,
            time_in_force=self.times,
            features=(),
        )

    async def get_account(self, account_id: str | None = None) -> Account:
        return await self.venue.get_account(account_id)

    async def search_instruments(
        self, query: str, limit: int = 100, cursor: str | None = None
    ) -> Instruments:
        found = await self.venue.search_instruments(query, limit, cursor)
        return replace(found, instruments=tuple(self._offered(x) for x in found.instruments))

    async def get_instrument(self, instrument: str) -> Instrument:
        return self._offered(await self.venue.get_instrument(instrument))

    def _offered(self, instrument: Instrument) -> Instrument:
        return replace(instrument, order_types=self.order_types)

    async def get_quotes(self, instruments: tuple[str, ...]) -> Quotes:
        return await self.venue.get_quotes(instruments)

    async def get_positions(self, instrument: str | None = None) -> Positions:
        return await self.venue.get_positions(instrument)

    async def list_orders(
        self, status: OrderStatus | None = None, limit: int = 100, cursor: str | None = None
    ) -> Orders:
        return await self.venue.list_orders(status, limit, cursor)

    async def get_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        return await self.venue.get_order(order_id, client_order_id)

    async def list_fills(
        self,
        since: str | None = None,
        order_id: str | None = None,
        instrument: str | None = None,
        from_: int | None = None,
        to: int | None = None,
        limit: int = 1000,
    ) -> Fills:
        return await self.venue.list_fills(since, order_id, instrument, from_, to, limit)

    async def get_changes(
        self, since: str | None = None, limit: int = 1000, wait_s: float = 0
    ) -> Changes:
        return await self.venue.get_changes(since, limit, wait_s)


class MarketOnly(ReadOnly):
    """Takes market orders, cancels and closes, and nothing else."""

    order_types = (OrderType.MARKET,)
    times = (TimeInForce.FOK,)

    async def place_order(self, order: OrderRequest) -> OrderReport:
        check_offered(order, await self.get_capabilities())
        return await self.venue.place_order(order)

    async def cancel_order(
        self, order_id: str | None = None, client_order_id: str | None = None
    ) -> OrderReport:
        return await self.venue.cancel_order(order_id, client_order_id)

    async def close_position(self, close: CloseRequest) -> OrderReport:
        return await self.venue.close_position(close)


class LimitOnly(MarketOnly):
    """Takes limit orders, good till cancelled."""

    order_types = (OrderType.LIMIT,)
    times = (TimeInForce.GTC,)


class Plain(Good):
    """Has every tool, and one of the features."""

    async def get_capabilities(self) -> Capabilities:
        return replace(await super().get_capabilities(), features=(Feature.PARTIAL_CLOSE,))

    async def place_order(self, order: OrderRequest) -> OrderReport:
        check_offered(order, await self.get_capabilities())
        return await super().place_order(order)


SHAPES = (ReadOnly, MarketOnly, LimitOnly, Stepped, Plain)


def failures(done: Run) -> list[str]:
    """Return what failed, a line each."""
    bad = [each for each in done.results if each.outcome is Outcome.FAILED]
    return [f"{each.case.number}: {each.why}" for each in bad]


@pytest.mark.parametrize("kind", SHAPES)
def test_an_honest_broker_fails_nothing(kind: type[Broker], tmp_path: Path) -> None:
    done = anyio.run(run, near(kind, tmp_path))
    assert failures(done) == []
