"""The cases of the kit, a module for each group; importing this registers them all."""

from mtquant.testing.cases import (
    capabilities,
    concurrency,
    data,
    fills,
    hostile,
    idempotency,
    order_changes,
    orders,
    positions,
    protections,
    races,
    refusals,
    restart,
    streams,
    time_in_force,
    undeclared,
)

__all__ = [
    "capabilities",
    "concurrency",
    "data",
    "fills",
    "hostile",
    "idempotency",
    "order_changes",
    "orders",
    "positions",
    "protections",
    "races",
    "refusals",
    "restart",
    "streams",
    "time_in_force",
    "undeclared",
]
