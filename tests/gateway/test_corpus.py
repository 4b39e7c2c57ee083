"""Each text of the corpus, wherever it can be planted, comes out as short, marked data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.gateway.payloads import CORPUS, Payload, written
from tests.gateway.reading import AGENT, Place, catalogue, read

from mtquant.agents.answer import Answer
from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.agents.outside import OUTSIDE_LIMIT, is_symbol, outside
from mtquant.agents.refusal import AgentRefused
from mtquant.contract import AgentScope
from mtquant.control.commands import Commands
from mtquant.errors import OutcomeUnknown, Refused
from mtquant.model import Instrument, Mode, OrderReport

MARK = "outside: data"
SHORT = 12
"""A shorter text may stand in an answer by chance."""


def test_the_corpus_is_large_and_most_of_it_was_written_by_hand() -> None:
    assert len(CORPUS) >= 300
    assert len({each.text for each in CORPUS}) == len(CORPUS)
    assert len(written()) >= 150
    assert len({each.kind for each in CORPUS}) >= 15


@pytest.mark.parametrize("payload", CORPUS, ids=lambda each: each.kind)
def test_a_brokers_error_is_cut_and_cleaned(payload: Payload) -> None:
    for error in (Refused("broker_rejected", payload.text), OutcomeUnknown(payload.text)):
        told = AgentRefused.of(error).payload()
        check_text(told["message"], payload)
        assert payload.text.strip() not in told["next"] or not payload.text.strip()


def test_what_the_secrets_of_the_corpus_were_is_in_no_text() -> None:
    shown = " ".join(outside(each.text) for each in CORPUS)
    for secret in (
        "3f9a1c7be1d24b0f", "Tr0ub4dor", "IOSFODNN7", "Zk3-9fQ", "7c4a8d09", "correct horse",
        "MIIEow", "eyJzdWIi", "9c55aa01", "hunter2", "notarealtoken",
    ):  # fmt: skip
        assert secret in json.dumps([each.text for each in CORPUS])
        assert secret not in shown


def check_text(shown: str, payload: Payload) -> None:
    assert len(shown) <= OUTSIDE_LIMIT
    assert shown == outside(payload.text)
    assert shown.isprintable()


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Return each text of an answer, and the field that it stands in."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from leaves(each, name)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from leaves(each, key)
    elif isinstance(value, str):
        yield key, value


def marked(schema: Any) -> set[str]:  # noqa: ANN401 - JSON
    """Return the fields that a tool's schema says hold text from outside."""
    found: set[str] = set()
    if isinstance(schema, Mapping):
        for name, each in schema.get("properties", {}).items():
            if MARK in str([each.get("$comment"), each.get("items", {}).get("$comment")]):
                found.add(name)
        for each in schema.values():
            found |= marked(each)
    elif isinstance(schema, list):
        for each in schema:
            found |= marked(each)
    return found


class Reader:
    """An agent that reads, over an engine whose brokers plant texts."""

    def __init__(self, place: Place) -> None:
        self.place, self.engine = place, place.engine
        budget = AGENT.budget.model_copy(update={"calls_per_second": 1000.0})
        scopes = (AgentScope.READ, AgentScope.PROPOSE)
        self.agent = AGENT.model_copy(
            update={"budget": budget, "scopes": scopes, "mode": Mode.SEMI}
        )
        self.engine.wiring.agents = lambda: {self.agent.name: self.agent}
        self.engine.enrol()
        self.come_back()

    def come_back(self) -> None:
        """Begin anew, so that no refusal before pauses the agent."""
        self.desk = AgentDesk(self.engine, Commands(self.engine), catalogue())

    async def call(self, tool: str, payload: Payload, **arguments: Any) -> Answer:  # noqa: ANN401
        """Call ``tool`` and check what of ``payload`` is in its answer."""
        answer = await self.desk.call(self.agent.name, tool, arguments, dry_run=False)
        body: Any = answer.value or json.loads(answer.text)
        check(tool, body, payload)
        check(tool, {"summary": ""}, payload, answer.text)
        return answer


