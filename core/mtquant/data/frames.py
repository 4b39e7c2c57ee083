"""Prices that are columns in memory already: a DataFrame's, a Parquet file's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtquant.data.dialects import Dialect, Layout, header_error, roles
from mtquant.data.fields import PADDING, Fields, Integers, numbers
from mtquant.data.points import apply_point
from mtquant.data.quality import bars_of
from mtquant.data.table import PLACES, Finding, Place, Table, lost
from mtquant.data.times import UNREADABLE, Zone, settled, times
from mtquant.errors import ConfigError
from mtquant.model.arrays import BarArrays
from mtquant.model.terms import Timeframe

_WHERE = "DataFrame"
_TEXTS = 1000


def arrays_of_frame(
    frame: Any,  # noqa: ANN401 - pandas' or polars', neither of which is imported here
    symbol: str,
    timeframe: Timeframe,
    *,
    time_zone: str | None = None,
    point: Decimal | None = None,
) -> BarArrays:
    """Return the bars in a pandas or polars DataFrame, checked as a file's are.

    Columns are found by their names, in any capitalisation: a time (time, date, timestamp or
    datetime; in pandas also the index), open, high, low, close and, if there is one, volume.
    Other columns aren't read. Times that name no zone are UTC unless ``time_zone`` is given; whole
    numbers are points of ``point``, or by ``symbol`` where that is beyond doubt. The arrays are
    copies. Raises ConfigError naming row, field, value and remedy.
    """
    table = table_of_frame(frame, symbol, time_zone=time_zone, point=point)
    return bars_of(table, symbol, timeframe)


def table_of_frame(
    frame: Any,  # noqa: ANN401 - as above
    symbol: str,
    *,
    time_zone: str | None = None,
    point: Decimal | None = None,
) -> Table:
    """Return the rows of a DataFrame as they are, wrong ones among them; raises ConfigError."""
    values = {str(name): frame[name] for name in frame.columns}
    found = roles(tuple(values), others=True)
    if found is None and hasattr(frame, "index"):
        values = {"time": frame.index, **values}
        found = roles(tuple(values), others=True)
    names = tuple(values)
    dialect = Dialect(layout=Layout.FRAME, separator="", columns=found or (), names=names)
    if found is None or dialect.what != "bars":
        raise header_error(_WHERE, [str(name) for name in frame.columns], "bars")
    read = {role: values[name] for name, role in zip(names, found, strict=True) if role}
    zoned = "time" in read and _zoned(read["time"].dtype)
    arrays = {role: _values(each) for role, each in read.items()}
    zone = Zone(time_zone) if time_zone else None
    table = table_of_columns(_WHERE, dialect, arrays, zone, zoned=zoned)
    return apply_point(table, symbol, point)


def _zoned(kind: Any) -> bool:  # noqa: ANN401 - a column's type, of either library
    return bool(getattr(kind, "tz", None) or getattr(kind, "time_zone", None))


def _values(column: Any) -> NDArray[Any]:  # noqa: ANN401 - of either library
    """Return a column as numpy has it: times with a zone in UTC."""
    if getattr(column.dtype, "tz", None):  # pandas would give an object for each
        return np.asarray(column.to_numpy(dtype="datetime64[ns]"))
    return np.asarray(column.to_numpy())


def arrow_values(column: Any) -> tuple[NDArray[Any], bool]:  # noqa: ANN401 - pyarrow's
    """Return a column of a Parquet file as numpy has it, and whether it is of times with a zone."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and in an extra

    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = getattr(kind, "tz", None)
        moments = column.cast(pa.timestamp("ns", zone)).cast(pa.int64())
        return _plain(moments, UNREADABLE).view("datetime64[ns]"), zone is not None
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return _plain(column.cast(pa.float64(), safe=False), math.nan), False
    return np.array([str(each) if each is not None else "" for each in column.to_pylist()]), False


def _plain(column: Any, missing: float) -> NDArray[Any]:  # noqa: ANN401 - pyarrow's
    """Return a column of numbers, ``missing`` where there is none.

    Not by its own ``to_numpy``, which would import pandas.
    """
    whole = column.combine_chunks()
    return np.from_dlpack(whole.fill_null(missing) if whole.null_count else whole)


def table_of_columns(
    where: str,
    dialect: Dialect,
    values: Mapping[str, NDArray[Any]],
    zone: Zone | None,
    *,
    zoned: bool,
) -> Table:
    """Return a table of ``values``, by what each holds; ``zoned`` tells that times are UTC."""
    clock, named = _times(values, where)
    named |= zoned
    kept = clock != UNREADABLE
    columns: dict[str, NDArray[np.float64]] = {}
    texts: dict[tuple[int, str], str] = {}
    for name in (*dialect.prices, "volume"):
        column, unreadable = _floats(values[name][kept]) if name in values else (None, {})
        columns[name] = np.zeros(int(kept.sum())) if column is None else column
        texts |= {(row, name): text for row, text in unreadable.items()}
    return Table(
        where=where,
        dialect=dialect,
        time=settled(clock[kept], named[kept], zone),
        clock=clock[kept],
        columns=columns,
        line=np.flatnonzero(kept) + 1,
        texts=texts,
        lost=_timeless(values, np.flatnonzero(~kept)),
        naive=not bool(named.all()),
        time_zone=zone.name if zone else None,
    )


def _times(values: Mapping[str, NDArray[Any]], where: str) -> tuple[Integers, NDArray[np.bool_]]:
    """Return the times, ``UNREADABLE`` where there is none, and which name their zone."""
    whole = values.get("time", values.get("date"))
    if whole is None or whole.dtype.kind in "iufb":
        raise ConfigError(
            f"{where}, time", "holds numbers, no times", "Make them times, such as datetime64."
        )
    if whole.dtype.kind == "M" and "clock" not in values:
        # Not a time, in numpy, is the number that stands for an unreadable one.
        found = whole.astype("datetime64[ns]").astype(np.int64)
        return found, np.zeros(len(found), dtype=np.bool_)
    return times(_fields(_time_texts(values)))


def _time_texts(values: Mapping[str, NDArray[Any]]) -> list[str]:
    if "time" in values:
        return [str(each) for each in values["time"].tolist()]
    days = values["date"]
    days = days.astype("datetime64[D]") if days.dtype.kind == "M" else days
    pairs = zip(days.tolist(), values["clock"].tolist(), strict=True)
    return [f"{day} {clock}" for day, clock in pairs]


def _timeless(values: Mapping[str, NDArray[Any]], rows: Integers) -> tuple[Finding, ...]:
    """Return the finding of rows without a time, if there are any."""
    if not rows.size:
        return ()
    column = values.get("time", values.get("date", rows))
    places = tuple(
        Place(line=row + 1, time=None, field="time", value=str(column[row]))
        for row in rows[:PLACES].tolist()
    )
    return (lost("time", places, rows.size),)


def _fields(texts: list[str]) -> Fields:
    encoded = [each.encode() for each in texts]
    ends = np.cumsum([len(each) for each in encoded], dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]]) if texts else ends
    return Fields(text=b"".join(encoded) + bytes(PADDING), starts=starts, ends=ends)


def _floats(values: NDArray[Any]) -> tuple[NDArray[np.float64], dict[int, str]]:
    """Return a column of numbers, and by row what stands where there is none."""
    if values.dtype.kind in "fiu":
        return values.astype(np.float64), {}
    texts = [str(each).strip() for each in values.tolist()]
    found = numbers(_fields(texts))
    return found, {row: texts[row] for row in np.flatnonzero(~np.isfinite(found))[:_TEXTS].tolist()}
