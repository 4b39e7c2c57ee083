"""What is kept between searches."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.search.scene import invented, prepared

from mtquant.errors import ConfigError, MtquantError
from mtquant.search.parts import Part
from mtquant.search.state import Memory, State, StateFile, about
from mtquant.search.trial import Outcome, Task, with_params

ABOUT = {"prices": "a", "configuration": "b"}
TASK = Task(params=(("fast", 3), ("slow", 8)), part=Part(5, 60))


def whole() -> Outcome:
    return replace(
        invented(TASK),
        figures={"sharpe": 0.1 + 0.2, "sortino": None},
        time=np.array([2**62, 5]),
        equity=np.array([1e5, 0.1]),
        problem="it's \u00fcber",
    )


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_an_outcome_comes_back_to_the_bit(kind: str, tmp_path: Path) -> None:
    state: State = StateFile(tmp_path / "s", ABOUT) if kind == "file" else Memory()
    assert state.get(TASK) is None
    kept = whole()
    state.put(TASK, kept)
    found = state.get(TASK)
    assert found is not None
    assert (found.figures, found.trades, found.problem) == (kept.figures, 40, kept.problem)
    for name in ("daily", "time", "equity"):
        assert np.array_equal(getattr(found, name), getattr(kept, name))
    assert state.get(replace(TASK, part=None)) is None
    assert state.get(replace(TASK, params=(("fast", 3), ("slow", 9)))) is None
    assert state.get(replace(TASK, curve=True)) is None
    assert len(state.tried(TASK.part)) == 1
    assert state.tried(None) == []
    state.close()


def test_a_file_is_there_again_and_the_order_of_parameters_is_no_matter(tmp_path: Path) -> None:
    first = StateFile(tmp_path / "s", ABOUT)
    first.put(TASK, whole())  # and no close: the process was killed
    again = StateFile(tmp_path / "s", dict(reversed(ABOUT.items())))
    assert again.get(replace(TASK, params=TASK.params[::-1])) is not None
    first.close()
    again.close()


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_looks_at_a_test_part_are_counted(kind: str, tmp_path: Path) -> None:
    state: State = StateFile(tmp_path / "s", ABOUT) if kind == "file" else Memory()
    part, other = Part(60, 80), Part(70, 80)
    assert [state.look(part, TASK), state.look(part, TASK), state.look(other, TASK)] == [0, 1, 0]
    state.close()


def test_a_search_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    StateFile(tmp_path / "s", ABOUT).close()
    with pytest.raises(ConfigError, match="other prices"):
        StateFile(tmp_path / "s", ABOUT | {"prices": "c"})
    with pytest.raises(ConfigError, match="other seed"):
        StateFile(tmp_path / "s", ABOUT | {"seed": "1"})


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "s", ABOUT)
    other = sqlite3.connect(tmp_path / "s", isolation_level=None)
    other.execute("DROP TABLE outcomes")
    with pytest.raises(MtquantError, match="can't be written"):
        state.put(TASK, whole())
    other.close()
    state.close()


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("dear diary " * 100)
    with pytest.raises(ConfigError, match="can't be used"):
        StateFile(tmp_path / "text", ABOUT)
    assert (tmp_path / "text").read_text() == "dear diary " * 100
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE diary (day TEXT)")
    other.close()
    with pytest.raises(ConfigError, match="another program"):
        StateFile(tmp_path / "other", ABOUT)
    with pytest.raises(ConfigError, match="can't be opened"):
        StateFile(tmp_path / "no" / "folder", ABOUT)


def test_what_outcomes_depend_on_is_told_apart() -> None:
    base = prepared(bars=60)
    first = about(base, 1, None)
    assert first == about(prepared(bars=60), 1, None)
    others = {
        "prices": about(prepared(bars=60, seed=2), 1, None),
        "configuration": about(with_params(base, (("stop_atr", 3.0),)), 1, None),
        "seed": about(base, 2, None),
        "start": about(base, 1, 5),
    }
    for name, other in others.items():
        assert [each for each in first if first[each] != other[each]] == [name]
