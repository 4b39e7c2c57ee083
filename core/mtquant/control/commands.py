"""What a person may do, by name: arguments in, JSON-ready answers out.

Whatever could add risk goes through the gate; what is sent to a broker is journaled first.
"""

from __future__ import annotations

import secrets  # noqa: TID251 - a code that approves must not be guessable from any seed
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from mtquant.contract import Settings
from mtquant.control.arguments import (
    AnswerArguments,
    ByBroker,
    CancelArguments,
    CashFlowArguments,
    CloseArguments,
    HaltArguments,
    ModeArguments,
    ModifyArguments,
    Nothing,
    OrderArguments,
    OrdersArguments,
    ReconcileArguments,
    ResumeArguments,
    StopArguments,
)
from mtquant.control.changing import Changing
from mtquant.control.codes import ApprovalCodes
from mtquant.control.finding import refresh
from mtquant.control.looking import Looking
from mtquant.control.reconciling import Reconciling
from mtquant.control.trading import Trading
from mtquant.decide import Answered, CashFlowExpected, HaltSet, ModeSet
from mtquant.engine import Engine
from mtquant.errors import ConfigError
from mtquant.feed import HALT_FILE, halt_file_lies
from mtquant.model import plain

Answer = dict[str, Any]
_HALT_ANSWER_S = 10.0
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Command:
    """One command: what it takes, and what does it."""

    arguments: type[Settings]
    run: Callable[[Any], Awaitable[Answer]]


