"""An hour's ticks through the whole chain, fast: ``python -m tests.oanda.soak``.

A simulated OANDA streams 36,000 ticks of each of its instruments, a strategy behind the engine
turns its position over and over, with stops that are hit in between; OANDA's server is a process of
its own. Afterwards every execution of OANDA's must be in our book, and nothing may have piled up.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
from tests.oanda.test_simulator import NETTING, TOKEN

from mtquant.assemble import assemble
from mtquant.audit import Audit, audit
from mtquant.clock import SECOND, SystemClock, seeded
from mtquant.config import Config
from mtquant.contract import Settings, Source, Strategy
from mtquant.engine import Engine, Observer
from mtquant.model import Bars, Quote, Reason, Signal, Ticks, Timeframe
from mtquant.plugins import load_catalogue
from mtquant_simulators.oanda import OandaSettings, serving

SYMBOLS = ("EUR/USD", "GBP/USD", "AUD/USD")
TICKS = 36_000
"""Ten a second for an hour."""
SECONDS = 60
AHEAD_S = 20
"""How long the engine has to start before the first tick."""
LOOKS = 20
"""How often the server's handles are counted, a tenth of a second apart."""
TURN = 25
"""A strategy turns round after so many quotes."""
CLOCK = SystemClock()


class Hour(Source[Settings]):
    """An hour's ticks of each symbol in ``SECONDS``: a sine, so that stops are hit."""

    name = "hour"
    description = "ticks of a sine"

    def __init__(self) -> None:
        super().__init__(Settings())
        step = SECONDS * SECOND // TICKS
        first = (AHEAD_S + 5) * SECOND  # the venue opens when the first bar of five is over
        self._times = (5 * SECOND, *(first + number * step for number in range(TICKS - 1)))

    def symbols(self) -> Sequence[str]:
        """Return the symbols."""
        return SYMBOLS

    def timeframe(self) -> Timeframe:
        """Return the length of the bars that OANDA's candles are made of."""
        return Timeframe.S5

    def bars(self, symbol: str) -> Bars:
        """Return bars that stand still, over all the time there is."""
        times = tuple(second * SECOND for second in range(0, SECONDS + AHEAD_S + 60, 5))
        still = (1.1,) * len(times)
        return Bars(
            instrument=symbol, timeframe=Timeframe.S5, time=times,
            open=still, high=still, low=still, close=still, volume=still,
        )  # fmt: skip

    def ticks(self, symbol: str) -> Ticks:
        """Return ten ticks a second, as they say."""
        phase = SYMBOLS.index(symbol)
        bids = tuple(
            round(1.1 + 0.002 * math.sin(phase + number / 400), 5) for number in range(TICKS)
        )
        asks = tuple(round(each + 0.00002, 5) for each in bids)
        return Ticks(instrument=symbol, time=self._times, bid=bids, ask=asks)


class Turner(Strategy[Settings]):
    """Turns round again and again; a stop near by ends some of it in between. Until it is over."""

    name = "turner"
    description = "turns round after some quotes"
    heard, over = 0, False

    def on_start(self) -> None:
        """Begin to count."""
        self._quotes = 0

    def on_quote(self, quote: Quote) -> Signal | None:
        """Count, and turn."""
        del quote
        Turner.heard += 1
        self._quotes += 1
        if self._quotes % TURN or Turner.over:
            return None
        side = self.long if self._quotes // TURN % 2 else self.short
        return side("it is time", stop_distance=Decimal("0.0006"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """What an hour came to; ``before`` and ``after`` are the server's memory in kB and handles."""

    audited: Audit
    balance_differs: Decimal
    quotes_a_second: float
    before: tuple[int, int]
    after: tuple[int, int]
    stopped_out: int


def settings(folder: Path, url: str) -> dict[str, Any]:
    """Return the engine's configuration: what counts orders over time is out of the way."""
    checks = dict.fromkeys(("throttle", "repeated_order", "duplicate"), False)
    return {
        "engine": {"state_dir": str(folder / "state")},
        "market": {"feed": "live", "timeframe": "S5"},
        "brokers": {
            "oanda": {
                "plugin": "oanda",
                "account_id": NETTING,
                "access_token": f"file:{folder / 'token'}",
                "url": url,
            }
        },
        "strategies": {"turner": {"plugin": "turner", "symbols": list(SYMBOLS)}},
        "risk": {"sizer": {"plugin": "fixed_quantity", "quantity": "1000"}, "checks": checks},
    }


async def soak() -> Soaked:
    """Run an hour's ticks, and hold OANDA's record against ours."""
    found: list[Soaked] = []
    Turner.over = False
    catalogue = load_catalogue()
    catalogue.add("strategy", Turner, "tests", "0")
    simulated = OandaSettings(poll_s=0.002, conflate_s=0, history=0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "token").touch(mode=0o600)
        (folder / "token").write_text(TOKEN)
        async with serving(simulated, source=Hour()) as url:
            config = Config.read(settings(folder, url), "soak")
            made = assemble(config, catalogue, seeded(1), Observer())

            async def feed(engine: Engine) -> None:
                async with anyio.create_task_group() as group:
                    group.start_soon(made.feed, engine)
                    found.append(await _watch(engine))
                    group.cancel_scope.cancel()

            await made.engine.run(feed)
    return found[0]


async def _watch(engine: Engine) -> Soaked:
    """Let the ticks pass, measuring from their first quarter on; audit when they are over."""
    link = engine.wiring.links["oanda"]
    await anyio.sleep(AHEAD_S + SECONDS / 4)
    server = (await link.ask(lambda it: it.get_health())).process_id
    before, heard, started = await _held_by(server), Turner.heard, CLOCK.monotonic()
    await anyio.sleep(SECONDS / 2)
    rate = (Turner.heard - heard) / (CLOCK.monotonic() - started)
    after = await _held_by(server)
    await anyio.sleep(SECONDS / 4 + 5)
    Turner.over = True  # what is audited stands still, however late the machine is
    await engine.idle()
    await engine.desk.catch_up(link)
    fills, account = await link.fills(), await link.account()
    return Soaked(
        audited=await audit(engine),
        balance_differs=account.balance - engine.book.account("oanda").balance,
        quotes_a_second=rate,
        before=before,
        after=after,
        stopped_out=sum(each.reason is Reason.STOP_LOSS for each in fills.fills),
    )


async def _held_by(process: int) -> tuple[int, int]:
    """Return a process's resident memory in kB, and how many handles it keeps open.

    A request under way holds one for a moment; what is held at every look is kept.
    """
    handles = []
    for _ in range(LOOKS):
        handles.append(_handles(process))
        await anyio.sleep(0.1)
    return _resident(process), min(handles)


def _resident(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("VmRSS"))


def _handles(process: int) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


def main() -> None:
    found = anyio.run(soak)
    told = found.audited
    lines = (
        f"{len(SYMBOLS) * TICKS} ticks of {len(SYMBOLS)} instruments in {SECONDS} s",
        f"{found.quotes_a_second:.0f} quotes a second to strategies, conflated as they are read",
        f"{told.executions} executions, {found.stopped_out} of them by stops at OANDA",
        f"lost {len(told.lost)}, doubled {len(told.duplicated)}, differences {told.differences}",
        f"balance: OANDA's is {found.balance_differs} more than ours",
        "server: {} kB and {} handles, then".format(*found.before)
        + " {} kB and {} handles".format(*found.after),
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
