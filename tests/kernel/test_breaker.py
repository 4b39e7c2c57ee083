"""The loss breaker: thresholds, clearing, rolls, restarts, resets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.clock import SECOND, format_time, parse_time
from mtquant.contract import BreakerLevel
from mtquant.risk import BreakerRules, BreakerState, reset, step, trading_day

NORMAL, WARNED = BreakerLevel.NORMAL, BreakerLevel.WARNED
REDUCING, HALTED = BreakerLevel.REDUCING, BreakerLevel.HALTED
RULES = BreakerRules()
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
MONDAY = parse_time("2026-01-12T12:00:00Z")


def at(text: str) -> int:
    return parse_time(f"2026-{text}:00Z")


def walk(path: Sequence[tuple[str, int]]) -> BreakerState:
    state = None
    for text, equity in path:
        state = step(state, RULES, Decimal(equity), at(text))
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("equity", "level"),
    [
        ("100", NORMAL),
        ("95.01", NORMAL),
        ("95", WARNED),
        ("90.01", WARNED),
        ("90", REDUCING),
        ("85.01", REDUCING),
        ("85", HALTED),
        ("0", HALTED),
        ("-5", HALTED),
        ("250", NORMAL),
    ],
)
def test_it_trips_at_a_loss_equal_to_a_threshold_and_may_skip_levels(
    equity: str, level: BreakerLevel
) -> None:
    state = step(step(None, RULES, Decimal(100), MONDAY), RULES, Decimal(equity), MONDAY + 1)
    assert state.level is level


def test_the_loss_is_measured_from_the_highest_equity_seen() -> None:
    state = walk([("01-12T12:00", 100), ("01-12T13:00", 200), ("01-12T14:00", 179)])
    assert state.level is REDUCING
    assert state.losses == {"day": 0, "week": 0, "peak": Decimal("0.105")}


@pytest.mark.parametrize("meter", ["day", "week", "peak"])
def test_each_meter_trips_on_its_own(meter: str) -> None:
    anchors = {"day_anchor": Decimal(960), "week_anchor": Decimal(960), "peak": Decimal(960)}
    anchors["peak" if meter == "peak" else f"{meter}_anchor"] = Decimal(1000)
    state = replace(walk([("01-12T12:00", 960)]), **anchors)  # type: ignore[arg-type]
    assert step(state, RULES, Decimal(951), MONDAY + 1).level is NORMAL
    after = step(state, RULES, Decimal(950), MONDAY + 1)
    assert after.level is WARNED
    assert after.losses[meter] == after.loss == Decimal("0.05")


def test_a_warning_clears_after_15_minutes_under_4_percent() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T12:01", 950), ("01-12T12:02", 960)])
    assert state.below_since is None, "4 % is not under 4 %"
    state = step(state, RULES, Decimal(961), at("01-12T12:03"))
    assert state.level is WARNED
    state = step(state, RULES, Decimal(961), at("01-12T12:18") - 1)
    assert state.level is WARNED
    assert step(state, RULES, Decimal(961), at("01-12T12:18")).level is NORMAL


def test_the_15_minutes_start_again_after_a_relapse() -> None:
    state = walk(
        [
            ("01-12T12:00", 1000),
            ("01-12T12:01", 950),
            ("01-12T12:02", 970),
            ("01-12T12:16", 955),
            ("01-12T12:17", 970),
            ("01-12T12:31", 970),
        ]
    )
    assert state.level is WARNED
    assert step(state, RULES, Decimal(970), at("01-12T12:32")).level is NORMAL


def test_reducing_clears_only_at_a_roll_that_finds_the_loss_small() -> None:
    path = [("01-12T12:00", 1000), ("01-12T13:00", 900), ("01-12T14:00", 999)]
    assert walk([*path, ("01-12T21:59", 999)]).level is REDUCING
    assert walk([*path, ("01-12T21:59", 999), ("01-12T22:00", 999)]).level is WARNED
    stuck = walk([*path, ("01-12T21:59", 920), ("01-12T22:00", 920)])
    assert stuck.level is REDUCING, "8 % is not under 8 %"
    assert step(stuck, RULES, Decimal(999), at("01-13T12:00")).level is REDUCING
    late = step(stuck, RULES, Decimal(999), at("01-13T22:00"))
    assert late.level is WARNED
    assert step(late, RULES, Decimal(999), at("01-13T22:15")).level is WARNED
    assert (
        step(
            step(late, RULES, Decimal(999), at("01-13T22:01")),
            RULES,
            Decimal(999),
            at("01-13T22:16"),
        ).level
        is NORMAL
    )


def test_halted_never_clears_by_itself() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 850)])
    for day in range(13, 31):
        state = step(state, RULES, Decimal(2000), at(f"01-{day}T22:30"))
    assert state.level is HALTED


def test_a_loss_made_while_nobody_looked_counts_against_the_new_day() -> None:
    # Last seen at 96, the process dies, the day rolls, and it comes back at 90.
    state = walk([("01-12T12:00", 100), ("01-12T15:00", 96), ("01-12T23:30", 90)])
    assert state.day_anchor == 96
    assert state.losses["day"] == Decimal(6) / 96
    assert state.level is REDUCING, "10 % from the peak and from the week's start"
    assert replace(state, peak=Decimal(96), week_anchor=Decimal(96)).loss == Decimal("0.0625")


def test_a_gain_made_while_nobody_looked_is_the_new_days_anchor() -> None:
    state = walk([("01-12T12:00", 100), ("01-12T15:00", 96), ("01-12T23:30", 99)])
    assert state.day_anchor == 99


def test_the_week_rolls_on_sunday_evening_in_new_york() -> None:
    state = walk([("01-12T12:00", 100), ("01-16T21:59", 98), ("01-18T21:59", 98)])
    assert state.week == date(2026, 1, 12)
    assert state.week_anchor == 100
    state = step(state, RULES, Decimal(97), at("01-18T22:00"))
    assert state.week == date(2026, 1, 19)
    assert state.week_anchor == 98


def test_a_clock_going_backwards_raises_the_level_and_never_lowers_it() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T21:50", 900)])
    assert step(state, RULES, Decimal(850), at("01-12T11:00")).level is HALTED
    back = step(state, RULES, Decimal(1000), at("01-10T22:30"))
    assert (back.level, back.time, back.day) == (REDUCING, state.time, state.day)
    calm = step(walk([("01-12T12:00", 1000), ("01-12T12:01", 950)]), RULES, Decimal(990), MONDAY)
    assert (calm.level, calm.below_since) == (WARNED, None)


@pytest.mark.parametrize("equity", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_an_equity_that_is_no_number_reduces_and_keeps_the_anchors(equity: str) -> None:
    state = walk([("01-12T12:00", 1000)])
    dark = step(state, RULES, Decimal(equity), at("01-12T12:01"))
    assert dark.level is REDUCING
    assert {dark.equity, dark.peak, dark.day_anchor} == {Decimal(1000)}
    halted = walk([("01-12T12:00", 1000), ("01-12T13:00", 850)])
    assert step(halted, RULES, Decimal(equity), at("01-12T13:01")).level is HALTED
    with pytest.raises(ValueError, match="must be a number"):
        step(None, RULES, Decimal(equity), MONDAY)


def test_an_account_that_starts_with_nothing_is_halted() -> None:
    state = step(None, RULES, Decimal(0), MONDAY)
    assert (state.level, state.loss) == (HALTED, Decimal(1))
    assert step(None, RULES, Decimal("0.5"), MONDAY).level is NORMAL


def test_the_first_equity_starts_the_running_day_and_week() -> None:
    state = walk([("01-15T12:00", 1000)])
    assert (state.day, state.week) == (date(2026, 1, 15), date(2026, 1, 12))


def test_a_reset_trades_at_reduced_size_for_24_hours() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 840)])
    again = reset(state, "R. Ivanova", "bad feed, reconciled clean", rebase_peak=True)
    assert (again.level, again.reset_by) == (WARNED, "R. Ivanova")
    assert again.reset_reason == "bad feed, reconciled clean"
    assert again.loss == 0
    again = step(again, RULES, Decimal(840), at("01-12T14:00"))
    again = step(again, RULES, Decimal(840), at("01-13T13:00") - 1)
    assert again.level is WARNED
    assert step(again, RULES, Decimal(840), at("01-13T13:00")).level is NORMAL


def test_a_reset_keeps_the_peak_unless_told() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 850)])
    again = reset(state, "R. Ivanova", "looked into it")
    assert again.peak == 1000
    assert {again.day_anchor, again.week_anchor} == {Decimal(850)}
    assert step(again, RULES, Decimal(850), at("01-12T14:00")).level is HALTED
    assert step(again, RULES, Decimal(901), at("01-12T14:00")).level is WARNED


def test_a_person_may_also_lift_reducing_before_the_roll() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 900)])
    assert reset(state, "R. Ivanova", "looked into it", rebase_peak=True).level is WARNED


def test_a_reset_needs_a_tripped_breaker_a_person_and_a_reason() -> None:
    halted = walk([("01-12T12:00", 1000), ("01-12T13:00", 850)])
    with pytest.raises(ValueError, match="name of a person"):
        reset(halted, " ", "why not")
    with pytest.raises(ValueError, match="a reason"):
        reset(halted, "R. Ivanova", "")
    with pytest.raises(ValueError, match="nothing to reset"):
        reset(walk([("01-12T12:00", 1000)]), "R. Ivanova", "why not")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"roll_zone": "Mars/Olympus"}, "IANA"),
        ({"roll_zone": "../etc/passwd"}, "IANA"),
        ({"warn_at": "0.2"}, "must rise"),
        ({"warn_at": "0.10"}, "must rise"),
        ({"reduce_at": "0.15"}, "must rise"),
        ({"warn_clears_after_s": -1}, "greater than or equal to 0"),
        ({"halt_at": "1.5"}, "less than 1"),
        ({"warn_clears_under": "0.05"}, "must clear under"),
        ({"reduce_clears_under": "0.10"}, "must clear under"),
        ({"warned_size": 0}, "greater than 0"),
        ({"warn": "0.05"}, "Extra inputs"),
        ({"day_loss_limit": 3}, "write 0.05 for 5 %"),
        ({"week_loss_limit": 0}, "write 0.05 for 5 %"),
        ({"max_drawdown": 1}, "write 0.05 for 5 %"),
        ({"max_drawdown": "-0.1"}, "write 0.05 for 5 %"),
        ({"day_loss_limit": "NaN"}, "not a decimal number"),
        ({"close_share": "1.01"}, "less than or equal to 1"),
        ({"close_share": "-0.01"}, "greater than or equal to 0"),
        ({"flatten": "perhaps"}, "valid boolean"),
        ({"roll_time": "17:00Z"}, "wall time in roll_zone"),
        ({"roll_time": 17}, "wall time in roll_zone"),
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BreakerRules.model_validate(wrong)


@pytest.mark.parametrize(
    ("zone", "first", "days", "rolls"),
    [
        # New York goes forward on 2026-03-08 and back on 2026-11-01, at 02:00.
        ("America/New_York", "2026-03-06", 5, ["22:00", "22:00", "21:00", "21:00", "21:00"]),
        ("America/New_York", "2026-10-30", 5, ["21:00", "21:00", "22:00", "22:00", "22:00"]),
        ("Europe/Berlin", "2026-03-27", 4, ["16:00", "16:00", "15:00", "15:00"]),
    ],
)
def test_one_roll_each_local_day_across_daylight_saving(
    zone: str, first: str, days: int, rolls: list[str]
) -> None:
    rules = BreakerRules(roll_zone=zone)
    start = parse_time(f"{first}T12:00:00Z")
    seen = rolls_of(rules, start, start + days * 24 * HOUR)
    assert [format_time(moment)[11:16] for moment in seen] == rolls


@pytest.mark.parametrize("roll", [time(0), time(1, 30), time(2, 30), time(17)])
@pytest.mark.parametrize("first", ["2026-03-05", "2026-10-29"])
def test_a_roll_time_that_daylight_saving_skips_or_repeats_still_rolls_once(
    roll: time, first: str
) -> None:
    rules = BreakerRules(roll_time=roll)
    start = parse_time(f"{first}T12:00:00Z")
    assert len(rolls_of(rules, start, start + 7 * 24 * HOUR)) == 7


def rolls_of(rules: BreakerRules, start: int, end: int) -> list[int]:
    state = step(None, rules, Decimal(1), start)
    moments = []
    for moment in range(start, end, 10 * MINUTE):
        after = step(state, rules, Decimal(1), moment)
        assert after.day >= state.day
        moments += [moment] if after.day != state.day else []
        state = after
    return moments


def test_a_utc_day_is_named_for_its_own_date() -> None:
    rules = BreakerRules(roll_zone="UTC", roll_time=time(0))
    assert trading_day(rules, at("01-12T00:00")) == date(2026, 1, 12)
    assert trading_day(rules, at("01-12T23:59")) == date(2026, 1, 12)
    assert trading_day(RULES, at("01-11T22:00")) == date(2026, 1, 12), "Sunday evening is Monday"
    assert trading_day(RULES, at("01-11T22:00") - 1) == date(2026, 1, 11)
    assert trading_day(RULES, at("01-12T12:00")) == date(2026, 1, 12)
    noon = BreakerRules(roll_zone="UTC", roll_time=time(12))
    assert trading_day(noon, at("01-12T12:00")) == date(2026, 1, 13)


def test_what_is_done_at_a_level_is_off_but_for_taking_orders_back() -> None:
    assert RULES.close_share == 0
    assert (RULES.flatten, RULES.cancel_orders) == (False, True)
    assert (RULES.day_loss_limit, RULES.week_loss_limit, RULES.max_drawdown) == (None, None, None)
    bounds = [BreakerRules(close_share=Decimal(share)).close_share for share in (0, 1)]
    assert bounds == [0, 1]


@pytest.mark.parametrize(
    ("limit", "meter", "level"),
    [
        ("day_loss_limit", "day_anchor", REDUCING),
        ("week_loss_limit", "week_anchor", REDUCING),
        ("max_drawdown", "peak", HALTED),
    ],
)
def test_a_limit_of_its_own_trips_at_its_meter_alone(
    limit: str, meter: str, level: BreakerLevel
) -> None:
    rules = BreakerRules.model_validate({limit: "0.03"})
    for anchor in ("day_anchor", "week_anchor", "peak"):
        state = step(None, rules, Decimal(970), MONDAY)
        state = replace(state, **{anchor: Decimal(1000)})  # type: ignore[arg-type]
        expected = level if anchor == meter else NORMAL
        assert step(state, rules, Decimal(970), MONDAY + 1).level is expected
        near = step(state, rules, Decimal("970.01"), MONDAY + 1)
        assert near.level is NORMAL, "under the limit"


def limited(**limits: str) -> BreakerRules:
    return BreakerRules.model_validate(limits)


def story(rules: BreakerRules, *path: tuple[str, str]) -> BreakerState:
    state = None
    for text, equity in path:
        state = step(state, rules, Decimal(equity), at(text))
    assert state is not None
    return state


def test_a_limit_of_the_day_holds_until_a_roll_that_finds_the_day_under_it() -> None:
    rules = limited(day_loss_limit="0.03")
    path = [("01-12T12:00", "1000"), ("01-12T13:00", "970"), ("01-12T14:00", "1000")]
    assert story(rules, *path, ("01-12T21:59", "1000")).level is REDUCING
    assert story(rules, *path, ("01-12T22:00", "1000")).level is WARNED
    # The loss of the new day was made in the dark: it is found at the roll and holds.
    dark = story(rules, *path, ("01-12T22:00", "970"))
    assert (dark.day_anchor, dark.level) == (Decimal(1000), REDUCING)
    assert step(dark, rules, Decimal(970), at("01-13T22:00")).level is WARNED


def test_a_limit_of_the_week_holds_until_the_week_rolls() -> None:
    rules = limited(week_loss_limit="0.03")
    path = [("01-12T12:00", "1000"), ("01-12T13:00", "970"), ("01-12T14:00", "1000")]
    path += [(f"01-{day}T22:00", "1000") for day in range(12, 17)]
    state = story(rules, *path, ("01-18T21:59", "1000"))
    assert (state.level, state.week_limited, state.loss) == (REDUCING, True, Decimal(0))
    state = step(state, rules, Decimal(1000), at("01-18T22:00"))
    assert state.level is WARNED
    assert not state.week_limited
    dark = story(rules, *path, ("01-18T22:00", "970"))
    assert (dark.level, dark.week_limited) == (REDUCING, True), "the new week begins with its loss"
    assert step(dark, rules, Decimal(1000), at("01-19T22:00")).level is REDUCING


def test_a_week_that_reached_its_limit_while_reducing_is_remembered_too() -> None:
    rules = limited(week_loss_limit="0.03")
    path = [("01-12T12:00", "1000"), ("01-12T12:30", "NaN"), ("01-12T13:00", "970")]
    state = story(rules, *path, ("01-12T14:00", "1000"), ("01-12T22:00", "1000"))
    assert state.level is REDUCING
    unlimited = step(state, RULES, Decimal(1000), at("01-13T22:00"))
    assert (unlimited.level, unlimited.week_limited) == (WARNED, False), "switched off by a person"


def test_a_limit_does_not_loosen_the_clearing_rule_above_it() -> None:
    rules = limited(day_loss_limit="0.085", week_loss_limit="0.09")
    path = [("01-12T12:00", "1000"), ("01-12T13:00", "915"), ("01-12T22:00", "915")]
    assert story(rules, *path).level is REDUCING, "8.5 % from the peak is not under 8 %"


def test_the_largest_drawdown_halts_until_a_person_forgets_the_peak() -> None:
    rules = limited(max_drawdown="0.06")
    halted = story(rules, ("01-12T12:00", "1000"), ("01-12T13:00", "940"))
    assert halted.level is HALTED
    assert step(halted, rules, Decimal(2000), at("01-30T22:30")).level is HALTED
    kept = reset(halted, "R. Ivanova", "looked into it")
    assert step(kept, rules, Decimal(940), at("01-12T14:00")).level is HALTED
    forgotten = reset(halted, "R. Ivanova", "looked into it", rebase_peak=True)
    assert step(forgotten, rules, Decimal(940), at("01-12T14:00")).level is WARNED


def test_a_reset_account_stays_at_half_size_for_24_hours_under_limits_too() -> None:
    rules = limited(day_loss_limit="0.02", week_loss_limit="0.03", max_drawdown="0.06")
    halted = story(rules, ("01-12T12:00", "1000"), ("01-12T13:00", "940"))
    state = reset(halted, "R. Ivanova", "looked into it", rebase_peak=True)
    assert not state.week_limited
    state = step(state, rules, Decimal(921), at("01-12T21:59"))
    assert state.level is REDUCING, "the day's limit, since the reset"
    state = step(state, rules, Decimal(930), at("01-12T22:00"))
    assert state.level is WARNED
    for moment in range(at("01-12T22:01"), at("01-13T13:00"), 10 * MINUTE):
        state = step(state, rules, Decimal(930), moment)
        assert state.level is WARNED
    assert step(state, rules, Decimal(930), at("01-13T13:00")).level is NORMAL


def test_the_24_hours_run_from_the_reset_and_not_from_the_last_equity_before_it() -> None:
    halted = walk([("01-12T12:00", 1000), ("01-12T13:00", 850)])
    late = reset(halted, "R. Ivanova", "back on Thursday", rebase_peak=True, at=at("01-15T09:00"))
    state = step(late, RULES, Decimal(850), at("01-15T09:01"))
    state = step(state, RULES, Decimal(850), at("01-16T09:00") - 1)
    assert state.level is WARNED
    assert step(state, RULES, Decimal(850), at("01-16T09:00")).level is NORMAL
    slow = reset(halted, "R. Ivanova", "a clock that is slow", at=at("01-10T09:00"))
    assert slow.probation_until == at("01-13T13:00")


def test_a_relapse_seen_by_a_clock_gone_back_starts_the_15_minutes_again() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T12:01", 950), ("01-12T12:02", 970)])
    relapsed = step(state, RULES, Decimal(955), at("01-12T12:00"))
    assert relapsed.below_since is None
    assert step(relapsed, RULES, Decimal(970), at("01-12T12:17")).level is WARNED
    calm = step(state, RULES, Decimal(970), at("01-12T12:00"))
    assert step(calm, RULES, Decimal(970), at("01-12T12:17")).level is NORMAL


@pytest.mark.parametrize(
    ("zone", "roll", "moment", "day"),
    [
        # 01:10 for the second time: the 01:30 before it has begun the day.
        ("America/New_York", time(1, 30), "11-01T06:10", date(2026, 11, 1)),
        ("America/New_York", time(1, 30), "11-01T05:29", date(2026, 10, 31)),
        ("America/New_York", time(1, 30), "11-01T05:30", date(2026, 11, 1)),
        ("America/New_York", time(2), "11-01T06:10", date(2026, 10, 31)),
        ("Europe/Berlin", time(2, 30), "10-25T01:10", date(2026, 10, 25)),
    ],
)
def test_in_a_repeated_hour_the_first_pass_of_the_roll_counts_even_if_nobody_saw_it(
    zone: str, roll: time, moment: str, day: date
) -> None:
    rules = BreakerRules(roll_zone=zone, roll_time=roll)
    assert trading_day(rules, at(moment)) == day


def test_money_paid_in_or_out_is_no_profit_and_no_loss() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 910)])
    out = step(state, RULES, Decimal(455), at("01-12T13:01"), cash_flow=Decimal(-455))
    assert out.level is WARNED
    assert out.losses == state.losses
    assert {out.peak, out.day_anchor, out.week_anchor} == {Decimal(500)}
    paid = step(state, RULES, Decimal(9100), at("01-12T13:01"), cash_flow=Decimal(8190))
    assert paid.losses == state.losses, "nor does a loss hide in a fortune"
    assert step(paid, RULES, Decimal(9000), at("01-12T13:02")).level is REDUCING


def test_a_profit_or_loss_that_comes_with_a_flow_counts() -> None:
    state = walk([("01-12T12:00", 1000)])
    lost = step(state, RULES, Decimal(1800), at("01-12T13:00"), cash_flow=Decimal(900))
    assert (lost.level, lost.loss) == (REDUCING, Decimal("0.1"))
    won = step(state, RULES, Decimal(600), at("01-12T13:00"), cash_flow=Decimal(-500))
    assert (won.level, won.peak, won.loss) == (NORMAL, Decimal(600), Decimal(0))


def test_a_roll_that_was_missed_opens_at_the_last_equity_restated_for_the_flow() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T15:00", 960)])
    # Half of what is left is taken out overnight, after a loss of 60 in the dark.
    state = step(state, RULES, Decimal(450), at("01-12T23:30"), cash_flow=Decimal(-450))
    assert state.day_anchor == 480
    assert state.losses["day"] == Decimal("0.0625")
    assert state.level is REDUCING, "10 % from the peak"


def test_an_account_that_is_emptied_is_halted_and_counts_on_when_it_is_paid_into() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 960)])
    empty = step(state, RULES, Decimal(0), at("01-12T13:01"), cash_flow=Decimal(-960))
    assert (empty.level, empty.peak) == (HALTED, Decimal(40)), "the loss in money stands"
    again = step(empty, RULES, Decimal(1000), at("01-12T13:02"), cash_flow=Decimal(1000))
    assert (again.level, again.peak) == (HALTED, Decimal(1040))
    fresh = reset(again, "R. Ivanova", "funded anew")
    assert step(fresh, RULES, Decimal(1000), at("01-12T13:03")).level is WARNED


def test_money_paid_into_an_account_that_has_lost_it_all_does_not_hide_the_loss() -> None:
    state = walk([("01-12T12:00", 1000)])
    saved = step(state, RULES, Decimal(99_990), at("01-12T13:00"), cash_flow=Decimal(100_000))
    assert (saved.level, saved.peak - saved.equity) == (HALTED, Decimal(1010))
    drained = step(state, RULES, Decimal(-500), at("01-12T13:00"), cash_flow=Decimal(-1500))
    assert drained.level is HALTED
    assert drained.peak >= drained.equity
    assert drained.loss == 1, "an anchor under nothing is a total loss"


def test_a_flow_that_comes_with_an_equity_that_is_no_number_is_not_forgotten() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 970)])
    dark = step(state, RULES, Decimal("NaN"), at("01-12T13:01"), cash_flow=Decimal(-485))
    assert (dark.level, dark.equity, dark.peak) == (REDUCING, Decimal(485), Decimal(500))
    assert step(dark, RULES, Decimal(485), at("01-12T13:02")).losses == state.losses


def test_a_flow_with_the_first_equity_is_what_the_account_starts_with() -> None:
    paid = step(None, RULES, Decimal(1000), MONDAY, cash_flow=Decimal(1000))
    assert paid == step(None, RULES, Decimal(1000), MONDAY)


@pytest.mark.parametrize("flow", ["NaN", "sNaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("equity", ["1000", "NaN"])
def test_a_cash_flow_that_is_no_number_is_refused(flow: str, equity: str) -> None:
    for state in (None, walk([("01-12T12:00", 1000)])):
        with pytest.raises(ValueError, match="cash flow of an account must be a number"):
            step(state, RULES, Decimal(equity), MONDAY, cash_flow=Decimal(flow))


def test_a_state_written_before_there_were_limits_is_read() -> None:
    state = walk([("01-12T12:00", 1000), ("01-12T13:00", 900)])
    written = state.to_dict()
    del written["week_limited"]
    assert BreakerState.from_dict(written) == state
    for wrong in ("yes", 1, None):
        with pytest.raises(TypeError, match="neither true nor false"):
            BreakerState.from_dict({**written, "week_limited": wrong})


MOVES = st.decimals(min_value="0.85", max_value="1.12", places=4)
GAPS = st.one_of(
    st.integers(min_value=0, max_value=20 * MINUTE),
    st.integers(min_value=-2 * HOUR, max_value=80 * HOUR),
)
STARTS = st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants them naive


@st.composite
def paths(draw: st.DrawFn) -> list[tuple[int, Decimal]]:
    """A random walk of equity with jumps, numbers that are none, and clocks that go back."""
    now = int(draw(STARTS).timestamp()) * SECOND
    equity, path = Decimal(10_000), [(now, Decimal(10_000))]
    for _ in range(draw(st.integers(min_value=1, max_value=40))):
        now += draw(GAPS)
        equity = (equity * draw(MOVES)).quantize(Decimal("0.01"))
        odd = draw(st.integers(min_value=0, max_value=30))
        path.append((now, {0: Decimal("NaN"), 1: Decimal(0)}.get(odd, equity)))
    return path


@settings(max_examples=150, deadline=None)
@given(paths(), st.data())
def test_restarts_at_any_step_change_nothing(
    path: list[tuple[int, Decimal]], data: st.DataObject
) -> None:
    straight = restarted = None
    for moment, equity in path:
        straight = step(straight, RULES, equity, moment)
        restarted = step(restarted, RULES, equity, moment)
        if data.draw(st.booleans()):
            stored = json.dumps(restarted.to_dict())
            restarted = BreakerState.from_dict(json.loads(stored))
        assert restarted == straight
        assert str(restarted.peak) == str(straight.peak)


@settings(max_examples=200, deadline=None)
@given(paths())
def test_the_level_only_falls_as_the_rules_allow(path: list[tuple[int, Decimal]]) -> None:
    state = step(None, RULES, path[0][1], path[0][0])
    for moment, equity in path[1:]:
        after = step(state, RULES, equity, moment)
        assert after.time >= state.time
        assert after.day >= state.day
        assert after.peak >= state.peak
        assert after.level >= RULES.level_at(after.loss)
        if moment < state.time or not equity.is_finite() or state.level is HALTED:
            assert after.level >= state.level
        if after.level < state.level:
            assert after.level == state.level - 1
            calm = RULES.reduce_clears_under if state.level is REDUCING else RULES.warn_clears_under
            assert after.loss < calm
            assert state.level is not REDUCING or after.day > state.day
        state = after


@settings(max_examples=150, deadline=None)
@given(paths())
def test_anchors_move_only_at_a_roll_and_never_below_what_was_seen_before_it(
    path: list[tuple[int, Decimal]],
) -> None:
    state = step(None, RULES, path[0][1], path[0][0])
    for moment, equity in path[1:]:
        after = step(state, RULES, equity, moment)
        if after.day == state.day:
            assert after.day_anchor == state.day_anchor
        else:
            assert after.day_anchor == max(state.equity, equity)
        if after.week == state.week:
            assert after.week_anchor == state.week_anchor
        state = after


LIMITS = st.one_of(st.none(), st.sampled_from([Decimal("0.02"), Decimal("0.05"), Decimal("0.12")]))
LIMITED = st.builds(
    BreakerRules, day_loss_limit=LIMITS, week_loss_limit=LIMITS, max_drawdown=LIMITS
)
FLOWS = st.decimals(min_value=-20_000, max_value=100_000, places=2)


@settings(max_examples=200, deadline=None)
@given(paths(), LIMITED, FLOWS)
def test_a_cash_flow_changes_neither_the_level_nor_a_loss(
    path: list[tuple[int, Decimal]], rules: BreakerRules, flow: Decimal
) -> None:
    state = step(None, rules, path[0][1], path[0][0])
    for moment, equity in path[1:]:
        plain = step(state, rules, equity, moment)
        paid = step(state, rules, equity + flow, moment, cash_flow=flow)
        without = equity if equity.is_finite() else state.equity
        assert (paid.day, paid.week, paid.time) == (plain.day, plain.week, plain.time)
        assert paid.peak >= paid.equity
        if without + flow <= 0:
            assert paid.level is HALTED
        else:
            assert (paid.level, paid.below_since) == (plain.level, plain.below_since)
            if without > 0:
                for loss, same in zip(paid.losses.values(), plain.losses.values(), strict=True):
                    assert abs(loss - same) < Decimal("1e-20")
        state = plain


@settings(max_examples=100, deadline=None)
@given(paths(), FLOWS)
def test_a_flow_and_its_return_leave_the_anchors_where_they_were(
    path: list[tuple[int, Decimal]], flow: Decimal
) -> None:
    state = step(None, RULES, path[0][1], path[0][0])
    for moment, equity in path[1:]:
        state = step(state, RULES, equity, moment)
        if not state.equity + flow > 0 or not state.equity > 0:
            continue
        back = step(state, RULES, state.equity + flow, moment, cash_flow=flow)
        back = step(back, RULES, state.equity, moment, cash_flow=-flow)
        # An unknown equity rolls no day: without the flow, too, the roll comes with the next look.
        plain = step(step(state, RULES, state.equity, moment), RULES, state.equity, moment)
        for name in ("peak", "day_anchor", "week_anchor"):
            assert abs(getattr(back, name) - getattr(plain, name)) < Decimal("1e-15")


@settings(max_examples=150, deadline=None)
@given(paths(), LIMITED)
def test_limits_only_ever_make_the_breaker_stricter(
    path: list[tuple[int, Decimal]], rules: BreakerRules
) -> None:
    plain = limited_too = None
    for moment, equity in path:
        plain = step(plain, RULES, equity, moment)
        limited_too = step(limited_too, rules, equity, moment)
        assert limited_too.level >= plain.level
        assert limited_too.losses == plain.losses
        assert not limited_too.week_limited or limited_too.level >= REDUCING


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["America/New_York", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe"]),
    st.times(),
    st.lists(st.integers(at("01-01T00:00"), at("12-31T00:00")), min_size=2),
)
def test_a_later_moment_never_falls_in_an_earlier_day(
    zone: str, roll: time, moments: list[int]
) -> None:
    rules = BreakerRules(roll_zone=zone, roll_time=roll)
    days = [trading_day(rules, moment) for moment in sorted(moments)]
    assert days == sorted(days)
