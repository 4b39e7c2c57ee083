"""Find plugins, list them, and keep the broken ones away from the rest."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any
from weakref import WeakKeyDictionary

import pluggy

from mtquant.contract import Plugin
from mtquant.errors import PluginError
from mtquant.hooks import GROUP, HOOKS, KINDS, Doors


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One plugin as ``mtquant plugins`` shows it; ``problem`` is empty where it works."""

    kind: str
    name: str
    distribution: str
    version: str
    problem: str = ""

    @property
    def status(self) -> str:
        """``ok`` or ``quarantined``."""
        return "quarantined" if self.problem else "ok"


class Catalogue:
    """The plugins found on this machine."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], tuple[Listing, type[Plugin[Any]]]] = {}
        self._quarantine: list[Listing] = []

    @property
    def listings(self) -> list[Listing]:
        """Every plugin, working or not, by kind and name."""
        everything = [listing for listing, _ in self._found.values()] + self._quarantine
        return sorted(everything, key=lambda each: (each.kind, each.name, each.distribution))

    def names(self, kind: str) -> list[str]:
        """Return the names of the working plugins of ``kind``."""
        return sorted(name for each, name in self._found if each == kind)

    def in_order(self, kind: str) -> list[str]:
        """Return the names of the working plugins of ``kind`` as their hooks brought them."""
        return [name for each, name in self._found if each == kind]

    def get(self, kind: str, name: str) -> type[Plugin[Any]]:
        """Return a plugin's class.

        Raises PluginError where there is none, naming the nearest, or where it is in quarantine,
        with the reason.
        """
        if (kind, name) in self._found:
            return self._found[kind, name][1]
        for each in self._quarantine:
            if each.name == name and each.kind in {kind, "module"}:
                raise PluginError(f"{kind} {name!r} is in quarantine: {each.problem}")
        near = difflib.get_close_matches(name, self.names(kind), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else f"have: {self.names(kind)}"
        raise PluginError(f"no {kind} plugin is called {name!r}; {hint}")

    def make(
        self,
        kind: str,
        name: str,
        settings: Mapping[str, Any],
        *,
        where: str = "",
        **wiring: Any,  # noqa: ANN401 - the constructor's own arguments, such as a strategy's
    ) -> Any:  # noqa: ANN401 - an instance of the kind asked for
        """Return a plugin made from ``settings``, which stand at ``where`` in a configuration.

        Raises PluginError as :meth:`get` and ConfigError where a setting is wrong.
        """
        plugin = self.get(kind, name)
        return plugin(plugin.Settings.read(settings, where or f"{kind} {name}"), **wiring)

    def add(self, kind: str, plugin: object, distribution: str, version: str) -> None:
        """Take one plugin class in, or put it into quarantine with the reason."""
        name = getattr(plugin, "name", None) or getattr(plugin, "__name__", repr(plugin))
        listing = Listing(kind=kind, name=str(name), distribution=distribution, version=version)
        base = KINDS[kind]
        if not (isinstance(plugin, type) and issubclass(plugin, base)):
            return self.quarantine(listing, f"not a class derived from {base.__name__}")
        if not isinstance(getattr(plugin, "name", None), str) or not name or name != plugin.name:
            return self.quarantine(listing, "has no class attribute `name`")
        if missing := sorted(getattr(plugin, "__abstractmethods__", ())):
            return self.quarantine(listing, f"does not implement {', '.join(missing)}")
        clashes = (each for each in self._quarantine if each.problem == _CLASH)
        if any((each.kind, each.name) == (kind, name) for each in clashes):
            return self.quarantine(listing, _CLASH)
        if (kind, str(name)) in self._found:
            # Which of two would trade is not ours to guess: neither does.
            self.quarantine(self._found.pop((kind, str(name)))[0], _CLASH)
            return self.quarantine(listing, _CLASH)
        self._found[kind, str(name)] = (listing, plugin)
        return None

    def quarantine(self, listing: Listing, problem: str) -> None:
        """List a plugin as unusable, and why."""
        self._quarantine.append(
            Listing(
                kind=listing.kind,
                name=listing.name,
                distribution=listing.distribution,
                version=listing.version,
                problem=problem,
            )
        )


_CLASH = "another plugin of this kind has the same name; uninstall one of the two"


def load_catalogue(points: Iterable[EntryPoint] | None = None) -> Catalogue:
    """Load every plugin module of the entry point group, one by one; none can stop the others."""
    catalogue = Catalogue()
    doors = pluggy.PluginManager(GROUP)
    doors.add_hookspecs(Doors)
    found = entry_points(group=GROUP) if points is None else points
    for point in sorted(found, key=lambda each: (each.dist.name if each.dist else "", each.name)):
        _load(catalogue, doors, point)
    return catalogue


def _load(catalogue: Catalogue, doors: pluggy.PluginManager, point: EntryPoint) -> None:
    distribution = point.dist.name if point.dist else "?"
    version = point.dist.version if point.dist else "?"

    def quarantine(problem: str, kind: str = "module") -> None:
        listing = Listing(kind=kind, name=point.name, distribution=distribution, version=version)
        catalogue.quarantine(listing, problem)

    try:
        module = point.load()
        unknown = [
            name
            for name in dir(module)
            if doors.parse_hookimpl_opts(module, name) is not None and name not in HOOKS.values()
        ]
        if unknown:
            return quarantine(
                f"implements unknown hook {unknown[0]!r}; hooks are {', '.join(HOOKS.values())}"
            )
        doors.register(module, name=f"{distribution}:{point.name}")
        hooks = _hooks_of(module, doors)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's import may raise anything
        return quarantine(f"{type(error).__name__}: {error}")
    if not hooks:
        return quarantine(f"implements no hook; hooks are {', '.join(HOOKS.values())}")
    for kind, hook in HOOKS.items():
        if hook not in hooks:
            continue
        try:
            plugins = list(hooks[hook]())
        except (Exception, SystemExit) as error:  # noqa: BLE001 - likewise its hook
            quarantine(f"hook {hook}: {type(error).__name__}: {error}", kind)
            continue
        for plugin in plugins:
            catalogue.add(kind, plugin, distribution, version)
    return None


_HOOKS: WeakKeyDictionary[Any, dict[str, Callable[[], Iterable[Any]]]] = WeakKeyDictionary()


def _hooks_of(module: Any, doors: pluggy.PluginManager) -> dict[str, Callable[[], Iterable[Any]]]:  # noqa: ANN401 - a module
    """Return the hooks that ``module`` implements, as they were when it was first seen.

    A package's submodule that is named like a hook takes the function's place once it is imported.
    """
    if module not in _HOOKS:
        _HOOKS[module] = {
            hook: getattr(module, hook)
            for hook in HOOKS.values()
            if doors.parse_hookimpl_opts(module, hook) is not None
        }
    return _HOOKS[module]