def check(tool: str, body: Any, payload: Payload, text: str = "") -> None:  # noqa: ANN401
    """Assert that ``payload`` stands in ``body`` as clean data, in fields that say so."""
    needle = outside(payload.text)[: OUTSIDE_LIMIT // 2]
    fields = marked(TOOLS[tool].spec.output_schema) | {"message"}
    for key, shown in leaves(body):
        assert shown == outside(shown, 2000), (tool, key, payload)
        if len(needle) > SHORT and needle in shown and not is_symbol(shown):
            assert key in fields, (tool, key, payload)
            assert len(shown) <= OUTSIDE_LIMIT, (tool, key, payload)
    raw = payload.text.strip()
    if raw != outside(payload.text) and len(raw) > SHORT:
        assert raw not in text, (tool, payload)
        assert raw not in json.dumps(body, ensure_ascii=False), (tool, payload)


def planted(each: Payload, like: Instrument) -> Instrument:
    return replace(like, instrument=each.text, description=each.text)


@pytest.mark.parametrize("each", [pytest.param(1, marks=pytest.mark.slow), 23])
def test_every_text_in_every_place_comes_out_as_marked_data(each: int, tmp_path: Path) -> None:
    """One engine, all texts: as a symbol, a description, a broker's word, a reason, an error."""
    seen = dict.fromkeys(("description", "reason_text", "health", "error", "rationale", "halt"), 0)

    texts = CORPUS[::each]

    async def use(place: Place) -> None:
        reader = Reader(place)
        engine, desk = place.engine, place.engine.wiring.links["desk"]
        await place.see()
        for payload in texts:
            reader.come_back()
            needle = outside(payload.text)[:SHORT]

            def count(where: str, answer: Answer, needle: str = needle) -> None:
                body = json.dumps(answer.value or json.loads(answer.text), ensure_ascii=False)
                # Quotes and backslashes are spelled otherwise in JSON.
                seen[where] += json.dumps(needle, ensure_ascii=False)[1:-1] in body

            # An instrument's symbol and description.
            known = desk.symbols.instruments
            like = known["EUR/USD"]
            bad = planted(payload, like)
            good = replace(like, instrument="XAU/USD", description=payload.text)
            desk.symbols.instruments = known | {bad.instrument: bad, "XAU/USD": good}
            found = await reader.call("search_instruments", payload, query="")
            assert found.value is not None, (payload, found.text)
            symbols = [row["symbol"] for row in found.value["instruments"]]
            assert all(is_symbol(each) for each in symbols)
            assert "XAU/USD" in symbols
            count("description", found)
            desk.symbols.instruments = known

            # What an account isn't traded for, as the broker's health says it.
            desk.blocked = payload.text
            count("health", await reader.call("get_portfolio", payload))
            desk.blocked = ""

            # A broker's error.
            async def fail(*_: object, text: str = payload.text) -> Any:  # noqa: ANN401
                raise Refused("broker_rejected", text)

            for method, tool in (("positions", "get_positions"), ("working_orders", "list_orders")):
                setattr(desk, method, fail)
                count("error", await reader.call(tool, payload))
                delattr(desk, method)

            # Why trading is halted.
            engine.book.halted = payload.text
            count("halt", await reader.call("get_risk_status", payload))
            engine.book.halted = ""

            # Agents' own rationale: what another reader of it is shown.
            if payload.text.strip():
                arguments = {
                    "client_order_id": "c",
                    "symbol": "EUR/USD",
                    "side": "buy",
                    "stop_loss": "0.5",
                    "rationale": payload.text[:500],
                }
                short = replace(payload, text=payload.text[:500])
                await reader.call("propose_trade", short, **arguments)
                count("rationale", await reader.call("get_decisions", short))
                await reader.call("list_proposals", short)
                await reader.call("withdraw_proposal", short, client_order_id="c")
                engine.book.requests.clear()

        # What a broker says of an order that it has.
        await reason_texts(place, reader, texts, seen)

    anyio.run(read, tmp_path, use)
    named = [payload for payload in texts if payload.text.strip()]
    assert min(seen.values()) >= len(named), seen


async def reason_texts(
    place: Place, reader: Reader, texts: Sequence[Payload], seen: dict[str, int]
) -> None:
    await place.order(reader.agent.source, 1000, 1)
    link = place.engine.wiring.links["desk"]
    ticket = next(iter(place.engine.desk.tickets.values()))
    report = await link.order(ticket.client_order_id)
    for payload in texts:
        reader.come_back()

        async def said(_: str, text: str = payload.text) -> OrderReport:
            return replace(report, reason_text=text)

        link.order = said  # type: ignore[method-assign,assignment]
        answer = await reader.call("get_order", payload, client_order_id="r1")
        assert answer.value is not None
        seen["reason_text"] += outside(payload.text)[:SHORT] in answer.value["reason"]
