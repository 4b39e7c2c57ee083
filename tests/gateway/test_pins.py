"""A server whose tools change is told of, and real money waits for a person."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.gateway.reading import Place, read

from mtquant.contract import Level
from mtquant.model import Environment
from mtquant.pins import FILE, Pin, Pins
from mtquant.wire import Remote

PAPER, LIVE = Environment.PAPER, Environment.LIVE


def pin(tools: str, version: str = "1", environment: Environment = PAPER) -> Pin:
    return Pin(tools=tools, version=version, environment=environment)


class Kept:
    """Pins, and what they wrote and told."""

    def __init__(self, folder: Path) -> None:
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[Level, str]] = []
        self.pins = Pins(
            folder,
            lambda kind, body: self.notes.append((kind, body)),
            lambda level, message: self.told.append((level, message)),
        )

    def look(self, seen: Pin) -> str:
        return self.pins.look("desk", "desk#1", seen)


def test_the_first_look_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    assert kept.look(pin("a")) == kept.look(pin("a")) == ""
    assert not kept.told
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_change_is_told_once_over_restarts_too(tmp_path: Path) -> None:
    Kept(tmp_path).look(pin("a"))
    kept = Kept(tmp_path)
    assert kept.look(pin("b")) == ""
    assert kept.look(pin("b")) == ""
    assert [level for level, _ in kept.told] == [Level.ALARM]
    assert "tools of desk#1 have changed" in kept.told[0][1]
    kind, body = kept.notes[0]
    assert kind == "pin_changed"
    assert (body["account"], body["before"], body["after"]) == ("desk", "a", "b")
    again = Kept(tmp_path)
    assert again.look(pin("b")) == ""
    assert not again.told


def test_an_upgrade_is_a_warning(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.look(pin("a"))
    kept.look(pin("a", "2"))
    assert not kept.told
    kept.look(pin("b", "3"))
    assert [level for level, _ in kept.told] == [Level.WARNING]
    assert "version 2 before, 3 now" in kept.told[0][1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (pin("a", environment=LIVE), pin("b", environment=LIVE)),
        (pin("a", environment=LIVE), pin("b", environment=PAPER)),
        (pin("a", environment=PAPER), pin("b", environment=LIVE)),
        (pin("a", "1", LIVE), pin("b", "2", LIVE)),
    ],
    ids=["live", "says paper now", "says live now", "says that it is an upgrade"],
)
def test_real_money_waits_for_a_person_over_restarts_too(
    before: Pin, after: Pin, tmp_path: Path
) -> None:
    kept = Kept(tmp_path)
    assert kept.look(before) == ""
    why = kept.look(after)
    assert "mtquant reconcile --broker desk --accept" in why
    assert len(kept.told) == 1

    again = Kept(tmp_path)
    assert again.look(after) == why
    assert not again.told
    # Nor does it help to look as before.
    assert again.look(before) != ""
    assert again.look(after) != ""

    assert again.pins.accept("desk", "desk#1", "ann", "upgraded it")
    assert again.look(after) == ""
    assert again.notes[-1][0] == "pin_accepted"
    assert (again.notes[-1][1]["by"], again.notes[-1][1]["why"]) == ("ann", "upgraded it")
    assert not again.pins.accept("desk", "desk#1", "ann", "once more")
    assert Kept(tmp_path).look(after) == ""


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 99_999, '{"pins": {"x": {"tools": 1}}}'])
def test_a_file_that_cant_be_read_is_told_of_once_and_pins_go_on(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    kept = Kept(tmp_path)
    assert kept.look(pin("a", environment=LIVE)) == ""
    assert [level for level, _ in kept.told] == [Level.ALARM]
    assert kept.look(pin("b", environment=LIVE)) != ""


def test_a_folder_that_cant_be_written_is_told_of_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "gone")
    kept.look(pin("a"))
    kept.look(pin("b"))
    problems = [message for _, message in kept.told if "can't be used" in message]
    assert len(problems) == 1


def at_desk(
    folder: Path,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[Place, dict[str, str]], Awaitable[None]],
) -> None:
    """Run an engine whose servers list what ``offered`` says, and whose accounts may be traded."""
    offered: dict[str, str] = {"digest": "a"}
    capabilities = Remote.get_capabilities

    async def list_offered(_: Remote) -> str:
        return offered["digest"]

    async def get_capabilities(self: Remote) -> Any:  # noqa: ANN401
        return replace(await capabilities(self), environment=environment)

    monkeypatch.setattr(Remote, "list_offered", list_offered)
    monkeypatch.setattr(Remote, "get_capabilities", get_capabilities)

    async def test(place: Place) -> None:
        allowed: Any = place.engine.wiring.live_accounts
        for link in place.engine.wiring.links.values():
            allowed[link.name] = (await link.account()).account_id
            await place.engine.reconciler.compare(link)
        await use(place, offered)

    anyio.run(read, folder, test)


async def looked(place: Place, server: str = "desk") -> None:
    """Let the server be looked at once more, as it is at each interval."""
    session = place.engine.wiring.links[server].sessions[0]
    before = session.health
    session._wake.set()
    while session.health is before:
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


def told(place: Place, words: str) -> list[str]:
    return [each["level"] for each in place.engine.told if words in each["message"]]


def test_a_live_account_opens_nothing_after_a_change_until_it_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(place: Place, offered: dict[str, str]) -> None:
        engine, link = place.engine, place.engine.wiring.links["desk"]
        assert engine.book.routes["EUR/USD"] == "desk"
        offered["digest"] = "b"
        await looked(place)
        await looked(place)
        assert "changed and nobody has accepted it" in link.state().why
        assert engine.book.routes["EUR/USD"] != "desk"
        assert told(place, "tools of desk have changed") == ["alarm"]
        await engine.reconciler.compare(link)
        assert not link.state().tradable
        found = await engine.reconciler.accept(link, "ann", "upgraded it")
        assert found.agrees
        assert link.state().tradable
        assert engine.book.routes["EUR/USD"] == "desk"

    at_desk(tmp_path, LIVE, monkeypatch, use)
    kept = json.loads((tmp_path / "state" / FILE).read_text())["pins"]["desk"]
    assert (kept["tools"], kept["accepted"]) == ("b", True)


def test_a_paper_account_goes_on_after_one_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(place: Place, offered: dict[str, str]) -> None:
        offered["digest"] = "b"
        await looked(place)
        await looked(place)
        assert place.engine.wiring.links["desk"].state().tradable
        assert told(place, "tools of desk have changed") == ["alarm"]

    at_desk(tmp_path, PAPER, monkeypatch, use)


def test_a_change_while_the_engine_was_down_is_found_at_its_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(place: Place, _: dict[str, str]) -> None:
        assert not told(place, "have changed")

    async def blocked(place: Place, _: dict[str, str]) -> None:
        assert told(place, "have changed")
        assert not place.engine.wiring.links["desk"].state().tradable

    at_desk(tmp_path, LIVE, monkeypatch, nothing)
    path = tmp_path / "state" / FILE
    path.write_text(path.read_text().replace('"tools": "a"', '"tools": "c"'))
    at_desk(tmp_path, LIVE, monkeypatch, blocked)
