"""The arguments of commands, as they come from the command line or over the channel."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from mtquant.contract import Settings
from mtquant.model import Mode, Number, Positive, Side, TimeInForce
from mtquant.model.fields import Time


class Nothing(Settings):
    """No arguments."""


class ByBroker(Settings):
    """``broker`` is an account as it is named in the configuration; none is all of them."""

    broker: str | None = None


class OrdersArguments(Settings):
    """Which orders to list; ``in_doubt``: only ours whose fate isn't known."""

    broker: str | None = None
    in_doubt: bool = False


class ReconcileArguments(Settings):
    """Compare the books, and take something over before, by whom and why.

    ``accept``: the record of ``broker``. ``settle``: that the broker doesn't have the order in
    doubt of this client order id, and won't.
    """

    broker: str | None = None
    accept: bool = False
    settle: str = ""
    why: str = ""
    by: str = ""


class OrderArguments(Settings):
    """An order: ``quantity`` in base units, prices in the quote currency.

    With ``limit`` it is a limit order, with ``stop`` a stop order, with both a stop-limit order,
    else a market order. ``by`` is who orders it; ``broker`` where, unless the route shall say.
    """

    side: Side
    symbol: str
    quantity: Positive
    limit: Positive | None = None
    stop: Positive | None = None
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    trailing_stop: Positive | None = None
    time_in_force: TimeInForce | None = None
    expires: Time | None = None
    broker: str | None = None
    by: str


class CloseArguments(Settings):
    """A position to close: ``quantity`` of it in base units, or all.

    ``position`` is the broker's id of one position, where it keeps several in a symbol.
    """

    symbol: str
    quantity: Positive | None = None
    position: str | None = None
    broker: str | None = None
    by: str


class CancelArguments(Settings):
    """An order to cancel by its id or client order id, or ``everything`` that is working.

    What protects positions is cancelled with everything only where ``protections`` says so.
    """

    order: str | None = None
    everything: bool = False
    protections: bool = False
    broker: str | None = None
    by: str


class ModifyArguments(Settings):
    """A change of a working order, or of what protects a position.

    ``target`` is an order's id or client order id, a position's id, or a symbol in which one
    position is open. What is None stays as it is; a name in ``clear`` is taken away.
    """

    target: str
    quantity: Positive | None = None
    limit: Positive | None = None
    stop: Positive | None = None
    stop_loss: Positive | None = None
    take_profit: Positive | None = None
    trailing_stop: Positive | None = None
    clear: tuple[Literal["stop_loss", "take_profit", "trailing_stop"], ...] = ()
    broker: str | None = None
    by: str


class AnswerArguments(Settings):
    """An answer to a suggestion; ``digest`` binds an approval to the order that was shown."""

    number: int = Field(ge=1)
    digest: str = ""
    why: str = ""
    by: str


class ModeArguments(Settings):
    """Who sends a strategy's orders from now on."""

    strategy: str
    mode: Mode
    why: str = ""
    by: str


class HaltArguments(Settings):
    """Stop all new exposure and cancel what would open; ``flatten`` closes every position too."""

    why: str = Field(min_length=1)
    flatten: bool = False
    by: str


class CashFlowArguments(Settings):
    """What is about to be paid in or out, in the account's currency; neither: nothing is."""

    account: str
    deposit: Annotated[Number, Field(ge=0)] = Decimal(0)
    withdrawal: Annotated[Number, Field(ge=0)] = Decimal(0)
    why: str = Field(min_length=1)
    by: str


class ResumeArguments(Settings):
    """End a halt: who does it, and why."""

    why: str = Field(min_length=1)
    by: str


class StopArguments(Settings):
    """How to stop: keep the positions, or close the strategies' first."""

    close: bool = False
    by: str
