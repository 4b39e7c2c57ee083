"""The simulated OANDA over real HTTP, in a thread of its own, for clients that block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests
from anyio.from_thread import start_blocking_portal
from tests.simulators.desk import HEADERS, HEDGING, NETTING, START, Script

from mtquant.clock import SECOND, ManualClock
from mtquant_simulators.oanda import AccountSettings, Limits, OandaSettings, serving

PATIENCE_S = 20


@dataclass
class Served:
    """A running venue: its URL, and the clock that moves it."""

    url: str
    clock: ManualClock
    account_id: str = NETTING

    def step(self, seconds: float) -> None:
        self.clock.set(self.clock.now() + round(seconds * SECOND))

    def path(self, path: str) -> str:
        return f"{self.url}/v3/accounts/{self.account_id}{path}"

    def get(self, path: str, **more: Any) -> requests.Response:  # noqa: ANN401 - of requests
        return requests.get(self.path(path), headers=HEADERS, timeout=PATIENCE_S, **more)

    def order(self, **fields: object) -> requests.Response:
        body: Any = {"order": {"type": "MARKET", "instrument": "EUR_USD", "units": "100"} | fields}
        return requests.post(self.path("/orders"), json=body, headers=HEADERS, timeout=PATIENCE_S)


@contextmanager
def served(
    mids: Sequence[float] = (1.1,) * 200,
    **settings: Any,  # noqa: ANN401 - of OandaSettings
) -> Iterator[Served]:
    """Serve on loopback within the ``with``."""
    table = {
        "accounts": (AccountSettings(), AccountSettings(account_id=HEDGING, hedging=True)),
        "rebase": False,
        "history": 0,
        "limits": Limits(on=False),
    }
    made = OandaSettings.read(table | settings, "settings")
    clock = ManualClock(START)
    with start_blocking_portal() as portal:
        context = serving(made, clock, source=Script(mids))
        with portal.wrap_async_context_manager(context) as url:
            yield Served(url, clock)
