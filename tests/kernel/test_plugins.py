"""Discovery: one broken plugin never stops another."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from mtquant import Check, Settings, hookimpl
from mtquant.contract import Finding, Proposal, RiskState
from mtquant.errors import ConfigError, PluginError
from mtquant.plugins import Catalogue, Listing, load_catalogue


class LimitSettings(Settings):
    most: int = 3


class Good(Check[LimitSettings]):
    name = "good"

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002 - the port's
        return self.approve(proposal)


class Twin(Good):
    name = "good"


class Unfinished(Check[LimitSettings]):
    name = "unfinished"


class Nameless(Check[LimitSettings]):
    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002 - the port's
        return self.approve(proposal)


@pytest.fixture
def modules() -> Iterator[dict[str, ModuleType]]:
    made: dict[str, ModuleType] = {}
    yield made
    for name in made:
        sys.modules.pop(name, None)


def plugin(modules: dict[str, ModuleType], name: str, hook: str, *classes: object) -> EntryPoint:
    module = ModuleType(name)

    def found() -> list[object]:
        if classes == (ValueError,):
            raise ValueError("no licence")
        return list(classes)

    found.__name__ = hook
    setattr(module, hook, hookimpl(found))
    modules[name] = sys.modules[name] = module
    return EntryPoint(name=name, value=name, group="mtquant")


def problems(catalogue: Catalogue) -> dict[str, str]:
    return {each.name: each.problem for each in catalogue.listings if each.problem}


def test_what_is_broken_is_listed_and_the_rest_works(modules: dict[str, ModuleType]) -> None:
    catalogue = load_catalogue(
        [
            EntryPoint(name="gone", value="no_such_module_anywhere", group="mtquant"),
            plugin(modules, "odd_hook", "checkz", Good),
            plugin(modules, "raises", "checks", ValueError),
            plugin(modules, "fine", "checks", Good, Unfinished, Nameless, 7),
        ]
    )
    assert catalogue.names("check") == ["good"]
    found = problems(catalogue)
    assert "No module named" in found["gone"]
    assert "unknown hook 'checkz'" in found["odd_hook"]
    assert "ValueError: no licence" in found["raises"]
    assert "does not implement review" in found["unfinished"]
    assert "class attribute `name`" in found["Nameless"]
    assert "not a class derived from Check" in found["7"]


def test_two_with_one_name_are_both_in_quarantine(modules: dict[str, ModuleType]) -> None:
    catalogue = load_catalogue(
        [plugin(modules, "one", "checks", Good), plugin(modules, "two", "checks", Twin)]
    )
    assert catalogue.names("check") == []
    assert [each.status for each in catalogue.listings] == ["quarantined"] * 2
    with pytest.raises(PluginError, match="same name; uninstall one"):
        catalogue.get("check", "good")


def test_errors_say_what_to_do(modules: dict[str, ModuleType]) -> None:
    catalogue = load_catalogue([plugin(modules, "fine", "checks", Good)])
    with pytest.raises(PluginError, match=r"no check plugin is called 'goot'; did you mean good\?"):
        catalogue.get("check", "goot")
    with pytest.raises(ConfigError, match=r"risk\.checks\.good\.mots: no such setting.*most"):
        catalogue.make("check", "good", {"mots": 1}, where="risk.checks.good")
    with pytest.raises(ConfigError, match=r"check good\.most: 'x'"):
        catalogue.make("check", "good", {"most": "x"})
    assert catalogue.make("check", "good", {"most": 5}).settings.most == 5


def test_what_is_installed_works() -> None:
    assert all(isinstance(each, Listing) for each in load_catalogue().listings)
    assert problems(load_catalogue()) == {}
    # A second look in the same process finds the same: hooks aren't shadowed by submodules.
    assert load_catalogue().listings == load_catalogue().listings


def test_a_submodule_named_like_its_hook_hides_no_plugin_on_the_second_look(
    modules: dict[str, ModuleType],
) -> None:
    point = plugin(modules, "shadowed", "checks", Good)
    assert load_catalogue([point]).names("check") == ["good"]
    vars(modules["shadowed"])["checks"] = ModuleType("shadowed.checks")  # as its import does
    assert load_catalogue([point]).names("check") == ["good"]


def test_a_module_that_exits_on_import_or_implements_nothing_is_quarantined(
    modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exits_on_import.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    modules["empty_one"] = sys.modules["empty_one"] = ModuleType("empty_one")
    points = [EntryPoint(each, each, "mtquant") for each in ("exits_on_import", "empty_one")]
    found = {each.name: each.problem for each in load_catalogue(points).listings}
    assert found["exits_on_import"].startswith("SystemExit")
    assert "implements no hook" in found["empty_one"]
