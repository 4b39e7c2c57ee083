"""Secrets: referred to in a configuration, fetched when they are needed, never shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtquant.errors import ConfigError

MASK = "***"
_NAMED = re.compile(
    r"(?i)token|passw|passphrase|secret|credential|pwd|api_?-?key|private_?-?key|(^|[_.\s-])keys?$"
)
_PLACE = re.compile(r"(?i)(file|path|folder|name|id|env|url)$")
_REFERENCE = re.compile(r"(env|file|keyring):.+")
_USER_IN_URL = re.compile(r"(?<=://)[^/\s]+(?=@)")
_QUERY_IN_URL = re.compile(r"([?&]([^=&#\s]+)=)([^&#\s]+)")
_ARGUMENT = re.compile(r"(-{0,2}[\w.-]+=)(.*)", re.DOTALL)


def secret(reference: str, where: str) -> str:
    """Return the secret that ``env:NAME``, ``file:PATH`` or ``keyring:SERVICE/NAME`` refers to.

    A file must be readable by its owner alone (mode 0600). Raises ConfigError, which never
    contains the secret.
    """
    kind, _, target = reference.partition(":")
    if kind == "keyring":
        service, _, name = target.rpartition("/")
        if service and name:
            return _from_keyring(service, name, where)
    if kind == "env" and target:
        value = os.environ.get(target, "")
        if value:
            return value
        raise ConfigError(where, f"environment variable {target} is not set", "Set it.")
    if kind == "file" and target:
        return _from_file(target, where)
    raise ConfigError(
        where,
        "is not a reference to a secret",
        "Write env:NAME, file:PATH or keyring:SERVICE/NAME, never the secret.",
    )


def _from_file(target: str, where: str) -> str:
    try:
        path = Path(target).expanduser()
        mode = path.stat().st_mode
        if mode & 0o077:
            problem = f"{path} may be read by others (mode {mode & 0o777:04o})"
            raise ConfigError(where, problem, f"chmod 600 {path}")
        if value := path.read_text(encoding="utf-8").strip():
            return value
        raise ConfigError(where, f"{path} is empty", "Write the secret into it.")
    except (OSError, ValueError, RuntimeError) as error:
        # Never the error's own text where it may quote what was read.
        why = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise ConfigError(where, f"can't read {target!r}: {why}", "Check it.") from None


def _from_keyring(service: str, name: str, where: str) -> str:
    """Return what the system's keyring holds under a service and a name."""
    try:
        import keyring  # noqa: PLC0415 - an extra, and slow to load
        from keyring.errors import NoKeyringError  # noqa: PLC0415 - likewise
    except ImportError:
        raise ConfigError(
            where, "the keyring library isn't installed", 'pip install "mtquant[keyring]"'
        ) from None
    try:
        found = keyring.get_password(service, name)
    except NoKeyringError:
        remedy = "Install a backend, or use env:NAME or file:PATH."
        raise ConfigError(where, "this machine has no keyring", remedy) from None
    except Exception as error:  # noqa: BLE001 - each backend raises its own; none may show a secret
        problem = f"the keyring can't be read: {type(error).__name__}"
        remedy = "Unlock it, or use env:NAME or file:PATH."
        raise ConfigError(where, problem, remedy) from None
    if not found:
        problem = f"the keyring holds nothing under {f'{service}/{name}'!r}"
        raise ConfigError(where, problem, f"keyring set {service} {name}")
    return str(found)


def is_reference(text: str) -> bool:
    """Tell whether ``text`` says where a secret is, and so is none itself."""
    return _REFERENCE.fullmatch(text) is not None


def masked(value: Any, key: str = "") -> Any:  # noqa: ANN401 - JSON in, JSON out
    """Return ``value`` without what may be a secret; a reference to one is none.

    What stands below a key that looks like a secret's is one, as are the value of such an argument
    of a command and the password in a URL.
    """
    return _masked(value, hidden=_looks_secret(key))


def _masked(value: Any, *, hidden: bool) -> Any:  # noqa: ANN401 - JSON in, JSON out
    if isinstance(value, Mapping):
        return {
            key: _masked(each, hidden=hidden or _looks_secret(str(key)))
            for key, each in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        flags = [False, *(_is_flag(each) for each in value)]
        return [
            _masked(each, hidden=hidden or (flag and not str(each).startswith("-")))
            for each, flag in zip(value, flags, strict=False)
        ]
    if hidden:
        open_ = value is None or (isinstance(value, str) and is_reference(value))
        return value if open_ else MASK
    return _without_passwords(value) if isinstance(value, str) else value


def _is_flag(value: object) -> bool:
    """Tell whether the argument of a command after ``value`` is a secret."""
    return (
        isinstance(value, str)
        and value.startswith("-")
        and "=" not in value
        and (_looks_secret(value))
    )


def _without_passwords(text: str) -> str:
    argument = _ARGUMENT.fullmatch(text)
    if argument and _looks_secret(argument[1].rstrip("=")) and not is_reference(argument[2]):
        return argument[1] + MASK
    text = _USER_IN_URL.sub(MASK, text)
    return _QUERY_IN_URL.sub(
        lambda found: found[1] + MASK if _looks_secret(found[2]) else found[0], text
    )


def _looks_secret(key: str) -> bool:
    # A symbol, such as TOKEN/USD in a table of spellings, is no setting.
    return "/" not in key and _NAMED.search(key) is not None


def secrets_in(value: Any, where: str = "", key: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Yield where a text below ``value`` should be, or refer to, a secret; and the text."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            deeper = key if _looks_secret(key) else str(name)
            yield from secrets_in(each, f"{where}.{name}".lstrip("."), deeper)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, each in enumerate(value):
            yield from secrets_in(each, f"{where}.{index}", key)
    elif isinstance(value, str) and value and _looks_secret(key) and not _PLACE.search(key):
        yield where, value
