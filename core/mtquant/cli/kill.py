"""``python -m mtquant.cli.kill ACCOUNT.DB PID``: SIGKILL a server the moment it has taken an order.

In a process of its own: between the server's commit and its answer there is a fraction of a
millisecond, which a thread beside the engine's would too often miss.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys

from mtquant.clock import SystemClock

LIMIT_S = 5.0


def main() -> None:
    """Say ``ready``, wait for the account file to change, and kill; at the limit in any case."""
    account, process_id = sys.argv[1], int(sys.argv[2])
    clock = SystemClock()
    database = sqlite3.connect(f"file:{account}?mode=ro", uri=True, isolation_level=None)
    before = database.execute("PRAGMA data_version").fetchone()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    limit = clock.monotonic() + LIMIT_S
    while database.execute("PRAGMA data_version").fetchone() == before:
        if clock.monotonic() > limit:
            break
    os.kill(process_id, signal.SIGKILL)


if __name__ == "__main__":
    main()
