"""What is loaded when: starting must not pay for what is not used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("anyio", "mcp", "numpy", "pandas", "pydantic", "rich", "talib")


def loaded(code: str) -> set[str]:
    program = f"import json, sys\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("code", ["import mtquant", "import mtquant.cli"])
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    assert not loaded(code) & set(HEAVY)


def test_listing_plugins_loads_no_vendor_library() -> None:
    code = "from mtquant.plugins import load_catalogue; load_catalogue().listings"
    assert not loaded(code) & {"mcp", "pandas", "talib", "currency_converter"}


def test_every_public_name_can_be_had() -> None:
    code = "import mtquant\nfor name in mtquant.__all__: getattr(mtquant, name)"
    assert "mtquant.wire" in loaded(code)
