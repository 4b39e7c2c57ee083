"""The transactions of an account: gapless ids, batches, and who asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtquant_simulators.oanda.text import Moment

Json = dict[str, Any]


class Ledger:
    """Every transaction of one account; the id of one is its place, counted from 1."""

    def __init__(self, account_id: str) -> None:
        self.entries: list[Json] = []
        self._account = {"userID": int(account_id.split("-")[2]), "accountID": account_id}
        self._batch: str | None = None
        self._request: str | None = None
        self._asked = False

    @property
    def last(self) -> str:
        """The id of the newest transaction."""
        return str(len(self.entries))

    @contextmanager
    def batch(self, request_id: str | None = None) -> Iterator[list[str]]:
        """Put what is added within into one batch; yields the list of its ids, which grows."""
        before = self._batch, self._request, self._asked
        self._batch, self._request, self._asked = None, request_id, True
        start = len(self.entries)
        ids: list[str] = []
        try:
            yield ids
        finally:
            ids.extend(str(each["id"]) for each in self.entries[start:])
            self._batch, self._request, self._asked = before

    def part(self) -> None:
        """Begin a new batch with the next transaction, unless one is under way for a request."""
        if not self._asked:
            self._batch = None

    def add(self, kind: str, time: int, **fields: Any) -> Json:  # noqa: ANN401 - JSON
        """Append a transaction of type ``kind``, without the fields that are None; return it."""
        made = str(len(self.entries) + 1)
        self._batch = self._batch or made
        entry: Json = {"id": made, "time": Moment(time), **self._account, "batchID": self._batch}
        if self._request is not None:
            entry["requestID"] = self._request
        entry["type"] = kind
        entry.update({key: each for key, each in fields.items() if each is not None})
        self.entries.append(entry)
        return entry

    def after(self, transaction_id: int) -> list[Json]:
        """Return the transactions that came after the one of ``transaction_id``."""
        return self.entries[max(0, transaction_id) :]
