"""A person trades: real engine, real servers, the commands as they are typed."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mtquant.cli import app
from mtquant.clock import SystemClock
from mtquant.errors import MtquantError
from mtquant.journal import Journal

pytestmark = pytest.mark.slow  # real processes, or days of prices

MTQUANT = [sys.executable, "-c", "from mtquant.cli import main; main()"]
CONFIG = """
[engine]
state_dir = "state"
on_stop = "keep"
dead_man_s = 0
[market]
timeframe = "S1"
poll_s = 0.1
[brokers.a]
plugin = "paper"
clock = "real"
rebase = true
history = 200
symbols = ["EUR/USD", "USD/JPY"]
spelling = { suffix = ".a" }
quantity_min = "1000"
quantity_step = "1000"
prices = { plugin = "walk", timeframe = "S1", bars = 5000 }
[brokers.b]
plugin = "paper"
clock = "real"
rebase = true
history = 200
symbols = ["EUR/USD"]
spelling = { separator = "_" }
prices = { plugin = "walk", timeframe = "S1", bars = 5000 }
[strategies.hold]
plugin = "buy_and_hold"
symbols = ["USD/JPY"]
mode = "semi"
stop_atr = 50.0
[risk]
sizer = { plugin = "fixed_quantity", quantity = "1000" }
[risk.checks]
stale_price = { max_age_s = 30 }
[approval]
max_drift = "0.5"
"""


class Desk:
    """A folder with a configuration, and the command in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mtquant.toml").write_text(CONFIG)
        self.engine: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.engine = subprocess.Popen(
            [*MTQUANT, "run"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.engine.stderr is not None
        for line in self.engine.stderr:
            if "suggestion 1" in line or "suggestions wait" in line:
                return
        self.engine.wait(timeout=10)
        raise AssertionError("the engine ended")

    def stop(self) -> str:
        assert self.engine is not None
        self.engine.send_signal(signal.SIGTERM)
        out, _ = self.engine.communicate(timeout=30)
        self.engine = None
        return out

    def run(self, *words: str) -> Result:
        place = ["--config", str(self.folder / "mtquant.toml")]
        return CliRunner().invoke(app, [*words, *place])

    def json(self, *words: str) -> Any:  # noqa: ANN401 - whatever the command says
        done = self.run(*words, "--json")
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return json.loads(done.stdout)

    def refused(self, *words: str) -> str:
        done = self.run(*words)
        assert isinstance(done.exception, MtquantError), done.output
        return str(done.exception)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.start()
    yield made
    if made.engine is not None:
        made.engine.kill()
        made.engine.communicate(timeout=30)


def test_an_order_is_filled_seen_protected_and_closed(desk: Desk) -> None:
    bought = desk.json(
        "order", "buy", "EUR/USD", "10000", "--stop-loss", "0.5", "--take-profit", "2.5"
    )
    assert (bought["status"], bought["account"]) == ("filled", "a")
    (held,) = desk.json("positions")["positions"]
    assert (held["instrument"], held["quantity"], held["stop_loss"]) == ("EUR/USD", "10000", "0.5")
    assert held["strategies_hold"] == "0"

    changed = desk.json("modify", "EUR/USD", "--stop-loss", "0.6", "--take-profit", "none")
    assert (changed["stop_loss"], changed["take_profit"]) == ("0.6", None)
    part = desk.json("close", "EUR/USD", "--quantity", "4000")
    assert part["closed"][0]["filled_quantity"] == "4000"
    done = desk.run("close", "EUR/USD")
    assert done.exit_code == 0
    assert "filled, sell 6,000 EUR/USD" in done.output
    assert desk.json("positions")["positions"] == []


def test_a_limit_order_rests_is_changed_and_cancelled(desk: Desk) -> None:
    words = ("order", "buy", "EUR/USD", "5000", "--limit", "0.5", "--broker", "b")
    placed = desk.json(*words)
    assert placed["status"] == "new"

    (order,) = desk.json("orders", "--broker", "b")["orders"]
    assert (order["instrument"], order["limit_price"]) == ("EUR/USD", "0.5")
    assert desk.json("modify", placed["order_id"], "--limit", "0.55")["limit_price"] == "0.55"
    smaller = desk.json("modify", placed["client_order_id"], "--quantity", "2000")
    assert smaller["quantity"] == "2000"
    assert "place another order" in desk.refused("modify", placed["order_id"], "--quantity", "9000")
    (gone,) = desk.json("cancel", placed["order_id"])["canceled"]
    assert gone["status"] == "canceled"


def test_cancelling_everything_leaves_what_protects(desk: Desk) -> None:
    desk.json("order", "buy", "EUR/USD", "1000", "--stop-loss", "0.5", "--broker", "b")
    desk.json("order", "buy", "EUR/USD", "2000", "--limit", "0.5", "--broker", "b")

    found = desk.json("cancel", "--all", "--broker", "b")

    assert len(found["canceled"]) == 1
    assert found["protections_kept"] == 1
    (held,) = desk.json("positions", "--broker", "b")["positions"]
    assert held["stop_loss"] == "0.5"
    desk.json("close", "EUR/USD", "--broker", "b")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("order", "buy", "EUR/USD", "1500"), "off_step"),
        (("order", "buy", "EUR/USD", "1000", "--stop-loss", "2.5"), "invalid_stop"),
        (("order", "buy", "EUR/USD", "50000000"), "order_size"),
        (("order", "buy", "EUR/USD", "1000000"), "order_notional"),
        (("order", "sell", "EUR/USD", "1000", "--limit", "0.5"), "price_collar"),
    ],
)
def test_what_the_gate_refuses_is_told_with_its_code_and_nothing_is_sent(
    desk: Desk, words: tuple[str, ...], code: str
) -> None:
    done = desk.run(*words)

    assert done.exit_code == 1
    assert f"vetoed at a ({code})" in done.output
    assert desk.json("orders")["orders"] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("order", "hold", "EUR/USD", "1000"), "side: 'hold': Input should be 'buy' or 'sell'"),
        (("order", "buy", "EUR/USD", "many"), "quantity: 'many'"),
        (("order", "buy", "EUR/USD", "0"), "quantity: 0: Input should be greater than 0"),
        (("order", "buy", "EUR/USX", "1000"), "no instrument 'EUR/USX'; did you mean EUR/USD"),
        (("order", "buy", "EUR/USD", "1000", "--broker", "c"), "no broker 'c'. Brokers: a, b"),
        (("close", "USD/CHF"), "no open position in 'USD/CHF'"),
        (("cancel", "O77"), "no working order 'O77'"),
        (("cancel",), "Name one order, or --all"),
        (("modify", "O77", "--limit", "1"), "'O77' is no working order or open position"),
        (("mode", "nobody", "semi"), "no strategy 'nobody'. Configured: hold"),
        (("mode", "hold", "half"), "mode: 'half'"),
        (("reject", "99", "--why", "x"), "suggestion 99 does not exist"),
    ],
)
def test_a_mistake_is_told_by_name_with_the_remedy(
    desk: Desk, words: tuple[str, ...], message: str
) -> None:
    assert message in desk.refused(*words)


