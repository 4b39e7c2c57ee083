"""A read-only run against OANDA's practice host, where a token and an account are given.

    OANDA_TOKEN=... OANDA_ACCOUNT=101-004-1234567-001 pytest tests/oanda/test_practice.py

It sends no request that changes anything, and skips itself without the two variables.
"""

from __future__ import annotations

import os

import anyio
import pytest

from mtquant.clock import SystemClock
from mtquant.model import Environment, Stream, Timeframe
from mtquant_oanda_server.broker import OandaBroker
from mtquant_oanda_server.settings import OandaSettings

TOKEN, ACCOUNT = os.environ.get("OANDA_TOKEN", ""), os.environ.get("OANDA_ACCOUNT", "")


@pytest.mark.slow
@pytest.mark.skipif(not (TOKEN and ACCOUNT), reason="OANDA_TOKEN and OANDA_ACCOUNT aren't set")
def test_what_can_be_read_is_read() -> None:
    async def scene() -> None:
        settings = OandaSettings(account_id=ACCOUNT)
        async with OandaBroker(settings, TOKEN, SystemClock()) as broker:
            assert (await broker.get_capabilities()).environment is Environment.PRACTICE
            assert (await broker.get_account()).account_id == ACCOUNT
            listed = (await broker.search_instruments("", limit=1000)).instruments
            assert "EUR_USD" in [each.instrument for each in listed]
            (quote,) = (await broker.get_quotes(("EUR_USD",))).quotes
            assert quote.bid <= quote.ask
            bars = await broker.get_bars("EUR_USD", Timeframe.M1, count=100)
            assert len(bars) == 100
            await broker.get_positions()
            await broker.list_orders()
            page = await broker.get_changes(wait_s=6)  # a heartbeat's time
            assert page.cursor.isdigit()
            health = await broker.get_health()
            assert health.connected
            assert health.age(Stream.TRANSACTIONS) is not None

    anyio.run(scene)
