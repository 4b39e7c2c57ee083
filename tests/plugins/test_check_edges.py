"""Checks and sizers at their limits and one step beside them."""

from __future__ import annotations

import sys
from dataclasses import replace
from decimal import Decimal
from typing import Any

import exchange_calendars
import pytest
from tests.risk_scene import account, eurusd

from mtquant.clock import parse_time
from mtquant.contract import (
    BreakerLevel,
    Check,
    Exposure,
    Finding,
    Portfolio,
    Proposal,
    RiskState,
    Settings,
    TradeRecord,
    Verdict,
)
from mtquant.errors import ConfigError, Vetoed
from mtquant.model import (
    AssetClass,
    Quote,
    Side,
    Signal,
)
from mtquant_risk import checks, sizers
from mtquant_risk.hours import forex_session
from mtquant_risk.sizing import Kelly, KellySettings, wilson_bound

D = Decimal
NOW = parse_time("2026-01-12T12:00:00Z")
KINDS = {each.name: each for each in [*checks(), *sizers()]}
STATE = RiskState(
    time=NOW,
    # An account in euros: one dollar is worth 0.9, so the rates can't be forgotten unnoticed.
    account=account("EUR", NOW),
    instrument=eurusd(50_000_000),
    quote=Quote(instrument="EUR/USD", bid=D("1.1"), ask=D("1.1"), time=NOW),
    quote_rate=D("0.9"),
    exposures=(),
    breaker=BreakerLevel.NORMAL,
)
ORDER = Proposal(
    signal=Signal(strategy_id="cross", instrument="EUR/USD", time=NOW, direction=1, reason=""),
    account="paper-a",
    side=Side.BUY,
    quantity=D(100_000),  # worth 99,000 EUR
    reference_price=D("1.1"),
    stop_loss=None,
    take_profit=None,
)


def check(name: str, **settings: object) -> Check[Any]:
    """Return the check of a name."""
    kind: Any = KINDS[name]
    made: Check[Any] = kind(read(name, settings))
    return made


def asked(name: str, state: RiskState = STATE, order: Proposal = ORDER, **settings: Any) -> Finding:  # noqa: ANN401 - as in a configuration
    return check(name, **settings).review(order, state)


def told(finding: Finding) -> tuple[str, str, str]:
    """Return the code, the limit and what was observed."""
    return finding.code, finding.limit, finding.observed


def read(name: str, table: dict[str, Any]) -> Settings:
    settings: Settings = KINDS[name].Settings.read(table, f"risk.{name}")
    return settings


# --- the bounds of settings ------------------------------------------------------------------

NO_NUMBER_OF_ORDERS = ("0", "10001")
BOUNDS: list[tuple[str, str, tuple[str, str], tuple[str, str]]] = [
    # of whom, which setting, the least and the most that are taken, and what is refused beside them
    ("trading_hours", "before_close_s", ("0", "86400"), ("-1", "86401")),
    ("spread", "max_fraction", ("0.000001", "1"), ("0", "1.000001")),
    ("price_collar", "fraction", ("0.000001", "0.999999"), ("0", "1")),
    ("open_orders", "max_orders", ("1", "10000"), NO_NUMBER_OF_ORDERS),
    ("throttle", "per_second", ("1", "10000"), NO_NUMBER_OF_ORDERS),
    ("throttle", "per_minute", ("1", "100000"), ("0", "100001")),
    ("throttle", "per_day", ("1", "1000000"), ("0", "1000001")),
    ("repeated_order", "count", ("1", "10000"), NO_NUMBER_OF_ORDERS),
    ("portfolio_risk", "correlation", ("0.000001", "1"), ("0", "1.000001")),
    ("fixed_fraction", "fraction", ("0.000001", "1"), ("0", "1.000001")),
    ("fixed_fraction", "drawdown_to", ("0.000001", "1"), ("0", "1.000001")),
    ("kelly", "fraction", ("0.000001", "1"), ("0", "1.000001")),
    ("kelly", "start_fraction", ("0.000001", "1"), ("0", "1.000001")),
    ("kelly", "max_fraction", ("0.000001", "1"), ("0", "1.000001")),
    ("kelly", "confidence", ("0.5", "0.999999"), ("0.499999", "1")),
    ("kelly", "min_trades", ("1", "100000"), ("0", "100001")),
    ("volatility_target", "target", ("0.000001", "2"), ("0", "2.000001")),
    ("volatility_target", "max_leverage", ("0.000001", "100"), ("0", "100.000001")),
]


