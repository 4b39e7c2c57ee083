"""Two famous days, drawn as gaps, through the whole engine: what the gate saves, what it can't."""

from __future__ import annotations

import sys
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from mtquant.clock import SECOND, parse_time
from mtquant.contract import BreakerLevel
from mtquant.model import Reason
from mtquant.risk import BreakerRules

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import gap_days  # noqa: E402 - a script, not a package
from gap_days import BALANCE, FRANC, STERLING, STERLING_QUOTED, Day, Outcome  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # some fifteen runs

PAGE = ROOT / "docs" / "gap-days.md"
RISKED = "gate, 1 % at the stop"
FIFTY = "no limits, 50:1, a stop"
FIFTY_NO_STOP = "no limits, 50:1, no stop"
ONCE = "gate, no leverage"
ON_GATE = "the same, buys on: gate"
ON_BREAKER = "the same, buys on: breaker alone"
ON_NOTHING = "the same, buys on: nothing"
GAPS = pytest.mark.parametrize("day", [FRANC, STERLING], ids=lambda day: day.symbol)


@cache
def outcome(day: Day, name: str) -> Outcome:
    variant = next(each for each in gap_days.variants(day) if each.name == name)
    return gap_days.run(day, variant)


@cache
def outcomes() -> tuple[Outcome, ...]:
    made = [outcome(day, each.name) for day in (FRANC, STERLING) for each in gap_days.variants(day)]
    return (*made, outcome(STERLING_QUOTED, RISKED))


def first_bid_after(day: Day) -> Decimal:
    bid = next(bid for time, bid, _ in gap_days.quotes(day) if time > day.gap_at)
    return Decimal(str(round(bid, 5)))


def level_at(found: Outcome, time: int) -> BreakerLevel:
    """Return the level that the account had before ``time``."""
    return [level for since, level in found.seen.levels if since < time][-1]


@pytest.mark.parametrize("day", [FRANC, STERLING, STERLING_QUOTED], ids=lambda day: day.name)
def test_a_day_is_calm_and_then_drawn_through_its_points(day: Day) -> None:
    drawn = gap_days.quotes(day)
    mids = {time: (bid + ask) / 2 for time, bid, ask in drawn}
    assert mids[day.gap_at] == pytest.approx(day.calm)
    for knot in day.knots:
        assert mids[parse_time(knot.at)] == pytest.approx(knot.mid)
    calm = [mid for time, mid in mids.items() if time <= day.gap_at]
    assert max(abs(mid - day.calm) for mid in calm) < 0.0010
    assert day.gap_at - drawn[0][0] == 2 * 86_400 * SECOND
    assert [time for time, _, _ in drawn] == sorted(mids)


@GAPS
@pytest.mark.parametrize("name", [RISKED, FIFTY, ONCE])
def test_a_stop_fills_at_the_first_price_after_the_gap(day: Day, name: str) -> None:
    found = outcome(day, name)
    assert found.stop is not None
    assert found.planned_loss is not None
    assert found.exit.reason is Reason.STOP_LOSS
    assert found.exit.price == first_bid_after(day) < found.stop
    assert found.gap_loss == (found.entry.price - first_bid_after(day)) * found.entry.quantity
    assert found.gap_loss > 40 * found.planned_loss


@GAPS
def test_one_percent_at_the_stop_was_planned_and_many_times_that_was_lost(day: Day) -> None:
    found = outcome(day, RISKED)
    assert found.planned_loss is not None
    assert BALANCE * Decimal("0.0098") < found.planned_loss <= BALANCE * Decimal("0.01")
    assert found.loss > BALANCE * Decimal("0.4")


def test_one_percent_at_a_near_stop_lost_more_than_the_account_in_francs() -> None:
    assert outcome(FRANC, RISKED).broker_equity < 0


@GAPS
def test_without_a_stop_the_margin_close_out_fills_at_the_same_price(day: Day) -> None:
    found, stopped = outcome(day, FIFTY_NO_STOP), outcome(day, FIFTY)
    assert found.exit.reason is Reason.MARGIN_CLOSE_OUT
    assert found.exit.price == stopped.exit.price
    assert found.broker_equity == stopped.broker_equity < 0


