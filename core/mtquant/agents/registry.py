"""The agents of one engine: names, scopes, budgets, and the hashes of their tokens.

They lie in ``agents.json`` in the state folder, readable by its owner alone. A token is 256 random
bits, so its SHA-256 can't be turned back and needs no salt; it is shown once, when it is made.
Every look reads the file again where it changed: who is revoked is refused at his next call.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets  # noqa: TID251 - a token must not be guessable from any seed
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from mtquant.contract import Agent, Settings
from mtquant.errors import ConfigError

FILE = "agents.json"
PREFIX = "mtq_"
"""What every token begins with, so that a scanner for leaked secrets finds it."""
_BYTES = 32


class Enrolled(Settings):
    """One agent as it lies in the file; ``token_sha256`` is empty for one on stdio only."""

    agent: Agent
    token_sha256: str = Field("", pattern=r"^([0-9a-f]{64})?$")


class _File(Settings):
    version: int = Field(1, ge=1, le=1)
    agents: tuple[Enrolled, ...] = ()


class Registry:
    """The agents in the state folder ``folder``.

    Raises ConfigError where the file can't be read or used: then nobody is an agent.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Enrolled] = {}

    def agents(self) -> Mapping[str, Agent]:
        """Return every agent by its name."""
        return {name: each.agent for name, each in self._enrolled().items()}

    def get(self, name: str) -> Agent | None:
        """Return the agent called ``name``; None where there is none, or no more."""
        found = self._enrolled().get(name)
        return found.agent if found else None

    def of_token(self, token: str) -> Agent | None:
        """Return whose token this is; None where it is nobody's. In constant time."""
        given = _hash(token)
        found = None
        for each in self._enrolled().values():
            if each.token_sha256 and hmac.compare_digest(each.token_sha256, given):
                found = each.agent
        return found

    def has_token(self, name: str) -> bool:
        """Tell whether the agent called ``name`` may come over HTTP."""
        found = self._enrolled().get(name)
        return bool(found and found.token_sha256)

    def add(self, agent: Agent, *, token: bool = True) -> str:
        """Enrol a new agent and return its token, which nothing keeps; empty for one without.

        Raises ConfigError where the name is taken.
        """
        with self._changing() as known:
            if agent.name in known:
                remedy = "`mtquant agents change` alters it, `revoke` takes it away."
                raise ConfigError("agents.name", f"{agent.name!r} exists", remedy)
            made = PREFIX + secrets.token_urlsafe(_BYTES) if token else ""
            known[agent.name] = Enrolled(agent=agent, token_sha256=_hash(made) if made else "")
        return made

    def change(self, agent: Agent) -> None:
        """Give an agent other scopes, another mode or budget; its token stays."""
        with self._changing() as known:
            before = _require(known, agent.name)
            known[agent.name] = Enrolled(agent=agent, token_sha256=before.token_sha256)

    def renew(self, name: str) -> str:
        """Return a new token of the agent called ``name``; the one before opens nothing more."""
        made = PREFIX + secrets.token_urlsafe(_BYTES)
        with self._changing() as known:
            agent = _require(known, name).agent
            known[name] = Enrolled(agent=agent, token_sha256=_hash(made))
        return made

    def revoke(self, name: str) -> None:
        """Take an agent away: from now on it may nothing."""
        with self._changing() as known:
            _require(known, name)
            del known[name]

    def _enrolled(self) -> Mapping[str, Enrolled]:
        try:
            state = self._path.stat()
        except FileNotFoundError:
            self._seen, self._known = None, {}
            return self._known
        except OSError as error:
            raise _unusable(self._path, error.strerror or type(error).__name__) from None
        seen = (state.st_mtime_ns, state.st_ino, state.st_size)
        if seen != self._seen:
            self._known = _read(self._path, state.st_mode)
            self._seen = seen
        return self._known

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Enrolled]]:
        """Hold the file, give its agents, and write them back, whole or not at all."""
        with _held(self._path.with_suffix(".lock")):
            known = dict(self._enrolled())
            yield known
            body = {
                "version": 1,
                "agents": [each.model_dump(mode="json") for each in known.values()],
            }
            fresh = self._path.with_suffix(".new")
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(body, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Let one command at a time write; one that died in the middle leaves a file to take away."""
    try:
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        problem = f"another command writes it, or died while it did ({lock.name} lies there)"
        raise ConfigError("agents.json", problem, f"If none runs: rm {lock}") from None
    except OSError as error:
        raise _unusable(lock, error.strerror or type(error).__name__) from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _read(path: Path, mode: int) -> dict[str, Enrolled]:
    if os.name == "posix" and mode & 0o077:
        problem = f"may be read by others (mode {mode & 0o777:04o})"
        raise _unusable(path, problem, f"chmod 600 {path}")
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _unusable(path, type(error).__name__) from None
    if not isinstance(table, dict):
        raise _unusable(path, "is no JSON object")
    found = _File.read(table, f"{path}: ")
    return {each.agent.name: each for each in found.agents}


def _require(known: Mapping[str, Enrolled], name: str) -> Enrolled:
    if name not in known:
        have = ", ".join(known) or "none"
        raise ConfigError("agents.name", f"no agent {name!r}", f"Agents: {have}.")
    return known[name]


def _unusable(
    path: Path, why: str, remedy: str = "Mend it, or enrol the agents anew."
) -> ConfigError:
    return ConfigError(str(path), f"can't be used: {why}", remedy)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