@pytest.mark.parametrize(("name", "setting", "taken", "refused"), BOUNDS)
def test_a_setting_is_taken_up_to_its_bounds_and_refused_beyond(
    name: str, setting: str, taken: tuple[str, str], refused: tuple[str, str]
) -> None:
    for value in taken:
        assert str(getattr(read(name, {setting: value}), setting)) == value
    for value in refused:
        with pytest.raises(ConfigError, match=setting):
            read(name, {setting: value})


@pytest.mark.parametrize(
    ("setting", "taken", "refused"),
    [
        ("per_minute", ("0", "100000"), ("-1", "100001")),
        ("per_day", ("0", "1000000"), ("-1", "1000001")),
        ("max_loss", ("0.000001", "1"), ("0", "1.000001")),
    ],
)
def test_a_budget_is_taken_up_to_its_bounds_and_refused_beyond(
    setting: str, taken: tuple[str, str], refused: tuple[str, str]
) -> None:
    for value in taken:
        assert str(read("budgets", {"others": {setting: value}}).others)  # type: ignore[attr-defined]
    for value in refused:
        with pytest.raises(ConfigError, match=setting):
            read("budgets", {"others": {setting: value}})


@pytest.mark.parametrize(
    ("least", "taken"),
    [("0", True), ("1", True), ("-0.000001", False), ("1.000001", False)],
)
def test_what_is_left_in_a_drawdown_is_a_part(least: str, *, taken: bool) -> None:
    table = {"drawdown_to": "0.2", "drawdown_least": least}
    if taken:
        read("fixed_quantity", table)
        return
    with pytest.raises(ConfigError, match="drawdown_least"):
        read("fixed_quantity", table)


def test_a_drawdown_may_count_from_nothing_up_to_all_but_everything() -> None:
    read("fixed_quantity", {"drawdown_from": "0", "drawdown_to": "0.000001"})
    read("fixed_quantity", {"drawdown_from": "0.999999", "drawdown_to": "1"})
    for start in ("-0.000001", "1"):
        with pytest.raises(ConfigError, match="drawdown_from"):
            read("fixed_quantity", {"drawdown_from": start, "drawdown_to": "1"})


@pytest.mark.parametrize("fraction", ["0", "1"])
def test_the_collar_of_a_class_is_a_fraction_too(fraction: str) -> None:
    with pytest.raises(ConfigError, match="by_class"):
        read("price_collar", {"by_class": {"index": fraction}})
    read("price_collar", {"by_class": {"index": "0.000001", "crypto": "0.999999"}})


# --- the defaults, as the documentation of each tells them -----------------------------------

SIZED: dict[str, Any] = {
    "by_confidence": False,
    "drawdown_from": "0",
    "drawdown_to": None,
    "drawdown_least": "0.25",
    "by_correlation": False,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "restricted": {"deny": [], "allow": []},
    "trading_hours": {"calendars": {}, "before_close_s": 0, "blackouts": []},
    "stale_price": {"max_age_s": "5"},
    "spread": {"max_fraction": "0.001"},
    "price_collar": {
        "fraction": "0.01",
        "spreads": "10",
        "by_class": {
            "metal": "0.02",
            "index": "0.02",
            "commodity": "0.03",
            "equity": "0.05",
            "crypto": "0.05",
        },
    },
    "stop_required": {"required": False},
    "order_size": {"max_quantity": "1000000"},
    "open_orders": {"max_orders": 50},
    "throttle": {"per_second": 10, "per_minute": 60, "per_day": 1000},
    "repeated_order": {"count": 10, "window_s": "60"},
    "position_limit": {"max_quantity": "2000000"},
    "notional": {"max_order": "10", "max_gross": "20"},
    "currency_exposure": {"max_net": "20"},
    "portfolio_risk": {
        "max_volatility": "1",
        "max_cluster": "15",
        "correlation": "0.7",
        "required": False,
    },
    "margin": {"min_level": "2"},
    "regulatory": {"profile": "none"},
    "duplicate": {"window_s": "2"},
    "fixed_fraction": {**SIZED, "fraction": "0.01"},
    "fixed_quantity": {**SIZED, "quantity": "10000"},
    "kelly": {
        **SIZED,
        "fraction": "0.5",
        "confidence": 0.9,
        "min_trades": 30,
        "start_fraction": "0.005",
        "max_fraction": "0.02",
    },
    "volatility_target": {**SIZED, "target": "0.1", "max_leverage": "5"},
}


@pytest.mark.parametrize("name", list(DEFAULTS))
def test_what_is_not_set_is_as_documented(name: str) -> None:
    assert read(name, {}).model_dump(mode="json") == DEFAULTS[name]


# --- trading hours ---------------------------------------------------------------------------


def at(moment: str) -> RiskState:
    return replace(STATE, time=parse_time(moment))


