"""A broker with an MCP server of its own: `mtquant serve coindesk`."""

from math import sin
from pathlib import Path

from mtquant import Settings
from mtquant.clock import SECOND, SystemClock
from mtquant.contract import BrokerPlugin
from mtquant.exchange import ExchangeSettings
from mtquant.model import Bars
from mtquant.simulated_broker import SimulatedBroker

TERMS = {"pip_size": "1", "price_step": "1", "quantity_min": "0.01", "quantity_step": "0.01"}


class Desk(SimulatedBroker):
    """Trades bitcoin at prices of its own, on an account kept in a folder."""

    name = "coindesk"

    def __init__(self, account, folder):
        settings = ExchangeSettings.read({"account_id": account} | TERMS, "coindesk")
        super().__init__(settings, ("BTC/USD",), SystemClock(), folder)

    def mid(self, symbol, now):
        return 60_000 + 500 * sin(now / SECOND / 3)

    async def get_bars(self, instrument, timeframe, from_=None, to=None, count=500, price="mid"):
        self.ours(instrument)
        step = timeframe.seconds * SECOND
        last = min(to or self.now(), self.now()) // step
        first = max(last - count, -(-(from_ or 0) // step))
        time = tuple(index * step for index in range(first, last))
        mids = tuple(self.mid(instrument, each) for each in time)
        columns = dict.fromkeys(("open", "high", "low", "close"), mids)
        zeros = (0.0,) * len(time)
        return Bars(instrument=instrument, timeframe=timeframe, time=time, volume=zeros, **columns)


class Coindesk(BrokerPlugin[Settings]):
    name = "coindesk"

    def broker(self, account, state_dir):
        return Desk(account, Path(state_dir))
