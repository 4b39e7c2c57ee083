"""Files as the usual programs write them: what is found out, and what is read."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mtquant import Settings, Source
from mtquant.clock import format_time, parse_time
from mtquant.data import Dialect, Layout, Reading, Table, Zone, bars_of, errors, read, write
from mtquant.data.fields import PADDING, Fields, numbers
from mtquant.data.times import UNREADABLE, times
from mtquant.errors import ConfigError
from mtquant.model import Bars, Timeframe
from mtquant.model.arrays import BarArrays
from mtquant_sources import sources

DATA = Path(__file__).parents[3] / "shared" / "data"
SOURCES = {each.name: each for each in sources()}
PLAIN = """time,open,high,low,close,volume
2012-02-01T00:00:00Z,1.31,1.33,1.30,1.32,10
2012-02-01T01:00:00Z,1.32,1.32,1.32,1.32,0
"""
MT4 = "2012.02.01,00:00,1.31,1.33,1.30,1.32,10\n2012.02.01,01:00,1.32,1.32,1.32,1.32,0\n"
MT5 = (
    "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
    "2012.02.01\t00:00:00\t1.31\t1.33\t1.30\t1.32\t10\t99\t3\n"
    "2012.02.01\t01:00:00\t1.32\t1.32\t1.32\t1.32\t0\t99\t3\n"
)
HISTDATA = "20120201 000000;1.31;1.33;1.30;1.32;10\n20120201 010000;1.32;1.32;1.32;1.32;0\n"
DUKASCOPY = (
    "Gmt time,Open,High,Low,Close,Volume\n"
    "01.02.2012 00:00:00.000,1.31,1.33,1.30,1.32,10\n"
    "01.02.2012 01:00:00.000,1.32,1.32,1.32,1.32,0\n"
)
LOCAL = DUKASCOPY.replace("Gmt", "Local").replace("00.000", "00.000 GMT+0000")
SPACED = PLAIN.replace(",", " , ").replace("\n", " \r\n")
BLANKS = MT4.replace(",", "   ")
POINTS = PLAIN.replace("1.", "1").replace("T00:00:00Z,131,", "T00:00:00Z,130.99999999999997,")
QUOTED = PLAIN.replace("time,open", '"time","open"').replace("1.31", '"1.31"')
READ = {
    "time": ["2012-02-01T00:00:00Z", "2012-02-01T01:00:00Z"],
    "open": [1.31, 1.32],
    "high": [1.33, 1.32],
    "low": [1.30, 1.32],
    "close": [1.32, 1.32],
    "volume": [10, 0],
}


def table_of(tmp_path: Path, text: str, **wishes: object) -> Table:
    path = tmp_path / "prices.csv"
    path.write_text(text, newline="")
    return read(path, Reading(**wishes))  # type: ignore[arg-type]


def content(table: Table) -> dict[str, list[Any]]:
    times_of = [format_time(each) for each in table.time.tolist()]
    return {"time": times_of} | {name: each.tolist() for name, each in table.columns.items()}


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        (PLAIN, Layout.PLAIN),
        (PLAIN.replace("time,open", "TimeStamp,OPEN"), Layout.PLAIN),
        (PLAIN.replace("T", " ").replace("Z", "+00:00"), Layout.PLAIN),
        (PLAIN.replace("Z", ""), Layout.PLAIN),
        (PLAIN.partition("\n")[2], Layout.PLAIN),
        (PLAIN.replace(",", ";"), Layout.PLAIN),
        (PLAIN.removesuffix("\n"), Layout.PLAIN),
        (PLAIN.replace("\n", "\r"), Layout.PLAIN),
        (SPACED, Layout.PLAIN),
        (QUOTED, Layout.PLAIN),
        (MT4, Layout.MT4),
        (BLANKS, Layout.MT4),
        (MT5, Layout.MT5),
        (HISTDATA, Layout.HISTDATA),
        (DUKASCOPY, Layout.DUKASCOPY),
        (LOCAL, Layout.DUKASCOPY),
    ],
)
def test_each_dialect_is_found_out_and_holds_the_same(
    tmp_path: Path, text: str, layout: Layout
) -> None:
    table = table_of(tmp_path, text)

    assert table.dialect.layout is layout
    assert content(table) == READ
    assert errors(table, Timeframe.H1) == []
    asked = table_of(tmp_path, text, dialect=str(layout))
    assert content(asked) == READ


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    table = table_of(tmp_path, MT5)

    assert table.dialect.unread == ("<VOL>", "<SPREAD>")
    assert "MetaTrader 5 export, bars, separated by tabs, with a header: date, clock, open" in str(
        table.dialect
    )


@pytest.mark.parametrize(
    ("text", "quotes"),
    [
        ("20200101 170000123,1.1,1.2,0\n20200101 170000123,1.15,1.25,0\n", "170000.123"),
        ("Gmt time,Ask,Bid,AskVolume,BidVolume\n01.01.2020 17:00:00.123,1.2,1.1,1,1\n", ""),
        ("2020-01-01 17:00:00.123;1.1;1.2\n", ""),
    ],
)
def test_quotes_are_told_from_bars(tmp_path: Path, text: str, quotes: str) -> None:
    table = table_of(tmp_path, text)

    assert table.dialect.what == "quotes"
    assert format_time(int(table.time[0])) == "2020-01-01T17:00:00.123Z"
    assert (table.columns["bid"][0], table.columns["ask"][0]) == (1.1, 1.2)
    assert len(table) == 1 + bool(quotes)
    with pytest.raises(ConfigError, match="Name them time,open,high,low,close and"):
        table_of(tmp_path, text, what="bars")


@pytest.mark.parametrize(
    ("text", "wishes", "told"),
    [
        ("when,open,high,low,close\n", {}, "line 1, header: 'when,open"),
        ("time,open,high,low\n", {}, "not the names of the columns"),
        ("time,date,time,open,high,low,close\n", {}, "not the names of the columns"),
        ("time,date,open,high,low,close\n2012-02-01,0,1,1,1,1\n", {}, "not the names"),
        ("2012-02-01,1,1\n1,2\n", {"what": "bars"}, "not the names of the columns"),
        ("2012-02-01,1,1,1,1,1,1,1,1\n", {}, "not the names of the columns"),
        (PLAIN, {"dialect": "mt4"}, "of the dialect mt4"),
        (HISTDATA, {"dialect": "mt4"}, "of the dialect mt4"),
        (PLAIN, {"dialect": "metatrader"}, "dialect: 'metatrader' is none. Use plain, mt4"),
        (PLAIN, {"time_zone": "Mars/Base"}, "time_zone: 'Mars/Base' is no zone"),
        ("\n\n", {}, "line 1, header: ''"),
    ],
)
def test_a_file_that_is_none_of_them_is_refused(
    tmp_path: Path, text: str, wishes: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        table_of(tmp_path, text, **wishes)


def test_utf16_as_metatrader_may_write_it(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_bytes(MT5.encode("utf-16"))

    assert content(read(path)) == READ


def test_rows_over_many_blocks_keep_their_lines(tmp_path: Path) -> None:
    """Blocks are cut in the middle of lines; nothing is lost, doubled or moved by that."""
    count = 60_000
    start = parse_time("2020-01-01T00:00:00Z") // 10**9
    moments = [format_time((start + 60 * index) * 10**9) for index in range(count)]
    rows = [
        f"{moment},{index}.5,{index}.75,{index}.25,{index}.5"
        for index, moment in enumerate(moments)
    ]
    rows[40_000] += ",1"
    rows[50_000] = rows[50_000].replace("50000.5", "n/a", 1)
    path = tmp_path / "prices.csv.gz"
    path.write_bytes(gzip.compress("\r\n".join(["time,open,high,low,close", *rows]).encode(), 1))

    table = read(path)

    assert len(table) == count - 1
    assert table.line.tolist() == [*range(2, 40_002), *range(40_003, count + 2)]
    opened = table.columns["open"]
    assert opened[opened > 0].tolist() == [
        line - 1.5 for line in table.line.tolist() if line != 50_002
    ]
    (number,) = (each for each in errors(table, Timeframe.M1) if each.kind == "number")
    assert [(each.line, each.value) for each in number.places] == [(50_002, "n/a")]
    assert [each.places[0].line for each in table.lost] == [40_002]


# --- numbers and times, to the last bit ------------------------------------------------------


def fields(texts: list[str]) -> Fields:
    ends = np.cumsum([len(each.encode()) for each in texts], dtype=np.int64)
    return Fields(
        text="".join(texts).encode() + bytes(PADDING),
        starts=np.concatenate([[0], ends[:-1]]),
        ends=ends,
    )


FIRST, LAST = (datetime(year, 1, 1) for year in (1700, 2261))  # noqa: DTZ001 - wall clocks
DECIMALS = st.one_of(
    st.decimals(min_value=0, max_value=10**7, places=5).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(min_value=-(10**30), max_value=10**30).map(str),
    st.from_regex(r"[0-9]{0,9}\.?[0-9]{0,20}", fullmatch=True).filter(lambda text: text.strip(".")),
    st.sampled_from(["1.", ".5", "007.50", "1e5", "-0", "+3", "9007199254740993", "0.1e-3"]),
)


@settings(max_examples=40)
@given(st.lists(DECIMALS, min_size=1, max_size=40))
def test_a_number_is_what_float_makes_of_it(texts: list[str]) -> None:
    assert numbers(fields(texts)).tolist() == [float(each) for each in texts]


@pytest.mark.parametrize(
    "text", ["", ".", "1_1", "nan", "inf", "1,5", "0x1", "1.2.3", "e5", "--1", "\uff11"]
)
def test_what_is_no_number_is_not_read_as_one(text: str) -> None:
    assert np.isnan(numbers(fields(["1.5", text, "2.5"]))).tolist() == [False, True, False]


MOMENTS = st.datetimes(min_value=FIRST, max_value=LAST)


@settings(max_examples=40)
@given(st.lists(MOMENTS, min_size=1, max_size=20), st.sampled_from(range(6)))
def test_a_time_is_read_however_it_is_written(moments: list[Any], way: int) -> None:
    moments = [each.replace(microsecond=each.microsecond // 1000 * 1000) for each in moments]
    written: Callable[[datetime], str] = {
        0: lambda at: f"{at.isoformat(sep=' ', timespec='milliseconds')}",
        1: lambda at: at.isoformat(timespec="milliseconds") + "Z",
        2: lambda at: f"{at:%d.%m.}{at.year:04d}{at: %H:%M:%S}.{at.microsecond // 1000:03d}",
        3: lambda at: f"{at.year:04d}{at:%m%d %H%M%S}{at.microsecond // 1000:03d}",
        4: lambda at: f"{at.year:04d}{at:.%m.%d\t%H:%M:%S}.{at.microsecond // 1000}",
        5: lambda at: f"{at.year:04d}{at:/%m/%d,%H:%M:%S}.{at.microsecond:06d}+00:00",
    }[way]
    if way == 4:
        moments = [each.replace(microsecond=0) for each in moments]
    found, zoned = times(fields([written(each) for each in moments]))

    assert found.astype("datetime64[ns]").astype("datetime64[us]").tolist() == moments
    assert zoned.all() == (way in {1, 5})


@pytest.mark.parametrize(
    "text",
    [
        *("", "today", "2012-02-30", "2012-13-01", "2012-02-01 24:00", "2012-02-01 10:60"),
        *("01/02/2012", "2012-02-01T1:00", "2012.02-01", "2012-02-01 00:00:61", "9999-01-01"),
        "2012-02-01 00:00+9",
    ],
)
def test_what_is_no_time_is_not_read_as_one(text: str) -> None:
    found, _ = times(fields(["2012-02-01", text, "2012-02-02"]))

    assert (found == UNREADABLE).tolist() == [False, True, False]


def test_offsets_are_taken_into_account() -> None:
    texts = ["2012-02-01 02:00:00+02:00", "2012-02-01 02:00:00-05:30", "2012-02-01 02:00:00 UTC"]

    found, _ = times(fields([*texts, "2012-02-01 02:00:00 GMT+0130"]))

    clocks = [format_time(each)[11:16] for each in found.tolist()]
    assert clocks == ["00:00", "07:30", "02:00", "00:30"]


# --- time zones ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "clock", "utc"),
    [
        ("Etc/GMT+5", "2020-07-01T12:00:00Z", "2020-07-01T17:00:00Z"),
        ("Europe/Athens", "2020-03-10T12:00:00Z", "2020-03-10T10:00:00Z"),
        ("America/New_York+7", "2020-03-10T12:00:00Z", "2020-03-10T09:00:00Z"),
        ("America/New_York+7", "2020-02-10T00:00:00Z", "2020-02-09T22:00:00Z"),
        ("Asia/Tokyo", "2020-02-10T00:00:00Z", "2020-02-09T15:00:00Z"),
    ],
)
def test_a_zone_gives_utc(zone: str, clock: str, utc: str) -> None:
    found = Zone(zone).utc(np.array([parse_time(clock)]))

    assert format_time(int(found[0])) == utc


def test_the_hour_that_comes_twice_is_read_in_order() -> None:
    """On 2020-10-25 the clocks of Athens went from 04:00 back to 03:00."""
    utc = parse_time("2020-10-24T22:30:00Z") + np.arange(8) * 1800 * 10**9
    ahead = np.where(np.arange(8) < 5, 3, 2) * 3600 * 10**9  # 01:00Z is the change

    assert Zone("Europe/Athens").utc(utc + ahead).tolist() == utc.tolist()


@settings(max_examples=40)
@given(
    st.sampled_from(["Europe/Athens", "America/New_York+7", "Australia/Lord_Howe", "UTC"]),
    st.integers(min_value=0, max_value=2 * 10**9),
    st.sampled_from([60, 3600, 86400]),
)
def test_a_clock_that_runs_on_is_read_back(zone: str, start: int, step: int) -> None:
    """What a zone's clock shows, read with that zone, is the time again."""

    start -= start % 60
    name, _, hours = zone.partition("+")
    seconds = [start + step * index for index in range(50)]
    local = [datetime.fromtimestamp(each, UTC).astimezone(ZoneInfo(name)) for each in seconds]
    shift = timedelta(hours=int(hours or 0))
    naive = [(each.replace(tzinfo=UTC) + shift).timestamp() for each in local]
    clock = np.array([round(each) * 10**9 for each in naive])

    ambiguous_first = local[0].fold == 1  # nothing before it tells which pass it is
    if not ambiguous_first:
        assert (Zone(zone).utc(clock) // 10**9).tolist() == seconds


def test_times_that_name_a_zone_keep_it(tmp_path: Path) -> None:
    text = PLAIN.replace("01:00:00Z", "03:00:00")

    table = table_of(tmp_path, text, time_zone="Europe/Athens")

    assert content(table) == READ
    assert (table.naive, table.time_zone) == (True, "Europe/Athens")


# --- points ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "text", "price"),
    [
        ("EUR/USD", "112233", 1.12233),
        ("EUR/USD", "11223", 1.1223),
        ("EUR/USD", "112232.99999999999", 1.12233),
        ("USD/JPY", "109322", 109.322),
        ("USD/JPY", "10932", 109.32),
        ("XAU/USD", "154759", 1547.59),
        ("USD/JPY", "109", 109),
        ("US30", "34000", 34000),
        (None, "112233", 112233),
    ],
)
def test_points_are_told_by_the_symbol(
    tmp_path: Path, symbol: str | None, text: str, price: float
) -> None:
    table = table_of(tmp_path, f"2012-02-01,{text},{text},{text},{text}\n", symbol=symbol)

    assert table.columns["close"].tolist() == [price]
    assert any("points of" in each for each in table.notes) == (price != round(price))


