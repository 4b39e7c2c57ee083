"""Reading the journal for a command: where it lies, and what is wrong with it in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtquant.config import load_config
from mtquant.errors import ConfigError
from mtquant.volumes import PRESENT


@contextmanager
def journal_of(path: Path) -> Iterator[Path]:
    """Yield the folder of the journal that the configuration in ``path`` names.

    Raises ConfigError where no engine has run there, or reading it inside fails.
    """
    folder = Path(load_config(path).engine.state_dir)
    if not (folder / PRESENT).exists():
        raise ConfigError(str(folder), "no engine has run here", f"mtquant run --config {path}")
    try:
        yield folder
    except sqlite3.Error as error:
        remedy = "`mtquant audit verify` says how much of it holds."
        raise ConfigError(str(folder), f"the journal can't be read: {error}", remedy) from error