def test_the_gate_is_asked_without_sending_anything(desk: Desk) -> None:
    passed = desk.run("risk", "check", "buy", "EUR/USD", "7000", "--by", "ann")
    assert passed.exit_code == 0, passed.output
    assert "nothing was sent" in passed.output
    refused = desk.json("risk", "check", "buy", "EUR/USD", "50000000")
    assert (refused["approved"], refused["code"]) == (False, "order_size")
    assert [each["verdict"] for each in refused["findings"]][-1] == "vetoed"

    assert desk.json("positions")["positions"] == []
    assert desk.json("orders")["orders"] == []


def test_an_order_is_explained_with_every_verdict(desk: Desk) -> None:
    sent = desk.json("order", "buy", "EUR/USD", "3000", "--by", "ann")
    desk.json("close", "EUR/USD")

    by_ours = desk.json("risk", "explain", sent["client_order_id"])
    by_theirs = desk.json("risk", "explain", sent["order_id"], "--broker", "a")

    assert by_ours == by_theirs
    assert by_ours["verdict"]["signal"]["strategy_id"] == "ann"
    asked = [each["check"] for each in by_ours["verdict"]["findings"]]
    assert {"margin", "throttle", "spread", "duplicate"} <= set(asked)
    assert by_ours["events"][-1]["status"] == "filled"
    shown = desk.run("risk", "explain", sent["client_order_id"]).output
    assert "ann: ann orders" in shown
    assert "approved at a: buy 3,000 EUR/USD" in shown
    assert "the journal knows no 'O999'" in desk.refused("risk", "explain", "O999")


def test_the_accounts_of_all_brokers_are_shown(desk: Desk) -> None:
    rows = desk.json("account")["accounts"]

    assert [(row["account"], row["currency"], row["environment"]) for row in rows] == [
        ("a", "USD", "paper"),
        ("b", "USD", "paper"),
    ]
    assert "NORMAL" in desk.run("account", "--broker", "a").output