def test_a_point_is_never_guessed(tmp_path: Path) -> None:
    row = "2012-02-01,400000,400000,400000,400000\n"  # 4000.00 or 400.000 dollars an ounce

    with pytest.raises(ConfigError, match="it isn't clear of how many decimals"):
        table_of(tmp_path, row, symbol="XAU/USD")
    table = table_of(tmp_path, row, symbol="XAU/USD", point=Decimal("0.01"))
    assert table.columns["close"].tolist() == [4000]
    quarter = table_of(tmp_path, row, point=Decimal("0.25"))
    assert quarter.columns["close"].tolist() == [100_000]
    with pytest.raises(ConfigError, match="aren't whole numbers of points"):
        table_of(tmp_path, PLAIN, point=Decimal("0.01"))
    with pytest.raises(ConfigError, match="point: 0 is not above zero"):
        table_of(tmp_path, row, point=Decimal(0))


@settings(max_examples=40)
@given(st.integers(min_value=80_000, max_value=170_000))
def test_a_point_gives_the_float_of_the_decimal(points: int) -> None:
    from mtquant.data.points import apply_point  # noqa: PLC0415

    whole = np.array([float(points)])
    table = Table(
        where="x",
        dialect=read_dialect(),
        time=np.zeros(1, np.int64),
        clock=np.zeros(1, np.int64),
        columns=dict.fromkeys(("open", "high", "low", "close", "volume"), whole),
        line=np.ones(1, np.int64),
    )

    found = apply_point(table, "EUR/USD", None)

    assert found.columns["open"][0] == float(f"{points / 10**5:.5f}")
    assert found.columns["volume"][0] == points


