"""schemathesis makes requests out of OANDA's description, right and wrong ones: none is a 500.

Where the description says nothing (an order request is any object in it) the tightened one is used.
Some ids and instruments are replaced by such as exist, or all would end at the first check. The
streams are left out, which never end.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.simulators.desk import HEADERS, NETTING, Desk
from tests.simulators.served import Served, served
from tests.simulators.spec import MISSING, NOT_OFFERED, PATH, UNREADABLE, spec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PATH.is_file(), reason=MISSING),
    pytest.mark.filterwarnings("ignore"),  # of schemathesis and what it uses
    pytest.mark.timeout(600),
]
EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "20"))
ORDERS = (
    "MarketOrderRequest",
    "LimitOrderRequest",
    "StopOrderRequest",
    "MarketIfTouchedOrderRequest",
    "TakeProfitOrderRequest",
    "StopLossOrderRequest",
    "TrailingStopLossOrderRequest",
)
KNOWN = {
    "accountID": (NETTING,),
    "instrument": ("EUR_USD", "USD_JPY"),
    "orderSpecifier": ("6", "7", "@mine", "999"),
    "tradeSpecifier": ("5", "@trade", "999"),
    "transactionID": ("1", "5", "999"),
    "instruments": ("EUR_USD", "EUR_USD,USD_JPY", "XXX"),
    "granularity": ("S5", "M1", "H4", "D", "W", "M"),
}
FIELDS = {
    "instrument": ("EUR_USD", "USD_JPY", "XXX"),
    "units": ("1", "-1", "100", "0", "1.5", "1e5", "99999999999999999999"),
    "price": ("1.1", "1.0", "1.2", "0", "-1", "1.123456", "150.5"),
    "priceBound": ("1.2", "1.0", "0"),
    "distance": ("0.01", "0.00001", "0", "-1", "9"),
    "tradeID": ("5", "999"),
    "gtdTime": ("2024-01-03T13:00:00Z", "1704286800", "2020-01-01T00:00:00Z", "soon"),
    "type": ("MARKET", "LIMIT", "STOP", "MARKET_IF_TOUCHED", "TAKE_PROFIT", "STOP_LOSS"),
}
"""What fields of a body are replaced by now and then, at any depth."""


def operations() -> list[str]:
    against = spec()
    if against is None:
        return []
    streams = {each for each in against.known_operations if each.endswith("/stream")}
    return sorted(against.known_operations - NOT_OFFERED - streams)


def description() -> dict[str, Any]:
    raw: dict[str, Any] = copy.deepcopy(json.loads(PATH.read_text()))
    of = [{"$ref": f"#/definitions/{each}"} for each in ORDERS]
    raw["definitions"]["OrderRequest"] = {"anyOf": of}
    for methods in raw["paths"].values():
        for operation in methods.values():
            if isinstance(operation, dict):
                for status in ("400", "401"):
                    operation["responses"].setdefault(status, {"$ref": UNREADABLE})
    return raw


@pytest.fixture(scope="module")
def loaded() -> Any:  # noqa: ANN401 - schemathesis's schema
    return schemathesis.openapi.from_dict(description())


@pytest.fixture(scope="module")
def venue() -> Iterator[Served]:
    with served((1.1,) * 2000) as made:
        made.step(300)
        made.order(tradeClientExtensions={"id": "trade"})
        waiting = {"type": "LIMIT", "price": "1.0"}
        made.order(**waiting)
        made.order(**waiting, clientExtensions={"id": "mine"})
        yield made


def _replaced(value: object, draw: Callable[[Any], Any]) -> object:
    if isinstance(value, dict):
        return {
            key: draw(st.sampled_from(FIELDS[key]))
            if key in FIELDS and draw(st.booleans())
            else _replaced(each, draw)
            for key, each in value.items()
        }
    return value


@pytest.mark.parametrize("name", operations())
def test_whatever_is_asked_is_answered_as_described(
    loaded: Any,  # noqa: ANN401 - schemathesis's schema
    venue: Served,
    name: str,
) -> None:
    method, path = name.split(" ")
    operation = loaded[path][method]

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), data=st.data())
    def answered(case: Any, data: st.DataObject) -> None:  # noqa: ANN401 - schemathesis's case
        for part in (case.path_parameters, case.query):
            for key in part or {}:
                if key in KNOWN and data.draw(st.integers(0, 9)):
                    part[key] = data.draw(st.sampled_from(KNOWN[key]))
        if isinstance(case.body, dict):
            case.body = _replaced(case.body, data.draw)
        case.headers = dict(HEADERS)
        answer = case.call(base_url=f"{venue.url}/v3")
        assert answer.status_code < 500, answer.text
        case.validate_response(
            answer,
            checks=[
                schemathesis.checks.not_a_server_error,
                schemathesis.checks.CHECKS.get_one("status_code_conformance"),
                schemathesis.checks.CHECKS.get_one("response_schema_conformance"),
            ],
        )
        against = spec()
        assert against is not None
        where = str(answer.request.url).removeprefix(f"{venue.url}/v3").partition("?")[0]
        if against.find(method, where) is not None:
            problems = against.check_answer(method, where, answer.status_code, answer.json())
            assert not problems, (problems, answer.json())

    answered()


def test_the_account_is_whole_after_all_that() -> None:
    """What can't be asked for through schemathesis: that ids stay gapless under wrong requests."""
    desk = Desk()
    for units in ("1", "0", "1.5", "99999999999"):
        desk.order(201 if units == "1" else 400, units=units)
    assert [each["id"] for each in desk.since(0)] == [str(n) for n in range(1, 9)]
