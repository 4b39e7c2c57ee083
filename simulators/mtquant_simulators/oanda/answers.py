"""What a request is answered with: a status and JSON, or one of OANDA's errors."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from starlette.responses import Response

from mtquant_simulators.oanda.ledger import Json
from mtquant_simulators.oanda.text import rendered

FORBIDDEN = "The provided request was forbidden."
UNAUTHORIZED = "Insufficient authorization to perform request."
MISSING = "The request was missing required data"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer before its times are written in the client's format."""

    body: Json
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def response(self, form: str) -> Response:
        """Return it as JSON, with times in ``form``."""
        return Response(
            json.dumps(rendered(self.body, form), separators=(",", ":")),
            self.status,
            self.headers,
            media_type="application/json",
        )


class Problem(Exception):
    """A request that is answered with an error, without a transaction."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = headers or {}

    @property
    def answer(self) -> Answer:
        """The error as JSON."""
        body: Json = {"errorMessage": self.message}
        if self.code is not None:
            body["errorCode"] = self.code
        return Answer(body, self.status, self.headers)


def invalid(name: str) -> Problem:
    """Return the error of a parameter or field that can't be read."""
    return Problem(400, f"Invalid value specified for '{name}'")


def missing(kind: str) -> Problem:
    """Return the error of an order, a trade or a transaction that doesn't exist."""
    return Problem(404, f"The {kind} specified does not exist", f"NO_SUCH_{kind.upper()}")
