"""What an agent gets back, JSON-ready: a result or an error, and what waits for a person."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from mtquant.model import to_json

TEXT_LIMIT = 4000
"""A longer result stands in the structured content alone, beside its sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An order that waits for a person: ``shown`` is what he is to be shown, of our own words.

    ``number`` and ``digest`` name exactly that order; both in :meth:`Desk.answer`.
    """

    number: int
    digest: str
    shown: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A tool's answer: ``value`` is the structured result, None for an error."""

    value: dict[str, Any] | None
    text: str
    ask: Ask | None = None

    @property
    def error(self) -> bool:
        """True where the call was refused or failed."""
        return self.value is None

    @classmethod
    def of(cls, value: dict[str, Any], ask: Ask | None = None) -> Answer:
        """Return a result: its sentence first, then the rest for models that read text.

        What is null or empty is left out of the text: it costs a model, and tells it nothing.
        """
        rest = to_json(
            {
                key: each
                for key, each in value.items()
                if key != "summary" and each not in (None, "", [])
            }
        )
        if len(rest) > TEXT_LIMIT:
            rest = f"({len(rest)} characters of JSON in the structured content)"
        return cls(value=value, text=f"{value['summary']}\n{rest}", ask=ask)

    @classmethod
    def refused(cls, payload: dict[str, Any]) -> Answer:
        """Return an error."""
        return cls(value=None, text=to_json({"error": payload}))

    def dump(self) -> dict[str, Any]:
        """Return it JSON-ready, for the channel."""
        return asdict(self)

    @classmethod
    def load(cls, body: dict[str, Any]) -> Answer:
        """Return what :meth:`dump` wrote."""
        ask = body["ask"]
        return cls(value=body["value"], text=body["text"], ask=Ask(**ask) if ask else None)