def read_dialect() -> Dialect:
    from mtquant.data.dialects import detect  # noqa: PLC0415

    return detect(["time,open,high,low,close"], "x")


# --- through the source ----------------------------------------------------------------------


def source(name: str = "csv", **settings: object) -> Source[Any]:
    kind = SOURCES[name]
    return kind(kind.Settings.model_validate(settings))


def same(one: BarArrays, other: BarArrays) -> bool:
    names = ("time", "open", "high", "low", "close", "volume")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_the_sources_settings_overrule(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(POINTS.replace("T", " ").replace("Z", ""))
    found = source(
        path=path,
        symbol="A/B",
        timeframe="H1",
        point="0.01",
        time_zone="Etc/GMT+5",
        dialect="plain",
    ).arrays("A/B")

    assert found.open.tolist() == [1.31, 1.32]
    assert format_time(int(found.time[0])) == "2012-02-01T05:00:00Z"
    for wrong in ({"dialect": "mt6"}, {"point": 0}, {"time_zone": "Nowhere"}):
        with pytest.raises(ValidationError, match=next(iter(wrong))):
            source(path=path, symbol="A/B", timeframe="H1", **wrong)


@pytest.mark.parametrize("name", ["csv", "parquet", "walk"])
def test_arrays_hold_what_bars_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(PLAIN)
    chosen: dict[str, Any] = {"timeframe": "H1", "path": path, "symbol": "EUR/USD"}
    if name == "parquet":
        chosen["path"] = tmp_path / "prices.parquet"
        write(read(path), chosen["path"])
    found = source(name, **({"bars": 50} if name == "walk" else chosen))

    assert same(found.arrays("EUR/USD"), BarArrays.of(found.bars("EUR/USD")))
    assert found.side_arrays("EUR/USD") is None


def test_sides_come_as_arrays_too(tmp_path: Path) -> None:
    for name, text in (("bid", PLAIN), ("ask", PLAIN.replace("1.3", "1.4"))):
        (tmp_path / name).write_text(text)
    made = source(
        timeframe="H1", files={"A/B": tmp_path / "bid"}, ask_files={"A/B": tmp_path / "ask"}
    )

    arrays, bars = made.side_arrays("A/B"), made.sides("A/B")

    assert arrays is not None
    assert bars is not None
    assert all(same(one, BarArrays.of(two)) for one, two in zip(arrays, bars, strict=True))
    assert same(made.arrays("A/B"), BarArrays.of(made.bars("A/B")))
    for name in ("open", "high", "low", "close"):
        bid, ask = (getattr(each, name) for each in arrays)
        assert (bid < ask).any()
        assert getattr(made.arrays("A/B"), name).tolist() == ((bid + ask) / 2).tolist()


class Sided(Source[Settings]):
    """A source that knows no arrays of its own."""

    name = "sided"
    description = "two sides"

    def symbols(self) -> Sequence[str]:
        return ("A/B",)

    def timeframe(self) -> Timeframe:
        return Timeframe.H1

    def bars(self, symbol: str) -> Bars:
        assert symbol in self.symbols()
        return self.side(1.5)

    def sides(self, symbol: str) -> tuple[Bars, Bars] | None:
        return (self.side(1.0), self.side(2.0)) if symbol == "A/B" else None

    def side(self, price: float) -> Bars:
        prices = dict.fromkeys(("open", "high", "low", "close", "volume"), (price,))
        return Bars(instrument="A/B", timeframe=Timeframe.H1, time=(0,), **prices)


def test_a_source_of_bars_alone_has_arrays() -> None:
    made = Sided(Settings())

    sides = made.side_arrays("A/B")

    assert made.arrays("A/B").close.tolist() == [1.5]
    assert sides is not None
    assert [each.close.tolist() for each in sides] == [[1.0], [2.0]]
    assert made.side_arrays("C/D") is None


# --- real files ------------------------------------------------------------------------------

REAL = {
    "audusd-h1": ("AUD/USD", "H1", 57_600, (0.5, 1.1)),
    "gbpusd-h1": ("GBP/USD", "H1", 57_600, (1.1, 1.75)),
    "usdjpy-h1": ("USD/JPY", "H1", 57_600, (75, 130)),
    "xauusd-h1": ("XAU/USD", "H1", 57_600, (1000, 2100)),
    "eurusd-d1": ("EUR/USD", "D1", 2_400, (1.0, 1.4)),
    "eurgbp-d1": ("EUR/GBP", "D1", 2_400, (0.69, 0.95)),
    "usdchf-d1": ("USD/CHF", "D1", 2_400, (0.7, 1.1)),
    "gbpusd-m1-bid-2012": ("GBP/USD", "M1", 30_117, (1.5, 1.7)),
    "gbpusd-m1-ask-2012": ("GBP/USD", "M1", 30_117, (1.5, 1.7)),
}


@pytest.mark.parametrize("name", REAL)
def test_real_exports_are_read_without_a_word(name: str) -> None:
    path = DATA / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path.name}: real market data isn't part of the repository")
    symbol, timeframe, count, (least, most) = REAL[name]

    found = source(timeframe=timeframe, path=path, symbol=symbol).arrays(symbol)

    assert len(found) == count
    assert least < found.low.min() < found.high.max() < most
    digits = {"USD/JPY": 3, "XAU/USD": 2}.get(symbol, 5)
    assert np.array_equal(found.close, np.round(found.close, digits))


