"""The file of the agents: nobody's token lies in it, and where it is damaged nobody is an agent."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtquant.agents.registry import FILE, PREFIX, Enrolled, Registry
from mtquant.contract import Agent, AgentScope
from mtquant.errors import ConfigError


def agent(name: str = "claude", *scopes: AgentScope) -> Agent:
    return Agent(name=name, scopes=scopes or (AgentScope.READ,))


def test_a_token_is_shown_once_and_lies_nowhere(tmp_path: Path) -> None:
    token = Registry(tmp_path).add(agent())
    assert token.startswith(PREFIX)
    assert len(token) > len(PREFIX) + 40
    for path in tmp_path.iterdir():
        assert token not in path.read_text()
        assert token.removeprefix(PREFIX) not in path.read_text()
    assert hashlib.sha256(token.encode()).hexdigest() in (tmp_path / FILE).read_text()


def test_a_token_is_its_agents_alone(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    tokens = {name: registry.add(agent(name)) for name in ("a", "b", "c")}
    assert len(set(tokens.values())) == 3
    for name, token in tokens.items():
        found = registry.of_token(token)
        assert found is not None
        assert found.name == name


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Registry, str]:
    """Return a registry of two agents, and the token of the one that has one."""
    registry = Registry(tmp_path_factory.mktemp("registry"))
    registry.add(agent("local"), token=False)
    return registry, registry.add(agent())


@given(st.text())
def test_what_was_never_given_out_is_nobodys(known: tuple[Registry, str], text: str) -> None:
    registry, token = known
    for guess in (text, PREFIX + text, token[:-1], f"{token}{text}x"):
        assert registry.of_token(guess) is None
    assert registry.of_token(token) == agent()


def test_an_agent_without_a_token_is_none_over_http(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    assert registry.add(agent(), token=False) == ""
    assert registry.get("claude") is not None
    assert not registry.has_token("claude")
    assert registry.of_token("") is None


def test_revoked_is_refused_at_the_next_call_in_another_process(tmp_path: Path) -> None:
    engine, command = Registry(tmp_path), Registry(tmp_path)
    token = command.add(agent())
    assert engine.of_token(token) is not None
    command.revoke("claude")
    assert engine.of_token(token) is None
    assert engine.get("claude") is None
    assert engine.agents() == {}


def test_a_renewed_token_closes_the_one_before(tmp_path: Path) -> None:
    engine, command = Registry(tmp_path), Registry(tmp_path)
    before = command.add(agent())
    assert engine.of_token(before) is not None
    after = command.renew("claude")
    assert engine.of_token(before) is None
    assert engine.of_token(after) == agent()


def test_a_change_keeps_the_token(tmp_path: Path) -> None:
    engine, command = Registry(tmp_path), Registry(tmp_path)
    token = command.add(agent())
    assert engine.of_token(token) == agent()
    other = agent("claude", AgentScope.PROPOSE)
    command.change(other)
    assert engine.of_token(token) == other


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    Registry(folder).add(agent())
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_touch_is_not_used(tmp_path: Path, mode: int) -> None:
    token = Registry(tmp_path).add(agent())
    (tmp_path / FILE).chmod(mode)
    registry = Registry(tmp_path)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600"):
        registry.of_token(token)


DAMAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "cut off": lambda text: text[: len(text) // 2],
    "no object": lambda _: "[]",
    "too deep": lambda _: "[" * 100_000,
    "another version": lambda text: text.replace('"version": 1', '"version": 2'),
    "an unknown scope": lambda text: text.replace('"read"', '"everything"'),
    "an unknown setting": lambda text: text.replace('"mode"', '"more": 1, "mode"'),
    "a hash cut short": lambda text: text.replace('"token_sha256": "', '"token_sha256": "zz'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_where_it_is_damaged_nobody_is_an_agent(
    tmp_path: Path, damage: Callable[[str], str]
) -> None:
    registry = Registry(tmp_path)
    token = registry.add(agent())
    assert registry.of_token(token) is not None
    path = tmp_path / FILE
    text = path.read_text()
    assert damage(text) != text
    path.write_text(damage(text))

    asked: list[Callable[[], object]] = [
        lambda: registry.of_token(token),
        lambda: registry.get("claude"),
        registry.agents,
        lambda: registry.add(agent("other")),
    ]
    for ask in asked * 2:
        with pytest.raises(ConfigError, match=FILE):
            ask()
    assert path.read_text() == damage(text)

    path.write_text(text)
    assert registry.of_token(token) is not None


def test_of_two_writers_one_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    first, second = Registry(tmp_path), Registry(tmp_path)
    with first._changing() as known:
        with pytest.raises(ConfigError, match=r"another command.*rm"):
            second.add(agent("b"))
        known["a"] = Enrolled(agent=agent("a"))
    second.add(agent("b"))
    assert set(first.agents()) == {"a", "b"}


def test_a_change_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.add(agent())
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        registry.add(agent())
    with pytest.raises(ConfigError, match="no agent 'other'"):
        registry.revoke("other")
    assert (tmp_path / FILE).read_bytes() == before
    registry.revoke("claude")  # nothing holds the file any more


def test_a_writer_that_died_half_way_left_the_old_file(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    token = registry.add(agent())
    (tmp_path / "agents.new").write_text('{"version": 1, "age')
    assert Registry(tmp_path).of_token(token) is not None
    registry.add(agent("other"))
    assert set(registry.agents()) == {"claude", "other"}


def test_without_a_file_nobody_is_an_agent(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "none")
    assert registry.agents() == {}
    assert registry.of_token("x") is None
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - that looking makes nothing
