"""The cases of the kit, a module for each group; importing this registers them all."""

from mtquant.testing.cases import (
    capabilities,
    concurrency,
    data,
    fills,
    hostile,
    idempotency,
    orders,
    positions,
    protections,
    refusals,
    restart,
    streams,
    time_in_force,
)

__all__ = [
    "capabilities",
    "concurrency",
    "data",
    "fills",
    "hostile",
    "idempotency",
    "orders",
    "positions",
    "protections",
    "refusals",
    "restart",
    "streams",
    "time_in_force",
]
