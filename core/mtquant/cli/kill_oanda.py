"""``python -m mtquant.cli.kill_oanda URL ACCOUNT TOKEN_FILE PID``: SIGKILL OANDA's server.

At the moment at which the simulated OANDA at URL has taken an order. It is told to keep the answer
to itself, so that the server dies with the order in flight however fast the machine is.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx2

from mtquant.cli.kill import LIMIT_S, strike


def main() -> None:
    """Say ``ready``, wait for the account's next transaction, and kill."""
    url, account, token_file, process_id = sys.argv[1:5]
    token = Path(token_file).read_text(encoding="utf-8")
    headers = {"Authorization": f"Bearer {token}"}
    with httpx2.Client(base_url=url, headers=headers, timeout=LIMIT_S) as client:

        def last() -> str:
            answer = client.get(f"/v3/accounts/{account}/summary").raise_for_status()
            return str(answer.json()["lastTransactionID"])

        before = last()
        client.put("/admin/faults", json={"next": ["hold_after"]}).raise_for_status()
        strike(int(process_id), lambda: last() != before)


if __name__ == "__main__":
    main()
