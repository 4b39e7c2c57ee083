"""The same strategy in every peer, one after another, each in a process of its own.

    cd benchmarks && python -m backtest.run [--bars 100000 1000000] [--repeat 3] [--limit-s 300]
        [--folder FOLDER] [--only NAME ...] [--sweep] [--json]

Makes the peers' environments and the bars in FOLDER (a temporary one if none is given; a folder of
your own is used again the next time), runs each script of ``peers/`` on each number of bars, or
with ``--sweep`` each ``sweep_*.py`` on the first, and prints a table. Each figure is the best of
the repeats, which take turns, so that a busy machine hits all alike. Fills and equity are compared
with ``reference.py``; a script that fails or takes too long is a row with its reason.
Scripts with ``mtquant`` in their name run with the Python that runs this.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backtest.data import bars, write
from backtest.reference import Reference, reference

HERE = Path(__file__).parent
BASE = "backtesting.py"
"""The peer that the ratios are against."""
Row = dict[str, Any]


@dataclass
class Environments:
    """The Python of each script; an environment is made when a script first asks for it."""

    folder: Path
    made: dict[Path, str] = field(default_factory=dict)

    def python(self, script: str) -> str:
        """Return the Python that runs ``script``. Raises CalledProcessError if pip fails."""
        if "mtquant" in script:
            return sys.executable
        name = "vectorbt" if "vectorbt" in script else "peers"
        wanted = HERE / f"requirements-{name}.txt"
        if wanted not in self.made:
            self.made[wanted] = self._make(wanted)
        return self.made[wanted]

    def _make(self, wanted: Path) -> str:
        digest = hashlib.sha256(wanted.read_bytes()).hexdigest()[:12]
        place = self.folder / f"{wanted.stem}-{digest}"
        python, done = place / "bin" / "python", place / "installed"
        if not done.exists():
            tell(f"installing {wanted.name}")
            call(sys.executable, "-m", "venv", "--clear", str(place))
            call(str(python), "-m", "pip", "install", "--quiet", "-r", str(wanted))
            done.touch()
        return str(python)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bars", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--limit-s", type=float, default=300.0, help="seconds for one process")
    parser.add_argument("--folder", type=Path, help="keeps environments and bars for the next time")
    parser.add_argument("--only", nargs="+", default=[], help="scripts whose name begins so")
    parser.add_argument("--sweep", action="store_true", help="1,000 pairs of averages instead")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(arguments, folder)
    if arguments.json:
        about = {"python": platform.python_version(), "cores": os.cpu_count(), "base": BASE}
        print(json.dumps({**about, "repeat": arguments.repeat, "rows": rows}, indent=2))
    else:
        show(rows)


def measure(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Return one row for each script and number of bars."""
    scripts = [
        f"backtest.{path.stem}" if arguments.sweep else f"backtest.peers.{path.stem}"
        for path in sorted(HERE.glob("sweep_*.py" if arguments.sweep else "peers/*.py"))
        if path.stem.removeprefix("sweep_").startswith(tuple(arguments.only) or "")
    ]
    environments = Environments(folder)
    rows: list[Row] = []
    for count in arguments.bars[:1] if arguments.sweep else arguments.bars:
        made = bars(count)
        file = folder / f"bars-{count}.npz"
        write(made, file)
        best: dict[str, Row] = {}
        for turn in range(arguments.repeat):
            for script in scripts:
                if "failed" in best.get(script, {}):
                    continue
                tell(f"{count:,} bars, {turn + 1} of {arguments.repeat}: {script}")
                row = attempt(environments, script, file, arguments.limit_s)
                best[script] = better(best.get(script), row)
        rows += compared(best.values(), reference(made.points), count)
    return rows


def attempt(environments: Environments, script: str, file: Path, limit_s: float) -> Row:
    """Return the line of JSON that one run of ``script`` printed, or why there is none."""
    name = script.rpartition(".")[2]
    try:
        python = environments.python(script)
        done = subprocess.run(
            [python, "-m", script, str(file)],
            cwd=HERE.parent,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=True,
        )
        row: Row = json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        return {"name": name, "failed": f"not done after {limit_s:g} s"}
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().rpartition("\n")[2]
        return {"name": name, "failed": said or f"ended with {error.returncode}"}
    except ValueError:
        return {"name": name, "failed": "its last line isn't JSON"}
    except OSError as error:
        return {"name": name, "failed": str(error)}
    return row


def better(old: Row | None, new: Row) -> Row:
    """Return the faster of two rows of one script; a failure stays."""
    if old is None or "failed" in new:
        return new
    return min(old, new, key=lambda row: float(row["seconds"]))


def compared(found: Iterable[Row], wanted: Reference, count: int) -> list[Row]:
    """Return the rows, fastest first, with rate, ratio to the base and what differs, if any."""
    rows = [dict(row, bars=count) for row in found]
    base = next((row for row in rows if row["name"] == BASE and "seconds" in row), None)
    for row in rows:
        if "failed" in row:
            continue
        row["bars_per_s"] = count * row.get("combinations", 1) / row["seconds"]
        row["ratio"] = base["seconds"] / row["seconds"] if base else None
        row["cpu_ratio"] = base["cpu_seconds"] / row["cpu_seconds"] if base else None
        row["difference"] = difference(row, wanted)
    return sorted(rows, key=lambda row: row.get("seconds", float("inf")))


def difference(row: Row, wanted: Reference) -> str:
    """Return how a row's fills and equity differ from the reference's; empty if they don't."""
    if "combinations" in row:
        return f"{row['differ']} pairs differ" if row["differ"] else ""
    fills, equity = row["fills"] - len(wanted.index), f"{row['equity']:.2f}"
    parts = [f"{fills:+} fills"] if fills else []
    if equity != f"{wanted.equity:.2f}":
        parts.append(f"equity {equity}, not {wanted.equity:.2f}")
    return ", ".join(parts)


def show(rows: list[Row]) -> None:
    print(f"The best of the repeats. x: times the speed of {BASE}. CPU: by CPU time, which tells")
    print("more than seconds where the machine is busy with other things. MB: the process's peak,")
    print("imports and bars included. same: fills and, to the cent, equity are the reference's.")
    last = None
    for row in rows:
        if row["bars"] != last:
            last = row["bars"]
            heads = f"{'seconds':>9} {'million/s':>9} {'x':>7} {'CPU':>9} {'x':>7} {'MB':>6}  same"
            print(f"\n{f'{last:,} bars':24} {'kind':8} {heads}")
        if "failed" in row:
            print(f"  {row['name']:22} {row['failed']}")
            continue
        ratio, cpu_ratio = (
            f"{row[key]:7.2f}" if row[key] else f"{'-':>7}" for key in ("ratio", "cpu_ratio")
        )
        print(
            f"  {row['name']:22} {row['kind']:8} {row['seconds']:9.4f} "
            f"{row['bars_per_s'] / 1e6:9.3f} {ratio} {row['cpu_seconds']:9.4f} {cpu_ratio} "
            f"{row['peak_mb']:6.0f}  {row['difference'] or 'yes'}"
        )


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
