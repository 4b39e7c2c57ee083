"""Getting out: cancel what would open and close what is held, by ticket, until that is done.

It is what a person's halt and the loss breaker ask for. A broker that is down, a closed market or
a refusal ends nothing: it is tried again, and people are told, until it is done or called off.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

import anyio

from mtquant.book import Book, Leaving
from mtquant.clock import Clock, Ids
from mtquant.contract import Level
from mtquant.decide import UNSURE, CloseOrdered, Event, Left, Tell, stay_body
from mtquant.desk_ports import Entries, TradingLink
from mtquant.errors import BrokerError
from mtquant.model import CloseRequest, OrderReport, Position, plain
from mtquant.orders import OrderDesk, Stage

PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""How long is waited before it is tried again; the last one from then on."""


class Withdrawal:
    """Leaves one account after the other, as ``book`` says: ``Leaving`` is what is still to do."""

    def __init__(  # noqa: PLR0913, PLR0917 - what sending takes
        self,
        book: Book,
        desk: OrderDesk,
        journal: Entries,
        clock: Clock,
        ids: Ids,
        emit: Callable[[Event], object],
        tell: Callable[[Tell], None],
        pause: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._book, self._desk, self._journal = book, desk, journal
        self._clock, self._ids, self._emit, self._tell = clock, ids, emit, tell
        self._pause = pause
        self.problems: dict[str, str] = {}

    async def leave(
        self, link: TradingLink, tried: Callable[[], None], idle: Callable[[], Awaitable[None]]
    ) -> None:
        """Go on until nothing is left to do at ``link``; ``tried`` hears that a first try ended.

        ``idle`` waits until every order that was handed out has been answered.
        """
        attempt = 0
        while (wanted := self._book.account(link.name).leaving) is not None:
            told = self.problems.get(link.name)
            closes: list[str] = []
            try:
                left = await self._try(link, wanted, closes)
            finally:
                if not attempt:
                    tried()
            # Before it is looked again: what is on its way would be closed a second time.
            while any(self._desk.tickets[each].stage is Stage.SENT for each in closes):
                await idle()
            left = left or await self._left(link, wanted)
            if not left:
                self.problems.pop(link.name, None)
                self._emit(Left(time=self._clock.now(), name=link.name))
                return
            self.problems[link.name] = text = "; ".join(left)
            if text != told or attempt % 10 == 0:
                message = f"{link.name} is not left yet: {text}; trying on ({wanted.why})"
                self._tell(Tell(level=Level.ALARM, message=message))
            await self._pause(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1
        self.problems.pop(link.name, None)

    async def _try(self, link: TradingLink, wanted: Leaving, closes: list[str]) -> list[str]:
        """Cancel and close once what is still to go; return what could not be asked for.

        ``closes`` takes the client order ids of what was sent. One failure holds up nothing else.
        """
        problems = []
        try:
            for each in await _opening(link) if wanted.cancel else ():
                try:
                    await self._cancel(link, each, wanted)
                except BrokerError as error:
                    problems.append(f"order {each.order_id}: {error}")
            held = await self._positions(link, wanted)
        except BrokerError as error:
            return [*problems, str(error)]
        for position, quantity in self._excess(held, wanted):
            order = close_order(link, position, quantity, wanted.by, self._ids, self._clock)
            self._emit(order)
            closes.append(order.close.client_order_id)
        return problems

    async def _cancel(self, link: TradingLink, order: OrderReport, wanted: Leaving) -> None:
        body = {"account": link.name, "order_id": order.order_id, "by": wanted.by}
        self._journal.append("cancel_ordered", body, durable=True)
        self._book.account(link.name).note_message(self._clock.now())
        await link.cancel(order.order_id)

    async def _positions(self, link: TradingLink, wanted: Leaving) -> Sequence[Position]:
        """Return what is held; the first look says what is to stay of it, for good."""
        if not wanted.share:
            return ()
        held = await link.positions()
        if wanted.stay is None:
            wanted.stay = {
                each.position_id: each.quantity * (1 - wanted.share)
                for each in held
                if wanted.share < 1
            }
            self._journal.append("leaving_stay", stay_body(wanted), durable=True)
        return held

    def _excess(self, held: Sequence[Position], wanted: Leaving) -> list[tuple[Position, Decimal]]:
        """Return what is to go of each position, in steps: what is left over stays below a step."""
        found = []
        for each in held:
            stay = (wanted.stay or {}).get(each.position_id, Decimal(0))
            too_much = each.quantity - stay
            instrument = self._book.account(wanted.account).instruments.get(each.instrument)
            if stay and instrument is not None:
                too_much = too_much // instrument.quantity_step * instrument.quantity_step
            if too_much > 0:
                found.append((each, too_much))
        return found

    async def _left(self, link: TradingLink, wanted: Leaving) -> list[str]:
        """Return in words what is still to go, as the broker says."""
        try:
            orders = await _opening(link) if wanted.cancel else []
            held = self._excess(await self._positions(link, wanted), wanted)
        except BrokerError as error:
            return [str(error)]
        # An order of ours that the broker doesn't show yet may still come to open something.
        coming = [
            f"what became of order {each.client_order_id} is not known yet"
            for each in self._book.account(link.name).working.values()
            if each.opens and each.status in UNSURE
        ]
        works = [f"order {each.order_id} works" for each in orders]
        closing = [
            f"{plain(quantity)} {position.instrument} to be closed" for position, quantity in held
        ]
        return coming + works + closing


async def _opening(link: TradingLink) -> list[OrderReport]:
    """Return the working orders that protect no position."""
    return [each for each in await link.working_orders() if each.position_id is None]


def close_order(
    link: TradingLink, position: Position, quantity: Decimal, by: str, ids: Ids, clock: Clock
) -> CloseOrdered:
    """Return the order of ``by`` to close ``quantity`` of a position: by ticket where there are."""
    return CloseOrdered(
        time=clock.now(),
        by=by,
        account=link.name,
        symbol=position.instrument,
        side=position.side.opposite,
        close=CloseRequest(
            client_order_id=ids.new(),
            instrument=position.instrument if link.netting else None,
            position_id=None if link.netting else position.position_id,
            quantity=quantity,
        ),
    )
