"""Enrolling agents as it is typed: the token once, errors that name the option and the remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from mtquant.agents.registry import PREFIX, Registry
from mtquant.cli import app, enrolling
from mtquant.cli.init import write
from mtquant.control.reach import Reached
from mtquant.errors import ConfigError, MtquantError

FULL = (
    "--scope read --scope propose --mode semi --instrument EUR/USD --notional 50000 --orders 20"
    " --loss 500 --currency EUR --strategy sma_cross --calls-per-second 5 --by Ann"
)


class Place:
    """A folder with a configuration, the commands in it, and what an engine there is told."""

    def __init__(self, folder: Path) -> None:
        write(folder / "mtquant.toml")
        self.config = folder / "mtquant.toml"
        self.state = folder / "mtquant-state"
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.answer: dict[str, Any] | None = None
        self.refusal = ""

    async def reach(
        self, folder: Path, command: str, arguments: Mapping[str, Any], _: float
    ) -> dict[str, Any] | None:
        assert folder == self.state
        if self.refusal:
            raise Reached(self.refusal)
        self.told.append((command, dict(arguments)))
        return self.answer

    def run(self, words: str) -> Result:
        line = ["agents", *words.split(), "--config", str(self.config)]
        return CliRunner().invoke(app, line)

    def done(self, words: str) -> Result:
        result = self.run(words)
        assert result.exit_code == 0, result.output
        return result

    def refused(self, words: str) -> str:
        result = self.run(words)
        assert isinstance(result.exception, MtquantError), result.output
        return str(result.exception)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setattr(enrolling, "reach", made.reach)
    return made


def test_the_token_alone_is_on_stdout_and_never_again(place: Place) -> None:
    done = place.done(f"add claude {FULL}")
    token = done.stdout.strip()
    assert token.startswith(PREFIX)
    assert "shown this once" in done.stderr
    assert token not in done.stderr
    assert Registry(place.state).of_token(token) is not None
    for words in ("", "--json", "change claude --orders 3"):
        assert token not in place.done(words).output
    assert token not in json.dumps(place.told)


def test_what_is_typed_is_what_it_may(place: Place) -> None:
    place.done(f"add claude {FULL}")
    (row,) = json.loads(place.done("--json").stdout)["agents"]
    assert row == {
        "name": "claude",
        "scopes": ["read", "propose"],
        "mode": "semi",
        "budget": {
            "currency": "EUR",
            "instruments": ["EUR/USD"],
            "notional": "50000",
            "orders": 20,
            "loss": "500",
            "strategies": ["sma_cross"],
            "calls_per_second": 5.0,
        },
        "token": True,
        "used": None,
        "left": None,
    }


def test_what_isnt_given_it_may_not(place: Place) -> None:
    done = place.done("add claude --scope trade --no-token")
    assert done.stdout == ""
    assert "give --instrument, --notional, --orders, --loss" in done.stderr
    (row,) = json.loads(place.done("--json").stdout)["agents"]
    assert (row["mode"], row["token"]) == ("semi", False)
    budget = row["budget"]
    assert (budget["instruments"], budget["notional"], budget["orders"]) == ([], "0", 0)


def test_only_the_options_given_change(place: Place) -> None:
    place.done(f"add claude {FULL}")
    before = Registry(place.state).get("claude")
    place.done("change claude --orders 7 --instrument * --strategy none")
    after = Registry(place.state).get("claude")
    assert before is not None
    assert after is not None
    changed = {"orders": 7, "instruments": ("*",), "strategies": ()}
    assert after == before.model_copy(update={"budget": before.budget.model_copy(update=changed)})


def test_a_new_token_takes_the_place_of_the_old(place: Place) -> None:
    old = place.done("add claude").stdout.strip()
    new = place.done("renew claude").stdout.strip()
    registry = Registry(place.state)
    assert registry.of_token(old) is None
    assert registry.of_token(new) is not None
    place.done("revoke claude")
    assert registry.of_token(new) is None


def test_a_running_engine_is_told_of_every_change_by_whom(place: Place) -> None:
    place.answer = {}
    for words in ("add", "change --orders 1", "renew", "revoke"):
        verb, *rest = words.split()
        place.done(f"{verb} claude {' '.join(rest)} --by Ann")
    assert place.told == [
        ("agents-changed", {"agent": "claude", "change": change, "by": "Ann"})
        for change in ("added", "changed", "renewed", "revoked")
    ]


def test_an_engine_that_refuses_leaves_the_change_done_and_says_so(place: Place) -> None:
    place.refusal = "it hangs"
    done = place.done("add claude")
    assert done.stdout.startswith(PREFIX)
    assert "couldn't note it in its journal: it hangs" in done.stderr
    listed = place.done("")
    assert "claude: may read" in listed.stdout
    assert "it hangs" in listed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("add Bob", r"NAME: 'Bob'.* A small letter"),
        ("add bob --scope reed", r"--scope: 'reed'.* Scopes are read, propose, trade, admin"),
        ("add bob --mode fast", r"--mode: 'fast'.* Modes are"),
        ("add bob --notional lots", r"--notional: 'lots'.* 50000"),
        ("add bob --notional -1", r"--notional: '-1'"),
        ("add bob --notional nan", r"--notional: 'nan'"),
        ("add bob --loss 1e400", r"--loss: '1e400'"),
        ("add bob --orders 1.5", r"--orders: '1.5'.* whole number"),
        ("add bob --currency usd", r"--currency: 'usd'.* USD"),
        ("add bob --calls-per-second 0", r"--calls-per-second: '0'"),
        ("add bob --strategy sma", r"--strategy: no strategy plugin 'sma'.* sma_cross"),
        ("add bob --instrument none --instrument EUR/USD", r"--instrument: 'none' 'EUR/USD'"),
        ("add claude", r"'claude' exists.* change"),
        ("change bob --orders 1", r"NAME: no agent 'bob'. Agents: claude"),
        ("change claude", r"nothing to change is given.* --scope"),
        ("change claude --mode fast", r"--mode: 'fast'"),
        ("renew bob", r"no agent 'bob'. Agents: claude"),
        ("revoke bob", r"no agent 'bob'. Agents: claude"),
    ],
)
def test_a_mistake_names_the_option_its_value_and_the_remedy(
    place: Place, words: str, said: str
) -> None:
    place.done("add claude")
    before = (place.state / "agents.json").read_bytes()
    place.told.clear()
    with pytest.raises(ConfigError, match=said):
        raise ConfigError("", place.refused(words), "")
    assert (place.state / "agents.json").read_bytes() == before
    assert place.told == []


def test_what_was_used_and_what_is_left_is_listed(place: Place) -> None:
    place.done(f"add claude {FULL}")
    used = {"orders": 23, "opened": "12000.50", "held": None, "lost": "-20"}
    place.answer = {"agents": [{"name": "claude", "used": used}]}
    listed = json.loads(place.done("--json").stdout)
    assert listed["engine"]
    assert listed["agents"][0]["used"] == used
    assert listed["agents"][0]["left"] == {
        "orders": 0,
        "opened": "37999.5",
        "held": None,
        "lost": "520",
    }
    text = place.done("").stdout
    assert "orders within 24 hours: 23 of 20, 0 left" in text
    assert "opened within 24 hours: 12,000.50 of 50,000 EUR, 37,999.5 left" in text
    assert "held now: not known now, of 50,000 EUR" in text


def test_without_an_engine_the_budgets_stand_alone(place: Place) -> None:
    place.done(f"add claude {FULL}")
    text = place.done("").stdout
    assert "opens EUR/USD; backtests sma_cross; 5 calls a second" in text
    assert "opened within 24 hours: at most 50,000 EUR" in text
    assert "no engine runs" in text


def test_without_an_agent_it_says_how_to_enrol_one(place: Place) -> None:
    assert "mtquant agents add NAME" in place.done("").stdout
    assert json.loads(place.done("--json").stdout) == {"engine": False, "agents": []}
