"""What the kit makes sure of before it trades: a paper or practice account with nothing in it."""

from __future__ import annotations

from mtquant.errors import BrokerError, ErrorCode, Outcome, Refused
from mtquant.model import Capabilities, Environment
from mtquant.wire import Remote


async def check_environment(remote: Remote, capabilities: Capabilities) -> None:
    """Raise Refused unless capabilities and account agree that no real money is at stake.

    The two are asked apart: a broker whose capabilities say paper while its account says live is
    exactly the one that must not be tried out. What can't be read counts as live.
    """
    told = [capabilities.environment]
    try:
        told.append((await remote.get_account()).environment)
    except BrokerError as error:
        problem = f"its account's environment can't be read ({error}), and unknown counts as live"
        raise _unsafe(ErrorCode.READ_ONLY, problem) from None
    if Environment.LIVE in told:
        raise _unsafe(
            ErrorCode.READ_ONLY,
            "this account is live: the kit trades paper and practice accounts only",
        )


async def check_empty(remote: Remote) -> None:
    """Raise Refused where the account holds what the kit, which cleans up, would close."""
    positions = (await remote.get_positions()).positions
    orders = (await remote.list_orders(limit=1)).orders
    if positions or orders:
        raise _unsafe(
            ErrorCode.CONFLICT,
            f"this account holds {len(positions)} positions and {'some' if orders else 'no'} "
            "working orders, and the kit would close them: give it an empty account",
        )


def _unsafe(code: ErrorCode, problem: str) -> Refused:
    return Refused(code, problem, outcome=Outcome.NOT_SENT)
