"""The journal's newest hash, signed and written down at a second place.

Whoever may write the journal can make all of it anew, or cut off its end, and the chain will hold.
So its head is appended to a file that he can't rewrite: one on another machine, or one that may
only be appended to. The signature tells our lines from another's; the place is what they rest on.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mtquant.clock import format_time
from mtquant.errors import JournalError

_TAIL = 65_536
"""How many bytes of an anchor's end are looked at for its newest line."""


@dataclass(frozen=True, slots=True)
class Anchored:
    """The signed heads of an anchor: the hash by the entry's number."""

    heads: dict[int, bytes]
    public_key: str


class Anchor:
    """Appends heads to ``path``, signed with the key in ``key_file``, which is made if need be."""

    def __init__(self, path: Path, key_file: Path) -> None:
        self._path = path
        try:
            self._key = _key(key_file)
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not path.exists() or not path.stat().st_size
            torn = not fresh and os.access(path, os.R_OK) and not _tail(path).endswith(b"\n")
        except OSError as error:
            raise JournalError(f"engine.anchor: {path}: {error.strerror}") from error
        if torn:
            self._append(b"\n")
        if fresh:
            self._write({"public_key": public_key(key_file)})

    def note(self, time: int, seq: int, head: bytes) -> None:
        """Write down that entry ``seq`` has the hash ``head``; on disk on return.

        Raises JournalError where the place can't be written.
        """
        line = {"time": format_time(time), "entry": seq, "hash": head.hex()}
        self._write(line | {"signature": self._key.sign(_signed(seq, head.hex())).hex()})

    def _write(self, line: dict[str, object]) -> None:
        self._append(json.dumps(line).encode() + b"\n")

    def _append(self, content: bytes) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, content)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise JournalError(f"the anchor {self._path} can't be written: {error}") from error


def public_key(key_file: Path) -> str:
    """Return the public key that belongs to a private one, in hexadecimal."""
    return _key(key_file).public_key().public_bytes_raw().hex()


def read_anchor(path: Path, trusted: str = "") -> Anchored:
    """Return the heads of an anchor whose signatures hold; lines may be torn, by a crash.

    ``trusted`` is the public key they must be signed with, unless it is the one in the file.
    Raises JournalError where the file can't be read, or a line isn't what was written.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    heads: dict[int, bytes] = {}
    key = trusted
    # What follows the last line's end is torn, by an engine that died while it wrote.
    for number, text in enumerate(lines[:-1], 1):
        if text.startswith(b"{") and not text.endswith(b"}"):
            continue  # torn as well, and gone on after: who can shorten lines can remove them
        try:
            line = json.loads(text)
            if number == 1 and "public_key" in line:
                key = trusted or str(line["public_key"])
                continue
            seq, head = int(line["entry"]), str(line["hash"])
            verifier = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
            verifier.verify(bytes.fromhex(line["signature"]), _signed(seq, head))
            heads[seq] = bytes.fromhex(head)
        except (ValueError, KeyError, TypeError, InvalidSignature):
            raise JournalError(f"{path}: line {number} is not what was anchored") from None
    return Anchored(heads, key)


def newest_head(path: Path, key_file: Path) -> tuple[int, bytes] | None:
    """Return the number and hash of the newest entry that was anchored, None where none was.

    Only the end of the file is read. Raises OSError where it can't be, and JournalError where the
    line isn't signed with the key in ``key_file``, if there is one.
    """
    if not path.exists():
        return None
    # What follows the last line's end is torn.
    for text in _tail(path).split(b"\n")[-2::-1]:
        try:
            line = json.loads(text)
            seq, head = int(line["entry"]), str(line["hash"])
            if key_file.exists():
                verifier = _key(key_file).public_key()
                verifier.verify(bytes.fromhex(line["signature"]), _signed(seq, head))
            return seq, bytes.fromhex(head)
        except InvalidSignature:
            raise JournalError(
                f"{path}: its newest line isn't signed with {key_file}: the anchor is another "
                "journal's, or a forgery. Bring back the key; or, to go on knowingly, name another "
                "file in engine.anchor and keep this one"
            ) from None
        except (ValueError, KeyError, TypeError):
            continue  # the key's line, or one that was torn
    return None


def _tail(path: Path) -> bytes:
    """Return the end of a file: some lines, the first of which may be cut."""
    with path.open("rb") as file:
        file.seek(max(file.seek(0, os.SEEK_END) - _TAIL, 0))
        return file.read()


def _signed(seq: int, head: str) -> bytes:
    return f"mtquant journal {seq} {head}".encode()


def _key(path: Path) -> Ed25519PrivateKey:
    """Return the private key in ``path``; make one that only its owner can read."""
    if not path.exists():
        made = Ed25519PrivateKey.generate()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(made.private_bytes_raw().hex())
        return made
    try:
        return Ed25519PrivateKey.from_private_bytes(
            bytes.fromhex(path.read_text(encoding="ascii").strip())
        )
    except ValueError:
        raise JournalError(
            f"{path} holds no Ed25519 key: move it away, and a new one is made"
        ) from None
