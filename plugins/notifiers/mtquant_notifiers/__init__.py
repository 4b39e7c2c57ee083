"""First-party notifiers of mtquant: console and file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtquant import hookimpl
from mtquant.contract import Notifier


@hookimpl
def notifiers() -> Sequence[type[Notifier[Any]]]:
    """Bring console and file."""
    from mtquant_notifiers.console import ConsoleNotifier  # noqa: PLC0415 - see mtquant.hooks
    from mtquant_notifiers.file import FileNotifier  # noqa: PLC0415 - see mtquant.hooks

    return (ConsoleNotifier, FileNotifier)
