"""Record docs/session.md: a whole session in a terminal, run for real in an empty folder.

    python docs/record.py            writes the page
    python docs/record.py --check    runs it again and says where it differs, numbers aside

Prices, times and ids differ from run to run, so a comparison looks at the words only.
"""

from __future__ import annotations

import difflib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "session.md"
WAIT_S = 60.0
SEED = 153
STRATEGY = """\
[strategies.dips]
plugin = "dips"
symbols = ["EUR/USD"]
period = 200
mode = "semi"                   # what opens a position waits for you

[approval]
expires_s = 3600
max_drift = "0.05"              # one-second bars of an invented market move fast
"""
HEAD = """\
<!-- Written by docs/record.py, which runs it; don't edit. -->

# A whole session

From an empty folder to a strategy of your own: why its order was vetoed, an order approved by hand, a
restart in the middle. Recorded by `python docs/record.py`, which a test runs again; your prices, times
and ids will be others. `$` is what was typed; some output is cut, marked `[...]`.
"""


class Session:
    """A folder, the command in it, and the page as it grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page = [HEAD]
        self.engine: subprocess.Popen[str] | None = None
        plugins = folder.parent / "plugins"
        self.environment = os.environ | {
            "PYTHONPATH": str(plugins),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            "USER": "ann",
            "LOGNAME": "ann",
        }
        self.plugins = plugins

    def say(self, text: str) -> None:
        self.page.append(f"\n{text}\n")

    def show(self, typed: str, output: str, first: int = 40) -> None:
        lines = [self._short(line) for line in output.splitlines()]
        kept = lines[:first] + (["[...]"] if len(lines) > first else [])
        self.page.append("```console\n$ " + "\n".join([typed, *kept]) + "\n```")

    def _short(self, line: str) -> str:
        """Return a line with the folder as a person has it, a table's columns where they were."""
        folder, short = str(self.folder), "~/trading"
        if folder in line and line.endswith("│"):
            return line[:-1].replace(folder, short) + " " * (len(folder) - len(short)) + "│"
        return line.replace(folder, short).rstrip()

    def run(self, typed: str, *, actual: str = "", first: int = 40, code: int = 0) -> str:
        done = subprocess.run(
            actual or typed,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=WAIT_S * 2,
            check=False,
        )
        if done.returncode != code:
            raise SystemExit(f"{typed}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        self.show(typed, done.stdout + done.stderr, first)
        return done.stdout + done.stderr

    def start(self, typed: str, until: str) -> None:
        """Start the engine in the background and show what it says until a line matches."""
        self.engine = subprocess.Popen(
            typed.split(),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = []
        assert self.engine.stderr is not None  # noqa: S101 - it was asked for
        for line in self.engine.stderr:
            said.append(line)
            if re.search(until, line):
                break
        else:
            raise SystemExit(f"{typed} ended: {''.join(said)}")
        self.show(f"{typed} &", "".join(said))

    def stop(self, typed: str) -> None:
        self.run(typed)
        assert self.engine is not None  # noqa: S101 - it was started
        out, _ = self.engine.communicate(timeout=WAIT_S)
        self.engine = None
        self.page[-1] = self.page[-1].removesuffix("\n```") + "\n" + out.strip() + "\n```"

    def wait(self, command: str, pattern: str) -> None:
        """Wait until a command's output shows that something has happened."""
        for _ in range(int(WAIT_S)):
            done = subprocess.run(
                command.split(),
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if re.search(pattern, done.stdout):
                return
            time.sleep(1)
        raise SystemExit(f"{command}: never {pattern!r}")


def record(folder: Path) -> str:
    session = Session(folder)
    try:
        story(session)
    finally:
        if session.engine is not None:
            session.engine.send_signal(signal.SIGTERM)
            session.engine.communicate(timeout=WAIT_S)
    return "\n".join(session.page) + "\n"


def story(session: Session) -> None:
    session.say("## A configuration, and whether this machine is fit")
    session.run("mtquant init")
    session.run("mtquant doctor")
    session.say(
        "## A strategy of your own\n\n`new` writes a package whose tests pass; it is long above an average, short below."
    )
    session.run("mtquant new strategy dips")
    session.run(
        "pip install ./dips",
        actual=f"{sys.executable} -m pip install -q --disable-pip-version-check --no-deps --target {session.plugins} ./dips 2>/dev/null",
    )
    session.run("mtquant plugins strategy dips")
    session.say("In `mtquant.toml` it takes the place of the strategy that was there:")
    file = session.folder / "mtquant.toml"
    text = file.read_text()
    before, _, after = text.partition("[strategies.trend]")
    # A walk that stays above its average for the minutes that this takes.
    before = before.replace('plugin = "walk" ', f'seed = {SEED}\nplugin = "walk" ')
    before = before.replace('plugin = "walk"\n', f'seed = {SEED}\nplugin = "walk"\n')
    file.write_text(before + STRATEGY + "\n[risk]" + after.partition("\n[risk]")[2])
    session.page.append(f"```toml\n{STRATEGY}```")
    session.run("mtquant config check")
    session.say(
        "## Why nothing happens: a veto\n\nThe template's sizer risks a part of equity at the stop, and the new strategy gives no stop."
    )
    session.start("mtquant run", "vetoed EUR/USD")
    session.run("mtquant log --kind verdict --last 1")
    session.stop("mtquant stop")
    session.say(
        "## Approve an order\n\nWith a fixed quantity there is nothing to size by a stop. The order waits, with the gate's verdict."
    )
    session.start(
        "mtquant run --set risk.sizer={plugin='fixed_quantity',quantity='10000'}", "suggestion 1"
    )
    session.run("mtquant todo", code=1)
    session.run("mtquant suggestions")
    session.run("mtquant approve 1")
    session.run("mtquant positions")
    session.run("mtquant modify EUR/USD --stop-loss 0.9 --take-profit 1.6", actual=protect(session))
    session.say("## An order by hand, through the same gate")
    session.run("mtquant order buy GBP/USD 2500", code=1)
    session.run("mtquant order buy GBP/USD 2000 --stop-loss 0.5")
    session.run("mtquant account")
    session.run("mtquant watch --once")
    session.say(
        "## A restart in the middle\n\nPositions and their stops stay at the brokers; the engine comes back, and compares before it trades."
    )
    session.stop("mtquant stop")
    session.start(
        "mtquant run --set risk.sizer={plugin='fixed_quantity',quantity='10000'}", "semi mode"
    )
    session.wait("mtquant positions --json", "EUR/USD")
    session.run("mtquant close GBP/USD")
    session.run("mtquant mode dips manual --why 'enough for today'")
    session.stop("mtquant stop --close")
    session.run("mtquant positions")
    session.run("mtquant log --kind fill --last 2")


def protect(session: Session) -> str:
    """Return the command with its two prices on the sides that suit the position."""
    found = subprocess.run(
        ["mtquant", "positions"],
        cwd=session.folder,
        env=session.environment,
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    words = ("0.9", "1.6") if "buy" in found else ("1.6", "0.9")
    return f"mtquant modify EUR/USD --stop-loss {words[0]} --take-profit {words[1]}"


def words(page: str) -> list[str]:
    """Return a page's lines without what differs from run to run: numbers, ids, sides, lengths."""
    page = re.sub(r"\b[0-9A-Z]{26}\b", "ID", page)
    page = re.sub(r"\b(buy|sell|long|short|above|below)\b", "SIDE", page)
    page = re.sub(r"[-+]?\d[\d,.:TZ]*", "N", page)
    page = re.sub(r"[━─═ ]{2,}", " ", page)
    page = re.sub(r"(?m)^(│[^│]*) [^│]*│$", r"\1", page)  # the word that a panel's edge may cut
    return [line.strip() for line in page.splitlines() if line.strip(" ┏┓┡┩└┘┳╇┴│╭╮╰╯━─N")]


def main() -> int:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "trading"
        folder.mkdir()
        page = record(folder)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page, encoding="utf-8")
        return 0
    before, after = words(PAGE.read_text(encoding="utf-8")), words(page)
    differ = list(difflib.unified_diff(before, after, "page", "run", lineterm="", n=1))
    print("\n".join(differ) or "the session is as the page tells it")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