class Commands:
    """Every command over one engine. ``stop`` is called to end it; None where it can't be.

    ``codes`` are those of its suggestions, which a person types to approve one elsewhere.
    """

    def __init__(
        self, engine: Engine, stop: Callable[[StopArguments], Awaitable[None]] | None = None
    ) -> None:
        self._engine = engine
        self._stop = stop
        self.codes = ApprovalCodes(secrets.token_bytes(_KEY_BYTES))
        looking, trading = Looking(engine, self.codes.code), Trading(engine)
        self.table: dict[str, Command] = {
            "account": Command(ByBroker, looking.accounts),
            "positions": Command(ByBroker, looking.positions),
            "orders": Command(OrdersArguments, looking.orders),
            "suggestions": Command(Nothing, looking.suggestions),
            "todo": Command(Nothing, looking.todo),
            "overview": Command(Nothing, looking.overview),
            "reconcile": Command(ReconcileArguments, Reconciling(engine).reconcile),
            "order": Command(OrderArguments, trading.order),
            "check": Command(OrderArguments, trading.check),
            "close": Command(CloseArguments, trading.close),
            "cancel": Command(CancelArguments, trading.cancel),
            "modify": Command(ModifyArguments, Changing(engine).modify),
            "approve": Command(AnswerArguments, self._approve),
            "reject": Command(AnswerArguments, self._reject),
            "mode": Command(ModeArguments, self._mode),
            "halt": Command(HaltArguments, self._halt),
            "resume": Command(ResumeArguments, self._resume),
            "stop": Command(StopArguments, self._end),
            "cash-flow": Command(CashFlowArguments, self._cash_flow),
        }

    def add(self, more: Mapping[str, Command]) -> None:
        """Take in commands of other parts; one that is known already keeps its meaning."""
        self.table = dict(more) | self.table

    async def run(self, name: str, arguments: Mapping[str, Any]) -> Answer:
        """Run the command ``name``.

        Raises MtquantError, whose message names what is wrong and the remedy.
        """
        command = self.table.get(name)
        if command is None:
            raise ConfigError("command", f"{name!r} is none", f"Have: {', '.join(self.table)}.")
        try:
            return await command.run(command.arguments.read(arguments, name))
        finally:
            # What a person is told is on disk, where `log` and `risk explain` find it.
            self._engine.wiring.journal.flush()

    def run_first(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Do what of a command needs no broker and may not wait for one: a halt's stop.

        Raises ConfigError where the arguments are wrong.
        """
        if name == "halt":
            self._stop_all(HaltArguments.read(arguments, name))
            self._engine.wiring.journal.flush()

    async def _approve(self, asked: AnswerArguments) -> Answer:
        return await self._answer(asked, approved=True)

    async def _reject(self, asked: AnswerArguments) -> Answer:
        if not asked.why:
            raise ConfigError("reject.why", "is missing", "Say why, for the journal: --why TEXT.")
        return await self._answer(asked, approved=False)

    async def _answer(self, asked: AnswerArguments, *, approved: bool) -> Answer:
        engine, book = self._engine, self._engine.book
        suggestion = book.suggestions.get(asked.number)
        if suggestion is None:
            known = book.outcomes.get(asked.number)
            problem = f"suggestion {asked.number} {f'is {known}' if known else 'does not exist'}"
            raise ConfigError("number", problem, "`mtquant suggestions` lists those that wait.")
        if approved:
            await refresh(engine, suggestion.account, suggestion.order.instrument)
        engine.emit(
            Answered(
                time=engine.wiring.clock.now(),
                number=asked.number,
                approved=approved,
                by=asked.by,
                why=asked.why,
                digest=asked.digest,
            )
        )
        await engine.idle()
        outcome = book.outcomes.get(asked.number, "")
        done = outcome.startswith("approved") if approved else outcome.startswith("rejected")
        return {"number": asked.number, "done": done, "outcome": outcome}

    async def _mode(self, asked: ModeArguments) -> Answer:
        engine = self._engine
        known = sorted(engine.wiring.decider.rules.modes)
        if asked.strategy not in known:
            problem = f"no strategy {asked.strategy!r}"
            raise ConfigError("strategy", problem, f"Configured: {', '.join(known) or 'none'}.")
        engine.emit(
            ModeSet(
                time=engine.wiring.clock.now(),
                strategy_id=asked.strategy,
                mode=asked.mode,
                by=asked.by,
                why=asked.why,
            )
        )
        return {"strategy": asked.strategy, "mode": asked.mode.value}

    async def _halt(self, asked: HaltArguments) -> Answer:
        """Halt first: whatever fails afterwards, nothing is opened any more.

        It answers once every account is left, or after a while with what is still to do: the
        engine goes on trying, also after a restart, until it is done or a person resumes.
        """
        engine = self._engine
        self._stop_all(asked)
        with anyio.move_on_after(_HALT_ANSWER_S):
            await engine.left()
        problems = engine.withdrawal.problems
        gone = {
            name: "it is not in the configuration any more"
            for name in engine.book.accounts
            if name not in engine.wiring.links
        }
        failed = [
            {"account": name, "problem": (gone | problems).get(name, "no answer yet")}
            for name in self._still_leaving()
        ]
        return {"halted": engine.book.halted, "flatten": asked.flatten, "failed": failed}

    def _stop_all(self, asked: HaltArguments) -> None:
        engine = self._engine
        now = engine.wiring.clock.now()
        engine.emit(HaltSet(time=now, on=True, by=asked.by, why=asked.why, flatten=asked.flatten))

    def _still_leaving(self) -> list[str]:
        accounts = self._engine.book.accounts
        return [name for name, each in accounts.items() if each.leaving is not None]

    async def _resume(self, asked: ResumeArguments) -> Answer:
        engine = self._engine
        if not engine.book.halted:
            raise ConfigError("resume", "nothing is halted", "There is nothing to end.")
        if halt_file_lies(engine.wiring.status_file):
            problem = f"the file {HALT_FILE} lies in the state folder and halts again"
            raise ConfigError("resume", problem, "Take the file away first.")
        now = engine.wiring.clock.now()
        engine.emit(HaltSet(time=now, on=False, by=asked.by, why=asked.why))
        return {"halted": ""}

    async def _cash_flow(self, asked: CashFlowArguments) -> Answer:
        """Expect a deposit or withdrawal."""
        engine, known = self._engine, sorted(self._engine.wiring.links)
        if asked.deposit and asked.withdrawal:
            raise ConfigError("cash-flow", "both are named", "Name a deposit or a withdrawal.")
        if asked.account not in known:
            problem = f"no account {asked.account!r}"
            raise ConfigError("account", problem, f"Configured: {', '.join(known)}.")
        if engine.book.account(asked.account).account is None:
            problem = f"{asked.account} was never reached, so its balance isn't known"
            raise ConfigError("account", problem, "Say it again once its broker answers.")
        engine.emit(
            CashFlowExpected(
                time=engine.wiring.clock.now(),
                account=asked.account,
                amount=asked.deposit or -asked.withdrawal,
                by=asked.by,
                why=asked.why,
            )
        )
        return {"account": asked.account, "amount": plain(asked.deposit or -asked.withdrawal)}

    async def _end(self, asked: StopArguments) -> Answer:
        if self._stop is None:
            raise ConfigError("stop", "no engine runs", "There is nothing to stop.")
        await self._stop(asked)
        return {"stopping": True, "close": asked.close}
