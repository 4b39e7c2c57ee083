"""Not here yet."""

from mtquant_simulators.oanda.answers import Answer, Problem
from mtquant_simulators.oanda.asked import Asked


def _later(asked: Asked) -> Answer:
    raise Problem(501, "not built yet")


create = listed = pending = one = replace = cancel = extensions = opened = close = dependents = (
    _later
)
