"""The code that a person reads in his terminal, and types to approve an agent's order elsewhere.

A yes that comes through an agent's own client proves nothing: the agent may have said it. The code
stands only where the agent can't look, in the answer to ``mtquant suggestions``: it is in no
journal, no message and no answer to an agent.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter

LENGTH = 8
"""Characters of a code: 40 bits, of which whoever guesses has five tries."""
_TRIES = 5


class ApprovalCodes:
    """The codes of one engine's suggestions, made of ``key``, which ends with the process."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._wrong: Counter[int] = Counter()

    def code(self, number: int, digest: str) -> str:
        """Return the code of suggestion ``number`` for exactly the order of ``digest``."""
        made = hmac.new(self._key, f"{number}:{digest}".encode(), hashlib.sha256).digest()
        return base64.b32encode(made).decode("ascii")[:LENGTH]

    def matches(self, number: int, digest: str, code: str) -> bool:
        """Tell whether ``code`` is the one, in constant time; case and spaces don't matter.

        After five wrong ones for a suggestion none is right any more: `mtquant approve` is left.
        ``number`` must be that of a suggestion that waits.
        """
        if self._wrong[number] >= _TRIES:
            return False
        given = "".join(code[: 8 * LENGTH].split()).upper().encode("ascii", "replace")
        right = hmac.compare_digest(given, self.code(number, digest).encode("ascii"))
        self._wrong[number] += not right
        return right
