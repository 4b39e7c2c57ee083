"""What the gate decided, with all it looked at: enough to decide again and compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from operator import attrgetter
from typing import Any

from mtquant.clock import SECOND, format_time
from mtquant.contract import Finding, Proposal, RiskState
from mtquant.model import Signal, plain

_RECENT = 60 * SECOND
_OTHERWISE = {
    *("exposures", "summed", "in_instrument"),
    *("sent", "messages", "portfolio", "records", "closed", "opened_by", "agent"),
}
"""What of a risk state is told in another way, or follows from the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The gate's answer to one signal, and its inputs.

    ``code`` is ``approved``, ``reducing`` or the reason of the veto; ``message`` says it in a
    sentence. ``proposal`` is the order as far as it was worked out, so a vetoed one may have it
    too: look at ``approved``. ``findings`` are the verdicts in the order they were asked for.
    ``signal``, ``account`` (our name for it) and ``state`` are what was decided on.
    """

    approved: bool
    proposal: Proposal | None
    findings: tuple[Finding, ...]
    code: str
    message: str
    signal: Signal
    account: str
    state: RiskState | None

    def payload(self) -> dict[str, Any]:
        """Return the decision JSON-ready: decimals as strings, times as RFC 3339."""
        proposal = _json(self.proposal)
        if isinstance(proposal, dict):
            # Said once, beside it.
            del proposal["signal"], proposal["account"]
        return {
            "approved": self.approved,
            "code": self.code,
            "message": self.message,
            "account": self.account,
            "signal": _json(self.signal),
            "proposal": proposal,
            "findings": _json(self.findings),
            "state": self._state(),
        }

    def _state(self) -> object:
        """Return what was decided on; sums that follow from the rest are left out."""
        state = self.state
        if state is None:
            return None
        table = _table(state, [name for name in _names(RiskState) if name not in _OTHERWISE])
        by_symbol = sorted(state.exposures, key=attrgetter("instrument"))
        table["exposures"] = [_json(each) for each in by_symbol]
        # Of what was sent long ago its number is enough: a day may have seen thousands.
        table["sent"] = [_json(each) for each in state.sent if state.time - each.time <= _RECENT]
        table["sent_before"] = len(state.sent) - len(table["sent"])
        table["messages"] = len(state.messages)
        name = self.signal.strategy_id
        table["records"] = _json(state.records.get(name))
        table["closed"] = [_json(each) for each in state.closed if each.strategy_id == name]
        table["opened_by"] = dict(state.opened_by)
        if state.agent is not None:
            table["agent"] = _table(state.agent, _names(type(state.agent)))
            table["agent"]["agent"] = state.agent.agent.model_dump(mode="json")
        if state.portfolio is not None:
            table["portfolio"] = state.portfolio.evidence(state.instrument.instrument)
        return table


def figure(number: Decimal) -> str:
    """Return ``number`` for a sentence: thousands apart, at most 8 places, no trailing zeros."""
    text = f"{number:,.8f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _json(value: Any) -> object:  # noqa: ANN401 - whatever a plugin put in
    """Return ``value`` as JSON types. What a plugin put in and JSON lacks is named by its type."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or type(value) in _AS_IT_IS:
        return value
    if isinstance(value, Decimal):
        return plain(value)
    if names := _names(type(value)):
        return _table(value, names)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_json(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, str | int) else type(value).__name__


_AS_IT_IS = (str, int, bool)


_FIELDS: dict[type, tuple[str, ...]] = {Finding: Finding._fields}


def _names(kind: type) -> tuple[str, ...]:
    """Return the fields of a finding or of one of our dataclasses; none for anything else."""
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(each.name for each in fields(kind)) if is_dataclass(kind) else ()
    return _FIELDS[kind]


def _table(value: object, names: Iterable[str]) -> dict[str, Any]:
    """Return the fields called ``names``; one that is called ``time`` is nanoseconds inside."""
    table = {name: getattr(value, name) for name in names}
    return {
        name: format_time(each) if name == "time" and isinstance(each, int) else _json(each)
        for name, each in table.items()
    }
