"""The first-party checks and sizers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from tests.risk_scene import account, eurusd

import mtquant_risk
from mtquant.clock import SECOND, parse_time
from mtquant.contract import (
    BreakerLevel,
    Check,
    Exposure,
    Finding,
    Proposal,
    RiskState,
    Sent,
    Sizer,
    Verdict,
)
from mtquant.errors import Vetoed
from mtquant.model import (
    AssetClass,
    Quote,
    Side,
    Signal,
)
from mtquant.risk import BreakerRules, Gate
from mtquant_risk import checks, sizers

D = Decimal
NOW = parse_time("2026-01-12T12:00:00Z")
CHECKS: dict[str, type[Check[Any]]] = {each.name: each for each in checks()}
SIZERS: dict[str, type[Sizer[Any]]] = {each.name: each for each in sizers()}
INSTRUMENT = eurusd(50_000_000)
# An account in euros: one dollar is worth 0.9, so the rates can't be forgotten unnoticed.
ACCOUNT = account("EUR", NOW)
STATE = RiskState(
    time=NOW,
    account=ACCOUNT,
    instrument=INSTRUMENT,
    quote=Quote(instrument="EUR/USD", bid=D("1.0999"), ask=D("1.1001"), time=NOW),
    quote_rate=D("0.9"),
    exposures=(),
    breaker=BreakerLevel.NORMAL,
)
SIGNAL = Signal(
    strategy_id="cross", instrument="EUR/USD", time=NOW, direction=1, reason="10 over 30"
)


def check(name: str, **settings: object) -> Check[Any]:
    kind = CHECKS[name]
    return kind(kind.Settings.model_validate(settings))


def sizer(name: str, **settings: object) -> Sizer[Any]:
    kind = SIZERS[name]
    return kind(kind.Settings.model_validate(settings))


def proposal(quantity: str = "10000", side: Side = Side.BUY, **details: object) -> Proposal:
    order = Proposal(
        signal=replace(SIGNAL, direction=side.sign),
        account="paper-a",
        side=side,
        quantity=D(quantity),
        reference_price=D("1.1001") if side is Side.BUY else D("1.0999"),
        stop_loss=None,
        take_profit=None,
    )
    return replace(order, **details)  # type: ignore[arg-type]


def quoted(bid: str, ask: str, age_s: str = "0") -> RiskState:
    time = NOW - int(D(age_s) * SECOND)
    quote = Quote(instrument="EUR/USD", bid=D(bid), ask=D(ask), time=time)
    return replace(STATE, quote=quote)


def holding(
    quantity: str,
    working: str = "0",
    symbol: str = "EUR/USD",
    rate: str = "0.99",
    margin: str = "0.05",
) -> RiskState:
    exposure = Exposure(
        instrument=symbol,
        quantity=D(quantity),
        working=D(working),
        notional_rate=D(rate),
        margin_rate=D(margin),
    )
    return replace(STATE, exposures=(exposure,))


def funded(equity: str, used: str = "0") -> RiskState:
    return replace(STATE, account=replace(ACCOUNT, equity=D(equity), margin_used=D(used)))


def refused(finding: Finding, code: str) -> str:
    assert (finding.verdict, finding.code) == (Verdict.VETOED, code)
    assert finding.quantity == 0
    return finding.message


def passed(finding: Finding, quantity: str = "10000") -> None:
    assert (finding.verdict, finding.quantity) == (Verdict.APPROVED, D(quantity)), finding.message


def sent(
    *ages_s: str,
    strategy: str = "somebody",
    size: str = "7000",
    instrument: str = "EUR/USD",
    side: Side = Side.BUY,
) -> RiskState:
    orders = tuple(
        Sent(
            time=NOW - int(D(age) * SECOND),
            client_order_id=f"O{number}",
            strategy_id=strategy,
            instrument=instrument,
            side=side,
            quantity=D(size),
        )
        for number, age in enumerate(ages_s)
    )
    return replace(STATE, sent=orders)


def kind_of(asset_class: AssetClass, equity: str, **more: str) -> RiskState:
    instrument = replace(INSTRUMENT, asset_class=asset_class, **more)  # type: ignore[arg-type]
    return replace(funded(equity), instrument=instrument)


# Each row breaks one rule only, so whatever refuses or reduces it is that check alone.
BLACKOUT = ("2026-01-12T11:55:00Z", "2026-01-12T12:05:00Z")
ALONE: list[tuple[str, RiskState, str, dict[str, object], Decimal]] = [
    ("restricted", STATE, "10000", {"deny": ["EUR/USD"]}, D(0)),
    ("trading_hours", STATE, "10000", {"blackouts": [BLACKOUT]}, D(0)),
    ("stale_price", quoted("1.0999", "1.1001", "5.1"), "10000", {}, D(0)),
    ("spread", quoted("1.0990", "1.1010"), "10000", {}, D(0)),
    ("price_collar", STATE, "10000", {"fraction": "0.00001", "spreads": "0.25"}, D(0)),
    ("stop_required", STATE, "10000", {"required": True}, D(0)),
    ("order_size", funded("10000000"), "1001000", {}, D(0)),
    ("open_orders", replace(STATE, working_orders=50), "10000", {}, D(0)),
    ("throttle", sent(*["0.5"] * 10), "10000", {}, D(0)),
    ("repeated_order", sent(*["30"] * 10, strategy=SIGNAL.strategy_id), "10000", {}, D(0)),
    ("budgets", STATE, "10000", {"others": {"max_order": "0.05"}}, D(0)),
    ("position_limit", holding("1990000", rate="0.1"), "20000", {}, D(10_000)),
    ("notional", holding("2000000", symbol="GBP/USD", margin="0.01"), "100000", {}, D(20_000)),
    ("currency_exposure", STATE, "10000", {"max_net": "0.05"}, D(0)),
    ("portfolio_risk", STATE, "10000", {"required": True}, D(0)),
    ("margin", funded("100000", "49900"), "10000", {}, D(0)),
    ("regulatory", kind_of(AssetClass.CRYPTO, "3000"), "10000", {"profile": "esma"}, D(0)),
    ("duplicate", sent("1", strategy=SIGNAL.strategy_id, size="10000"), "10000", {}, D(0)),
]


@pytest.mark.parametrize(("name", "state", "size", "settings", "allowed"), ALONE)
def test_removing_a_check_lets_pass_what_it_alone_held_back(
    name: str,
    state: RiskState,
    size: str,
    settings: dict[str, object],
    allowed: Decimal,
) -> None:
    chain = {each: check(each) for each in CHECKS} | {name: check(name, **settings)}
    wish = sizer("fixed_quantity", quantity=size)
    whole = Gate(wish, list(chain.values()), BreakerRules()).review(SIGNAL, "paper-a", state)
    assert whole.findings[-1 if not allowed else 1 + list(chain).index(name)].check == name
    assert whole.approved is bool(allowed)
    assert not allowed or (whole.proposal is not None and whole.proposal.quantity == allowed)
    del chain[name]
    without = Gate(wish, list(chain.values()), BreakerRules()).review(SIGNAL, "paper-a", state)
    assert without.approved, without.message
    assert without.proposal is not None
    assert without.proposal.quantity == D(size)


def test_every_check_is_in_the_table_above_and_has_sensible_defaults() -> None:
    assert [row[0] for row in ALONE] == list(CHECKS)
    for kind in [*CHECKS.values(), *SIZERS.values()]:
        dump = kind.Settings().model_dump()
        assert dump
        # No end of a drawdown is no adjustment by it: the only setting that says so by its absence.
        assert all(value is not None for name, value in dump.items() if name != "drawdown_to")


@pytest.mark.parametrize("name", list(CHECKS))
def test_no_check_objects_to_an_ordinary_order(name: str) -> None:
    passed(check(name).review(proposal(), STATE))
    passed(check(name).review(proposal(side=Side.SELL), STATE))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("stale_price", {"max_age_s": 0}),
        ("price_collar", {"fraction": 1}),
        ("order_size", {"max_quantity": -1}),
        ("position_limit", {"max_quantity": "NaN"}),
        ("notional", {"max_orders": 3}),
        ("margin", {"min_level": float("inf")}),
    ],
)
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        check(name, **settings)


def test_the_hooks_stay_hooks_once_they_were_called() -> None:
    # A submodule of a hook's name would take its place in the package when it is imported.
    assert list(mtquant_risk.checks()) == list(mtquant_risk.checks())
    assert list(mtquant_risk.sizers()) == list(mtquant_risk.sizers())


# --- stale_price ----------------------------------------------------------------------------


@pytest.mark.parametrize("age", ["0", "5", "-5"])
def test_a_price_up_to_its_age_passes(age: str) -> None:
    passed(check("stale_price").review(proposal(), quoted("1.0999", "1.1001", age)))


def test_a_price_that_is_confirmed_is_as_old_as_that() -> None:
    state = quoted("1.0999", "1.1001", "3600")

    def confirmed(age_s: int) -> RiskState:
        assert state.quote is not None
        held = replace(state.quote, confirmed=NOW - age_s * SECOND)
        return replace(state, quote=held)

    passed(check("stale_price").review(proposal(), confirmed(5)))
    finding = check("stale_price").review(proposal(), confirmed(6))
    assert refused(finding, "stale_price") == "the price of EUR/USD is 6 s old; 5 s is allowed"


def test_an_old_price_vetoes_with_its_age() -> None:
    finding = check("stale_price").review(proposal(), quoted("1.0999", "1.1001", "7.25"))
    message = refused(finding, "stale_price")
    assert message == "the price of EUR/USD is 7.25 s old; 5 s is allowed"
    assert (finding.limit, finding.observed) == ("5", "7.25")


def test_a_price_from_the_future_vetoes() -> None:
    finding = check("stale_price").review(proposal(), quoted("1.0999", "1.1001", "-5.000000001"))
    refused(finding, "stale_price")


def test_a_daily_replay_may_allow_days() -> None:
    state = quoted("1.1", "1.1", "86400")
    passed(check("stale_price", max_age_s=4 * 86400).review(proposal(), state))


@pytest.mark.parametrize(
    "state",
    [replace(STATE, quote=None), quoted("0", "1.1"), quoted("1.1001", "1.1000")],
)
def test_a_missing_zero_or_crossed_price_vetoes(state: RiskState) -> None:
    assert "no valid bid and ask" in refused(
        check("stale_price").review(proposal(), state), "no_price"
    )


# --- price_collar ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "spread", "ok"),
    [
        ("1.1110", "0.0002", True),  # 1 % of 1.1 is 0.011
        ("1.11101", "0.0002", False),
        ("1.0890", "0.0002", True),
        ("1.08899", "0.0002", False),
        ("1.1200", "0.0020", True),  # ten spreads are 0.02
        ("1.12001", "0.0020", False),
    ],
)
def test_the_collar_is_the_larger_of_1_percent_and_10_spreads(
    price: str, spread: str, *, ok: bool
) -> None:
    half = D(spread) / 2
    state = quoted(str(D("1.1") - half), str(D("1.1") + half))
    finding = check("price_collar").review(proposal(reference_price=D(price)), state)
    assert (finding.verdict is Verdict.APPROVED) is ok
    if not ok:
        assert f"a fill at {price} would be" in refused(finding, "price_collar")


def test_the_collar_needs_a_quote() -> None:
    refused(check("price_collar").review(proposal(), replace(STATE, quote=None)), "no_price")


@pytest.mark.parametrize(
    ("side", "prices", "ok"),
    [
        (Side.BUY, {"stop_loss": "1.0998", "take_profit": "1.1000"}, True),
        (Side.BUY, {"stop_loss": "1.0999"}, False),
        (Side.BUY, {"stop_loss": "1.2"}, False),
        (Side.BUY, {"take_profit": "1.0999"}, False),
        (Side.SELL, {"stop_loss": "1.1002", "take_profit": "1.1000"}, True),
        (Side.SELL, {"stop_loss": "1.1001"}, False),
        (Side.SELL, {"take_profit": "1.1001"}, False),
    ],
)
def test_a_protective_price_on_the_wrong_side_vetoes(
    side: Side, prices: dict[str, str], *, ok: bool
) -> None:
    order = replace(proposal(side=side), **{name: D(price) for name, price in prices.items()})  # type: ignore[arg-type]
    finding = check("price_collar").review(order, STATE)
    assert (finding.verdict is Verdict.APPROVED) is ok
    if not ok:
        assert "on the wrong side of the market" in refused(finding, "wrong_side")


# --- order_size -----------------------------------------------------------------------------


def test_an_order_above_the_limit_vetoes_and_is_not_trimmed() -> None:
    passed(check("order_size").review(proposal("1000000"), STATE), "1000000")
    finding = check("order_size").review(proposal("1000000.1"), STATE)
    assert refused(finding, "order_size") == (
        "an order of 1,000,000.1 base units of EUR/USD is above the limit of 1,000,000"
    )


# --- position_limit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "held", "working", "allowed"),
    [
        (Side.BUY, "0", "0", 500),
        (Side.BUY, "500", "0", 500),
        (Side.BUY, "600", "0", 400),
        (Side.BUY, "600", "100", 300),
        (Side.BUY, "600", "-100", 400),  # a working sell that may never fill makes no room
        (Side.BUY, "999", "0", 1),
        (Side.BUY, "1000", "0", 0),
        (Side.BUY, "600", "400", 0),
        (Side.BUY, "1500", "0", 0),
        (Side.BUY, "-1500", "0", 500),
        (Side.SELL, "-600", "0", 400),
        (Side.SELL, "-600", "-100", 300),
        (Side.SELL, "-600", "100", 400),
        (Side.SELL, "600", "0", 500),
    ],
)
def test_a_position_is_held_under_its_limit_counting_what_works_that_way(
    side: Side, held: str, working: str, allowed: int
) -> None:
    limit = check("position_limit", max_quantity=1000)
    finding = limit.review(proposal("500", side), holding(held, working))
    assert finding.quantity == allowed
    expected = {500: Verdict.APPROVED, 0: Verdict.VETOED}.get(allowed, Verdict.REDUCED)
    assert finding.verdict is expected
    if allowed != 500:
        assert (finding.code, finding.limit) == ("position_limit", "1000")
        assert "would exceed the largest position of 1,000" in finding.message


def test_other_instruments_do_not_count_as_this_ones_position() -> None:
    limit = check("position_limit", max_quantity=10_000)
    passed(limit.review(proposal(), holding("10000", symbol="GBP/USD")))


# --- notional -------------------------------------------------------------------------------


def test_an_order_worth_too_much_vetoes_in_the_accounts_currency() -> None:
    # One base unit is worth 1.1001 x 0.9 = 0.99009 EUR; ten times the equity is 1,000,000 EUR.
    passed(check("notional").review(proposal("1010000"), STATE), "1010000")
    finding = check("notional").review(proposal("1011000"), STATE)
    assert refused(finding, "order_notional") == (
        "an order worth 1,000,980.99 EUR is above 10 times the equity, 1,000,000.00 EUR"
    )


@pytest.mark.parametrize(
    ("quantity", "working"), [("1900000", "0"), ("-1900000", "0"), ("900000", "-1000000")]
)
def test_gross_exposure_is_reduced_to_what_fits(quantity: str, working: str) -> None:
    # 2,000,000 EUR allowed, 1,900,000 held or working: 100,000 EUR is 101,000.9 base units.
    state = holding(quantity, working, "GBP/USD", "1")
    finding = check("notional").review(proposal("200000"), state)
    assert (finding.verdict, finding.code) == (Verdict.REDUCED, "gross_notional")
    assert int(finding.quantity) == 101_000
    passed(check("notional").review(proposal("101000"), state), "101000")


def test_gross_exposure_that_leaves_no_room_vetoes() -> None:
    state = holding("2000000", symbol="GBP/USD", rate="1")
    message = refused(check("notional").review(proposal(), state), "gross_notional")
    assert "9,900.90 EUR on top of 2,000,000.00 EUR" in message


def test_an_order_exactly_at_a_notional_limit_passes() -> None:
    passed(check("notional").review(proposal("1000000"), funded("99009")), "1000000")
    full = replace(funded("50495.045"), exposures=holding("1000000", "0", "GBP/USD", "1").exposures)
    passed(check("notional").review(proposal(), full))
    refused(check("notional").review(proposal(), funded("1")), "order_notional")


@pytest.mark.parametrize("equity", ["0", "-1"])
def test_without_equity_nothing_is_allowed(equity: str) -> None:
    refused(check("notional").review(proposal(), funded(equity)), "no_equity")


@pytest.mark.parametrize("name", ["notional", "margin"])
def test_what_cannot_be_valued_vetoes(name: str) -> None:
    blind = replace(STATE, quote_rate=None)
    with pytest.raises(Vetoed, match="no rate from USD to EUR"):
        check(name).review(proposal(), blind)
    state = holding("5000", "5000", "GBP/USD", "NaN")
    refused(check(name).review(proposal(), state), "unvalued_exposure")
    gone = holding("0", "0", "GBP/USD", "NaN")
    passed(check(name).review(proposal(), gone))


# --- margin ---------------------------------------------------------------------------------


def test_the_margin_level_counts_the_order() -> None:
    # 10,000 units are worth 9,900.90 EUR and take 5 %, 495.045 EUR, of margin.
    passed(check("margin").review(proposal(), funded("100000", "49504.955")))
    finding = check("margin").review(proposal(), funded("100000", "49504.956"))
    assert "200 % is the least allowed" in refused(finding, "margin")
    finding = check("margin").review(proposal(), funded("1000", "1504.955"))
    assert refused(finding, "margin").startswith("the margin level after the order would be 50.0 %")


@pytest.mark.parametrize("working", ["100000", "-100000"])
def test_the_margin_level_counts_working_orders(working: str) -> None:
    # 100,000 units at 0.99 EUR take 4,950 EUR of margin, whichever way.
    exposures = holding("0", working).exposures
    fits = replace(funded("100000", "44554.955"), exposures=exposures)
    passed(check("margin").review(proposal(), fits))
    tight = replace(funded("100000", "44554.956"), exposures=exposures)
    finding = check("margin").review(proposal(), tight)
    refused(finding, "margin")
    assert finding.limit == "2"
    assert D("1.99999") < D(finding.observed) < 2


def test_each_position_and_order_ties_up_margin_at_its_own_rate() -> None:
    # 9,900 x 0.05 for the order, 99,000 x 0.5 for what is held or works elsewhere.
    for held, works in (("100000", "0"), ("0", "100000")):
        exposures = holding(held, works, "XAU/USD", margin="0.5").exposures
        passed(check("margin").review(proposal(), replace(funded("99990.2"), exposures=exposures)))
        short = replace(funded("99990"), exposures=exposures)
        refused(check("margin").review(proposal(), short), "margin")


def test_margin_that_the_broker_does_not_count_yet_counts() -> None:
    exposures = holding("100000").exposures  # 4,950 EUR of margin
    for used in ("0", "4950", "4000"):
        fits = replace(funded("10890.2", used), exposures=exposures)
        passed(check("margin").review(proposal(), fits))
        tight = replace(funded("10890", used), exposures=exposures)
        refused(check("margin").review(proposal(), tight), "margin")
    more = replace(funded("10890.2", "4951"), exposures=exposures)
    refused(check("margin").review(proposal(), more), "margin")


# --- sizers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "stop", "quantity"),
    [("0.01", "0.0050", "222222.2222"), ("0.02", "0.0050", "444444.4444"), ("0.01", "0.9", "1234")],
)
def test_fixed_fraction_loses_its_fraction_of_equity_at_the_stop(
    fraction: str, stop: str, quantity: str
) -> None:
    signal = replace(SIGNAL, stop_distance=D(stop))
    size = sizer("fixed_fraction", fraction=fraction).size(signal, STATE, D("1.1001"))
    assert abs(size - D(quantity)) < 1
    loss = size * D(stop) * D("0.9")
    assert abs(loss - D(fraction) * 100_000) < D("1e-15")


def test_fixed_fraction_needs_a_stop_and_says_what_to_do() -> None:
    gate = Gate(sizer("fixed_fraction"), (), BreakerRules())
    decision = gate.review(SIGNAL, "paper-a", STATE)
    assert (decision.approved, decision.code) == (False, "no_stop")
    assert "cross gave none: set a stop in the strategy" in decision.message


def test_fixed_fraction_needs_a_rate_and_equity() -> None:
    signal = replace(SIGNAL, stop_distance=D("0.005"))
    with pytest.raises(Vetoed, match="no rate from USD to EUR"):
        sizer("fixed_fraction").size(signal, replace(STATE, quote_rate=None), D("1.1001"))
    assert sizer("fixed_fraction").size(signal, funded("-5"), D("1.1001")) == 0


def test_fixed_quantity_is_the_same_every_time() -> None:
    assert sizer("fixed_quantity").size(SIGNAL, STATE, D("1.1001")) == 10_000
    assert sizer("fixed_quantity", quantity=3).size(SIGNAL, funded("1"), D(9)) == 3


# --- the checks of what may be traded, and how often ---------------------------------------------


def test_a_spread_at_its_limit_passes_and_beyond_it_does_not() -> None:
    wide = check("spread", max_fraction="0.002")

    passed(wide.review(proposal(), quoted("1.0989", "1.1011")))
    message = refused(wide.review(proposal(), quoted("1.0988", "1.1011")), "spread_too_wide")
    assert "0.0023" in message


def test_only_what_is_allowed_may_be_opened() -> None:
    only = check("restricted", allow=["GBP/USD"])

    assert "allowed: GBP/USD" in refused(only.review(proposal(), STATE), "restricted")
    passed(check("restricted", allow=["EUR/USD"], deny=["GBP/USD"]).review(proposal(), STATE))


def test_a_stop_satisfies_the_rule_that_asks_for_one() -> None:
    rule = check("stop_required", required=True)

    refused(rule.review(proposal(), STATE), "no_stop_loss")
    passed(rule.review(proposal(stop_loss=D("1.09")), STATE))


@pytest.mark.parametrize(
    ("ages", "code"),
    [
        (["0.5"] * 9, ""),
        (["0.5"] * 10, "throttle_second"),
        (["1"] * 10, ""),
        (["30"] * 59, ""),
        (["30"] * 60, "throttle_minute"),
        (["60"] * 60, ""),
        (["3600"] * 1000, "throttle_day"),
        (["86400"] * 1000, ""),
    ],
)
def test_orders_are_counted_in_each_window(ages: list[str], code: str) -> None:
    finding = check("throttle").review(proposal(), sent(*ages))

    if code:
        refused(finding, code)
    else:
        passed(finding)


@pytest.mark.parametrize(
    "change",
    [
        {"strategy": "another"},
        {"size": "11000"},
        {"side": Side.SELL},
        {"instrument": "GBP/USD"},
    ],
)
def test_only_the_very_same_order_is_a_duplicate(change: dict[str, Any]) -> None:
    same: dict[str, Any] = {"strategy": SIGNAL.strategy_id, "size": "10000"}

    refused(check("duplicate").review(proposal(), sent("1.9", **same)), "duplicate_order")
    passed(check("duplicate").review(proposal(), sent("2", **same)))
    passed(check("duplicate").review(proposal(), sent("1", **(same | change))))


def in_currencies(*rows: tuple[str, str, str, str]) -> RiskState:
    """Rows of symbol, quantity, working and the rate to the account's euros."""
    exposures = tuple(
        Exposure(
            instrument=symbol,
            quantity=D(quantity),
            working=D(working),
            notional_rate=D(rate),
            margin_rate=D("0.05"),
            base=symbol[:3],
            quote=symbol[4:],
        )
        for symbol, quantity, working, rate in rows
    )
    return replace(STATE, exposures=exposures)


