"""When markets are open: the week of foreign exchange, exchanges' sessions, times to stay out."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.risk_scene import account, eurusd

from mtquant.clock import format_time, parse_time
from mtquant.contract import BreakerLevel, Finding, Proposal, RiskState, Verdict
from mtquant.errors import ConfigError, Vetoed
from mtquant.model import (
    AssetClass,
    Side,
    Signal,
)
from mtquant_risk.hours import TradingHours, TradingHoursSettings, forex_session

D = Decimal
NOW = parse_time("2026-11-20T12:00:00Z")
INSTRUMENT = eurusd(50_000_000)
STATE = RiskState(
    time=NOW,
    account=account("USD", NOW),
    instrument=INSTRUMENT,
    quote=None,
    quote_rate=D(1),
    exposures=(),
    breaker=BreakerLevel.NORMAL,
)


def at(time: str, symbol: str = "EUR/USD", kind: AssetClass = AssetClass.FOREX) -> RiskState:
    instrument = replace(INSTRUMENT, instrument=symbol, asset_class=kind)
    return replace(STATE, time=parse_time(time), instrument=instrument)


def asked(state: RiskState, **settings: Any) -> Finding:  # noqa: ANN401 - as in a configuration
    return TradingHours(TradingHoursSettings.read(settings, "risk.checks.trading_hours")).review(
        Proposal(
            signal=Signal(
                strategy_id="cross",
                instrument=state.instrument.instrument,
                time=state.time,
                direction=1,
                reason="",
            ),
            account="a",
            side=Side.BUY,
            quantity=D(1000),
            reference_price=D(1),
            stop_loss=None,
            take_profit=None,
        ),
        state,
    )


@pytest.mark.parametrize(
    ("time", "session"),
    [
        # winter: New York is five hours behind UTC
        ("2026-11-20T21:59:59Z", "2026-11-19T22:00:00Z 2026-11-20T22:00:00Z"),
        ("2026-11-20T22:00:00Z", None),
        ("2026-11-21T12:00:00Z", None),
        ("2026-11-22T21:59:59Z", None),
        ("2026-11-22T22:00:00Z", "2026-11-22T22:00:00Z 2026-11-23T22:00:00Z"),
        # in summer it is four
        ("2026-07-03T20:59:59Z", "2026-07-02T21:00:00Z 2026-07-03T21:00:00Z"),
        ("2026-07-03T21:00:00Z", None),
        ("2026-07-05T21:00:00Z", "2026-07-05T21:00:00Z 2026-07-06T21:00:00Z"),
        # the Sunday on which the clock is changed, 8 March: it opens an hour earlier
        ("2026-03-08T20:59:59Z", None),
        ("2026-03-08T21:00:00Z", "2026-03-08T21:00:00Z 2026-03-09T21:00:00Z"),
        # Christmas and New Year
        ("2026-12-24T21:59:59Z", "2026-12-23T22:00:00Z 2026-12-24T22:00:00Z"),
        ("2026-12-24T22:00:00Z", None),
        ("2026-12-25T12:00:00Z", None),
        ("2027-01-01T12:00:00Z", None),
        ("2027-01-03T22:00:00Z", "2027-01-03T22:00:00Z 2027-01-04T22:00:00Z"),
    ],
)
def test_the_week_of_foreign_exchange(time: str, session: str | None) -> None:
    found = forex_session(parse_time(time))
    assert (found and " ".join(format_time(each) for each in found)) == session
    finding = asked(at(time), calendars={"forex": "forex"})
    assert (finding.verdict is Verdict.APPROVED) is (session is not None)
    assert session is not None or finding.code == "market_closed"


@pytest.mark.parametrize(
    ("code", "time", "opens"),
    [
        ("XNYS", "2026-11-20T14:29:59Z", False),
        ("XNYS", "2026-11-20T14:30:00Z", True),
        ("XNYS", "2026-11-20T20:59:59Z", True),
        ("XNYS", "2026-11-20T21:00:00Z", False),
        ("XNYS", "2026-11-26T15:00:00Z", False),  # Thanksgiving
        ("XNYS", "2026-11-27T17:59:59Z", True),  # the day after it closes at 13:00
        ("XNYS", "2026-11-27T18:00:00Z", False),
        ("XTKS", "2026-11-20T02:29:59Z", True),
        ("XTKS", "2026-11-20T02:30:00Z", False),  # lunch
        ("XTKS", "2026-11-20T03:30:00Z", True),
    ],
)
def test_an_exchanges_sessions_holidays_and_pauses(code: str, time: str, opens: bool) -> None:  # noqa: FBT001 - a case
    state = at(time, "US500", AssetClass.INDEX)
    finding = asked(state, calendars={"index": "XLON", "US500": code})
    assert (finding.verdict is Verdict.APPROVED) is opens


def test_a_session_that_was_found_ends_all_the_same() -> None:
    check = TradingHours(TradingHoursSettings(calendars={"forex": "forex"}))
    proposal = Proposal(
        signal=Signal(strategy_id="c", instrument="EUR/USD", time=0, direction=1, reason=""),
        account="a",
        side=Side.BUY,
        quantity=D(1),
        reference_price=D(1),
        stop_loss=None,
        take_profit=None,
    )
    times = ("2026-11-20T21:59:59Z", "2026-11-20T22:00:00Z", "2026-11-20T21:00:00Z")
    found = [check.review(proposal, at(time)).verdict for time in times]
    assert found == [Verdict.APPROVED, Verdict.VETOED, Verdict.APPROVED]


def test_nothing_is_opened_shortly_before_a_close() -> None:
    settings = {"calendars": {"forex": "forex"}, "before_close_s": 900}
    assert asked(at("2026-11-20T21:44:59Z"), **settings).verdict is Verdict.APPROVED
    finding = asked(at("2026-11-20T21:45:00Z"), **settings)
    assert finding.code == "before_close"
    assert "closes at 2026-11-20T22:00:00Z" in finding.message


def test_nothing_is_opened_in_a_blackout() -> None:
    pairs = [["2026-11-20T13:25:00Z", "2026-11-20T14:35:00+01:00"]]
    for time, code in (
        ("13:24:59", ""),
        ("13:25:00", "blackout"),
        ("13:34:59", "blackout"),
        ("13:35:00", ""),
    ):
        assert asked(at(f"2026-11-20T{time}Z"), blackouts=pairs).code == code


def test_what_has_no_calendar_is_the_brokers_to_say() -> None:
    weekend = at("2026-11-21T12:00:00Z")
    assert asked(weekend).verdict is Verdict.APPROVED
    assert asked(weekend, calendars={"index": "XNYS"}).verdict is Verdict.APPROVED


def test_beyond_what_the_calendar_knows_nothing_is_opened() -> None:
    with pytest.raises(Vetoed, match="update exchange_calendars"):
        asked(at("2035-11-20T12:00:00Z"), calendars={"forex": "XNYS"})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"calendars": {"index": "NYSE2"}}, "'NYSE2' is no calendar"),
        ({"blackouts": [["2026-11-20T13:25:00Z", "2026-11-20T13:25:00Z"]]}, "is not after"),
        ({"blackouts": [["2026-11-20T13:25:00", "2026-11-20T13:35:00"]]}, "timezone"),
        ({"before_close_s": -1}, "before_close_s"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        asked(STATE, **settings)
