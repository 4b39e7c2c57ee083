"""One TOML file -> frozen settings. Secrets are references, never values."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field

from mtquant.combine import CombineRules
from mtquant.contract import Settings
from mtquant.decide.persons import ApprovalRules
from mtquant.errors import ConfigError
from mtquant.model import Mode, Timeframe
from mtquant.secrets import secret as secret  # noqa: PLC0414 - as it was imported before
from mtquant.symbols import Spelling

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def _checked_url(url: str) -> str:
    """Return ``url`` if it is an https URL, or http on this machine; else raise ValueError."""
    parts = urlsplit(url)
    if _has_password(url):
        return url  # refused by _check_broker, which doesn't show it
    local = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if parts.port != 0 and parts.hostname and (parts.scheme == "https" or local):
        return url
    raise ValueError("must be https://..., or http:// on 127.0.0.1")


def _has_password(url: str) -> bool:
    return "@" in urlsplit(url).netloc


Url = Annotated[str, AfterValidator(_checked_url)]


class PluginTable(Settings):
    """A table that names a plugin; its other keys are that plugin's settings."""

    model_config = ConfigDict(frozen=True, extra="allow")

    plugin: str

    @property
    def settings(self) -> dict[str, Any]:
        """The plugin's own settings."""
        return dict(self.__pydantic_extra__ or {})


class EngineTable(Settings):
    """``[engine]``: where state is kept, how connections are watched, what happens at the end.

    ``foreign_positions``: what an account holds at first sight is left alone (``ignore``) or taken
    over as the strategies' (``adopt``). ``on_stop``: whether Ctrl-C keeps positions, closes them,
    or asks. ``dead_man_s``: a watcher of its own alarms when the engine has been silent for so
    many seconds, or died; 0 is none. ``anchor``: a file, best on another machine or one that may
    only be appended to, that takes the journal's newest hash every ten seconds.
    ``archive_entries``: a start archives a journal that holds more entries; 0 is never.
    ``retention_days``: archives whose newest entry is older are removed when the journal is
    archived; 0 keeps them for ever.
    """

    state_dir: str = "mtquant-state"
    health_interval_s: float = Field(30.0, gt=0, le=3600)
    call_timeout_s: float = Field(10.0, gt=0, le=300)
    restart_backoff_s: float = Field(0.5, gt=0, le=60)
    restart_backoff_limit_s: float = Field(30.0, gt=0, le=3600)
    foreign_positions: Literal["ignore", "adopt"] = "ignore"
    on_stop: Literal["ask", "keep", "close"] = "ask"
    dead_man_s: float = Field(60.0, ge=0, le=3600)
    anchor: str | None = None
    archive_entries: int = Field(250_000, ge=0)
    retention_days: int = Field(0, ge=0, le=36_500)


class MarketTable(Settings):
    """``[market]``: where bars come from.

    ``replay`` reads them from ``source`` and steps the paper brokers' clocks, ``speed`` bars a
    second (0: as fast as it goes); ``live`` takes them from the brokers' ``history`` or builds them
    from their ``quotes`` (``bars``), and looks every ``poll_s`` seconds. A symbol whose newest
    quote is older than ``stale_s`` takes no new exposure until prices come again; 0 is never.
    """

    feed: Literal["live", "replay"] = "live"
    timeframe: Timeframe = Timeframe.M1
    source: PluginTable | None = None
    speed: float = Field(0.0, ge=0)
    poll_s: float = Field(1.0, gt=0, le=60)
    bars: Literal["history", "quotes"] = "history"
    stale_s: float = Field(120.0, ge=0, le=86_400)


class EndpointTable(Settings):
    """One server before an account: a ``command``, or a ``server`` URL with a ``token``."""

    command: tuple[str, ...] = ()
    server: Url | None = None
    token: str | None = None


class BrokerTable(Settings):
    """``[brokers.NAME]``: a plugin with its settings, or where a server is.

    ``command`` starts a server, ``server`` is the URL of one and ``token`` its bearer token's
    reference. Several servers before the same account stand in ``endpoints``. ``live_account`` is
    the number of the real account that may be traded, with ``--live``; without it a real account
    is looked at only.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    plugin: str | None = None
    command: tuple[str, ...] = ()
    server: Url | None = None
    token: str | None = None
    endpoints: tuple[EndpointTable, ...] = ()
    spelling: Spelling | None = None
    live_account: str | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The plugin's own settings."""
        return dict(self.__pydantic_extra__ or {})


class RouteTable(Settings):
    """``[route]``: which account takes new exposure, first choice first."""

    prefer: tuple[str, ...] = ()
    symbols: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class StrategyTable(PluginTable):
    """``[strategies.NAME]``: a strategy plugin and the symbols it trades.

    ``timeframe`` is that of its bars, unless told that of the market; ``mode`` says who sends its
    orders; ``weight`` is its part where several strategies trade one symbol.
    """

    symbols: tuple[str, ...] = Field(min_length=1)
    timeframe: Timeframe | None = None
    mode: Mode = Mode.AUTO
    weight: float = Field(1.0, gt=0, le=1000)


class RiskTable(Settings):
    """``[risk]``: the sizer, the checks (all of them unless one is false) and the breaker."""

    sizer: PluginTable = Field(default_factory=lambda: PluginTable(plugin="fixed_fraction"))
    checks: Mapping[str, dict[str, Any] | Literal[False]] = Field(default_factory=dict)
    breaker: Mapping[str, Any] = Field(default_factory=dict)


