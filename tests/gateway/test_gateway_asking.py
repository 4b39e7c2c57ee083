"""An order that waits for a person is put to him in the client; his word is the desk's to judge."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp.types import (
    CallToolResult,
    CreateMessageResult,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    TextContent,
)
from tests.gateway.fake_desk import CODE, DIGEST, TOOLS, FakeDesk, Person, answer

from mtquant.agents.answer import Ask
from mtquant.agents.refusal import AgentRefused
from mtquant.gateway import asking, gateway
from mtquant.gateway.asking import APPROVAL, KEPT

Mode = Literal["legacy", "2026-07-28"]
YES = ElicitResult(action="accept", content={"approve": True, "code": CODE})
STATE = f"1:{DIGEST}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # as where it runs; the other loop is in test_gateway_server


@pytest.fixture(params=["legacy", "2026-07-28"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def proposed(desk: FakeDesk, mode: Mode, person: Person | None) -> CallToolResult:
    server = gateway(desk, TOOLS, agent="momo")
    async with Client(server, mode=mode, elicitation_callback=person) as client:
        return await client.call_tool("propose_trade", {"symbol": "A"})


def state_of(result: CallToolResult) -> str:
    assert result.structured_content is not None
    return str(result.structured_content["state"])


@pytest.mark.anyio
async def test_a_yes_with_the_code_is_the_desks_to_judge(mode: Mode) -> None:
    desk, person = FakeDesk(), Person(YES)
    assert state_of(await proposed(desk, mode, person)) == "approved"
    assert desk.answers == [("momo", 1, DIGEST, True, CODE)]
    assert len(desk.calls) == 1  # the second call of the tool proposed nothing
    ((_, form),) = person.asked
    assert isinstance(form, ElicitRequestFormParams)
    assert form.message == "Buy? (1)"
    assert set(form.requested_schema["properties"]) == {"approve", "code"}


@pytest.mark.anyio
async def test_where_nothing_may_leave_nobody_is_asked(mode: Mode) -> None:
    desk, person = FakeDesk(), Person(YES)
    server = gateway(desk, TOOLS, agent="momo", dry_run=True)
    async with Client(server, mode=mode, elicitation_callback=person) as client:
        await client.call_tool("propose_trade", {"symbol": "A"})
    assert (person.asked, desk.answers) == ([], [])


@pytest.mark.anyio
async def test_a_wrong_code_is_an_error_and_it_goes_on_waiting(mode: Mode) -> None:
    desk = FakeDesk()
    wrong = ElicitResult(action="accept", content={"approve": True, "code": " guessed "})
    result = await proposed(desk, mode, Person(wrong))
    assert result.is_error
    assert isinstance(result.content[0], TextContent)
    assert json.loads(result.content[0].text)["error"]["code"] == "wrong_code"
    assert desk.answers == [("momo", 1, DIGEST, True, "guessed")]


@pytest.mark.parametrize(
    "said",
    [
        ElicitResult(action="decline"),
        ElicitResult(action="decline", content={"approve": True, "code": CODE}),
        ElicitResult(action="accept", content={"approve": False}),
        ElicitResult(action="accept", content={"approve": False, "code": CODE}),
    ],
)
@pytest.mark.anyio
async def test_a_no_counts_as_it_is(mode: Mode, said: ElicitResult) -> None:
    desk = FakeDesk()
    assert state_of(await proposed(desk, mode, Person(said))) == "rejected"
    assert desk.answers == [("momo", 1, DIGEST, False, "")]


@pytest.mark.parametrize(
    "said",
    [
        ElicitResult(action="cancel"),
        ElicitResult(action="cancel", content={"approve": True, "code": CODE}),
        ElicitResult(action="accept"),
        ElicitResult(action="accept", content={}),
        ElicitResult(action="accept", content={"code": CODE}),
        ElicitResult(action="accept", content={"approve": True}),
        ElicitResult(action="accept", content={"approve": True, "code": ""}),
        ElicitResult(action="accept", content={"approve": True, "code": 4711}),
        ElicitResult(action="accept", content={"approve": True, "code": "x" * 65}),
        ElicitResult(action="accept", content={"approve": "true", "code": CODE}),
        ElicitResult(action="accept", content={"approve": 1, "code": CODE}),
    ],
)
@pytest.mark.anyio
async def test_what_is_no_clear_word_answers_nothing(mode: Mode, said: ElicitResult) -> None:
    desk = FakeDesk()
    assert state_of(await proposed(desk, mode, Person(said))) == "waiting"
    assert not desk.answers


@pytest.mark.anyio
async def test_a_client_that_cannot_ask_gets_the_order_that_waits(mode: Mode) -> None:
    desk = FakeDesk()
    assert state_of(await proposed(desk, mode, None)) == "waiting"
    assert (desk.answers, len(desk.calls)) == ([], 1)


@pytest.mark.anyio
async def test_a_client_that_fails_to_ask_gets_the_order_that_waits() -> None:
    desk = FakeDesk()
    failing = Person(MCPError(-32603, "no screen"))
    assert state_of(await proposed(desk, "legacy", failing)) == "waiting"
    assert (len(failing.asked), desk.answers) == (1, [])


@pytest.mark.anyio
async def test_a_person_who_takes_too_long_leaves_it_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "DEADLINE_S", 0.0)
    desk = FakeDesk()
    assert state_of(await proposed(desk, "legacy", Person(None))) == "waiting"
    assert not desk.answers


async def ask(client: Client, **more: Any) -> CallToolResult | InputRequiredResult:  # noqa: ANN401
    told: CallToolResult | InputRequiredResult = await client.session.call_tool(
        "propose_trade", {"symbol": "A"}, allow_input_required=True, **more
    )
    return told


def code_of(result: CallToolResult | InputRequiredResult) -> str:
    assert isinstance(result, CallToolResult)
    assert isinstance(result.content[0], TextContent)
    return str(json.loads(result.content[0].text)["error"]["code"])


@pytest.mark.parametrize(
    "state",
    [
        "",
        "1",
        ":",
        f"2:{DIGEST}",
        f"1:{DIGEST[:-1]}0",
        f" {STATE}",
        f"{STATE}\n",
        f"-1:{DIGEST}",
        f"\N{ARABIC-INDIC DIGIT ONE}:{DIGEST}",
        "1:" + "f" * 65,
        "9" * 5000 + ":" + DIGEST,
        json.dumps({"approved": True}),
    ],
)
@pytest.mark.anyio
async def test_a_forged_state_is_refused_and_told(state: str) -> None:
    desk = FakeDesk()
    server = gateway(desk, TOOLS, agent="momo")
    async with Client(server, mode="2026-07-28", elicitation_callback=Person(YES)) as client:
        assert isinstance(await ask(client), InputRequiredResult)
        forged = await ask(client, request_state=state, input_responses={APPROVAL: YES})
        assert code_of(forged) == "invalid_argument"
    assert (desk.answers, len(desk.calls)) == ([], 1)
    assert desk.refused == [("momo", "approval", "an answer to no question that is open")]


@pytest.mark.anyio
async def test_an_answer_counts_once() -> None:
    desk = FakeDesk()
    server = gateway(desk, TOOLS, agent="momo")
    async with Client(server, mode="2026-07-28", elicitation_callback=Person(YES)) as client:
        asked = await ask(client)
        assert isinstance(asked, InputRequiredResult)
        assert asked.request_state == STATE
        for expected in (None, "invalid_argument"):
            told = await ask(client, request_state=STATE, input_responses={APPROVAL: YES})
            assert (code_of(told) if expected else None) == expected
    assert desk.answers == [("momo", 1, DIGEST, True, CODE)]


@pytest.mark.anyio
async def test_a_state_with_another_answer_or_none_answers_nothing() -> None:
    desk = FakeDesk()
    server = gateway(desk, TOOLS, agent="momo")
    message = CreateMessageResult(
        role="assistant", content=TextContent(type="text", text="approved"), model="m"
    )
    given: list[Any] = [None, {}, {"other": YES}, {APPROVAL: message}]
    async with Client(server, mode="2026-07-28", elicitation_callback=Person(YES)) as client:
        for number, responses in enumerate(given, 1):
            await ask(client)
            told = await ask(client, request_state=f"{number}:{DIGEST}", input_responses=responses)
            assert isinstance(told, CallToolResult)
            assert state_of(told) == "waiting"
    assert not desk.answers


@pytest.mark.anyio
async def test_one_agent_cannot_answer_what_another_was_asked() -> None:
    desk = FakeDesk(agents={"momo": tuple(TOOLS), "other": tuple(TOOLS)})
    questions = asking.Asking()
    waiting = await desk.call("momo", "propose_trade", {}, dry_run=False)
    assert waiting.ask is not None
    questions.later("momo", waiting, waiting.ask)
    with pytest.raises(AgentRefused, match="no question"):
        questions.heard("other", STATE, {APPROVAL: YES})
    assert isinstance(questions.heard("momo", STATE, {APPROVAL: YES}), asking.Said)


@pytest.mark.anyio
async def test_only_the_newest_questions_of_an_agent_stay_open() -> None:
    desk, questions = FakeDesk(), asking.Asking()
    for _ in range(KEPT + 1):
        waiting = await desk.call("momo", "propose_trade", {}, dry_run=False)
        assert waiting.ask is not None
        questions.later("momo", waiting, waiting.ask)
    with pytest.raises(AgentRefused, match="no question"):
        questions.heard("momo", STATE, None)
    assert questions.heard("momo", f"2:{DIGEST}", None).error is False  # type: ignore[union-attr]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(0, 1),
    st.floats(0, 1),
    st.text(max_size=70),
    st.lists(st.text(max_size=3), max_size=2),
)
FORMS = st.fixed_dictionaries({}, optional={"approve": VALUES, "code": VALUES, "other": VALUES})


@given(st.sampled_from(["accept", "decline", "cancel"]), st.none() | FORMS)
def test_only_a_true_and_a_code_are_a_yes(
    action: Literal["accept", "decline", "cancel"], content: dict[str, Any] | None
) -> None:
    questions, waiting = asking.Asking(), answer("waiting")
    questions.later("momo", waiting, Ask(number=1, digest=DIGEST, shown=""))
    given_back = ElicitResult(action=action, content=content)
    heard = questions.heard("momo", STATE, {APPROVAL: given_back})
    form = content or {}
    code = form.get("code")
    yes = action == "accept" and form.get("approve") is True
    if yes and isinstance(code, str) and code.strip() and len(code) <= 64:
        assert heard == asking.Said(1, DIGEST, approve=True, code=code.strip())
    elif action == "decline" or (action == "accept" and form.get("approve") is False):
        assert heard == asking.Said(1, DIGEST, approve=False, code="")
    else:
        assert heard is waiting


@given(st.text(max_size=40) | st.from_regex(r"[0-9]{1,3}:[0-9a-f]{16}", fullmatch=True))
def test_no_text_but_the_open_question_is_one(state: str) -> None:
    assume(state != STATE)
    questions = asking.Asking()
    questions.later("momo", answer("waiting"), Ask(number=1, digest=DIGEST, shown=""))
    with pytest.raises(AgentRefused) as caught:
        questions.heard("momo", state, {APPROVAL: YES})
    assert caught.value.code == "invalid_argument"
    assert questions.heard("momo", STATE, None).error is False  # type: ignore[union-attr]
