"""Agents at the decider: budgets over all that they send, proposals, and requests that act once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as configured
from hypothesis import strategies as st
from tests.kernel.test_persons import LONG, SYMBOL, AtMost, Scene, entries, orders, told

from mtquant import Settings
from mtquant.book import Book
from mtquant.clock import SECOND
from mtquant.contract import Agent, AgentBudget, AgentScope, Sizer
from mtquant.decide import (
    AgentOrdered,
    AgentsEnrolled,
    Effect,
    Filled,
    OrderMoved,
    Submit,
    Withdrawn,
    standing,
)
from mtquant.model import Fill, Mode, OrderRequest, OrderStatus, OrderType, Side, Signal

D = Decimal
DAY = 86_400 * SECOND
BUDGET = AgentBudget(instruments=(SYMBOL,), notional=D(5000), orders=5, loss=D(100))
CLAUDE = Agent(
    name="claude",
    scopes=(AgentScope.READ, AgentScope.PROPOSE, AgentScope.TRADE),
    mode=Mode.AUTO,
    budget=BUDGET,
)


class Agents(Scene):
    """A scene with one agent, who has a budget of 5,000 USD in EUR/USD."""

    def __init__(self, agent: Agent = CLAUDE, *others: Agent, book: Book | None = None) -> None:
        super().__init__(book=book)
        self.enrol(agent, *others)

    def enrol(self, *agents: Agent) -> list[Effect]:
        known = {each.name: each for each in agents}
        return self.send(AgentsEnrolled(time=self.time, agents=known))

    def wants(
        self,
        quantity: int | None = 1000,
        side: Side = Side.BUY,
        *,
        name: str = "claude",
        request: str = "r1",
        asks: bool = False,
        **more: Any,  # noqa: ANN401
    ) -> list[Effect]:
        self.see()
        order = quantity and OrderRequest(
            client_order_id=f"c-{name}-{request}",
            instrument=SYMBOL,
            side=side,
            order_type=more.pop("order_type", OrderType.MARKET),
            quantity=D(quantity),
            **more,
        )
        signal = Signal(
            strategy_id=f"agent:{name}",
            instrument=SYMBOL,
            time=self.time,
            direction=side.sign,
            reason="because",
            stop_distance=None if quantity else D("0.005"),
        )
        return self.send(
            AgentOrdered(
                time=self.time,
                account="a",
                signal=signal,
                request=request,
                digest="d",
                order=order or None,
                asks=asks,
            )
        )

    def executed(self, effect: Submit, price: str = "1.1", profit: str = "0") -> None:
        order = effect.order
        fill = Fill(
            execution_id=f"E-{order.client_order_id}",
            order_id=f"O-{order.client_order_id}",
            client_order_id=order.client_order_id,
            instrument=SYMBOL,
            side=order.side,
            quantity=order.quantity,
            price=D(price),
            time=self.time,
            realized_profit=D(profit),
        )
        self.send(Filled(time=self.time, name="a", fill=fill))
        self.ended(order.client_order_id, OrderStatus.FILLED)

    def ended(self, client_order_id: str, status: OrderStatus) -> None:
        moved = OrderMoved(time=self.time, name="a", client_order_id=client_order_id, status=status)
        self.send(moved)


def code(effects: Sequence[Effect]) -> str:
    return str(entries(effects, "verdict")[-1]["code"])


def test_an_agents_order_is_on_disk_as_its_request_before_it_is_sent() -> None:
    scene = Agents()
    found = scene.wants(request="mine")
    (sent,) = orders(found)
    assert isinstance(sent, Submit)
    assert sent.person == "agent:claude"
    (body,) = entries(found, "agent_request")
    assert body["request"] == "mine"
    assert body["client_order_id"] == sent.order.client_order_id
    kinds = [type(each).__name__ for each in found]
    assert kinds.index("Submit") > max(n for n, each in enumerate(kinds) if each == "Record")


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (CLAUDE.model_copy(update={"scopes": (AgentScope.READ,)}), "agent_scope"),
        (CLAUDE.model_copy(update={"budget": AgentBudget()}), "agent_instrument"),
        (
            CLAUDE.model_copy(update={"budget": BUDGET.model_copy(update={"orders": 0})}),
            "agent_orders",
        ),
        (
            CLAUDE.model_copy(update={"budget": BUDGET.model_copy(update={"loss": D(0)})}),
            "agent_loss",
        ),
        (
            CLAUDE.model_copy(update={"budget": BUDGET.model_copy(update={"notional": D(0)})}),
            "agent_notional",
        ),
        (CLAUDE.model_copy(update={"name": "other"}), "agent_unknown"),
    ],
)
def test_what_a_budget_does_not_give_is_not_given(agent: Agent, expected: str) -> None:
    scene = Agents(agent)
    found = scene.wants()
    assert orders(found) == []
    assert code(found) == expected


def test_a_large_order_split_into_small_ones_passes_no_more_than_the_whole() -> None:
    scene = Agents(CLAUDE.model_copy(update={"budget": BUDGET.model_copy(update={"orders": 99})}))
    sent = [each for n in range(50) for each in orders(scene.wants(1000, request=f"r{n}"))]
    worth = [each.notional or D(0) for each in sent if isinstance(each, Submit)]
    assert sum(worth) <= D(5000)
    assert len(sent) == 4, "four times 1,100.10 USD"


class Thousands(Sizer[Settings]):
    name = "thousands"

    def size(self, signal: Signal, state: Any, price: Decimal) -> Decimal:  # noqa: ANN401, ARG002
        return D(4000)


def test_the_sizers_quantity_is_cut_to_what_the_budget_leaves() -> None:
    little = BUDGET.model_copy(update={"notional": D(2500)})
    scene = Agents(CLAUDE.model_copy(update={"budget": little}))
    scene.decider.gate.sizer = Thousands(Settings())
    (sent,) = orders(scene.wants(None))
    assert isinstance(sent, Submit)
    assert sent.order.quantity == D(2000), "2,500 USD buy two steps of 1,000"


def test_a_budget_comes_back_after_a_day_but_what_is_held_still_counts() -> None:
    scene = Agents()
    (first,) = orders(scene.wants(4000))
    assert isinstance(first, Submit)
    scene.executed(first)
    scene.time += DAY + SECOND
    found = scene.wants(1000, request="r2")
    assert code(found) == "agent_notional"


def test_what_was_opened_today_counts_though_it_is_closed_again() -> None:
    scene = Agents()
    traded(scene, "r1", "0")
    assert scene.book.account("a").holdings == {}
    assert code(scene.wants(4000, request="r2")) == "agent_notional"
    scene.time += DAY + SECOND
    assert orders(scene.wants(4000, request="r3")), "a day later it may again"


def traded(scene: Agents, request: str, profit: str) -> None:
    """Let the agent buy 3,000 and sell them again, for ``profit``."""
    (bought,) = orders(scene.wants(3000, request=request))
    assert isinstance(bought, Submit)
    scene.executed(bought)
    (sold,) = orders(scene.wants(1000, Side.SELL, request=f"{request}-sold"))
    assert isinstance(sold, Submit)
    order = dataclasses.replace(sold.order, quantity=D(3000))
    scene.executed(dataclasses.replace(sold, order=order), profit=profit)


def test_an_order_that_the_broker_refused_is_given_back() -> None:
    scene = Agents()
    (first,) = orders(scene.wants(4000))
    assert isinstance(first, Submit)
    scene.ended(first.order.client_order_id, OrderStatus.REJECTED)
    assert orders(scene.wants(4000, request="r2"))


def test_a_closed_loss_and_an_open_one_stop_an_agent() -> None:
    scene = Agents()
    (first,) = orders(scene.wants(1000))
    assert isinstance(first, Submit)
    scene.executed(first, price="1.2")
    used = standing(scene.book, "agent:claude")
    assert used is not None
    assert used.lost == D("100.000"), "bought at 1.2, worth 1.1"
    assert code(scene.wants(1000, request="r2")) == "agent_loss"


def test_an_open_profit_does_not_make_up_for_a_closed_loss() -> None:
    scene = Agents(CLAUDE.model_copy(update={"budget": BUDGET.model_copy(update={"loss": D(50)})}))
    (first,) = orders(scene.wants(1000))
    assert isinstance(first, Submit)
    scene.executed(first)
    (second,) = orders(scene.wants(1000, Side.SELL, request="r2"))
    assert isinstance(second, Submit)
    scene.executed(second, profit="-60")
    assert code(scene.wants(request="r3")) == "agent_loss"


def test_what_is_lost_is_the_closed_loss_though_the_open_trade_stands_well() -> None:
    wide = BUDGET.model_copy(update={"notional": D(50_000)})
    scene = Agents(CLAUDE.model_copy(update={"budget": wide}))
    traded(scene, "r1", "-40")
    (open_,) = orders(scene.wants(1000, request="r2"))
    assert isinstance(open_, Submit)
    scene.executed(open_, price="1.0")
    used = standing(scene.book, "agent:claude")
    assert used is not None
    assert used.lost == D(40)


def test_an_agent_opens_nothing_where_somebody_else_holds_or_works() -> None:
    scene = Agents(CLAUDE, CLAUDE.model_copy(update={"name": "other"}))
    (first,) = orders(scene.wants(1000))
    assert isinstance(first, Submit)
    assert code(scene.wants(name="other")) == "agent_beside", "an order of claude's works"
    scene.executed(first)
    assert code(scene.wants(name="other", request="r2")) == "agent_beside", "claude holds it"
    assert orders(scene.wants(1000, request="r2")), "its own position it may add to"


def test_a_strategy_opens_nothing_while_an_agents_order_works() -> None:
    scene = Agents()
    (rests,) = orders(scene.wants(1000, order_type=OrderType.LIMIT, limit_price=D("1.0")))
    assert isinstance(rests, Submit)
    scene.ended(rests.order.client_order_id, OrderStatus.NEW)
    found = scene.bar(LONG)
    assert orders(found) == []
    assert "an order of agent:claude works" in told(found)


def test_what_a_person_trades_elsewhere_is_not_the_agents_though_its_order_rests_there() -> None:
    scene = Agents()
    (rests,) = orders(scene.wants(1000, order_type=OrderType.LIMIT, limit_price=D("1.0")))
    assert isinstance(rests, Submit)
    foreign = Fill(
        execution_id="E-app",
        order_id="O-app",
        client_order_id="from-the-phone",
        instrument=SYMBOL,
        side=Side.BUY,
        quantity=D(50_000),
        price=D("1.1"),
        time=scene.time,
    )
    scene.send(Filled(time=scene.time, name="a", fill=foreign))
    assert scene.book.account("a").trades.opened_by.get(SYMBOL) is None


def test_a_proposal_waits_and_an_approval_sends_it_once_under_its_request() -> None:
    scene = Agents()
    found = scene.wants(asks=True, request="p1")
    assert orders(found) == []
    (asked,) = scene.book.suggestions.values()
    assert (asked.request, asked.signal.strategy_id) == ("p1", "agent:claude")
    (sent,) = orders(scene.answer(asked.number))
    assert isinstance(sent, Submit)
    assert sent.person == "agent:claude"
    assert sent.notional == D("1100.1000")
    request = scene.book.requests["agent:claude", "p1"]
    assert request.client_order_id == sent.order.client_order_id
    assert orders(scene.answer(asked.number)) == []


def test_an_order_that_is_to_rest_can_be_approved_and_still_not_after_the_market_moved() -> None:
    scene = Agents()
    limit: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": D("1.0")}
    scene.wants(asks=True, request="p1", **limit)
    assert scene.book.suggestions[1].price == D("1.1001")
    scene.ask = D("1.2001")
    scene.see()
    assert orders(scene.answer(1)) == []
    assert "the price moved" in scene.book.outcomes[1]
    scene.wants(asks=True, request="p2", **limit)
    assert orders(scene.answer(2))


def test_an_approval_is_asked_of_the_budget_again() -> None:
    scene = Agents()
    scene.wants(3000, asks=True, request="p1")
    scene.wants(3000, asks=True, request="p2")
    assert len(scene.book.suggestions) == 2, "each alone is within the budget"
    (sent,) = orders(scene.answer(1))
    assert isinstance(sent, Submit)
    scene.executed(sent)
    assert orders(scene.answer(2)) == []
    assert "may open 5,000 USD" in scene.book.outcomes[2]


def test_a_revoked_agent_has_nothing_that_waits_and_may_send_nothing() -> None:
    scene = Agents()
    scene.wants(asks=True, request="p1")
    found = scene.enrol()
    assert "agent claude is revoked" in told(found)
    assert scene.book.suggestions == {}
    assert orders(scene.answer(1)) == []
    assert code(scene.wants(request="r2")) == "agent_unknown"


def test_a_no_to_an_agent_keeps_no_strategy_from_asking() -> None:
    scene = Agents()
    scene.wants(asks=True, request="p1")
    scene.answer(1, approved=False)
    assert scene.book.answered == {}
    assert orders(scene.bar(LONG))


def test_a_strategys_change_of_mind_withdraws_no_agents_proposal() -> None:
    scene = Agents()
    scene.wants(asks=True, side=Side.SELL, request="p1")
    scene.bar(LONG)
    assert list(scene.book.suggestions) == [1]


def test_a_proposal_that_is_withdrawn_can_not_be_approved() -> None:
    scene = Agents()
    scene.wants(asks=True, request="p1")
    scene.send(Withdrawn(time=scene.time, number=1, by="agent:claude", why="no more"))
    assert orders(scene.answer(1)) == []
    assert scene.book.outcomes[1] == "withdrawn by agent:claude: no more"


def test_a_veto_leaves_no_request() -> None:
    scene = Agents()
    AtMost.sunday = True
    try:
        found = scene.wants()
    finally:
        AtMost.sunday = False
    assert code(found) == "sunday"
    assert scene.book.requests == {}


def test_a_budget_in_another_currency_needs_a_rate() -> None:
    yen = BUDGET.model_copy(update={"currency": "JPY"})
    scene = Agents(CLAUDE.model_copy(update={"budget": yen}))
    assert code(scene.wants()) == "agent_notional", "there is no USD/JPY quote"
    euro = BUDGET.model_copy(update={"currency": "EUR", "notional": D(1001)})
    scene.enrol(CLAUDE.model_copy(update={"budget": euro}))
    assert orders(scene.wants(1000)), "1,100.10 USD are 1,000.05 EUR"


STEP = st.one_of(
    st.tuples(st.just("order"), st.integers(1, 5), st.sampled_from(list(Side)), st.booleans()),
    st.tuples(st.just("fill"), st.integers(0, 5), st.just(Side.BUY), st.booleans()),
    st.tuples(st.just("end"), st.integers(0, 5), st.just(Side.BUY), st.booleans()),
    st.tuples(st.just("answer"), st.integers(1, 20), st.just(Side.BUY), st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 30), st.just(Side.BUY), st.booleans()),
)


@configured(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_whatever_is_tried_no_day_opens_more_than_the_budget(
    steps: list[tuple[str, int, Side, bool]],
) -> None:
    scene = Agents()
    sent: list[tuple[int, Submit]] = []
    refused: set[str] = set()
    for number, (what, size, side, flag) in enumerate(steps):
        works = [each for _, each in sent if each.order.client_order_id in _working(scene)]
        found: list[Effect] = []
        if what == "order":
            found = scene.wants(1000 * size, side, request=f"r{number}", asks=flag)
        elif what == "answer":
            found = scene.answer(size)
        elif what == "wait":
            scene.time += size * 3600 * SECOND
            scene.see()
        elif works:
            each = works[size % len(works)]
            if what == "fill":
                scene.executed(each)
            else:
                status = OrderStatus.REJECTED if flag else OrderStatus.CANCELED
                refused |= {each.order.client_order_id} if flag else set()
                scene.ended(each.order.client_order_id, status)
        sent += [(scene.time, each) for each in orders(found) if isinstance(each, Submit)]
    for time, _ in sent:
        day = [
            each
            for then, each in sent
            if time - DAY < then <= time and each.order.client_order_id not in refused
        ]
        assert sum((each.notional or D(0) for each in day), D(0)) <= BUDGET.notional
        assert len(day) <= BUDGET.orders


def _working(scene: Scene) -> set[str]:
    return set(scene.book.account("a").working)


def test_who_is_enrolled_again_has_used_what_it_had_used() -> None:
    scene = Agents()
    scene.wants(4000)
    scene.enrol()
    scene.enrol(CLAUDE)
    assert code(scene.wants(4000, request="r2")) == "agent_notional"


@pytest.mark.parametrize("wrong", [D("NaN"), D("Infinity"), D("-Infinity")])
def test_a_worth_that_is_no_number_opens_nothing(wrong: Decimal) -> None:
    scene = Agents()
    (first,) = orders(scene.wants(1000))
    assert isinstance(first, Submit)
    book = scene.book.account("a")
    book.sent = tuple(dataclasses.replace(each, notional=wrong) for each in book.sent)
    assert code(scene.wants(1000, request="r2")) == "agent_notional"
