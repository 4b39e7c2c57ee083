"""The error tree.

    MtquantError
    ├── ConfigError          a setting is wrong: names the place, the value and the remedy
    ├── PluginError          a plugin can't be had: unknown, broken or in quarantine
    ├── JournalError         the journal can't be opened or written: trading stops
    ├── ReconciliationError  our book and a broker's disagree
    ├── Vetoed               the risk gate said no; nothing left this process
    └── BrokerError          a broker's answer
        ├── Refused          known: nothing happened at the broker (not sent, or rejected)
        └── OutcomeUnknown   not known: the order may or may not live there

Refused, unknown and vetoed are three families because they call for three different acts:
try elsewhere, look up, leave it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class ErrorCode(StrEnum):
    """Every code a broker server may answer with (broker contract, section 5)."""

    INVALID_ARGUMENT = "invalid_argument"
    UNKNOWN_INSTRUMENT = "unknown_instrument"
    AMBIGUOUS_INSTRUMENT = "ambiguous_instrument"
    INVALID_QUANTITY = "invalid_quantity"
    INVALID_PRICE = "invalid_price"
    UNSUPPORTED = "unsupported"
    MARKET_CLOSED = "market_closed"
    NO_PRICE = "no_price"
    INSUFFICIENT_MARGIN = "insufficient_margin"
    RISK_DENIED = "risk_denied"
    APPROVAL_REQUIRED = "approval_required"
    APPROVAL_EXPIRED = "approval_expired"
    TRADING_HALTED = "trading_halted"
    READ_ONLY = "read_only"
    RATE_LIMITED = "rate_limited"
    NOT_CONNECTED = "not_connected"
    AUTH_FAILED = "auth_failed"
    BROKER_REJECTED = "broker_rejected"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DUPLICATE_MISMATCH = "duplicate_mismatch"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    INTERNAL = "internal"


class Outcome(StrEnum):
    """What is known of the act that failed."""

    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


class Retry(StrEnum):
    """Whether, and how, the same call may be made again."""

    NEVER = "never"
    AFTER_FIX = "after_fix"
    SAFE = "safe"
    SAME_CLIENT_ORDER_ID = "same_client_order_id"


class MtquantError(Exception):
    """Root of every error mtquant raises on purpose."""


class ConfigError(MtquantError):
    """A setting is wrong.

    The message names where it stands, the value, what is wrong with it and the remedy.
    """

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}. {remedy}")
        self.where, self.problem, self.remedy = where, problem, remedy


class PluginError(MtquantError):
    """A plugin is unknown, broken or in quarantine; the message says which and why."""


class JournalError(MtquantError):
    """The journal can't be opened, read or written. No order is sent without it."""


class ReconciliationError(MtquantError):
    """Our book and a broker's record disagree."""


class Vetoed(MtquantError):
    """The risk gate refused; ``code`` is the check's reason code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BrokerError(MtquantError):
    """A broker's refusal or silence, as the contract's error object.

    Raise :class:`Refused` or :class:`OutcomeUnknown`, never this class itself.

    ``code`` is of the closed list, ``outcome`` says what is known, ``retry`` what may be done,
    ``field`` names the wrong argument, ``broker_code`` and ``broker_text`` carry the broker's
    own words, and ``fenced`` is true when the server promises that the client order id can
    never act again. ``answered`` is true where a server said so, and false where this side of the
    wire did, so that no request has left.
    """

    def __init__(  # noqa: PLR0913 - the fields of the contract's error object
        self,
        code: ErrorCode | str,
        message: str,
        *,
        outcome: Outcome,
        retry: Retry = Retry.NEVER,
        retry_after_s: float | None = None,
        verify: dict[str, Any] | None = None,
        field: str | None = None,
        broker_code: str | None = None,
        broker_text: str | None = None,
        fenced: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = ErrorCode(code)
        self.message = message
        self.outcome = outcome
        self.retry = retry
        self.retry_after_s = retry_after_s
        self.verify = verify
        self.field = field
        self.broker_code = broker_code
        self.broker_text = broker_text
        self.fenced = fenced
        self.answered = False

    def payload(self) -> dict[str, Any]:
        """Return the contract's error object, JSON-ready."""
        return {
            "code": self.code.value,
            "message": self.message,
            "outcome": self.outcome.value,
            "retry": self.retry.value,
            "retry_after_s": self.retry_after_s,
            "verify": self.verify,
            "field": self.field,
            "broker": {"code": self.broker_code, "text": self.broker_text},
            "fenced": self.fenced,
        }

    @staticmethod
    def of(payload: dict[str, Any]) -> BrokerError:
        """Build the error that ``payload`` describes, as the family its outcome names.

        Raises ValueError where the payload isn't the contract's error object.
        """
        outcome = Outcome(payload["outcome"])
        broker = payload.get("broker") or {}
        details: dict[str, Any] = {
            "retry": Retry(payload.get("retry", "never")),
            "retry_after_s": payload.get("retry_after_s"),
            "verify": payload.get("verify"),
            "field": payload.get("field"),
            "broker_code": broker.get("code"),
            "broker_text": broker.get("text"),
            "fenced": bool(payload.get("fenced", False)),
        }
        code, message = ErrorCode(payload["code"]), str(payload["message"])
        if outcome is Outcome.UNKNOWN:
            return OutcomeUnknown(message, code=code, **details)
        return Refused(code, message, outcome=outcome, **details)


class Refused(BrokerError):
    """Known: nothing happened at the broker, because it was not sent or was rejected."""

    def __init__(
        self,
        code: ErrorCode | str,
        message: str,
        *,
        outcome: Outcome = Outcome.REJECTED,
        **details: Any,  # noqa: ANN401 - passed on to BrokerError, which names and types them
    ) -> None:
        super().__init__(code, message, outcome=outcome, **details)


class OutcomeUnknown(BrokerError):
    """Not known: the call may have had its effect. Look it up; never send it again blindly."""

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode | str = ErrorCode.OUTCOME_UNKNOWN,
        retry: Retry = Retry.SAME_CLIENT_ORDER_ID,
        **details: Any,  # noqa: ANN401 - passed on to BrokerError, which names and types them
    ) -> None:
        super().__init__(code, message, outcome=Outcome.UNKNOWN, retry=retry, **details)