def test_the_books_are_compared_and_no_order_is_in_doubt(desk: Desk) -> None:
    done = desk.run("reconcile")

    assert done.exit_code == 0, done.output
    assert "a: the books agree" in done.output
    assert desk.json("orders", "--in-doubt")["in_doubt"] == []
    assert "no order is in doubt" in desk.run("orders", "--in-doubt").output
    accept = ("reconcile", "--accept", "--why", "a test")
    assert "Name one account with --broker: a, b" in desk.refused(*accept)
    assert "nothing differs at b" in desk.refused(*accept, "--broker", "b")
    assert "reconcile.why: is missing" in desk.refused("reconcile", "--accept", "--broker", "b")
    assert "reconcile.why: is missing" in desk.refused("reconcile", "--settle", "c1")
    settle = desk.refused("reconcile", "--settle", "c1", "--why", "a test")
    assert "reconcile.settle: no order 'c1' is in doubt. In doubt: none." in settle


@pytest.mark.slow
def test_books_that_differ_are_accepted_by_name_and_stay_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.json("order", "buy", "EUR/USD", "5000", "--broker", "a")
    journal = Journal(tmp_path / "state", SystemClock())
    (made,) = journal.entries("fill")
    again = made.body | {"fill": made.body["fill"] | {"execution_id": "never"}}
    journal.append("fill", again, durable=True)
    journal.close()

    done = desk.run("reconcile")
    assert done.exit_code == 1
    assert "a: the books DIFFER" in done.output
    assert "b: the books agree" in done.output
    assert "EUR/USD" in desk.run("todo").output

    words = ("reconcile", "--broker", "a", "--accept", "--why", "a test", "--by", "ann")
    accepted = desk.run(*words)
    assert accepted.exit_code == 0, accepted.output
    assert "accepted: EUR/USD: we say 10000, they say 5000" in accepted.output
    assert desk.run("reconcile").exit_code == 0, "after a restart, too"


def test_a_running_engine_is_watched(desk: Desk) -> None:
    looks = (desk.run("watch", "--once").output for _ in range(50))
    shown = next((each for each in looks if "EUR/USD" in each), "")  # its first prices may come

    assert "EUR/USD" in shown
    assert "running, process" in shown