def test_a_session_that_is_remembered_is_left_in_both_directions() -> None:
    hours = check("trading_hours", calendars={"forex": "forex"})
    weeks = [
        ("2026-11-22T22:00:00Z", ""),  # Sunday, as it opens
        ("2026-11-23T21:59:59Z", ""),
        ("2026-11-20T22:00:00Z", "market_closed"),  # the Friday before, as it closes
        ("2026-11-22T21:59:59Z", "market_closed"),
        ("2026-11-23T22:00:00Z", ""),
        ("2026-11-27T22:00:00Z", "market_closed"),
        ("2026-11-27T21:59:59Z", ""),
        ("2026-11-27T22:00:00Z", "market_closed"),
    ]
    for moment, code in weeks:
        assert hours.review(ORDER, at(moment)).code == code, moment


def test_a_veto_by_the_clock_tells_until_when() -> None:
    closing = asked(
        "trading_hours",
        at("2026-11-20T21:59:00Z"),
        calendars={"forex": "forex"},
        before_close_s=60,
    )
    assert told(closing) == ("before_close", "2026-11-20T22:00:00Z", "")
    closed = asked("trading_hours", at("2026-11-20T22:00:00Z"), calendars={"forex": "forex"})
    assert told(closed) == ("market_closed", "forex", "2026-11-20T22:00:00Z")
    blackout = ("2026-11-20T13:25:00Z", "2026-11-20T13:35:00Z")
    out = asked("trading_hours", at("2026-11-20T13:30:00Z"), blackouts=[blackout])
    assert told(out) == ("blackout", "2026-11-20T13:35:00Z", "")
    assert closed.verdict is Verdict.VETOED


def test_the_day_of_foreign_exchange_ends_at_its_last_nanosecond() -> None:
    closes = parse_time("2026-11-20T22:00:00Z")
    session = forex_session(closes - 1)
    assert session == (parse_time("2026-11-19T22:00:00Z"), closes)
    assert forex_session(closes) is None


def test_an_exchange_is_closed_at_the_moment_of_its_close() -> None:
    state = at("2026-11-20T21:00:00Z")
    assert asked("trading_hours", state, calendars={"forex": "XNYS"}).code == "market_closed"
    # Tokyo pauses at noon.
    state = at("2026-11-20T02:30:00Z")
    assert asked("trading_hours", state, calendars={"forex": "XTKS"}).code == "market_closed"


def test_a_calendar_is_known_from_its_first_open_to_its_last_close() -> None:
    hours = check("trading_hours", calendars={"forex": "XNYS"})
    schedule = exchange_calendars.get_calendar("XNYS", start="2000-01-01").schedule
    first, last = schedule.iloc[0], schedule.iloc[-1]
    opens, closes = first.open.as_unit("ns").value, last.close.as_unit("ns").value
    for inside in (opens, closes - 1, last.open.as_unit("ns").value):
        assert hours.review(ORDER, replace(STATE, time=inside)).verdict is Verdict.APPROVED
    for outside in (opens - 1, closes):
        with pytest.raises(Vetoed) as caught:
            hours.review(ORDER, replace(STATE, time=outside))
        assert caught.value.code == "calendar_unknown"


def test_a_calendar_of_an_exchange_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(ConfigError, match=r"mtquant\[calendars\]"):
        check("trading_hours", calendars={"forex": "XNYS"})
    assert asked("trading_hours", calendars={"forex": "forex"}).verdict is Verdict.APPROVED


# --- what an account holds -------------------------------------------------------------------


def holding(symbol: str, quantity: str, working: str = "0", **details: Any) -> Exposure:  # noqa: ANN401 - fields
    return Exposure(
        instrument=symbol,
        quantity=D(quantity),
        working=D(working),
        notional_rate=details.pop("rate", D("1.2")),
        margin_rate=D("0.05"),
        base=symbol[:3],
        quote=symbol[4:],
        **details,
    )


@pytest.mark.parametrize("name", ["spread", "price_collar", "stale_price"])
def test_without_a_quote_there_is_no_price(name: str) -> None:
    assert asked(name, replace(STATE, quote=None)).code == "no_price"


@pytest.mark.parametrize("name", ["notional", "margin", "currency_exposure"])
def test_without_a_rate_an_order_has_no_value(name: str) -> None:
    with pytest.raises(Vetoed) as caught:
        asked(name, replace(STATE, quote_rate=None))
    assert caught.value.code == "no_rate"


