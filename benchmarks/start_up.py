"""How long starting takes, as a ratio to starting Python itself in the same run.

python benchmarks/start_up.py [--json]
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 15
CASES = {
    "python -c pass": "pass",
    "import mtquant": "import mtquant",
    "mtquant --help": "import sys; sys.argv = ['mtquant', '--help']; "
    "from mtquant.cli import main; main()",
}


def once(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    took: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, code in CASES.items():
            took[name].append(once(code))
    reference = statistics.median(took["python -c pass"])
    found = {
        name: {
            "median_ms": round(statistics.median(each) * 1000, 1),
            "beyond_python_ms": round((statistics.median(each) - reference) * 1000, 1),
            "ratio": round(statistics.median(each) / reference, 2),
        }
        for name, each in took.items()
    }
    if "--json" in sys.argv:
        print(json.dumps(found))
        return
    for name, figures in found.items():
        print(
            f"{name:16} {figures['median_ms']:7.1f} ms  {figures['ratio']:5.2f} x python  "
            f"(+{figures['beyond_python_ms']:.1f} ms)"
        )


if __name__ == "__main__":
    main()
