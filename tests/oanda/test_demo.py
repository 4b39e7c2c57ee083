"""``mtquant demo --oanda``: OANDA's server dies in the middle, and the books agree at the end."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from tests.simulators.desk import HEADERS, NETTING, TOKEN, Script

from mtquant.book import Holding
from mtquant.cli.demo import demo
from mtquant.cli.oanda_record import OandaRecord
from mtquant.cli.oanda_victim import INSTALL, OandaVictim
from mtquant.errors import ConfigError
from mtquant.orders import Stage
from mtquant_simulators.oanda import OandaSettings, serving

DEMO = [sys.executable, "-c", "from mtquant.cli import main; main()", "demo", "--oanda"]


def processes_of(folder: Path) -> list[str]:
    """Return the commands of the processes that name ``folder``."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            words = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, UnicodeDecodeError):
            continue
        if each.name.isdigit() and str(folder) in words:
            found.append(words)
    return found


def until(true: Callable[[], bool]) -> None:
    """Look again and again until ``true`` holds."""

    async def looking() -> None:
        with anyio.fail_after(60):
            while not true():
                await anyio.lowlevel.checkpoint()

    anyio.run(looking)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_oandas_server_is_killed_with_an_order_in_flight_and_the_books_agree(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [*DEMO, "--json", "--dir", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=850,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["clean"]
    assert figures["orders"] > 500
    assert figures["in_doubt"] == figures["in_doubt_resolved"] == 1
    assert figures["killed_order_fate"] == "filled"
    assert figures["failovers"] >= 1
    assert figures["lost"] == figures["duplicated"] == figures["differences"] == []
    assert figures["fills"] == figures["executions_at_brokers"]
    assert "oanda killed" in (tmp_path / "demo" / "report.html").read_text()
    assert processes_of(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_however_the_demo_ends(
    sent: signal.Signals, tmp_path: Path
) -> None:
    folder = tmp_path / "demo"
    with subprocess.Popen(
        [*DEMO, "--dir", str(folder)], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        # Itself, the simulator, and two servers.
        until(lambda: len(processes_of(folder)) >= 4)
        process.send_signal(sent)
        said = process.stderr.read()
        assert process.wait(60) != 0
        assert "Traceback" not in said
    until(lambda: not processes_of(folder))


def test_a_package_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:  # noqa: ANN401 - a spec
        return None if name == "mtquant_oanda_server" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(ConfigError) as caught:
        demo(tmp_path / "demo", oanda=True, as_json_text=False)
    assert "mtquant_oanda_server isn't installed" in str(caught.value)
    assert INSTALL in str(caught.value)


def test_what_installs_it_is_what_make_runs() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    _, _, packages = INSTALL.partition("install ")
    for each in packages.split("-e ")[1:]:
        assert f"-e {each.strip()}" in makefile


async def told() -> OandaRecord:
    """Return the record of an account that bought twice, and sold once."""
    simulated = OandaSettings.read({"clock": "stepped", "history": 0}, "settings")
    async with (
        serving(simulated, source=Script((1.1, 1.2))) as url,
        httpx2.AsyncClient(base_url=f"{url}/v3/accounts/{NETTING}", headers=HEADERS) as client,
    ):
        for name, units in (("a", "300"), ("b", "200"), ("c", "-100")):
            order = {"type": "MARKET", "instrument": "EUR_USD", "units": units}
            body = {"order": order | {"clientExtensions": {"id": name}}}
            (await client.post("/orders", json=body)).raise_for_status()
        return await OandaRecord.read(url, NETTING, TOKEN)


def ours(record: OandaRecord, **changes: object) -> Any:  # noqa: ANN401 - an engine's shape
    """Return an engine whose book is what ``record`` says, but for ``changes``."""
    holding = Holding(quantity=Decimal(400), average_price=Decimal("1.1"))
    book = {
        "executions": set(record.executions),
        "balance": record.balance,
        "holdings": {"EUR/USD": holding},
    }
    tickets = {
        name: SimpleNamespace(
            client_order_id=name, account="oanda", stage=changes.get(name, Stage.ACKNOWLEDGED)
        )
        for name in "abc"
    }
    symbols = SimpleNamespace(theirs=lambda symbol: symbol.replace("/", "_"))
    account = SimpleNamespace(**(book | {key: changes[key] for key in book if key in changes}))
    return SimpleNamespace(
        book=SimpleNamespace(account=lambda name: account),  # noqa: ARG005 - the book's shape
        wiring=SimpleNamespace(links={"oanda": SimpleNamespace(symbols=symbols)}),
        desk=SimpleNamespace(tickets=tickets),
    )


def test_books_that_agree_with_oandas_record_differ_in_nothing() -> None:
    record = anyio.run(told)
    assert len(record.executions) == 3
    assert record.held == record.filled == {"EUR_USD": Decimal(400)}
    assert record.differences(ours(record), "oanda") == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda it: ours(it, executions=set()), "3 executions are in OANDA's record or ours only"),
        (lambda it: ours(it, balance=Decimal(5)), "balance: we say 5, OANDA"),
        (lambda it: ours(it, holdings={}), "EUR_USD: we hold 0, OANDA holds 400"),
        (lambda it: ours(it, a=Stage.REFUSED), "a is refused, and OANDA has 1 of it"),
        (lambda it: ours(it, b=Stage.PROVEN_ABSENT), "b is proven_absent, and OANDA has 1 of it"),
    ],
)
def test_what_differs_from_oandas_record_is_said(
    wrong: Callable[[OandaRecord], Any], said: str
) -> None:
    record = anyio.run(told)
    assert any(said in each for each in record.differences(wrong(record), "oanda"))


def test_an_order_that_oanda_has_twice_is_said() -> None:
    record = anyio.run(told)
    twice = replace(record, orders=record.orders + record.orders)
    assert "oanda: a is acknowledged, and OANDA has 2 of it" in twice.differences(
        ours(record), "oanda"
    )


def test_a_record_that_cannot_be_read_is_a_difference(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-of-nobody")
    victim = OandaVictim("http://127.0.0.1:9", token)
    (found,) = anyio.run(victim.differences, ours(anyio.run(told)))
    assert "oanda's own record can't be read" in found
