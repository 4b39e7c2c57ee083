"""Two CSV files that a spreadsheet, pandas or a shell can read while the engine runs."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import TextIO

from mtquant import Settings
from mtquant.clock import format_time
from mtquant.contract import Store
from mtquant.errors import ConfigError
from mtquant.model import Fill, plain

FILLS = (
    *("time", "account", "instrument", "side", "quantity", "price", "commission"),
    *("realized_profit", "execution_id", "order_id", "client_order_id", "position_id", "reason"),
)
EQUITY = ("time", "account", "balance", "equity")


class CsvStoreSettings(Settings):
    """The folder of both files; made where it is missing."""

    folder: Path


class CsvStore(Store[CsvStoreSettings]):
    """Appends a line to fills.csv for each execution, and to equity.csv for each equity.

    Times are RFC 3339 UTC. Numbers are plain decimals: quantities in base units, prices in the
    quote currency, money in the account's. What is unknown is empty. Each line is handed to the
    operating system as it is written, so another process reads it at once.
    """

    name = "csv"

    def __init__(self, settings: CsvStoreSettings) -> None:
        super().__init__(settings)
        settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fills, equity = settings.folder / "fills.csv", settings.folder / "equity.csv"
        _mend(fills, FILLS)
        _mend(equity, EQUITY)
        self._fills, self._equity = _Appender(fills, FILLS), _Appender(equity, EQUITY)

    def fill(self, account: str, fill: Fill) -> None:
        """Append an execution to fills.csv."""
        self._fills.append(
            format_time(fill.time),
            account,
            fill.instrument,
            fill.side.value,
            plain(fill.quantity),
            plain(fill.price),
            plain(fill.commission),
            plain(fill.realized_profit),
            fill.execution_id,
            fill.order_id,
            fill.client_order_id or "",
            fill.position_id or "",
            fill.reason or "",
        )

    def equity(self, time: int, account: str, balance: Decimal, equity: Decimal) -> None:
        """Append an account's money to equity.csv."""
        self._equity.append(format_time(time), account, plain(balance), plain(equity))

    def close(self) -> None:
        """Close both files."""
        self._fills.close()
        self._equity.close()


def _mend(path: Path, columns: tuple[str, ...]) -> None:
    """Cut a line that a crash left half written, and refuse a file with other columns."""
    if not path.exists():
        return
    with path.open("r+b") as stream:
        content = stream.read()
        end = content.rfind(b"\n") + 1
        stream.truncate(end)
    header, found = ",".join(columns), content[:end].partition(b"\n")[0].decode(errors="replace")
    if end and found != header:
        raise ConfigError(
            str(path),
            f"it begins with {found[:80]!r}, not with {header!r}",
            "Move it away or choose another folder.",
        )


class _Appender:
    """One file, to whose end lines are added; an empty one gets its header first."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        # Line buffering: a line is in the operating system's hands once it is whole.
        self._stream: TextIO = path.open("a", encoding="utf-8", newline="", buffering=1)
        self._writer = csv.writer(self._stream, lineterminator="\n")
        if not path.stat().st_size:
            self._writer.writerow(columns)

    def append(self, *fields: str) -> None:
        self._writer.writerow(fields)

    def close(self) -> None:
        self._stream.close()