def test_where_prices_were_quoted_on_the_way_the_stop_fills_at_the_first_beyond_it() -> None:
    found = outcome(STERLING_QUOTED, RISKED)
    assert found.stop is not None
    assert found.planned_loss is not None
    assert found.exit.price == first_bid_after(STERLING_QUOTED)
    assert found.planned_loss < found.loss < 3 * found.planned_loss
    assert found.highest_level is BreakerLevel.NORMAL


def test_the_breaker_rises_at_the_first_price_after_the_gap_to_the_level_of_the_loss() -> None:
    for found in outcomes():
        if not found.variant.breaker or not found.highest_level:
            continue
        first = next(time for time, _, _ in gap_days.quotes(found.day) if time > found.day.gap_at)
        assert found.level_at == first
        assert found.highest_level is BreakerRules().level_at(found.gap_loss / BALANCE)


def test_nothing_opens_while_the_breaker_lets_positions_be_reduced_only() -> None:
    for found in outcomes():
        for bought in found.openings_after:
            assert level_at(found, bought.time) < BreakerLevel.REDUCING


def test_a_halt_does_not_clear_by_itself() -> None:
    halted = [each for each in outcomes() if each.highest_level is BreakerLevel.HALTED]
    assert len(halted) >= 8
    for found in halted:
        assert found.seen.levels[-1][1] is BreakerLevel.HALTED


@pytest.mark.parametrize("name", [ON_GATE, ON_BREAKER])
def test_a_halted_account_that_asks_at_every_quote_is_vetoed_at_every_quote(name: str) -> None:
    found = outcome(FRANC, name)
    after = [time for time, _, _ in gap_days.quotes(FRANC) if time > FRANC.gap_at]
    assert found.vetoes_after == {"trading_halted": len(after)}
    assert not found.openings_after


def test_while_the_spread_is_wide_the_gate_vetoes_what_the_breaker_lets_pass() -> None:
    found = outcome(STERLING, ON_GATE)
    assert set(found.vetoes_after) == {"spread_too_wide"}
    assert found.openings_after[0].time > outcome(STERLING, ON_BREAKER).openings_after[0].time


def test_a_warned_account_opens_half_the_size() -> None:
    found, free = outcome(STERLING, ON_BREAKER), outcome(STERLING, ON_NOTHING)
    assert found.highest_level is BreakerLevel.WARNED
    half, whole = found.openings_after[0].quantity, free.openings_after[0].quantity
    assert half == whole / 2 // 1000 * 1000


def test_the_vetoes_saved_money_in_francs_and_cost_the_rebound_in_sterling() -> None:
    francs, without = outcome(FRANC, ON_BREAKER), outcome(FRANC, ON_NOTHING)
    assert len(without.openings_after) > 5
    assert francs.broker_equity > without.broker_equity
    assert francs.lowest_equity > without.lowest_equity
    without = outcome(STERLING, ON_NOTHING)
    for name in (ON_GATE, ON_BREAKER):
        pounds = outcome(STERLING, name)
        assert pounds.broker_equity < without.broker_equity
        assert pounds.lowest_equity > without.lowest_equity


def test_the_books_agree_with_the_exchange_after_every_run() -> None:
    for found in outcomes():
        assert found.audited.clean, found.audited
        assert found.audited.executions == len(found.seen.fills)
        earned = sum((each.realized_profit or Decimal(0) for each in found.seen.fills), Decimal(0))
        assert found.broker_balance == BALANCE + earned
        assert found.seen.equity[-1][1] == found.broker_equity


def test_the_same_seed_gives_the_same_row() -> None:
    again = gap_days.run(FRANC, outcome(FRANC, ON_NOTHING).variant)
    assert gap_days.row(again) == gap_days.row(outcome(FRANC, ON_NOTHING))
    assert again.seen.fills == outcome(FRANC, ON_NOTHING).seen.fills


def test_the_page_shows_the_figures_of_the_run() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    assert lines == [*gap_days.table(outcomes()), *gap_days.worth(outcomes())], (
        "put into docs/gap-days.md what benchmarks/gap_days.py prints"
    )
