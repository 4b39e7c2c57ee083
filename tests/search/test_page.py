"""The page of a search."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from tests.backtest.statistics_scene import result, trade
from tests.search.scene import here, invented, prepared, wanted

from mtquant.clock import seeded
from mtquant.search.answer import Answer
from mtquant.search.chance import bootstrapped_returns, shuffled_trades
from mtquant.search.finding import Searcher
from mtquant.search.heat import heat_map
from mtquant.search.page import render
from mtquant.search.space import Axis, Space
from mtquant.search.state import Memory
from mtquant.search.trial import Outcome, Task


def answer(bench: Any = invented, **others: Any) -> Answer:  # noqa: ANN401 - a bench, fields
    found = Searcher(here(bench), Memory(), wanted(**others)).find()
    return Answer(prepared=prepared(), by="sharpe", method="grid", seed=0, found=found)


class Tags(HTMLParser):
    """Checks that what is opened is closed, and gathers tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    page = render(answer(), 10)
    tags = read(page)
    assert not [tag for tag, _ in tags.seen if tag in {"script", "link", "img", "iframe"}]
    policy = next(found["content"] for tag, found in tags.seen if found.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; script-src 'none'"
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_luck_stands_beside_the_optimum() -> None:
    whole = answer()
    page = render(whole, 10)
    found = whole.found
    assert found is not None
    assert found.deflated is not None
    assert found.overfit is not None
    assert f"<b>{found.deflated.probability:.3f}</b>" in page
    assert f"<b>{found.overfit.probability:.3f}</b>" in page
    assert "fast=3 slow=8, on all data" in page


def test_chance_is_shown() -> None:
    run = result([101.0, 99.0, 103.0], [trade(3), trade(-1)])
    whole = replace(
        answer(),
        shuffled=shuffled_trades(run, 20, seeded(1)),
        drawn=bootstrapped_returns(run, 20, seeded(1)),
    )
    page = render(whole, 10)
    read(page)
    assert "Trades in another order: drawdown" in page
    assert "Days drawn anew: final equity" in page


def test_what_a_stranger_wrote_is_text() -> None:
    hostile = '<script>alert(1)</script>"&'

    def bench(task: Task) -> Outcome:
        return Outcome(problem=hostile) if dict(task.params)["fast"] == 2 else invented(task)

    page = render(answer(bench), 10)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    read(page)


def test_only_the_best_are_listed_and_a_top_may_be_beyond_them() -> None:
    assert render(answer(), 2).count("class=params") == 2
    assert render(answer(), 99).count("class=params") == 5


def cells(svg: str) -> list[str]:
    return re.findall(r"<g[^>]*>.*?</g>", svg)


def test_a_cell_for_each_combination_and_the_optimum_outlined() -> None:
    found = answer().found
    assert found is not None
    svg, told = heat_map(found)
    assert len(cells(svg)) == 5
    [best] = [cell for cell in cells(svg) if 'class="best"' in cell]
    assert "fast=3 slow=8: sharpe 2.000, 40 trades" in best
    assert 'opacity="1.00"' in best
    assert told.startswith("sharpe by fast and slow; blue")


def test_what_is_no_candidate_is_a_dot() -> None:
    found = answer(
        lambda task: replace(invented(task), trades=0 if dict(task.params)["fast"] == 2 else 40)
    ).found
    assert found is not None
    assert sum('class="none"' in cell for cell in cells(heat_map(found)[0])) == 2


@pytest.mark.parametrize(
    ("axes", "count", "words"),
    [
        ([Axis("fast", (2, 3, 4))], 3, "sharpe by fast; blue"),
        ([Axis("w", ("a", "b"), ordered=False), Axis("fast", (2, 3)), Axis("slow", (5, 8))], 4,
         "the best over the other parameters"),
        ([Axis("fast", tuple(range(100))), Axis("slow", (5,))], 40, "share a cell"),
    ],
)  # fmt: skip
def test_other_numbers_of_parameters(axes: list[Axis], count: int, words: str) -> None:
    def bench(task: Task) -> Outcome:
        params = {"fast": 3, "slow": 8} | dict(task.params)
        return invented(replace(task, params=tuple(params.items())))

    found = answer(bench, space=Space.of(axes)).found
    assert found is not None
    svg, told = heat_map(found)
    assert len(cells(svg)) == count
    assert words in told
    assert not re.search(r'width="-|NaN|inf"', svg)


def test_a_search_of_losses_and_of_nothing_is_drawn() -> None:
    losing = answer(
        lambda task: replace(invented(task), figures={"sharpe": -1.0}, daily=np.zeros(50))
    )
    page = render(losing, 10)
    assert "Deflated Sharpe ratio" in page
    read(page)
    assert render(answer(min_trades=99), 10).count("no candidate") > 1
