"""What is wrong with prices is found, told where, and put right without making anything up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from mtquant.cli.data import register
from mtquant.cli.prices import Asked, check_file
from mtquant.clock import SECOND, format_time, parse_time
from mtquant.data import Finding, Severity, Table, errors, inspect, read, repair, write
from mtquant.data.dialects import detect
from mtquant.data.doubts import likely_timeframe, warnings
from mtquant.errors import ConfigError
from mtquant.model import Timeframe

DATA = Path(__file__).parents[3] / "shared" / "data"
MONDAY = parse_time("2024-01-01T00:00:00Z")
HOUR = 3600 * SECOND
Row = tuple[float, ...]


def table_of(rows: Sequence[Row], header: str = "time,open,high,low,close") -> Table:
    """Return rows of hours since a Monday, then prices and a volume."""
    columns = np.array(rows, dtype=np.float64).reshape(-1, 6)
    times = MONDAY + np.round(columns[:, 0]).astype(np.int64) * HOUR
    return Table(
        where="rows",
        dialect=detect([header], "rows"),
        time=times,
        clock=times,
        columns=dict(zip(("open", "high", "low", "close", "volume"), columns.T[1:], strict=True)),
        line=np.arange(len(columns)) + 2,
    )


def flat(hours: Sequence[float], price: float = 1.0, volume: float = 1.0) -> list[Row]:
    return [(hour, price, price, price, price, volume) for hour in hours]


def lines(found: Sequence[Finding]) -> dict[str, list[int]]:
    return {each.kind: [place.line for place in each.places] for each in found}


def trading_hours(weeks: int) -> list[float]:
    return [week * 168 + hour for week in range(weeks) for hour in range(5 * 24)]


# --- errors ----------------------------------------------------------------------------------


def test_every_kind_of_error_is_found_where_it_is() -> None:
    rows = [
        (0, 1, 1, 1, 1, 0),
        (1, 1, 1, 1, 1, 0),
        (1, 1, 1, 1, 1, 0),  # line 4: line 3 again
        (2, 1, 1, 1, 1, 0),
        (2, 1, 2, 1, 1, 0),  # line 6: other prices
        (3, 1, 0.9, 0.5, 1, 0),  # line 7: a high below the open
        (4, 1, 2, 1.5, 1, 0),  # line 8: a low above the open
        (5, np.nan, 1, 1, 1, 0),  # line 9
        (6, 1, 1, 0, 1, 0),  # line 10
        (7, 1, 1, 1, 1, -1),  # line 11
        (8, 1, np.inf, 1, 1, 0),  # line 12
    ]

    found = errors(table_of(rows), Timeframe.H1)

    assert lines(found) == {
        "number": [9, 12],
        "price": [10],
        "volume": [11],
        "high": [7],
        "low": [8],
        "duplicate": [4],
        "conflict": [6],
    }
    assert {each.severity for each in found} == {Severity.ERROR}
    values = {each.kind: each.places[0].value for each in found}
    assert (values["number"], values["price"], values["high"]) == ("nan", "0", "0.9")
    assert [each.places[0].field for each in found[:2]] == ["open", "low"]


def test_the_first_places_are_named_and_all_are_counted() -> None:
    found = errors(table_of([(hour, 1, 0.5, 0.5, 1, 0) for hour in range(30)]), Timeframe.H1)

    assert [(each.kind, each.count, len(each.places)) for each in found] == [("high", 30, 5)]


def test_order_and_doubles_of_an_unsorted_file() -> None:
    found = errors(table_of(flat([3, 1, 2, 3, 1.0])), Timeframe.H1)

    assert lines(found) == {"order": [3, 6], "duplicate": [5, 6]}


def test_bars_that_are_too_near_each_other_have_another_timeframe() -> None:
    table = table_of(flat(range(10)))

    assert errors(table, Timeframe.H1) == []
    (finding,) = errors(table, Timeframe.H4)
    assert (finding.kind, finding.count) == ("timeframe", 9)
    with pytest.raises(ConfigError, match=r"line 3, time: .* is 3600 s after .* timeframe is H4"):
        table.refuse([finding])


def test_the_error_that_stands_first_in_the_file_is_raised() -> None:
    rows = [(0, 1, 1, 1, 1, 0), (1, 1, 0.5, 0.5, 1, 0), (2, np.nan, 1, 1, 1, 0)]
    table = table_of(rows)

    with pytest.raises(ConfigError, match=r"rows, line 3, high: '0\.5' is below open"):
        table.refuse(errors(table, Timeframe.H1))


# --- warnings --------------------------------------------------------------------------------


def kinds(rows: Sequence[Row], timeframe: Timeframe = Timeframe.H1) -> dict[str, int]:
    return {each.kind: each.count for each in warnings(table_of(rows), timeframe)}


def test_a_weekend_is_no_gap_and_a_missing_day_is() -> None:
    hours = trading_hours(6)
    tuesday = range(3 * 168 + 24, 3 * 168 + 48)

    whole = kinds(flat(hours, 1.5))
    holed = warnings(table_of(flat([h for h in hours if h not in tuesday], 1.5)), Timeframe.H1)

    assert "gap" not in whole
    gap = next(each for each in holed if each.kind == "gap")
    assert "in 1 gap while" in gap.sentence
    assert (gap.count, gap.places[0].line) == (24, 3 * 120 + 24 + 1)
    assert gap.places[0].value == "24 bars missing after it"


def test_a_daily_pause_is_no_gap() -> None:
    hours = [hour for hour in trading_hours(6) if hour % 24 != 22]

    assert "gap" not in kinds(flat(hours, 1.5))


def test_in_a_few_days_the_week_of_currencies_is_taken() -> None:
    friday_to_monday = [*range(4 * 24, 5 * 24), *range(168, 180)]

    assert "gap" not in kinds(flat(friday_to_monday, 1.5))
    assert kinds(flat([0, 1, 2, 6, 7], 1.5))["gap"] == 3
    assert kinds(flat([0, 1, 6 * 24 - 1, 6 * 24 + 1], 1.5))["gap"] == 6 * 24 - 3 + 1


def test_the_widest_gaps_come_first() -> None:
    hours = [hour for hour in trading_hours(6) if hour not in {30, 50, 51, 70, 71, 72}]

    gap = next(
        each for each in warnings(table_of(flat(hours, 1.5)), Timeframe.H1) if each.kind == "gap"
    )

    assert gap.count == 6
    assert [place.value[0] for place in gap.places] == ["3", "2", "1"]


def test_a_spike_goes_and_comes_back() -> None:
    prices = 1.5 + 0.0001 * np.sin(np.arange(100.0))
    rows = [(hour, p, p, p, p, 1) for hour, p in enumerate(prices.tolist())]
    rows[50] = (50, 1.9, 1.9, 1.9, 1.9, 1)
    rows[60] = (60, 1.2, 1.2, 1.2, 1.2, 1)
    jump = [*rows[:30], *((h, o + 0.3, *[o + 0.3] * 3, 1) for h, o, *_ in rows[70:])]
    wick = [*rows[:10], (10, 1.5, 1.9, 1.2, 1.5, 1), *rows[11:40]]

    found = warnings(table_of(rows), Timeframe.H1)

    assert lines(found)["spike"] == [52, 62]
    assert "spike" not in kinds(jump)
    assert "spike" not in kinds(wick)


def test_saturdays_that_were_filled_in_are_told() -> None:
    filled = [(h, 1.5, 1.5, 1.5, 1.5, float(h % 168 < 120)) for h in range(3 * 168)]
    traded = [(h, 1.5, 1.6, 1.5, 1.5, 1.0) for h in range(3 * 168)]

    assert kinds(filled)["weekend"] == 3 * 24
    assert "weekend" not in kinds(traded)


def test_bars_off_the_grid_and_of_a_longer_timeframe_are_told() -> None:
    assert kinds(flat(range(1, 100, 4), 1.5), Timeframe.H4)["grid"] == 25
    assert kinds(flat(range(0, 100, 4), 1.5), Timeframe.H1) == {"timeframe": 25}
    assert likely_timeframe(table_of(flat([0, 1, 2, 3, 9]))) is Timeframe.H1
    assert likely_timeframe(table_of(flat([0, 7, 14]))) is None


def test_whole_numbers_that_were_left_as_they_are_are_told() -> None:
    assert kinds(flat(range(5), 112233))["whole_prices"] == 5
    assert "whole_prices" not in kinds(flat(range(5), 1.5))


# --- repair ----------------------------------------------------------------------------------

NUMBER = st.one_of(
    st.integers(min_value=1, max_value=30).map(float),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -1.0]),
)
ROWS = st.lists(
    st.tuples(st.integers(min_value=0, max_value=12), NUMBER, NUMBER, NUMBER, NUMBER, NUMBER),
    max_size=25,
)
REPAIRABLE = {"number", "price", "volume", "high", "low", "order", "duplicate", "conflict"}


@settings(max_examples=40)
@given(ROWS)
def test_a_repaired_table_is_in_order_and_nothing_was_made_up(rows: list[Row]) -> None:
    table = table_of(rows)

    found, changes = repair(table)

    assert errors(found, Timeframe.H1) == []
    assert repair(found)[1] == ()
    assert bool(changes) == bool(errors(table, Timeframe.H1))
    assert len(set(found.line.tolist())) == len(found)
    for place, line in enumerate(found.line.tolist()):
        given_row = line - 2
        assert found.time[place] == table.time[given_row]
        for name in ("open", "close"):
            assert found.columns[name][place] == table.columns[name][given_row]
        for name in ("high", "low"):
            prices = [table.columns[each][given_row] for each in table.prices]
            assert found.columns[name][place] in prices


@settings(max_examples=40)
@given(ROWS)
def test_each_time_with_a_usable_bar_keeps_its_last(rows: list[Row]) -> None:
    table = table_of(rows)
    prices = np.array([table.columns[name] for name in table.prices])
    usable = (np.isfinite(prices) & (prices > 0)).all(axis=0)
    last = {
        int(time): line
        for time, line, good in zip(table.time, table.line, usable, strict=True)
        if good
    }

    found, _ = repair(table)

    assert dict(zip(found.time.tolist(), found.line.tolist(), strict=True)) == last


def test_a_repair_tells_what_it_did_and_where() -> None:
    rows = [
        (1, 1.5, 1.5, 1.5, 1.5, 0),
        (0, 1.5, 1.4, 1.6, 1.5, 0),  # line 3: earlier, and its range is inside out
        (2, np.nan, 1, 1, 1, 0),  # line 4
        (1, 1.5, 1.5, 1.5, 1.5, 0),  # line 5: line 2 again
        (0, 1.7, 1.7, 1.7, 1.7, -3),  # line 6: other prices for line 3's time
    ]

    _, changes = repair(table_of(rows))

    assert [(each.kind, each.count, each.places[0].line) for each in changes] == [
        ("price", 1, 4),
        ("volume", 1, 6),
        ("order", 2, 3),
        ("duplicate", 1, 2),
        ("conflict", 1, 3),
    ]


def test_crossed_quotes_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("time,bid,ask\n2024-01-01 00:00:01,1.2,1.3\n2024-01-01,1.4,1.3\n")

    found, changes = repair(read(path))

    assert [(each.kind, each.count) for each in changes] == [("crossed", 1)]
    assert found.columns["bid"].tolist() == [1.2]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_what_is_written_is_read_back_to_the_bit(tmp_path: Path, suffix: str) -> None:
    prices = np.random.default_rng(7).uniform(0.5, 200, (200, 4))
    rows = [(hour, *row, hour) for hour, row in enumerate(prices.tolist())]
    table, _ = repair(table_of(rows))
    path = tmp_path / f"clean{suffix}"

    write(table, path)
    back = read(path)

    assert np.array_equal(back.time, table.time)
    assert all(np.array_equal(back.columns[name], table.columns[name]) for name in table.columns)
    assert not back.naive
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already"):
        write(table, path)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="can't be written"):
        write(table, tmp_path / "none" / path.name)
    with pytest.raises(ConfigError, match=r"End it in \.csv or \.parquet"):
        write(table, tmp_path / "clean.txt")


# --- the command -----------------------------------------------------------------------------

BROKEN = """time,open,high,low,close
2024-01-01 00:00,1.1,1.2,1.0,1.1
2024-01-01 02:00,1.1,1.2,1.0,1.1
2024-01-01 01:00,1.1,1.15,1.0,1.2
2024-01-01 03:00,1.1,1.2,1.0
yesterday,1.1,1.2,1.0,1.1
2024-01-01 04:00,,1.2,1.0,1.1
"""


def asked(file: Path, **wishes: Any) -> Asked:  # noqa: ANN401 - the options of the command
    nothing = dict.fromkeys(("symbol", "timeframe", "dialect", "point", "time_zone", "repair"))
    return Asked(**{"file": file, "as_json": False, **nothing, **wishes})


def test_check_tells_a_person_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "prices.csv"
    path.write_text(BROKEN)

    code = check_file(asked(path))

    text = capsys.readouterr().out
    assert code == 1
    for told in (
        "plain columns, bars, separated by commas, with a header: time, open, high, low, close",
        "4 bars of H1 (by their distance), Mon 2024-01-01 00:00 to Mon 2024-01-01 04:00 UTC",
        "times name no zone: taken for UTC",
        "line 4, Mon 2024-01-01 01:00: high 1.15",
        "line 5: fields 2024-01-01 03:00,1.1,1.2,1.0",
        "line 6: yesterday",
        "line 7, Mon 2024-01-01 04:00: open empty",
        "it can't be used as it is",
        "--repair NEW.csv writes what can be used",
    ):
        assert told in text


def test_check_repairs_into_a_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, clean = tmp_path / "prices.csv", tmp_path / "clean.csv"
    path.write_text(BROKEN)

    code = check_file(asked(path, repair=clean))

    text = " ".join(capsys.readouterr().out.split())
    assert code == 0
    assert clean.read_text().splitlines() == [
        "time,open,high,low,close,volume",
        "2024-01-01T00:00:00Z,1.1,1.2,1,1.1,0",
        "2024-01-01T01:00:00Z,1.1,1.2,1,1.2,0",
        "2024-01-01T02:00:00Z,1.1,1.2,1,1.1,0",
    ]
    for told in (
        "lines left out, because they have no time: 1 (line 6)",
        "bars left out, because open is no number above zero: 1 (line 7)",
        "highs moved, so that they enclose the bar's other prices: 1 (line 4)",
        "3 bars written",
    ):
        assert told in text
    assert check_file(asked(clean)) == 0
    with pytest.raises(ConfigError, match="is there already"):
        check_file(asked(path, repair=clean))


def test_check_speaks_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(BROKEN)

    code = check_file(asked(path, as_json=True, timeframe="H1"))

    found = json.loads(capsys.readouterr().out)
    assert code == 1
    assert (found["usable"], found["dialect"], found["count"]) == (False, "plain", 4)
    assert (found["first"], found["timeframe"]) == ("2024-01-01T00:00:00Z", "H1")
    assert {each["kind"] for each in found["findings"]} >= {"fields", "time", "number", "high"}
    high = next(each for each in found["findings"] if each["kind"] == "high")
    assert high["places"] == [
        {"line": 4, "time": "2024-01-01T01:00:00Z", "field": "high", "value": "1.15"}
    ]
    assert found["repaired"] is None


def test_the_command_hands_its_options_on(tmp_path: Path) -> None:
    path, clean = tmp_path / "prices.csv", tmp_path / "clean.csv"
    path.write_text("2024.01.01,00:00,110,120,100,110,5\n2024.01.01,01:00,110,115,100,120,5\n")
    app = typer.Typer()
    register(app)
    words = ["data", "check", str(path), "--symbol", "A/B", "--timeframe", "H1", "--point", "0.01"]
    words += ["--dialect", "mt4", "--time-zone", "Etc/GMT+5"]

    broken = CliRunner().invoke(app, [*words, "--json"])
    repaired = CliRunner().invoke(app, [*words, "--repair", str(clean)])

    assert (broken.exit_code, repaired.exit_code) == (1, 0)
    assert json.loads(broken.stdout)["time_zone"] == "Etc/GMT+5"
    assert clean.read_text().splitlines()[1:] == [
        "2024-01-01T05:00:00Z,1.1,1.2,1,1.1,5",
        "2024-01-01T06:00:00Z,1.1,1.2,1,1.2,5",
    ]


def test_what_cannot_be_repaired_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, clean = tmp_path / "prices.csv", tmp_path / "clean.csv"
    path.write_text(BROKEN)

    assert check_file(asked(path, repair=clean, timeframe="H4")) == 1
    assert "not repaired" in capsys.readouterr().out
    assert not clean.exists()


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        ({"timeframe": "H7"}, "--timeframe: 'H7' is none. Use S1, S5"),
        ({"point": "tiny"}, "--point: 'tiny' is no number"),
        ({"dialect": "mt6"}, "'mt6' is none"),
        ({"file": Path("nowhere.csv")}, "no such file"),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, wish: dict[str, Any], told: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(BROKEN)

    with pytest.raises(ConfigError, match=told):
        check_file(asked(path, **wish) if "file" not in wish else asked(wish["file"]))


def test_a_real_export_shows_its_holidays_and_its_clock() -> None:
    path = DATA / "gbpusd-h1.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path.name}: real market data isn't part of the repository")

    found = inspect(read(path))

    assert found.usable
    assert found.timeframe is Timeframe.H1
    told = {each.kind: each for each in found.findings}
    assert set(told) == {"time_zone", "whole_prices", "gap"}
    assert "America/New_York+7" in told["time_zone"].remedy
    assert told["gap"].count < len(found.table) / 100
    holidays = {format_time(each.time or 0)[5:10] for each in told["gap"].places}
    assert holidays <= {"12-24", "12-31"}
