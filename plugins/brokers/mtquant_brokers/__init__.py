"""First-party brokers of mtquant: where their servers are and how they spell symbols."""

from collections.abc import Sequence
from typing import Any

from mtquant import hookimpl
from mtquant.contract import BrokerPlugin


@hookimpl
def brokers() -> Sequence[type[BrokerPlugin[Any]]]:
    """Return the brokers of this package."""
    from mtquant_brokers.oanda import Oanda  # noqa: PLC0415 - listing plugins costs nothing
    from mtquant_brokers.paper import Paper  # noqa: PLC0415 - likewise

    return [Paper, Oanda]
