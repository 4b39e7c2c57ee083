"""An OANDA account for the demo: the real server, before a simulated OANDA on this machine."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx2

from mtquant.cli.oanda_record import OandaRecord
from mtquant.cli.victim import Victim
from mtquant.clock import Ids, SystemClock
from mtquant.engine import Engine
from mtquant.errors import ConfigError

ACCOUNT = "101-001-1000001-001"
INSTALL = 'pip install -e mcp_servers/paper -e mcp_servers/oanda -e ".[demo]"'
_NEEDED = (
    "mtquant_paper_server",
    "mtquant_oanda_server",
    "mtquant_simulators",
    "currency_converter",
)
_PATIENCE_S = 10.0


class OandaVictim(Victim):
    """The account at a simulator's ``url``; ``token`` is the file that its token is in."""

    name = "oanda"
    words = "oanda (EUR_USD), mtquant-oanda-server before a simulated OANDA, over HTTP"
    notes = (
        (
            "The account oanda is simulated: mtquant-oanda-server trades it over OANDA's v20 API "
            "at a simulator on this machine. It charges no commission, and takes any whole number "
            "of units, where a paper account takes thousands for twenty dollars a million."
        ),
    )

    def __init__(self, url: str, token: Path) -> None:
        self._url, self._token = url, token

    def account(self, paper: dict[str, Any]) -> dict[str, Any]:
        """Return the account's table; nothing of a paper account is in it."""
        del paper
        return {
            "plugin": "oanda",
            "account_id": ACCOUNT,
            "access_token": f"file:{self._token}",
            "url": self._url,
            "options": {"clock": "stepped", "settling_window_s": 1},
        }

    def killer(self, process_id: int) -> Sequence[str]:
        """Return the command that watches the simulator's record of the account."""
        told = (self._url, ACCOUNT, str(self._token), str(process_id))
        return (sys.executable, "-m", "mtquant.cli.kill_oanda", *told)

    async def differences(self, engine: Engine) -> list[str]:
        """Compare our book with the simulator's own record, past the server and its files."""
        token = self._token.read_text(encoding="utf-8")
        try:
            record = await OandaRecord.read(self._url, ACCOUNT, token)
        except httpx2.HTTPError as error:
            return [f"{self.name}'s own record can't be read: {error!r}"]
        return record.differences(engine, self.name)


@contextmanager
def oanda_on_desk(folder: Path, symbols: Sequence[str]) -> Iterator[OandaVictim]:
    """Run a stepped simulator on the demo's prices within the ``with``; its log is in ``folder``.

    Raises ConfigError where a package is missing or the simulator doesn't start.
    """
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise ConfigError("demo --oanda", f"{package} isn't installed", f"Run: {INSTALL}")
    token = folder / "oanda-token"
    token.touch(mode=0o600)
    token.write_text(Ids(SystemClock()).new(), encoding="utf-8")
    log = folder / "oanda-simulator.log"
    with log.open("wb") as errors, _simulator(token, symbols, errors) as process:
        yield OandaVictim(_address(process.stdout, log), token)


@contextmanager
def _simulator(
    token: Path, symbols: Sequence[str], errors: IO[bytes]
) -> Iterator[subprocess.Popen[str]]:
    settings = {
        "clock": "stepped",
        "admin": True,
        "history": 0,
        "prices": {"plugin": "ecb"},
        "symbols": list(symbols),
        "accounts": [{"account_id": ACCOUNT}],
    }
    words = ["--port", "0", "--token", f"file:{token}", "--settings", json.dumps(settings)]
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "mtquant", "simulate", "oanda", "--attached", *words],
        stdin=subprocess.PIPE,  # it ends with this pipe, however this process does
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,  # Ctrl-C is for us: the servers need it until they have stopped
    )
    with process:
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE_S)
            process.kill()


def _address(output: IO[str] | None, log: Path) -> str:
    """Return the address that the simulator says it is at."""
    found = re.search(r"http://[\d.:]+", output.readline() if output else "")
    if found is None:
        said = log.read_text(encoding="utf-8", errors="replace").strip()
        raise ConfigError(
            "demo --oanda",
            f"the simulator didn't start: {said or 'it said nothing'}",
            f"Correct that, or install it anew: {INSTALL}",
        )
    return found[0]
