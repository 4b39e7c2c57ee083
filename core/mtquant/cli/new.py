"""``mtquant new``: a pip-installable distribution of one plugin, whose own tests pass."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path

from mtquant.errors import ConfigError

KINDS = ("broker", "strategy", "check", "indicator")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)


def write(kind: str, name: str, folder: Path | None) -> Path:
    """Write the distribution into ``folder``, or into one of its name here; return the folder.

    Raises ConfigError where the kind or the name won't do, or a file is there already.
    """
    if kind not in KINDS:
        raise ConfigError("KIND", f"{kind!r} is none", f"Kinds are {', '.join(KINDS)}.")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or name.startswith("mtquant"):
        raise ConfigError(
            "NAME",
            f"{name!r} can't name a package of yours",
            "Use small letters, digits and underscores, such as my_broker.",
        )
    target = folder or Path(name)
    contents = _contents(kind, name)
    for path in contents:
        if (target / path).exists():
            raise ConfigError(str(target / path), "exists already", "Name another folder: --dir.")
    try:
        for path, text in contents.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(target), f"{error.strerror}", "Name another: --dir.") from None
    return target


def _contents(kind: str, name: str) -> dict[Path, str]:
    """Return the files of a distribution by their paths."""
    camel = "".join(each.capitalize() for each in name.split("_"))
    words = {"$NAME": name, "$CLASS": camel, "$KIND": kind}

    def filled(template: str) -> str:
        text = (files("mtquant.cli") / "templates" / template).read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        return text

    return {
        Path("pyproject.toml"): filled("pyproject.toml.txt"),
        Path("README.md"): filled(f"{kind}.README.md.txt"),
        Path(name, "__init__.py"): filled(f"{kind}.py.txt"),
        Path("tests", f"test_{name}.py"): filled(f"test_{kind}.py.txt"),
    }