def test_a_second_engine_is_refused_with_the_process_of_the_first(desk: Desk) -> None:
    assert desk.engine is not None
    done = subprocess.run(
        [*MTQUANT, "run"],
        cwd=desk.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert f"another engine (process {desk.engine.pid}) is using this journal" in done.stderr


@pytest.mark.slow
def test_an_id_that_two_brokers_gave_is_not_guessed(tmp_path: Path) -> None:
    """Each numbers its own orders, so the first of both has the same id."""
    desk = Desk(tmp_path)
    desk.start()
    words = ("order", "buy", "EUR/USD", "2000", "--limit", "0.5", "--broker")
    same, again = (desk.json(*words, broker)["order_id"] for broker in ("a", "b"))
    assert same == again

    assert f"'{same}' is an order at a and b" in desk.refused("cancel", same)
    assert f"'{same}' is an order at a and b" in desk.refused("modify", same, "--limit", "0.6")
    assert f"'{same}' is an order at a and b" in desk.refused("risk", "explain", same)
    (gone,) = desk.json("cancel", same, "--broker", "b")["canceled"]
    assert gone["account"] == "b"
    desk.stop()


@pytest.mark.slow
def test_an_emergency_stop_cancels_closes_lasts_and_is_ended_by_name(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.start()
    desk.json("order", "buy", "EUR/USD", "5000", "--stop-loss", "0.5")
    desk.json("order", "buy", "EUR/USD", "2000", "--limit", "0.5", "--broker", "b")

    halted = desk.json("halt", "--flatten", "--why", "a drill", "--by", "ann")

    assert halted["failed"] == []
    assert desk.json("positions")["positions"] == []
    assert desk.json("orders")["orders"] == []
    refused = desk.json("order", "buy", "EUR/USD", "1000")
    assert (refused["approved"], refused["code"]) == (False, "trading_halted")
    assert "HALTED by ann: a drill" in desk.run("watch", "--once").output
    desk.stop()
    after = desk.json("order", "buy", "EUR/USD", "1000")
    assert after["code"] == "trading_halted", "it lasts over restarts"
    assert desk.run("todo").exit_code == 1
    assert desk.run("resume", "--why", "the drill is over").exit_code == 0
    assert desk.json("order", "buy", "EUR/USD", "1000")["status"] == "filled"
    assert "nothing is halted" in desk.refused("resume", "--why", "again")


@pytest.mark.slow
def test_a_file_called_halt_stops_everything(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.start()
    (tmp_path / "state" / "HALT").touch()
    assert desk.engine is not None
    assert desk.engine.stderr is not None
    for line in desk.engine.stderr:
        if "HALTED by file" in line:
            break

    assert desk.json("order", "buy", "EUR/USD", "1000")["code"] == "trading_halted"
    desk.stop()


@pytest.mark.slow
def test_a_suggestion_survives_a_restart_and_is_approved_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.start()
    (waiting,) = desk.json("suggestions")["suggestions"]
    assert (waiting["instrument"], waiting["strategy"]) == ("USD/JPY", "hold")
    assert desk.run("todo").exit_code == 1
    desk.stop()
    desk.start()
    (again,) = desk.json("suggestions")["suggestions"]
    assert again == waiting

    wrong = desk.run("approve", "1", "--digest", "0" * 16)

    assert wrong.exit_code == 1
    assert "not what is suggested" in wrong.output
    desk.stop()


@pytest.mark.slow
def test_an_approved_order_is_sent_with_its_stop_and_closed_on_request(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.start()
    done = desk.run("approve", "1", "--by", "ann")
    assert done.exit_code == 0, done.output
    (held,) = desk.json("positions")["positions"]
    assert held["stop_loss"] is not None
    assert held["strategies_hold"] == held["quantity"]
    assert "approved by ann" in desk.refused("approve", "1")

    assert desk.run("stop", "--close").exit_code == 0
    assert desk.engine is not None
    out, _ = desk.engine.communicate(timeout=30)
    assert "flat" in out
    assert desk.json("positions")["positions"] == [], "asked without an engine"


@pytest.mark.slow
def test_without_an_engine_a_command_starts_one_for_itself_that_pursues_nothing(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)

    assert desk.json("suggestions")["suggestions"] == []
    assert desk.json("order", "buy", "EUR/USD", "1000")["status"] == "filled"
    assert len(desk.json("positions")["positions"]) == 1
    assert desk.json("mode", "hold", "auto", "--by", "ann")["mode"] == "auto"
    assert desk.json("suggestions")["suggestions"] == []


@pytest.mark.slow
def test_an_engine_that_is_killed_is_told_of_by_its_watcher(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    text = CONFIG.replace("dead_man_s = 0", "dead_man_s = 5")
    file = tmp_path / "told.log"
    text += f'[notifiers.file]\npath = "{file}"\n'
    (tmp_path / "mtquant.toml").write_text(text)
    desk.start()
    assert desk.engine is not None
    assert desk.engine.stderr is not None
    os.kill(desk.engine.pid, signal.SIGKILL)

    said = desk.engine.stderr.read()  # until the watcher, which holds it too, has ended

    assert "died without stopping" in said
    assert "died without stopping" in file.read_text()
    desk.engine.communicate(timeout=30)


@pytest.mark.slow
def test_ctrl_c_asks_and_closes_what_the_strategies_hold(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    text = CONFIG.replace('on_stop = "keep"', 'on_stop = "ask"').replace('mode = "semi"', "")
    (tmp_path / "mtquant.toml").write_text(text)
    keyboard, terminal = pty.openpty()
    engine = subprocess.Popen(
        [*MTQUANT, "run"],
        cwd=tmp_path,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert engine.stderr is not None
        for line in engine.stderr:
            if "filled" in line:
                break
        assert len(desk.json("positions")["positions"]) == 1
        engine.send_signal(signal.SIGINT)
        os.write(keyboard, b"c\n")
        out, told = engine.communicate(timeout=30)
    finally:
        engine.kill()
        os.close(keyboard)
        os.close(terminal)

    assert "[c]lose what the strategies hold" in out
    assert "closing USD/JPY: filled" in told
    assert "a: balance" in out
    assert "flat" in out


@pytest.mark.slow
def test_bars_are_built_from_quotes_where_the_configuration_says_so(tmp_path: Path) -> None:
    text = CONFIG.replace(
        'timeframe = "S1"\npoll_s', 'timeframe = "S1"\nbars = "quotes"\npoll_s', 1
    )
    text = text.replace('plugin = "buy_and_hold"', 'plugin = "sma_cross"\nfast = 2\nslow = 3')
    desk = Desk(tmp_path)
    (tmp_path / "mtquant.toml").write_text(text)
    desk.start()
    desk.stop()

    done = CliRunner().invoke(
        app, ["log", "--kind", "signal", "--json", "--config", str(tmp_path / "mtquant.toml")]
    )

    signals = [json.loads(line) for line in done.stdout.splitlines()]
    assert {each["instrument"] for each in signals} == {"USD/JPY"}
    assert all("SMA(2)" in each["reason"] for each in signals)