def test_real_quotes_are_read() -> None:
    path = DATA / "eurusd-ticks-2020-01-01.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path.name}: real market data isn't part of the repository")

    made = source(timeframe="M1", tick_files={"EUR/USD": path}, time_zone="Etc/GMT+5")
    ticks = made.ticks("EUR/USD")

    assert ticks is not None
    assert (len(ticks), format_time(ticks.time[0])) == (9500, "2020-01-01T22:00:00.065Z")
    assert (ticks.bid[0], ticks.ask[0]) == (1.1212, 1.12172)
    assert made.bars("EUR/USD").volume[0] == sum(
        each < ticks.time[0] // (60 * 10**9) * 60 * 10**9 + 60 * 10**9 for each in ticks.time
    )


def test_bars_of_brokers_time_begin_where_the_market_does() -> None:
    """The week of an hourly export begins on Sunday at 17:00 in New York, in summer and winter."""
    path = DATA / "gbpusd-h1.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path.name}: real market data isn't part of the repository")

    wish = Reading(symbol="GBP/USD", time_zone="America/New_York+7")
    found = bars_of(read(path, wish), "GBP/USD", Timeframe.H1)

    opened = found.time[1:][np.diff(found.time) > 24 * 3600 * 10**9]
    hours = opened // (3600 * 10**9) % 24
    assert set(hours.tolist()) >= {21, 22}
    assert np.isin(hours, [21, 22]).mean() > 0.95
