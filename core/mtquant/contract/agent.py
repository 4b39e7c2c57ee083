"""Who an LLM agent is to us: its scopes, its mode, and the budget that the gate holds it to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mtquant.contract.plugin import Settings
from mtquant.model import Mode, Number

EVERY = "*"
"""In a budget's list: all there are."""
NAME = r"^[a-z][a-z0-9_-]{0,31}$"
_PREFIX = "agent:"
_Money = Annotated[Number, Field(ge=0)]


class AgentScope(StrEnum):
    """What an agent's tools may do. None of them approves an order or lifts a limit.

    ``read`` looks; ``propose`` suggests orders, which wait for a person; ``trade`` sends orders and
    changes and closes what is the agent's own; ``admin`` sees every agent's doings and may halt
    all new exposure. Each stands for itself.
    """

    READ = "read"
    PROPOSE = "propose"
    TRADE = "trade"
    ADMIN = "admin"


class AgentBudget(Settings):
    """What an agent's orders may come to; what isn't given is nothing.

    ``instruments``: the only ones it may open, ``*`` for all. ``notional``: the most that its
    orders may open within 24 hours, and the most that they may hold, over all accounts. ``orders``:
    how many orders that open it may send within 24 hours. ``loss``: what its trades may lose
    within 24 hours, closed and open; beyond it opens nothing. Money is in ``currency`` (ISO 4217).
    ``strategies``: those it may backtest, ``*`` for all. ``calls_per_second``: how many calls of
    tools, with bursts of four times as many; what cancels, closes or halts isn't counted.
    """

    currency: str = Field("USD", pattern=r"^[A-Z]{3}$")
    instruments: tuple[str, ...] = ()
    notional: _Money = Decimal(0)
    orders: int = Field(0, ge=0, le=100_000)
    loss: _Money = Decimal(0)
    strategies: tuple[str, ...] = ()
    calls_per_second: float = Field(10.0, gt=0, le=1000)

    def opens(self, symbol: str) -> bool:
        """Tell whether it may open exposure in ``symbol``."""
        return EVERY in self.instruments or symbol in self.instruments

    def plays(self, strategy: str) -> bool:
        """Tell whether it may backtest ``strategy``."""
        return EVERY in self.strategies or strategy in self.strategies


class Agent(Settings):
    """One agent. Its ``mode`` is that of its orders which open exposure.

    ``semi``: each waits for a person; ``auto``: it is sent at once, where the agent's scopes have
    ``trade``; ``manual``: it is looked at by the gate, and never sent.
    """

    name: str = Field(pattern=NAME)
    scopes: tuple[AgentScope, ...] = (AgentScope.READ,)
    mode: Mode = Mode.SEMI
    budget: AgentBudget = AgentBudget()

    @property
    def source(self) -> str:
        """Who its orders are from, as the gate and the journal name it."""
        return source_of(self.name)


def source_of(name: str) -> str:
    """Return whom an agent's orders are said to be from."""
    return f"{_PREFIX}{name}"


def agent_of(source: str) -> str | None:
    """Return the agent's name where ``source`` is one, else None."""
    return source.removeprefix(_PREFIX) if source.startswith(_PREFIX) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStanding:
    """An agent, and what it has used of its budget when its order is looked at.

    ``orders`` is how many orders it sent within 24 hours, ``opened`` the notional value of those
    that were sent or filled within them, or that work; ``held`` is that of what it holds now and
    its orders may still open, ``lost`` what its trades lost within 24 hours, closed and open: in
    the budget's currency, over all accounts, None where that can't be known. ``rate`` turns the
    account's currency into the budget's. ``beside`` names who else holds, or has orders working, in
    the instrument at that account; empty for nobody.
    """

    agent: Agent
    orders: int
    opened: Decimal | None
    held: Decimal | None
    lost: Decimal | None
    rate: Decimal | None
    beside: str = ""
