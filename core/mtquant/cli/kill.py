"""``python -m mtquant.cli.kill ACCOUNT.DB PID``: SIGKILL a server the moment it has taken an order.

In a process of its own: between the server's commit and its answer there is a fraction of a
millisecond, which a thread beside the engine's would too often miss.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Callable

from mtquant.clock import SystemClock

LIMIT_S = 5.0


def main() -> None:
    """Say ``ready``, wait for the account file to change, and kill."""
    account, process_id = sys.argv[1], int(sys.argv[2])
    database = sqlite3.connect(f"file:{account}?mode=ro", uri=True, isolation_level=None)
    before = database.execute("PRAGMA data_version").fetchone()
    strike(
        process_id,
        lambda: database.execute("PRAGMA data_version").fetchone() != before,
    )


def strike(process_id: int, taken: Callable[[], bool]) -> None:
    """Say ``ready``, and kill as soon as ``taken`` says so; after ``LIMIT_S`` in any case."""
    clock = SystemClock()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    limit = clock.monotonic() + LIMIT_S
    while not taken():
        if clock.monotonic() > limit:
            break
    os.kill(process_id, signal.SIGKILL)


if __name__ == "__main__":
    main()
