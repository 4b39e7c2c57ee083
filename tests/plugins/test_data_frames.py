"""DataFrames: the same bars, however their columns and times are kept."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtquant.clock import format_time
from mtquant.data import arrays_of_frame, errors, read, write
from mtquant.errors import ConfigError
from mtquant.model import Timeframe
from mtquant.model.arrays import BarArrays

TIMES = ["2024-03-08 22:00", "2024-03-10 23:00", "2024-03-11 00:00"]
PRICES: dict[str, list[float]] = {
    "Open": [1.1, 1.2, 1.3],
    "High": [1.15, 1.25, 1.35],
    "Low": [1.05, 1.15, 1.25],
    "Close": [1.12, 1.22, 1.32],
    "Adj Close": [0.0, 0.0, 0.0],
    "Volume": [10, 0, 30],
}


def frame() -> pd.DataFrame:
    return pd.DataFrame({"Date": pd.to_datetime(TIMES), **PRICES})


def bars(table: pd.DataFrame, **wishes: str | Decimal) -> BarArrays:
    return arrays_of_frame(table, "EUR/USD", Timeframe.H1, **wishes)  # type: ignore[arg-type]


WAYS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "as it is": lambda found: found,
    "an index": lambda found: found.set_index("Date"),
    "an index without a name": lambda found: found.set_index("Date").rename_axis(None),
    "an index in New York": lambda found: found.set_index(
        found["Date"].dt.tz_localize("UTC").dt.tz_convert("America/New_York")
    ).drop(columns="Date"),
    "a column in Tokyo": lambda found: found.assign(
        Date=found["Date"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    ),
    "nanoseconds": lambda found: found.assign(Date=found["Date"].dt.as_unit("ns")),
    "seconds": lambda found: found.assign(Date=found["Date"].dt.as_unit("s")),
    "text": lambda found: found.assign(Date=TIMES),
    "other names": lambda found: found.rename(columns=str.upper).rename(
        columns={"DATE": "timestamp"}
    ),
    "decimals": lambda found: found.assign(Open=[Decimal(str(each)) for each in PRICES["Open"]]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_frame_holds_the_same_bars_in_every_way(way: str) -> None:
    found = bars(WAYS[way](frame()))

    assert [format_time(each) for each in found.time.tolist()] == [
        f"{each.replace(' ', 'T')}:00Z" for each in TIMES
    ]
    assert (found.instrument, found.timeframe) == ("EUR/USD", Timeframe.H1)
    for name in ("open", "high", "low", "close", "volume"):
        column = getattr(found, name)
        assert column.tolist() == PRICES[name.capitalize()]
        assert column.dtype == np.float64


def test_naive_times_are_of_the_zone_that_is_given() -> None:
    found = bars(frame(), time_zone="America/New_York+7")

    assert [format_time(each) for each in found.time.tolist()] == [
        "2024-03-08T20:00:00Z",
        "2024-03-10T20:00:00Z",
        "2024-03-10T21:00:00Z",
    ]


def test_arrays_are_copies() -> None:
    table = frame()

    found = bars(table)
    table.loc[0, "Open"] = 9.0

    assert found.open[0] == 1.1


def test_points_are_scaled() -> None:
    table = frame()
    for name in ("Open", "High", "Low", "Close"):
        table[name] = (table[name] * 100_000).round().astype(int)

    assert bars(table).close.tolist() == PRICES["Close"]
    assert bars(table, point=Decimal("0.0001")).close.tolist() == [11.2, 12.2, 13.2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"Open": [1.1, np.nan, 1.3]}, "DataFrame, row 2, open: 'nan' is not a finite number"),
        ({"Low": [1.05, 1.15, 1.34]}, "row 3, low: '1.34' is above open or close"),
        ({"Date": pd.to_datetime([TIMES[1], *TIMES[1:]])}, "row 2, time: .* bar before too"),
        ({"Date": [*TIMES[:2], "soon"]}, "row 3, time: 'soon' is not a time"),
        ({"Date": pd.to_datetime([TIMES[0], None, TIMES[2]])}, "row 2, time: 'NaT' is not a time"),
        ({"Date": [1, 2, 3]}, "DataFrame, time: holds numbers, no times"),
        ({"Close": ["1.12", "much", "1.32"]}, "row 2, close: 'much' is not a finite number"),
    ],
)
def test_what_is_wrong_is_told_by_row(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        bars(frame().assign(**change))


def test_a_frame_without_the_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="Name them time,open,high,low,close"):
        bars(frame().drop(columns="Close"))
    with pytest.raises(ConfigError, match="holds numbers, no times"):
        bars(frame().drop(columns="Date"))
    with pytest.raises(ConfigError, match="it holds no bar"):
        bars(frame().iloc[:0])


def test_what_is_missing_in_a_parquet_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "holes.parquet"
    table = frame().assign(Open=[1.1, None, 1.3], Date=pd.to_datetime([*TIMES[:2], None]))
    table.drop(columns="Adj Close").to_parquet(path)

    found = read(path)

    told = [(each.kind, each.places[0].line) for each in errors(found, Timeframe.H1)]
    assert told == [("time", 3), ("number", 2)]
    assert found.columns["open"][0] == 1.1


@pytest.mark.parametrize(("suffix", "loaded"), [(".csv", set()), (".parquet", {"pyarrow"})])
def test_no_library_is_loaded_that_is_not_needed(
    tmp_path: Path, suffix: str, loaded: set[str]
) -> None:
    text, path = tmp_path / "text.csv", tmp_path / f"prices{suffix}"
    text.write_text("time,open,high,low,close\n2024-01-01,1,1,1,1\n")
    write(read(text), path)
    code = (
        "import sys; from pathlib import Path; from mtquant.data import read;"
        f" read(Path({str(path)!r}));"
        " print(*({'pandas', 'pyarrow', 'mcp'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == loaded
