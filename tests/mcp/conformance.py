"""Run the MCP project's conformance suite and inspector against the paper server.

    python tests/mcp/conformance.py FOLDER NODE

FOLDER holds the installed npm packages, NODE is the interpreter (``make mcp-conformance`` sees to
both). Every scenario that
left_out.toml doesn't list must pass, on both generations of the protocol, in the newest release of
the suite and in its newest pre-release. Exits 1 where one fails, or where the suite has a scenario
that is neither run nor listed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.mcp.front import front

TOKEN = "conformance-token-of-a-paper-account"  # noqa: S105 - of a server that lives a minute
SUITES = {
    "conformance-newest": ("2026-07-28", "2025-11-25"),
    "conformance-release": (None,),
}
SETTINGS = '{"prices": {"plugin": "walk"}, "history": 100}'
LEFT_OUT = tomllib.loads(Path(__file__).with_name("left_out.toml").read_text())
SUMMARY = re.compile(r"^[✓✗] ([\w-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
LISTED = re.compile(r"^\s+- ([\w-]+)", re.MULTILINE)
SERVER = (sys.executable, "-m", "mtquant_paper_server", "--settings", SETTINGS)


def reason(scenario: str) -> str:
    """Return why a scenario is left out, empty where it is not."""
    return next((each["why"] for each in LEFT_OUT.values() if scenario in each["scenarios"]), "")


async def run(*words: str, check: bool = True) -> str:
    done = await anyio.run_process(
        words, check=False, stderr=subprocess.STDOUT, env=os.environ | {"NO_COLOR": "1"}
    )
    text = done.stdout.decode(errors="replace")
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{text}")
    return text


async def suites(node: str, modules: Path, url: str, table: Table) -> int:
    """Run both suites; return how many scenarios failed that must not."""
    bad = 0
    for package, versions in SUITES.items():
        program = str(modules / package / "dist" / "index.js")
        known = set(LISTED.findall(await run(node, program, "list", "--server")))
        seen: set[str] = set()
        for version in versions:
            words = ["server", "--url", url, "--suite", "all"]
            words += ["--spec-version", version] if version else []
            text = await run(node, program, *words, check=False)
            for name, passed, failed in SUMMARY.findall(text):
                seen.add(name)
                why = reason(name)
                wrong = int(failed) > 0 and not why
                bad += wrong
                verdict = f"left out: {why}" if why else f"{passed} passed, {failed} failed"
                table.add_row(package, version or "all", name, verdict)
        for name in sorted(known - seen):
            why = reason(name)
            bad += not why
            table.add_row(
                package, "", name, f"left out: {why}" if why else "NEITHER RUN NOR LISTED"
            )
        if not seen:
            raise SystemExit(f"{package} ran no scenario")
    return bad


async def inspect(node: str, modules: Path, url: str, folder: Path, table: Table) -> int:
    """List and call tools with the inspector's command line, over stdio and HTTP."""
    program = str(modules / ".bin" / "mcp-inspector")
    stdio = [*SERVER, "--state", str(folder / "inspected")]
    http = [url, "--transport", "http"]
    order = ["side=buy", "order_type=market", "quantity={}", "client_order_id={}"]

    def call(quantity: int, name: str) -> list[str]:
        given = [each.format(value) for each, value in zip(order, ("", "", quantity, name))]  # noqa: B905
        named = ["instrument=EURUSD", *given]
        return ["--method", "tools/call", "--tool-name", "place_order", "--tool-arg", *named]

    bad = 0
    for kind, at in (("stdio", stdio), ("http", http)):
        listing = ["--method", "tools/list", "--strict"]
        for what, words, wanted in (
            ("tools/list --strict", listing, 0),
            ("place_order", call(1000, f"i-{kind}"), 0),
            ("place_order, refused", call(1, f"r-{kind}"), 5),
        ):
            done = await anyio.run_process([node, program, "--cli", *at, *words], check=False)
            bad += done.returncode != wanted
            verdict = f"exit code {done.returncode}"
            if done.returncode != wanted:
                verdict += f" instead of {wanted}: {done.stdout[-500:]!r} {done.stderr[-500:]!r}"
            table.add_row("inspector", kind, what, verdict)
    return bad


async def main(modules: Path, node: str) -> int:
    console = Console(width=130)
    table = Table(title="MCP conformance of the paper server", title_justify="left")
    for column in ("suite", "revision", "scenario", "result"):
        table.add_column(column, overflow="fold")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with AsyncExitStack() as stack:
            group = await stack.enter_async_context(anyio.create_task_group())
            port = await free_port()
            words = [*SERVER, "--state", str(folder / "served"), "--http", str(port)]
            words += ["--token", "env:CONFORMANCE_TOKEN"]
            environment = os.environ | {"CONFORMANCE_TOKEN": TOKEN}
            server = await stack.enter_async_context(
                await anyio.open_process(words, env=environment, stderr=subprocess.DEVNULL)
            )
            at = await group.start(partial(front, port, TOKEN))
            await listening(port)
            url = f"http://127.0.0.1:{at}/mcp"
            bad = await suites(node, modules, url, table)
            bad += await inspect(node, modules, url, folder, table)
            group.cancel_scope.cancel()
            server.terminate()
    console.print(table)
    console.print(f"{bad} failed" if bad else "every scenario that applies passed")
    return 1 if bad else 0


async def free_port() -> int:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        return int(listener.extra(anyio.abc.SocketAttribute.local_port))  # noqa: S610 - anyio's


async def listening(port: int) -> None:
    for _ in range(300):
        try:
            async with await anyio.connect_tcp("127.0.0.1", port):
                return
        except OSError:
            await anyio.sleep(0.1)
    raise SystemExit("the paper server does not listen")


if __name__ == "__main__":
    sys.exit(anyio.run(main, Path(sys.argv[1]).resolve() / "node_modules", sys.argv[2]))