@pytest.mark.parametrize(
    ("side", "held", "net"), [(Side.BUY, "10000", "0.22"), (Side.SELL, "-10000", "-0.22")]
)
def test_a_currency_is_limited_in_an_account_of_large_units_too(
    side: Side, held: str, net: str
) -> None:
    # An account in bitcoin: the order is worth 0.11 of one, and so is what works the same way.
    account = replace(STATE.account, currency="BTC", equity=D("0.01"))
    works = holding("EUR/JPY", "0", held, rate=D("0.000011"))
    against = holding("EUR/JPY", "0", str(-D(held)), rate=D("0.000011"))
    state = replace(STATE, account=account, quote_rate=D("0.00001"), exposures=(works,))
    order = replace(ORDER, side=side, quantity=D(10_000))
    finding = asked("currency_exposure", state, order)
    assert told(finding) == ("currency_exposure", "0.2", net)
    assert "the net exposure in EUR" in finding.message
    assert not asked("currency_exposure", state, order, max_net=22).code
    assert not asked("currency_exposure", replace(state, exposures=(against,)), order).code


def test_the_regulators_margin_may_be_all_of_the_equity() -> None:
    # 99,000 at 2 per cent.
    account = replace(STATE.account, equity=D(1980))
    state = replace(STATE, account=account)
    assert asked("regulatory", state, profile="us").verdict is Verdict.APPROVED
    account = replace(account, equity=D("1979.99"))
    finding = asked("regulatory", replace(STATE, account=account), profile="us")
    assert told(finding) == ("regulatory_leverage", "1979.99", "1980")


def test_what_the_regulator_forbids_and_is_held_all_the_same_counts_in_full() -> None:
    held = holding("BTC/USD", "1", rate=D(50_000), asset_class=AssetClass.CRYPTO)
    account = replace(STATE.account, equity=D(51_980))
    state = replace(STATE, account=account, exposures=(held,))
    assert asked("regulatory", state, profile="us").verdict is Verdict.APPROVED
    account = replace(account, equity=D("51979.99"))
    finding = asked("regulatory", replace(state, account=account), profile="us")
    assert told(finding) == ("regulatory_leverage", "51979.99", "51980")


def test_the_regulators_margin_follows_a_position_that_changes() -> None:
    regulator = check("regulatory", profile="us")
    account = replace(STATE.account, equity=D(5000))
    small, large = holding("GBP/USD", "1000"), holding("GBP/USD", "1000000")
    for held, code in ((small, ""), (large, "regulatory_leverage"), (small, "")):
        state = replace(STATE, account=account, exposures=(held,))
        assert regulator.review(ORDER, state).code == code


class Says(Portfolio):
    """A portfolio that deviates by what it was told."""

    def __init__(self, after: float, cluster: float) -> None:
        self.after, self.found = after, cluster

    def volatility(self, symbol: str) -> float | None:
        del symbol
        return None

    def correlation(self, symbol: str, other: str) -> float | None:
        del symbol, other
        return None

    def deviation(self, symbol: str = "", change: float = 0.0) -> float | None:
        del change
        return self.after if symbol else 0.0

    def covariance(self, symbol: str) -> float | None:
        del symbol
        return None

    def cluster(self, symbol: str, side: Side, least: float) -> float | None:
        del symbol, side, least
        return self.found


def test_what_moves_together_is_on_record_in_cents() -> None:
    wild = replace(STATE, portfolio=Says(123_456.789, 0))
    assert told(asked("portfolio_risk", wild)) == ("portfolio_volatility", "100000", "123456.79")
    alike = replace(STATE, portfolio=Says(1, 1_500_000.126))
    assert told(asked("portfolio_risk", alike)) == ("correlated_exposure", "1500000", "1599000.13")


# --- sizers ----------------------------------------------------------------------------------


def test_an_edge_whose_lower_bound_is_none_at_all_may_be_luck() -> None:
    # The payoff is chosen such that the bound of 9 wins in 30 just breaks even.
    bound = D(str(wilson_bound(9, 30, 0.9)))
    record = TradeRecord(wins=9, losses=21, won=(1 - bound) / bound * 9, lost=D(21))
    assert Kelly(KellySettings()).share(record, "cross") == D("0.005")


def test_an_edge_that_may_be_luck_is_traded_at_its_part_where_that_is_less() -> None:
    # 502 of 1,000 at even money: f* is 0.4 % as measured, and half of it is risked.
    record = TradeRecord(wins=502, losses=498, won=D(502), lost=D(498))
    assert Kelly(KellySettings()).share(record, "cross") == D("0.002")
    assert Kelly(KellySettings(max_fraction=D("0.001"))).share(record, "cross") == D("0.001")


def test_the_lower_bound_is_a_share_whatever_is_rounded() -> None:
    for confidence in (0.5, 0.9, 0.975):
        for trades in range(1, 100):
            assert wilson_bound(0, trades, confidence) == 0
            assert 0 <= wilson_bound(1, trades, confidence) <= 1 / trades
