"""Every code of OANDA's means one of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mtquant.errors import ErrorCode, Outcome, Refused
from mtquant.model import (
    CloseRequest,
    ModifyRequest,
    OrderRequest,
    ProtectionRequest,
    Reason,
    Timeframe,
)
from mtquant_oanda_server.codes import of_answer, of_cancel, of_reject, table
from mtquant_oanda_server.show_codes import inserted, markdown
from mtquant_oanda_server.words import GRANULARITIES

SPECIFICATION = Path(__file__).parents[3] / "shared/reference/oanda-v20-openapi.json"
FIELDS = {"price", "since"} | {
    name
    for kind in (OrderRequest, ModifyRequest, ProtectionRequest, CloseRequest)
    for name in kind.__dataclass_fields__
}


def enumerated(name: str) -> list[str]:
    if not SPECIFICATION.exists():
        pytest.skip("OANDA's description isn't in this checkout")
    definitions: dict[str, Any] = json.loads(SPECIFICATION.read_text())["definitions"]
    return list(definitions[name]["enum"])


@pytest.mark.parametrize(
    ("name", "part"), [("TransactionRejectReason", "reject"), ("OrderCancelReason", "cancel")]
)
def test_the_table_has_every_code_of_the_description_and_no_other(name: str, part: str) -> None:
    assert sorted(table()[part]) == sorted(enumerated(name))


@pytest.mark.parametrize("reason", list(table()["reject"]))
def test_every_reject_reason_is_a_refusal_with_both_codes(reason: str) -> None:
    code, field = of_reject(reason)
    assert field is None or field in FIELDS
    error = of_answer(
        400,
        {
            "orderRejectTransaction": {"type": "LIMIT_ORDER_REJECT", "rejectReason": reason},
            "errorMessage": "said",
        },
    )
    assert isinstance(error, Refused)
    assert (error.code, error.outcome) == (code, Outcome.REJECTED)
    assert (error.broker_code, error.broker_text) == (reason, "said")
    assert error.field != "price", "a placeholder of the table was told"


@pytest.mark.parametrize("reason", list(table()["cancel"]))
def test_every_reason_of_an_end_is_one_of_ours(reason: str) -> None:
    ended = of_cancel(reason)
    assert ended.reason in Reason
    assert ended.field is None or ended.field in FIELDS


@pytest.mark.parametrize("status", list(table()["http"]))
def test_every_status_is_a_code_and_says_what_is_known(status: str) -> None:
    code, outcome = table()["http"][status]
    assert ErrorCode(code)
    assert Outcome(outcome) is (
        Outcome.UNKNOWN
        if status[0] == "5"
        else Outcome.NOT_SENT
        if status == "429"
        else Outcome.REJECTED
    )


def test_codes_that_are_new_at_oanda_are_told_as_they_are() -> None:
    error = of_answer(400, {"orderRejectTransaction": {"rejectReason": "WHOLLY_NEW"}})
    assert (error.code, error.broker_code) == (ErrorCode.BROKER_REJECTED, "WHOLLY_NEW")
    assert of_cancel("WHOLLY_NEW").reason is Reason.CANCELED_BY_VENUE
    assert of_answer(418, {}).code is ErrorCode.BROKER_REJECTED


def test_the_docs_show_the_table_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs/brokers/oanda.md").read_text(encoding="utf-8")
    assert page == inserted(page), "python -m mtquant_oanda_server.show_codes docs/brokers/oanda.md"
    assert markdown().count("\n| `") == sum(len(part) for part in table().values())


def test_every_granularity_of_oandas_but_weeks_and_months_is_a_timeframe() -> None:
    named = {*enumerated("CandlestickGranularity")} - {"W", "M"}
    assert {*GRANULARITIES.values()} == named
    assert {*Timeframe} - {*GRANULARITIES} == {Timeframe.S1}
