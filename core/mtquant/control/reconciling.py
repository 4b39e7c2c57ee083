"""The books beside the brokers' records, and a person's acceptance of one."""

from __future__ import annotations

from typing import Any

from mtquant.comparison import Comparison
from mtquant.control.arguments import ReconcileArguments
from mtquant.control.doubts import doubts
from mtquant.control.finding import links
from mtquant.engine import Engine
from mtquant.errors import BrokerError, ConfigError, ReconciliationError
from mtquant.link import Link
from mtquant.model import OrderReport, plain


class Reconciling:
    """What a person compares and accepts through one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def reconcile(self, asked: ReconcileArguments) -> dict[str, Any]:
        """Compare now; where it is asked for, settle an order or accept a record first."""
        if asked.accept or asked.settle:
            _require_reasons(asked)
        settled = await self._settle(asked) if asked.settle else None
        accepted = await self._accept(asked) if asked.accept else None
        rows: list[dict[str, Any]] = []
        problems = []
        for link in links(self._engine, asked.broker):
            try:
                rows.append(await self._compared(link, again=accepted is None))
            except (BrokerError, ReconciliationError) as error:
                problems.append({"account": link.name, "problem": str(error)})
        agree = not problems and all(row["agrees"] for row in rows)
        taken = accepted.sentences if accepted else []
        answer = {"agree": agree, "accounts": rows, "accepted": taken, "problems": problems}
        return answer | ({"settled": settled} if settled else {})

    async def _settle(self, asked: ReconcileArguments) -> str:
        """Settle an order in doubt on a person's word; return the sentence of what came of it."""
        doubtful = {each.client_order_id: each for each in self._engine.desk.in_doubt()}
        ticket = doubtful.get(asked.settle)
        if ticket is None:
            known = ", ".join(doubtful) or "none"
            problem = f"no order {asked.settle!r} is in doubt"
            raise ConfigError("reconcile.settle", problem, f"In doubt: {known}.")
        link = self._engine.wiring.links[ticket.account]
        async with link.lock:
            await self._engine.desk.settle_by_person(link, ticket, asked.by, asked.why)
        return f"{ticket.client_order_id} is {ticket.stage.replace('_', ' ')}, {ticket.status}"

    async def _accept(self, asked: ReconcileArguments) -> Comparison:
        if asked.broker is None:
            known = ", ".join(self._engine.wiring.links)
            remedy = f"Name one account with --broker: {known}."
            raise ConfigError("reconcile.broker", "is missing", remedy)
        (link,) = links(self._engine, asked.broker)
        self._require_connected(link)
        return await self._engine.reconciler.accept(link, asked.by, asked.why)

    async def _compared(self, link: Link, *, again: bool) -> dict[str, Any]:
        """Return one account's books side by side; raises where they can't be compared."""
        self._require_connected(link)
        if again:
            await self._engine.reconciler.compare(link)
        found = link.compared
        if found is None:
            raise ReconciliationError(link.blocked)
        foreign = [each for each in await link.working_orders() if self._foreign(each)]
        state = link.state()
        return {
            "account": link.name,
            "agrees": found.agrees,
            "tradable": state.tradable,
            "why": state.why,
            "positions": [
                {
                    "instrument": each.instrument,
                    "ours": plain(each.ours),
                    "strategies": plain(each.strategies),
                    "external": plain(each.ours - each.strategies),
                    "theirs": plain(each.theirs),
                    "differs": each.differs,
                }
                for each in found.positions
            ],
            "balance": {
                "ours": plain(found.our_balance),
                "theirs": plain(found.their_balance),
                "differs": found.balance_differs,
            },
            "foreign_orders": [_order(each) for each in foreign],
            "in_doubt": doubts(self._engine, [link.name]),
        }

    def _require_connected(self, link: Link) -> None:
        if not link.connected:
            why = link.sessions[0].problem if link.sessions else ""
            raise ReconciliationError(f"{link.name} isn't connected{f': {why}' if why else ''}")

    def _foreign(self, order: OrderReport) -> bool:
        """Tell whether a working order is neither ours nor protects a position."""
        return order.position_id is None and order.client_order_id not in self._engine.desk.tickets


def _require_reasons(asked: ReconcileArguments) -> None:
    for name in ("why", "by"):
        if not getattr(asked, name):
            remedy = f"Say it, for the journal: --{name} TEXT."
            raise ConfigError(f"reconcile.{name}", "is missing", remedy)


def _order(order: OrderReport) -> dict[str, Any]:
    price = order.limit_price or order.stop_price
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "instrument": order.instrument,
        "side": order.side.value,
        "order_type": order.order_type.value,
        "quantity": plain(order.remaining_quantity),
        "price": price and plain(price),
        "status": order.status.value,
    }
