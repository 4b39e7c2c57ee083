"""``BrokerContract`` under pytest, as a stranger writes it; and what a run does when it is hurt."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.kernel.wrong_brokers import Good

from mtquant.contract import Endpoint
from mtquant.errors import Refused
from mtquant.model import Account, Environment, OrderRequest, OrderType, Side
from mtquant.testing import all_cases, near, run, wire
from mtquant.testing.run import Outcome

CASES = {each.number: each for each in all_cases()}
ROOT = Path(__file__).parents[2]
MODULE = """
from mtquant.testing import BrokerContract
from tests.kernel.wrong_brokers import {name}


class TestMine(BrokerContract):
    def broker(self):
        return {name}()
"""
SERVER = """
import os

import anyio

from mtquant.wire import run_stdio, serve
from tests.kernel.wrong_brokers import Good


class Fragile(Good):
    async def get_order(self, order_id=None, client_order_id=None):
        if order_id and "/" in order_id:
            os._exit(1)
        return await super().get_order(order_id, client_order_id)


anyio.run(run_stdio, serve(Fragile()))
"""


def under_pytest(text: str, folder: Path, *options: str) -> str:
    """Return what pytest says of a test module."""
    module = folder / "test_mine.py"
    module.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run(
        [*command, str(module)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    return done.stdout


@pytest.mark.parametrize(
    ("imported", "left_out"), [("mtquant", "mtquant.testing"), ("mtquant.testing", "pytest")]
)
def test_who_does_not_run_the_kit_does_not_pay_for_it(imported: str, left_out: str) -> None:
    code = f"import sys, {imported}; sys.exit({left_out!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
def test_a_strangers_module_tells_what_is_wrong(tmp_path: Path) -> None:
    told = under_pytest(MODULE.format(name="CancelsWhenSent"), tmp_path)
    failed = {line.split("[")[1][:7] for line in told.splitlines() if line.startswith("FAILED")}
    assert "ORD-006" in failed
    assert "ORD-001" not in failed
    assert "expected canceled, looked up; got new" in told


@pytest.mark.slow
def test_a_module_that_names_no_broker_is_an_error_not_a_skip(tmp_path: Path) -> None:
    text = MODULE.format(name="Good").partition("    def broker")[0] + "    pass\n"
    assert "overrides neither broker() nor endpoint()" in under_pytest(text, tmp_path)


@pytest.mark.slow
def test_a_case_that_kills_the_server_fails_alone(tmp_path: Path) -> None:
    script = tmp_path / "fragile.py"
    script.write_text(SERVER, encoding="utf-8")
    at = Endpoint(command=(sys.executable, str(script)), environment={"PYTHONPATH": str(ROOT)})
    numbers = ("HST-032", "HST-033", "HST-034", "ORD-001")
    done = anyio.run(run, wire(at), [CASES[each] for each in numbers])
    failed = {each.case.number: each.why for each in done.results if each.outcome is Outcome.FAILED}
    assert set(failed) == {"HST-033"}
    assert "a dead connection" in failed["HST-033"]


def test_what_a_case_cannot_tidy_up_is_its_failure(tmp_path: Path) -> None:
    class ClosesNothing(Good):
        async def close_position(self, _: object) -> None:  # type: ignore[override]
            raise Refused("market_closed", "closed for good")

    done = anyio.run(run, near(ClosesNothing, tmp_path), [CASES["CAP-001"], CASES["ORD-001"]])
    assert [each.outcome for each in done.results] == [Outcome.PASSED, Outcome.FAILED]
    assert "the account can't be left flat" in done.results[1].why


def test_the_cause_is_told_not_the_tidying_after_it(tmp_path: Path) -> None:
    class Both(Good):
        async def close_position(self, _: object) -> None:  # type: ignore[override]
            raise Refused("market_closed", "closed for good")

        async def place_order(self, order: OrderRequest) -> None:  # type: ignore[override]
            report = await super().place_order(order)
            return replace(report, side=Side.SELL)  # type: ignore[return-value]

    done = anyio.run(run, near(Both, tmp_path), [CASES["ORD-001"]])
    assert "expected side buy" in done.results[0].why


def test_an_account_that_is_live_is_not_traded_whatever_the_capabilities_say(
    tmp_path: Path,
) -> None:
    sent: list[OrderRequest] = []

    class SaysPaper(Good):
        async def get_account(self, account_id: str | None = None) -> Account:
            account = await super().get_account(account_id)
            return replace(account, environment=Environment.LIVE)

        async def place_order(self, order: OrderRequest) -> None:  # type: ignore[override]
            sent.append(order)

    with pytest.raises(Refused, match="live"):
        anyio.run(run, near(SaysPaper, tmp_path))
    assert sent == []


def test_an_account_that_cannot_be_read_counts_as_live(tmp_path: Path) -> None:
    class Silent(Good):
        async def get_account(self, _: str | None = None) -> Account:
            raise Refused("not_connected", "no answer")

    with pytest.raises(Refused, match="unknown counts as live"):
        anyio.run(run, near(Silent, tmp_path))


def test_an_account_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    class Used(Good):
        def __init__(self) -> None:
            super().__init__()
            self.sync()
            order = OrderRequest(
                client_order_id="theirs",
                instrument="EUR/USD",
                side=Side.BUY,
                order_type=OrderType.MARKET,
                quantity=self.exchange.instruments["EUR/USD"].quantity_min,
            )
            with self.command():
                self.exchange.place(order, self.now())

    with pytest.raises(Refused, match="holds 1 positions"):
        anyio.run(run, near(Used, tmp_path))