@pytest.mark.parametrize(
    ("rows", "side", "net"),
    [
        # A buy of EUR/USD at 1.1001 x 0.9 is short 9,900.90 euros' worth of dollars.
        ((), Side.BUY, "-9900.9"),
        ((("USD/JPY", "10000", "0", "0.9"),), Side.BUY, "-900.9"),
        ((("GBP/USD", "10000", "0", "1.2"),), Side.BUY, "-21900.9"),
        ((("EUR/GBP", "50000", "0", "1"),), Side.BUY, "-9900.9"),
        # Working orders count where they make it worse, and never where they would help.
        ((("GBP/USD", "0", "10000", "1.2"),), Side.BUY, "-21900.9"),
        ((("GBP/USD", "0", "-10000", "1.2"),), Side.BUY, "-9900.9"),
        ((("GBP/USD", "0", "-10000", "1.2"),), Side.SELL, "21900"),
    ],
)
def test_both_currencies_of_every_position_count(
    rows: tuple[tuple[str, str, str, str], ...], side: Side, net: str
) -> None:
    state, order = in_currencies(*rows), proposal(side=side)
    limit = abs(D(net)) / ACCOUNT.equity

    passed(check("currency_exposure", max_net=limit).review(order, state))
    finding = check("currency_exposure", max_net=limit * D("0.9999")).review(order, state)
    refused(finding, "currency_exposure")
    assert D(finding.observed) == D(net)


