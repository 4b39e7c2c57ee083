"""Run the MCP project's conformance suites and inspector against the paper server and the gateway.

    python tests/mcp/conformance.py FOLDER NODE

FOLDER holds the installed npm packages, NODE is the interpreter (``make mcp-conformance`` sees to
both). Every scenario that left_out.toml doesn't list must pass, on both generations of the
protocol, in the newest release of the suite and in its newest pre-release. Exits 1 where one fails,
where the suite has a scenario that is neither run nor listed, or where the inspector's command line
ends otherwise than it should. What is listed and would pass is told.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.mcp.front import front
from tests.mcp.subjects import Subject, gateway, paper_server

RUNS = (
    ("conformance-newest", "2026-07-28"),
    ("conformance-newest", "2025-11-25"),
    ("conformance-release", None),
)
LEFT_OUT = tomllib.loads(Path(__file__).with_name("left_out.toml").read_text())
LISTED = re.compile(r"^\s+- ([\w-]+)", re.MULTILINE)
FOLDER = re.compile(r"^server-([\w-]+?)-\d{4}-\d\d-\d\dT")


@dataclass(slots=True)
class Tally:
    """What came of one server."""

    subject: Subject
    table: Table
    scenarios: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    known: dict[str, set[str]] = field(default_factory=dict)
    run: dict[str, set[str]] = field(default_factory=dict)
    needless: dict[str, bool] = field(default_factory=dict)

    def why(self, name: str, what: str = "scenarios") -> str:
        """Return why a scenario, or one of its ``checks``, is left out; empty where it is not."""
        return next(
            (
                each["why"]
                for each in LEFT_OUT.values()
                if self.subject.name in each["of"] and name in each.get(what, ())
            ),
            "",
        )

    def take_in(self, package: str, version: str | None, results: Path) -> None:
        """Take in what a suite wrote into the folder ``results``."""
        for folder in sorted(results.iterdir()):
            found = FOLDER.match(folder.name)
            if found is not None:
                self.scenario(package, version, found[1], folder)

    def scenario(self, package: str, version: str | None, name: str, folder: Path) -> None:
        """Take in the checks of one scenario."""
        checks = json.loads((folder / "checks.json").read_text())
        failed = [each["id"] for each in checks if each["status"] == "FAILURE"]
        passed = sum(each["status"] == "SUCCESS" for each in checks)
        excused = {each for each in failed if self.why(each, "checks")}
        why = self.why(name)
        self.run.setdefault(package, set()).add(name)
        if why:
            self.needless[name] = self.needless.get(name, True) and not failed
            verdict, said = "left out", f"left out: {why}"
        else:
            wrong = [each for each in failed if each not in excused]
            verdict = "failed" if wrong else "passed"
            said = f"{passed} checks passed" + "".join(f", FAILED: {each}" for each in wrong)
            said += "".join(f"; left out: {each}" for each in sorted(excused))
            self.checks.update(passed=passed, failed=len(wrong), excused=len(excused))
        self.scenarios[verdict] += 1
        self.table.add_row(package, version or "all", name, said)

    def never_run(self) -> None:
        """Take in the scenarios that the suites have, and ran against no revision."""
        for package, known in self.known.items():
            if not self.run.get(package):
                raise SystemExit(f"{package} ran no scenario")
            for name in sorted(known - self.run[package]):
                why = self.why(name)
                self.scenarios["left out" if why else "failed"] += 1
                said = f"left out: {why}" if why else "NEITHER RUN NOR LISTED"
                self.table.add_row(package, "", name, said)


async def run(*words: str) -> str:
    """Return what a command says; its exit code tells nothing here."""
    done = await anyio.run_process(
        words, check=False, stderr=subprocess.STDOUT, env=os.environ | {"NO_COLOR": "1"}
    )
    return done.stdout.decode(errors="replace")


async def suites(node: str, modules: Path, tally: Tally) -> None:
    """Run every suite on every revision against one server."""
    for (package, version), token in zip(RUNS, tally.subject.tokens, strict=True):
        program = str(modules / package / "dist" / "index.js")
        if package not in tally.known:
            tally.known[package] = set(LISTED.findall(await run(node, program, "list", "--server")))
        with tempfile.TemporaryDirectory() as name:
            async with before(tally.subject.port, token) as url:
                words = ["server", "--url", url, "--suite", "all", "-o", name]
                words += ["--spec-version", version] if version else []
                await run(node, program, *words)
            tally.take_in(package, version, Path(name))
    tally.never_run()


@asynccontextmanager
async def before(port: int, token: str) -> AsyncIterator[str]:
    """Yield a URL at which requests are given the token."""
    async with anyio.create_task_group() as group:
        at = await group.start(partial(front, port, token))
        yield f"http://127.0.0.1:{at}/mcp"
        group.cancel_scope.cancel()


async def inspect(node: str, modules: Path, tally: Tally) -> Counter[str]:
    """Have the inspector's command line look at one server."""
    program = str(modules / ".bin" / "mcp-inspector")
    looks: Counter[str] = Counter()
    for look in tally.subject.looks:
        done = await anyio.run_process([node, program, "--cli", *look.words], check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        good = done.returncode == look.code and look.says in said
        looks["passed" if good else "failed"] += 1
        verdict = f"exit code {done.returncode}" + (f", says {look.says}" if look.says else "")
        if not good:
            wanted = f"{look.code} and {look.says!r}"
            verdict = f"FAILED: exit code {done.returncode} instead of {wanted}:"
            verdict += f" {said[-1000:]!r}"
        words = look.words[look.words.index("--method") + 1 :]
        tally.table.add_row("inspector", look.over, " ".join(words), verdict)
    return looks


def told(tally: Tally, looks: Counter[str]) -> Sequence[str]:
    """Return what came of one server, a line each."""
    scenarios, checks = tally.scenarios, tally.checks
    line = (
        f"{tally.subject.name}: {scenarios['passed']} runs of scenarios passed"
        f" ({checks['passed']} checks, {checks['excused']} left out), {scenarios['failed']} failed,"
        f" {scenarios['left out']} left out; inspector: {looks['passed']} calls as they should be,"
        f" {looks['failed']} not"
    )
    lines = [line]
    needless = sorted(name for name, passes in tally.needless.items() if passes)
    if needless:
        lines.append(f"left out, and would pass: {', '.join(needless)}")
    return lines


async def main(modules: Path, node: str) -> int:
    """Hold both servers against the suites; return the exit code."""
    console = Console(width=130)
    lines: list[str] = []
    bad = 0
    for make in (paper_server, gateway):
        with tempfile.TemporaryDirectory() as name:
            async with make(Path(name), len(RUNS)) as subject:
                title = f"MCP conformance of the {subject.name}"
                table = Table(title=title, title_justify="left")
                for column in ("suite", "revision", "scenario", "result"):
                    table.add_column(column, overflow="fold")
                tally = Tally(subject, table)
                await suites(node, modules, tally)
                looks = await inspect(node, modules, tally)
        console.print(table)
        lines += told(tally, looks)
        bad += tally.scenarios["failed"] + looks["failed"]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    console.print(f"{bad} failed" if bad else "every scenario that applies passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(anyio.run(main, Path(sys.argv[1]).resolve() / "node_modules", sys.argv[2]))
