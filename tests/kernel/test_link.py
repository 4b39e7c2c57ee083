"""An account as the engine sees it: what its servers say, in our own symbols."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.kernel.fake_broker import FakeBroker, order, resting

from mtquant.exchange import Terms, instrument
from mtquant.link import Link
from mtquant.model import Instruments, Orders, Positions
from mtquant.symbols import Spelling

pytestmark = pytest.mark.anyio


class Suffixed(FakeBroker):
    """Names its instruments with a suffix, and has one order."""

    def __init__(self) -> None:
        super().__init__()
        self.listings = 0

    async def search_instruments(self, *_: Any, **__: Any) -> Instruments:  # noqa: ANN401 - its base's
        self.listings += 1
        listed = replace(instrument("EUR/USD", Terms()), instrument="EURUSD.a")
        return Instruments(instruments=(listed,))

    async def list_orders(self, *_: Any, **__: Any) -> Orders:  # noqa: ANN401 - its base's
        return Orders(orders=(resting(order(instrument="EURUSD.a")),))

    async def get_positions(self, *_: Any, **__: Any) -> Positions:  # noqa: ANN401 - its base's
        return Positions(positions=())


class Alone(Link):
    """An account with one server, in this process."""

    def __init__(self, broker: FakeBroker) -> None:
        super().__init__("a", (), Spelling(suffix=".a"))
        self.broker = broker

    async def ask(
        self,
        use: Callable[[Any], Awaitable[Any]],
        *,
        waits: bool = False,  # noqa: ARG002 - its base's
    ) -> Any:  # noqa: ANN401 - its base's
        return await use(self.broker)


async def test_what_stands_there_bears_our_symbols_also_before_the_first_reconciliation() -> None:
    broker = Suffixed()
    link = Alone(broker)
    assert [each.instrument for each in await link.working_orders()] == ["EUR/USD"]
    assert await link.positions() == ()
    assert broker.listings == 1
