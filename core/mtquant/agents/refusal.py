"""A no to an agent, in words that say what to do next."""

from __future__ import annotations

from typing import Any

from mtquant.agents.outside import outside
from mtquant.errors import BrokerError, ConfigError, MtquantError, Outcome, Retry

_NEXT = {
    Retry.NEVER: "Do not send it again. Tell the person what was refused and why.",
    Retry.AFTER_FIX: "Correct the argument and call again; the tool's schema says what it takes.",
    Retry.SAFE: "Call again later.",
    Retry.SAME_CLIENT_ORDER_ID: "Look it up with get_order; never send it under another id.",
}


_FIELD = 64


class AgentRefused(MtquantError):
    """A call that was not done. ``code`` is for programs, ``next_step`` for the agent."""

    def __init__(
        self, code: str, message: str, next_step: str, *, field: str | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.next_step, self.field = code, message, next_step, field

    def payload(self) -> dict[str, Any]:
        """Return the error, JSON-ready: what, where, whether anything happened, what to do next."""
        return {
            "code": self.code,
            "message": self.message,
            "field": self.field,
            "outcome": "unknown" if self.code == "outcome_unknown" else "not_done",
            "next": self.next_step,
        }

    @classmethod
    def of(cls, error: MtquantError) -> AgentRefused:
        """Return ``error`` in an agent's words; a broker's own text is cut and cleaned."""
        if isinstance(error, AgentRefused):
            return error
        if isinstance(error, BrokerError):
            unknown = error.outcome is Outcome.UNKNOWN
            code = "outcome_unknown" if unknown else error.code.value
            step = _NEXT[Retry.SAME_CLIENT_ORDER_ID if unknown else error.retry]
            field = None if error.field is None else outside(error.field, _FIELD)
            return cls(code, outside(error.message), step, field=field)
        if isinstance(error, ConfigError):
            return cls(
                "invalid_argument", outside(error.problem), outside(error.remedy), field=error.where
            )
        return cls("failed", outside(str(error)), "Tell the person: the engine's log says more.")
