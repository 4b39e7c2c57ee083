"""``mtquant new``: what it writes is installable, and its own tests pass as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mtquant.cli import app
from mtquant.cli.new import KINDS, write
from mtquant.errors import ConfigError


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_it_writes_passes_its_own_tests(kind: str, tmp_path: Path) -> None:
    name = f"my_{kind}"
    done = CliRunner().invoke(app, ["new", kind, name, "--dir", str(tmp_path / "made")])
    assert done.exit_code == 0
    assert "pip install" in done.output
    project = tomllib.loads((tmp_path / "made" / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["mtquant"] == {name: name}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path / "made",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "made")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_its_module_is_a_plugin_of_its_kind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint  # noqa: PLC0415 - only here

    from mtquant.plugins import load_catalogue  # noqa: PLC0415

    name = f"found_{kind}"
    write(kind, name, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    catalogue = load_catalogue([EntryPoint(name, name, "mtquant")])
    (listing,) = catalogue.listings
    assert (listing.kind, listing.name, listing.problem) == (kind, name, "")


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("robot", "mine", "Kinds are broker"),
        ("broker", "My-Broker", "can't name a package"),
        ("broker", "class", "can't name a package"),
        ("broker", "../up", "can't name a package"),
        ("broker", "mtquant_x", "can't name a package"),
    ],
)
def test_a_wrong_kind_or_name_is_told_and_nothing_is_written(
    kind: str, name: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=told):
        write(kind, name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write("check", "mine", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert not (tmp_path / "pyproject.toml").exists()
