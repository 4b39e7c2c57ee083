"""The csv store: what is written stays, once, whole and readable."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mtquant.clock import parse_time
from mtquant.contract import Store
from mtquant.errors import ConfigError
from mtquant.model import Fill, Reason, Side
from mtquant_stores import stores

(CSV,) = stores()
NOON = parse_time("2026-01-05T12:00:00Z")
FILL = Fill(
    execution_id="e1",
    order_id="o1",
    client_order_id="c1",
    instrument="EUR/USD",
    side=Side.BUY,
    quantity=Decimal("10000.0"),
    price=Decimal("1.10"),
    time=NOON + 1_500_000,
    commission=Decimal("0.000000001"),
    realized_profit=Decimal("-12.50"),
    reason=Reason.STOP_LOSS,
)


@contextmanager
def opened(folder: Path) -> Iterator[Store[Any]]:
    store = CSV(CSV.Settings.model_validate({"folder": folder}))
    try:
        yield store
    finally:
        store.close()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_it_appends_fills_and_equity(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with opened(folder) as store:
        store.fill("paper", FILL)
        store.equity(NOON, "paper", Decimal("1E+5"), Decimal("99987.50"))

        assert read(folder / "fills.csv") == [
            {
                "time": "2026-01-05T12:00:00.0015Z",
                "account": "paper",
                "instrument": "EUR/USD",
                "side": "buy",
                "quantity": "10000",
                "price": "1.1",
                "commission": "0.000000001",
                "realized_profit": "-12.5",
                "execution_id": "e1",
                "order_id": "o1",
                "client_order_id": "c1",
                "position_id": "",
                "reason": "stop_loss",
            }
        ], "a reader sees a line at once, before the store is closed"
        assert read(folder / "equity.csv") == [
            {
                "time": "2026-01-05T12:00:00Z",
                "account": "paper",
                "balance": "100000",
                "equity": "99987.5",
            }
        ]


def test_it_survives_reopening(tmp_path: Path) -> None:
    for number in range(3):
        with opened(tmp_path) as store:
            store.fill("paper", replace(FILL, execution_id=f"e{number}"))
            store.equity(NOON + number, "paper", Decimal(1), Decimal(number))

    assert [row["execution_id"] for row in read(tmp_path / "fills.csv")] == ["e0", "e1", "e2"]
    assert [row["equity"] for row in read(tmp_path / "equity.csv")] == ["0", "1", "2"]
    assert (tmp_path / "equity.csv").read_text().count("time,") == 1


@pytest.mark.parametrize("keep", [0, 10, 27])
def test_a_line_torn_by_a_crash_is_cut(tmp_path: Path, keep: int) -> None:
    with opened(tmp_path) as store:
        store.equity(NOON, "paper", Decimal(1), Decimal(1))
    path = tmp_path / "equity.csv"
    whole = path.read_bytes()
    last = b"2026-01-05T13:00:00Z,paper,22,22"
    path.write_bytes(whole + last[:keep])

    with opened(tmp_path):
        assert path.read_bytes() == whole


def test_a_header_torn_by_a_crash_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "equity.csv").write_text("time,acc")

    with opened(tmp_path) as store:
        store.equity(NOON, "paper", Decimal(1), Decimal(2))

    assert [row["equity"] for row in read(tmp_path / "equity.csv")] == ["2"]


def test_a_file_of_other_columns_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "equity.csv"
    path.write_text("date,money\n2020-01-01,5\n")

    with pytest.raises(ConfigError, match=r"equity\.csv: it begins with 'date,money'"):
        CSV(CSV.Settings.model_validate({"folder": tmp_path}))

    assert path.read_text() == "date,money\n2020-01-01,5\n"


def test_a_brokers_text_stays_in_its_column(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        store.fill("paper", replace(FILL, order_id='said "no",forged'))

    assert len((tmp_path / "fills.csv").read_bytes().splitlines()) == 2
    assert read(tmp_path / "fills.csv")[0]["order_id"] == 'said "no",forged'


def test_it_wants_a_folder() -> None:
    with pytest.raises(ValidationError, match="folder"):
        CSV.Settings.model_validate({})
