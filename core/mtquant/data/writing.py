"""Write prices as a file that is read without a doubt."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mtquant.clock import SECOND
from mtquant.data.table import Table, shown
from mtquant.errors import ConfigError, PluginError

_SUFFIXES = (".csv", ".gz", ".parquet")
_ROWS = 50_000


def write(table: Table, path: Path) -> None:
    """Write ``table`` to ``path``: times in UTC, prices in the quote currency.

    Plain CSV with a header, packed where the name ends in .gz, or Parquet where it ends in
    .parquet. The file is there whole or not at all. Raises ConfigError where there is a file of
    that name, or none can be written; PluginError where pyarrow is missing.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(str(path), "is no name of a price file", "End it in .csv or .parquet.")
    part = path.with_name(f".{path.name}.part")
    try:
        _write(table, part, path.suffix)
        os.link(part, path)  # unlike a rename, this never replaces what has come there meanwhile
    except FileExistsError:
        raise ConfigError(
            str(path), "is there already", "Give another name, or remove it first."
        ) from None
    except OSError as error:
        raise ConfigError(
            str(path), f"can't be written: {error}", "Give a place that can."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _write(table: Table, path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        _write_parquet(table, path)
        return
    with gzip.open(path, "wt") if suffix == ".gz" else path.open("w") as stream:
        stream.writelines(_lines(table))


def _lines(table: Table) -> Iterator[str]:
    names = (*table.prices, "volume")
    yield ",".join(("time", *names)) + "\n"
    unit = "s" if (table.time % SECOND == 0).all() else "ns"
    moments = table.time.astype("datetime64[ns]").astype(f"datetime64[{unit}]")
    for start in range(0, len(table), _ROWS):
        block = slice(start, start + _ROWS)
        times = np.datetime_as_string(moments[block]).tolist()
        columns = [map(shown, table.columns[name][block].tolist()) for name in names]
        for time, *values in zip(times, *columns, strict=True):
            yield f"{time}Z,{','.join(values)}\n"


def _write_parquet(table: Table, path: Path) -> None:
    try:
        import pyarrow as pa  # noqa: PLC0415 - heavy, and in an extra
        from pyarrow import parquet  # noqa: PLC0415 - heavy, and in an extra
    except ImportError:
        raise PluginError(
            "Parquet files need pyarrow: install mtquant with its extra parquet"
        ) from None
    times = pa.array(table.time).cast(pa.timestamp("ns", "UTC"))
    columns = {name: table.columns[name] for name in (*table.prices, "volume")}
    parquet.write_table(pa.table({"time": times, **columns}), path)