class GatewayTable(Settings):
    """``[gateway]``: LLM agents reach the running engine over HTTP; `mtquant agents` enrols them.

    ``http``: the port, of which none is not at all and 0 a free one. ``host``: the address that is
    bound; beyond this machine only `mtquant gateway` does, which takes a certificate. ``names``:
    host names that clients may call it by, besides those of this machine. ``issuer``: the URL of
    an OAuth 2.1 authorization server that is named to clients. ``dry_run``: everything is looked
    at, and no agent's order is sent.
    """

    http: int | None = Field(None, ge=0, le=65_535)
    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    issuer: Url | None = None
    dry_run: bool = False


class Config(Settings):
    """A whole configuration."""

    engine: EngineTable = EngineTable()
    market: MarketTable = MarketTable()
    brokers: Mapping[str, BrokerTable] = Field(min_length=1)
    route: RouteTable = RouteTable()
    strategies: Mapping[str, StrategyTable] = Field(default_factory=dict)
    combine: CombineRules = CombineRules()
    approval: ApprovalRules = ApprovalRules()
    risk: RiskTable = RiskTable()
    stores: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    notifiers: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    gateway: GatewayTable = GatewayTable()

    def symbols(self) -> tuple[str, ...]:
        """Return every symbol that a strategy trades, each once."""
        every = (symbol for each in self.strategies.values() for symbol in each.symbols)
        return tuple(dict.fromkeys(every))

    def preference(self, symbol: str) -> tuple[str, ...]:
        """Return the accounts that may take new exposure in ``symbol``, first choice first."""
        return self.route.symbols.get(symbol) or self.route.prefer or tuple(self.brokers)


def load_config(path: Path, changes: Sequence[str] = ()) -> Config:
    """Read and validate a configuration file.

    The profile that the environment variable ``MTQUANT_PROFILE`` names is laid over it, then
    ``changes``, each KEY=VALUE with a dotted key and a TOML value. A relative ``state_dir`` is
    taken from the file's folder. Raises ConfigError, which names the file, the key, the value and
    the remedy.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(str(path), "no such file", "`mtquant init` writes one.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"can't be read: {error}", "Check the file.") from None
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(str(path), f"not valid TOML: {error}", "Correct that line.") from None
    table = _overlaid(table, os.environ.get("MTQUANT_PROFILE", ""), f"{path}: ")
    for change in changes:
        change_setting(table, change)
    config = Config.read(table, f"{path}: ")
    _check_references(config, f"{path}: ")
    state = path.parent.resolve() / config.engine.state_dir
    places = {"state_dir": str(state)}
    if config.engine.anchor is not None:
        places["anchor"] = str(path.parent.resolve() / config.engine.anchor)
    engine = config.engine.model_copy(update=places)
    return config.model_copy(update={"engine": engine})


def _overlaid(table: dict[str, Any], profile: str, where: str) -> dict[str, Any]:
    """Return ``table`` without its profiles, the named one laid over it."""
    profiles = table.pop("profile", {})
    if not profile:
        return table
    if not isinstance(profiles, dict) or not isinstance(profiles.get(profile), dict):
        have = ", ".join(profiles) if isinstance(profiles, dict) else ""
        remedy = f"Profiles: {have or 'none'}."
        raise ConfigError(f"{where}profile", f"no table [profile.{profile}]", remedy)
    return _merged(table, profiles[profile])


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        before = merged.get(key)
        both = isinstance(before, dict) and isinstance(value, dict)
        merged[key] = _merged(before, value) if both else value  # type: ignore[arg-type]
    return merged


def change_setting(table: dict[str, Any], change: str) -> None:
    """Set one dotted key of ``table``; the value is TOML, or else text."""
    key, equals, text = change.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError("--set", f"{change!r} is not KEY=VALUE", "Such as engine.on_stop=keep.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    for part in path[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError("--set", f"{key!r}: {part!r} is no table", "Name a setting's path.")
    table[path[-1]] = value


def _check_references(config: Config, where: str) -> None:
    named = {"route.prefer": config.route.prefer} | {
        f"route.symbols.{symbol}": names for symbol, names in config.route.symbols.items()
    }
    for key, names in named.items():
        for name in names:
            if name not in config.brokers:
                have = ", ".join(config.brokers)
                raise ConfigError(f"{where}{key}", f"no broker {name!r}", f"Brokers: {have}.")
    for name, broker in config.brokers.items():
        _check_broker(broker, f"{where}brokers.{name}")
    for name, strategy in config.strategies.items():
        if len(set(strategy.symbols)) != len(strategy.symbols):
            problem = f"{list(strategy.symbols)!r} names a symbol twice"
            raise ConfigError(f"{where}strategies.{name}.symbols", problem, "Name each once.")
    if config.market.feed == "replay" and config.market.source is None:
        raise ConfigError(f"{where}market.source", "is missing", "A replay needs a source.")


def _check_broker(broker: BrokerTable, where: str) -> None:
    ways = [broker.plugin, broker.command, broker.server, broker.endpoints]
    if sum(bool(way) for way in ways) != 1:
        raise ConfigError(
            where,
            "says not exactly one of plugin, command, server, endpoints",
            "Name the one that tells where this broker's server is.",
        )
    if broker.token and not broker.server:
        raise ConfigError(
            f"{where}.token",
            "is the bearer token of a `server`, and none is named beside it",
            f"A plugin takes its own settings: mtquant plugins broker {broker.plugin}"
            if broker.plugin
            else "Name the server, or leave the token out.",
        )
    for url in (broker.server, *(each.server for each in broker.endpoints)):
        if url is not None and _has_password(url):
            raise ConfigError(
                f"{where}.server", "carries a password", "Put the secret into `token`."
            )
    if not broker.plugin and broker.settings:
        raise ConfigError(
            f"{where}.{next(iter(broker.settings))}",
            "no such setting",
            "Only a broker with a `plugin` has settings of its own.",
        )
