"""The desk of agents fails closed: where nothing can be written down, nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.gateway.malicious import Scene

from mtquant.errors import JournalError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def orders_at_the_venues(scene: Scene) -> int:
    return len(await scene.executed())


async def test_an_approval_whose_store_is_down_sends_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "scene")
    with pytest.raises(BaseExceptionGroup) as ended:  # noqa: PT012 - the engine ends with it
        async with scene.running():
            waiting = await scene.buy("semi", "p1", 1000)
            assert waiting.ask is not None
            number, before = waiting.ask.number, await orders_at_the_venues(scene)
            scene.engine.wiring.journal.broken("the disk is full")

            with pytest.raises(JournalError, match="the disk is full"):
                await scene.person("approve", number)
            with pytest.raises(JournalError, match="the disk is full"):
                await scene.answer(
                    "semi",
                    waiting.ask.number,
                    waiting.ask.digest,
                    approve=True,
                    code=scene.code(number),
                )
            with pytest.raises(JournalError, match="the disk is full"):
                await scene.buy("mallory", "m1", 1000)

            assert await orders_at_the_venues(scene) == before == 0
    assert ended.group_contains(JournalError)