@pytest.mark.parametrize(
    ("profile", "state", "rate"),
    [
        # Decision (EU) 2018/796, annex I: initial margin in per cent of the exposure.
        ("esma", kind_of(AssetClass.FOREX, "1"), "0.033333333333333333333333333"),
        ("esma", kind_of(AssetClass.FOREX, "1", quote="AUD"), "0.05"),
        ("esma", kind_of(AssetClass.METAL, "1", base="XAU"), "0.05"),
        ("esma", kind_of(AssetClass.METAL, "1", base="XAG"), "0.10"),
        ("esma", kind_of(AssetClass.INDEX, "1"), "0.05"),
        ("esma", kind_of(AssetClass.COMMODITY, "1"), "0.10"),
        ("esma", kind_of(AssetClass.EQUITY, "1"), "0.20"),
        ("esma", kind_of(AssetClass.CRYPTO, "1"), "0.50"),
        # NFA Financial Requirements, section 12: 2 per cent, and 5 per cent.
        ("us", kind_of(AssetClass.FOREX, "1"), "0.02"),
        ("us", kind_of(AssetClass.FOREX, "1", quote="AUD"), "0.02"),
        ("us", kind_of(AssetClass.FOREX, "1", quote="MXN"), "0.05"),
    ],
)
def test_leverage_is_capped_as_the_regulator_says(
    profile: str, state: RiskState, rate: str
) -> None:
    order = proposal()
    margin = D("1.1001") * D("0.9") * 10_000 * D(rate)
    enough = replace(state, account=replace(state.account, equity=margin + D("0.0001")))
    lacking = replace(state, account=replace(state.account, equity=margin - D("0.0001")))

    passed(check("regulatory", profile=profile).review(order, enough))
    refused(check("regulatory", profile=profile).review(order, lacking), "regulatory_leverage")
    passed(check("regulatory").review(order, lacking))


def test_retail_in_the_us_trades_currencies_only() -> None:
    state = kind_of(AssetClass.CRYPTO, "1000000")

    refused(check("regulatory", profile="us").review(proposal(), state), "regulatory_instrument")


def test_positions_count_towards_the_regulators_margin() -> None:
    held = in_currencies(("GBP/USD", "-1000000", "0", "1.2"))
    needed = (D("1.1001") * D("0.9") * 10_000 + D("1.2") * 1_000_000) / 30
    enough = replace(held, account=replace(held.account, equity=needed + 1))

    passed(check("regulatory", profile="esma").review(proposal(), enough))
    lacking = replace(held, account=replace(held.account, equity=needed - 1))
    refused(check("regulatory", profile="esma").review(proposal(), lacking), "regulatory_leverage")


@pytest.mark.parametrize("name", ["currency_exposure", "regulatory"])
def test_what_cannot_be_valued_is_refused(name: str) -> None:
    settings = {"profile": "esma"} if name == "regulatory" else {}
    unknown = in_currencies(("GBP/USD", "1000", "0", "NaN"))

    refused(check(name, **settings).review(proposal(), unknown), "unvalued_exposure")
