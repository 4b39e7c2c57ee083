"""``mtquant serve`` and the options that every server shares."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from mtquant import serving
from mtquant.contract import Broker, Endpoint, Scope, tools_of
from mtquant.errors import ConfigError, ErrorCode, Refused
from mtquant.model import CloseRequest, OrderRequest
from mtquant.wire import Remote

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
TOKEN = "canary-token-that-may-reduce"  # noqa: S105 - a canary
OTHER = "canary-token-that-may-do-all"
START = (
    "import sys\n"
    "from importlib.metadata import EntryPoint\n"
    "from mtquant import plugins\n"
    "found = [EntryPoint('coindesk', 'coindesk', 'mtquant')]\n"
    "load = plugins.load_catalogue\n"
    "plugins.load_catalogue = lambda: load(found)\n"
    "from mtquant.cli import main\n"
    "sys.argv = ['mtquant', 'serve', 'coindesk', *sys.argv[1:]]\n"
    "main()\n"
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def words(folder: Path, *more: str) -> tuple[str, ...]:
    return (sys.executable, "-c", START, "--state", str(folder / "state"), *more)


def variables() -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT / "examples" / "third_party"),
        "TOKEN": TOKEN,
        "OTHER": OTHER,
    }


def order(name: str = "a") -> OrderRequest:
    from decimal import Decimal  # noqa: PLC0415 - only here

    from mtquant.model import OrderType, Side  # noqa: PLC0415

    return OrderRequest(
        client_order_id=name,
        instrument="BTC/USD",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal("0.1"),
    )


@pytest.mark.slow
async def test_over_stdio_an_installed_broker_trades_and_remembers(tmp_path: Path) -> None:
    endpoint = Endpoint(command=words(tmp_path), environment=variables())
    async with Remote(endpoint) as desk:
        first = await desk.place_order(order())
    async with Remote(endpoint) as desk:
        again = await desk.place_order(order())
        assert (again.order_id, again.replayed) == (first.order_id, True)
        assert len((await desk.get_positions()).positions) == 1
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


@pytest.mark.slow
async def test_read_only_lists_nothing_that_trades(tmp_path: Path) -> None:
    endpoint = Endpoint(command=words(tmp_path, "--read-only"), environment=variables())
    async with Remote(endpoint) as desk:
        offered = set((await desk.get_capabilities()).tools)
    assert offered
    assert {tools_of(Broker)[each].scope for each in offered} == {Scope.READ}


@pytest.mark.slow
async def test_limits_stand_behind_the_client(tmp_path: Path) -> None:
    more = ("--largest-order", "0.05", "--orders-per-minute", "10", "--instruments", "BTC/USD")
    endpoint = Endpoint(command=words(tmp_path, *more), environment=variables())
    async with Remote(endpoint) as desk:
        with pytest.raises(Refused) as refused:
            await desk.place_order(order())
    assert refused.value.code is ErrorCode.RISK_DENIED


@asynccontextmanager
async def over_http(folder: Path, *more: str) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    process = await anyio.open_process(
        words(folder, "--http", str(port), *more), env=os.environ | variables(), stderr=None
    )
    try:
        while True:
            assert process.returncode is None
            try:
                async with await anyio.connect_tcp("127.0.0.1", port):
                    break
            except OSError:
                await anyio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.slow
async def test_over_http_each_token_opens_its_own_scopes(tmp_path: Path) -> None:
    tokens = ("--token", "env:TOKEN=read,reduce", "--token", "env:OTHER")
    async with over_http(tmp_path, *tokens) as url:
        async with Remote(Endpoint(url=url, token=OTHER)) as desk:
            await desk.place_order(order())
        async with Remote(Endpoint(url=url, token=TOKEN)) as desk:
            with pytest.raises(Refused) as refused:
                await desk.place_order(order("b"))
            assert refused.value.code is ErrorCode.UNSUPPORTED
            close = CloseRequest(client_order_id="c", instrument="BTC/USD")
            assert (await desk.close_position(close)).status == "filled"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--settings", "{"], "--settings"),
        (["--settings", "[]"], "no JSON object"),
        (["--settings", '{"nosuch": 1}'], "nosuch"),
        (["--http", "0"], "--token: is missing"),
        (["--http", "0", "--token", "env:MISSING"], "MISSING"),
        (["--http", "0", "--token", "env:TOKEN=read,everything"], "is no scope"),
        (["--http", "0", "--token", "env:TOKEN", "--host", "0.0.0.0"], "not a loopback"),  # noqa: S104
        (["--http", "0", "--token", "env:TOKEN", "--tls", "a.pem", "b.pem"], "a.pem"),
    ],
    ids=range(8),
)
@pytest.mark.slow
def test_a_wrong_option_is_one_line_and_exit_2(more: list[str], told: str, tmp_path: Path) -> None:
    done = subprocess.run(
        words(tmp_path, *more),
        env=os.environ | variables(),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("mtquant serve: ")
    assert told in line
    assert "canary" not in line


@pytest.mark.parametrize("more", [["--http", "99999"], ["--largest-order", "-1"], ["--nosuch"]])
def test_argparse_names_the_option(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="p")
    serving.add_options(parser, state="s")
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(more)
    assert ended.value.code == 2
    assert more[0] in capsys.readouterr().err


def test_settings_are_json_or_a_toml_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('balance = "5"')
    assert serving.read_settings(f"@{tmp_path / 'a.toml'}") == {"balance": "5"}
    assert serving.read_settings(json.dumps({"balance": "5"})) == {"balance": "5"}
    with pytest.raises(ConfigError, match="can't be read"):
        serving.read_settings("@nosuch.toml")
