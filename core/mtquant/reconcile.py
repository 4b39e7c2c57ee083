"""Comparing the books: on every connect, when a person asks, and while they differ.

What differs in one instrument stops new exposure there; a balance that differs, or a record that
can't be read, stops the whole account. It ends when the difference heals by itself, such as with
a late fill, or when a person accepts the broker's record. Closing is never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import anyio
from anyio.abc import TaskGroup

from mtquant.book import Book
from mtquant.clock import Clock
from mtquant.comparison import Comparison
from mtquant.contract import Level
from mtquant.decide import Accepted, Event, Tell
from mtquant.errors import BrokerError, ConfigError, MtquantError, ReconciliationError
from mtquant.link import Link
from mtquant.model import Environment
from mtquant.orders import OrderDesk, Stage
from mtquant.pins import Pins

PAUSES_S = (2.0, 5.0, 10.0, 30.0, 60.0)
"""How long is waited before books that differ are compared again; the last one from then on."""


class Reconciler:
    """Compares the accounts of one engine, and blocks what can't be trusted.

    ``changed`` hears that what may be traded changed, ``settle`` that orders may be in doubt.
    ``group`` runs the comparisons that are repeated; none are before it is set. ``pins`` are what
    the servers' tools were.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what comparing takes
        self,
        book: Book,
        desk: OrderDesk,
        clock: Clock,
        emit: Callable[[Event], object],
        tell: Callable[[Tell], None],
        changed: Callable[[], None],
        settle: Callable[[], None],
        live_accounts: Mapping[str, str],
        pins: Pins,
    ) -> None:
        self.group: TaskGroup | None = None
        self.pins = pins
        self._book, self._desk, self._clock = book, desk, clock
        self._emit, self._tell, self._changed, self._settle = emit, tell, changed, settle
        self._live_accounts = live_accounts
        self._repeating: set[str] = set()
        self._told: dict[str, str] = {}

    async def reconcile(self, link: Link) -> None:
        """Compare, with ``link.lock`` held, and block or unblock what follows from it.

        Raises BrokerError where the broker can't be asked: then the account is blocked.
        """
        try:
            await self.learn(link)
            found = await self._desk.reconcile(link)
            forbidden = await why_forbidden(link, self._live_accounts)
        except ReconciliationError as error:
            link.compared, link.blocked = None, f"the books differ: {error}"
            self._alarm(link, f"{link.blocked}; no order goes there")
        except BrokerError as error:
            link.compared, link.blocked = None, f"not reconciled: {error}"
            self._repeat(link)
            raise
        else:
            link.compared = found
            self._weigh(link, found, forbidden)
        self._settle()
        self._repeat(link)

    async def learn(self, link: Link) -> None:
        """Learn the account's instruments, if they aren't known yet.

        Nothing that a broker says can be understood before. Raises BrokerError where it can't be.
        """
        await link.know_symbols()
        book = self._book.account(link.name)
        if not book.instruments:
            book.list_instruments(link.instruments())

    def _weigh(self, link: Link, found: Comparison, forbidden: str) -> None:
        """Block what ``found`` says can't be trusted, and tell people what changed in that."""
        name = link.name
        remedy = f"until they agree, or a person accepts: mtquant reconcile --broker {name}"
        if found.balance_differs:
            link.blocked = f"the books differ: {name}: {found}"
            self._alarm(link, f"{link.blocked}; no order goes there {remedy}")
            return
        link.blocked = forbidden
        if found.differing:
            symbols = ", ".join(each.instrument for each in found.differing)
            differs = f"the books differ: {name}: {found}; nothing is opened in {symbols} there"
            self._alarm(link, f"{differs} {remedy}" + (f"; {forbidden}" if forbidden else ""))
            return
        healed = "books differ" in self._told.get(name, "")
        if healed:
            self._told.pop(name)
            self._tell(Tell(level=Level.INFO, message=f"{name}: the books agree again"))
        if forbidden:
            self._alarm(link, f"{name}: {forbidden}")
        elif self._told.pop(name, ""):
            self._tell(Tell(level=Level.INFO, message=f"{name}: reconciled; it is traded again"))

    def block(self, link: Link, why: str) -> None:
        """Send nothing more to an account until it has been reconciled again."""
        link.compared, link.blocked = None, f"not reconciled: {why}"
        self._alarm(link, f"{link.name}: {link.blocked}")
        self._repeat(link)

    def _alarm(self, link: Link, message: str) -> None:
        """Tell people once: a difference that stays is found again with every comparison."""
        if self._told.get(link.name) != message:
            self._told[link.name] = message
            self._tell(Tell(level=Level.ALARM, message=message))

    async def compare(self, link: Link) -> None:
        """Compare now. Raises BrokerError where the broker can't be asked."""
        try:
            async with link.lock:
                await self.reconcile(link)
        except BrokerError:
            self._changed()
            raise
        self._changed()

    async def accept(self, link: Link, by: str, why: str) -> Comparison:
        """Take the broker's record over into the book where they differ; return what was accepted.

        Servers whose tools have changed are trusted again as well, whatever else comes of it. No
        order is sent by it. Raises ConfigError where there is nothing to accept, or where the fate
        of an order isn't known: what it does would be counted twice. Raises BrokerError where the
        broker can't be asked.
        """
        trusted = self._trust(link, by, why)
        try:
            async with link.lock:
                await self.reconcile(link)
                self._require_known_fates(link)
                found = await self._desk.compare_at_rest(link)
                if found.agrees and not trusted:
                    problem = f"nothing differs at {link.name}"
                    raise ConfigError("accept", problem, "There is nothing to accept.")
                if not found.agrees:
                    event = Accepted(time=self._clock.now(), by=by, why=why, comparison=found)
                    self._emit(event)
                    await self.reconcile(link)
        except MtquantError:
            # What was compared on the way may have blocked the account, or let it trade again.
            self._changed()
            raise
        self._changed()
        return found

    def _trust(self, link: Link, by: str, why: str) -> bool:
        """Trust the account's servers as they are now; return False where all were trusted."""
        changed = [
            each for each in link.sessions if self.pins.accept(link.name, each.name, by, why)
        ]
        for each in changed:
            each.untrusted = ""
        return bool(changed)

    def _require_known_fates(self, link: Link) -> None:
        for each in self._desk.tickets.values():
            if each.account == link.name and each.stage in {Stage.SENT, Stage.IN_DOUBT}:
                how = "is in doubt" if each.stage is Stage.IN_DOUBT else "is being sent"
                problem = f"order {each.client_order_id} ({each.instrument}) at {link.name} {how}"
                remedy = "`mtquant orders --in-doubt` says what is tried; accept once it is known."
                raise ConfigError("accept", problem, remedy)

    def _repeat(self, link: Link) -> None:
        """See to it that books that differ are compared until they don't."""
        if self.group is not None and not link.agrees and link.name not in self._repeating:
            self._repeating.add(link.name)
            self.group.start_soon(self._until_they_agree, link)

    async def _until_they_agree(self, link: Link) -> None:
        """Compare, with growing pauses, while the account is connected.

        When it isn't, the next connection's reconciliation does it.
        """
        attempt = 0
        while self._to_compare(link):
            await anyio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1
            if self._to_compare(link):
                with suppress(BrokerError):
                    await self.compare(link)
        self._repeating.discard(link.name)

    @staticmethod
    def _to_compare(link: Link) -> bool:
        return link.connected and not link.agrees


async def why_forbidden(link: Link, live_accounts: Mapping[str, str]) -> str:
    """Return why an account may not be traded although the books agree, or nothing.

    What isn't plainly paper or practice by the broker's own word counts as real money.
    """
    capabilities = link.capabilities
    if capabilities and capabilities.environment in {Environment.PAPER, Environment.PRACTICE}:
        return ""
    number = (await link.account()).account_id
    allowed = live_accounts.get(link.name)
    if allowed is None:
        return (
            f"account {number} is real money and only looked at; to trade it set "
            f'brokers.{link.name}.live_account = "{number}" and run with --live'
        )
    if allowed != number:
        return f"the broker says account {number}, the configuration live_account = {allowed!r}"
    return ""
