"""Persons who trade by hand while all breaks: over the engine's channel, and as commands.

An answer that doesn't come is no failure. One that does is a promise, which the accounts' files
must keep.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import anyio
from tests.chaos.brokers import ACCOUNTS
from tests.chaos.place import PERSONS, Place

from mtquant.clock import Random
from mtquant.control.reach import NoAnswer, Reached, reach

_ANSWER_S = 30.0
_COMMAND_S = 90.0


@dataclass(slots=True)
class People:
    """``promises``: what was answered of each order, by client order id.

    ``answered`` is when an order was last; ``given`` is set, and made anew, when one is given.
    """

    place: Place
    rng: Random
    promises: dict[str, str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    tracebacks: list[str] = field(default_factory=list)
    answered: float = 0.0
    given: anyio.Event = field(default_factory=anyio.Event)
    _allowed: anyio.Event = field(default_factory=anyio.Event)
    _busy: int = 0
    _prices: dict[str, float] = field(default_factory=dict)

    def go(self) -> None:
        """Trade from now on."""
        self._allowed.set()

    async def pause(self) -> None:
        """Ask for nothing more, and return once nobody waits for an answer."""
        self._allowed = anyio.Event()
        while self._busy:  # noqa: ASYNC110 - several may be waited for
            await anyio.sleep(0.05)

    async def ask(
        self,
        command: str,
        limit_s: float = _ANSWER_S,
        **arguments: Any,  # noqa: ANN401 - a command's
    ) -> dict[str, Any] | None:
        """Return the engine's answer, None where there is none."""
        try:
            return await reach(self.place.state, command, arguments, limit_s)
        except (Reached, OSError, anyio.BrokenResourceError):
            return None

    async def trade(self, name: str) -> None:
        """Send orders over the channel until cancelled."""
        while True:
            await self._allowed.wait()
            self._busy += 1
            try:
                await self._one(name)
            finally:
                self._busy -= 1
            await anyio.sleep(self.rng.uniform(0.0, 0.15))

    async def _one(self, name: str) -> None:
        command, arguments = self._wish()
        if command != "cancel":
            given, self.given = self.given, anyio.Event()
            given.set()
        try:
            answer = await reach(self.place.state, command, arguments | {"by": name}, _ANSWER_S)
        except NoAnswer:
            self.answers["no answer in time"] += 1
        except Reached as error:
            text = str(error)
            self.answers["hung up" if "hung up" in text else f"{command} refused"] += 1
        except (OSError, anyio.BrokenResourceError):
            self.answers["hung up"] += 1
        else:
            if answer is None:
                self.answers["no engine"] += 1
                await anyio.sleep(0.3)
            else:
                self._note(command, answer)

    def _wish(self) -> tuple[str, dict[str, Any]]:
        """Return a command: mostly market orders, and some of everything else."""
        rng, symbol = self.rng, self.rng.choice(PERSONS)
        drawn, side = rng.random(), rng.choice(("buy", "sell"))
        price = self._prices.get(symbol)
        order: dict[str, Any] = {
            "side": side,
            "symbol": symbol,
            "quantity": str(rng.choice((1000, 2000, 3000))),
        }
        if rng.random() < 0.5:
            order["broker"] = rng.choice(ACCOUNTS)
        sign = 1 if side == "buy" else -1
        if drawn < 0.55 or price is None:
            return "order", order
        if drawn < 0.7:  # rests, and may fill while somebody is dead
            return "order", order | {"limit": f"{price * (1 - sign * 0.0004):.5f}"}
        if drawn < 0.82:
            stop, target = price * (1 - sign * 0.0015), price * (1 + sign * 0.0015)
            return "order", order | {"stop_loss": f"{stop:.5f}", "take_profit": f"{target:.5f}"}
        if drawn < 0.96:
            return "close", {"symbol": symbol}
        return "cancel", {"everything": True}

    def _note(self, command: str, answer: dict[str, Any]) -> None:
        rows = answer.get("closed", [answer] if command == "order" else [])
        if command == "cancel":
            self.answers["cancelled all"] += 1
        for row in rows:
            cid = row.get("client_order_id")
            if cid is None:
                self.answers[f"vetoed ({row['code']})"] += 1
                continue
            self.answers[f"order {row['status']}"] += 1
            if row["stage"] != "in_doubt" and row["stage"] != "sent":
                self.promises[cid] = row["status"]
                self.answered = anyio.current_time()
            if row.get("average_price") and "instrument" in row:
                self._prices[row["instrument"]] = float(row["average_price"])

    async def type(self, name: str) -> None:
        """Type commands in a terminal, a process each, until cancelled."""
        while True:
            await anyio.sleep(self.rng.uniform(3.0, 8.0))
            await self._allowed.wait()
            self._busy += 1
            try:
                side, symbol = self.rng.choice(("buy", "sell")), self.rng.choice(PERSONS)
                words = ("order", side, symbol, "1000", "--by", name, "--json")
                code, out, error = await self.run(*words)
                self.answers[f"command ended with {code}"] += 1
                if code in {0, 1} and out.strip():
                    self._note("order", json.loads(out))
                elif "Traceback" in error:
                    self.tracebacks.append(error[-2000:])
            finally:
                self._busy -= 1

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command to its end; return its exit code, -9 where it had to be killed."""
        process = self.place.start(
            self.place.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            with anyio.move_on_after(_COMMAND_S):
                while process.poll() is None:  # noqa: ASYNC110 - a child's end sets no event
                    await anyio.sleep(0.05)
        finally:
            if process.poll() is None:
                process.kill()
        out, error = process.communicate()
        return process.returncode, out, error
