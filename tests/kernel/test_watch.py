"""The terminal view, at its smallest: nothing that matters is cut or hidden."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from mtquant.cli import show, watch


def overview(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    held = {
        "account": "paper-a",
        "instrument": "EUR/USD",
        "quantity": "-1000000",
        "average_price": "1.109251",
    }
    return {
        "time": "2026-11-21T06:00:00Z",
        "process_id": 77,
        "stopped": False,
        "accounts": [{"account": "paper-a", "tradable": True, "why": "", "differs": []}],
        "suggestions": [],
        "targets": [{"instrument": "EUR/USD", "direction": 1, "mode": "semi"}],
        "paused": {"GBP/USD": "old"},
        "quotes": [
            {"instrument": name, "bid": "1.10000", "ask": "1.10002"}
            for name in ("EUR/USD", "GBP/USD")
        ],
        "money": [
            {
                "account": "paper-a",
                "equity": "100008.79",
                "breaker": "WARNED",
                "losses": {"day": 0.051, "week": 0.0, "peak": 0.06},
            }
        ],
        "positions": [held] * 9,
        "open_orders": [
            {
                "account": "paper-a",
                "instrument": "EUR/USD",
                "stage": "in_doubt",
                "client_order_id": "x",
            }
        ],
        "log": [{"time": "2026-11-21T06:00:01Z", "level": "alarm", "message": "it hangs"}],
    } | changes


def drawn(seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch, width: int, height: int) -> str:
    out = StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    monkeypatch.setattr(watch, "Console", lambda: console)
    console.print(watch.screen(seen, width, height), end="")
    return out.getvalue()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_it_fits_and_shows_what_matters(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    text = drawn(overview(), monkeypatch, width, height)
    lines = text.splitlines()

    assert len(lines) <= height
    assert all(len(line) <= width for line in lines)
    for word in ("EUR/USD", "1.10002", "long semi", "paused", "100,008.79", "-5.10%", "warned"):
        assert word in text
    assert "in doubt" in text, "an order in doubt isn't hidden by what is merely held"
    assert "06:00:01  it hangs" in text


def test_what_waits_for_a_person_is_said_at_the_foot(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(overview(suggestions=[{"number": 3}]), monkeypatch, 80, 24)

    assert "suggestions wait: 3" in text


def test_an_engine_that_stopped_is_shown_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "STOPPED" in drawn(overview(stopped=True), monkeypatch, 80, 24)


def test_books_that_differ_stand_in_the_first_line(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "EUR/USD: we say 0, they say 3000"
    row = {"account": "paper-a", "tradable": True, "why": "", "differs": [sentence]}
    assert "books differ" not in drawn(overview(), monkeypatch, 140, 30)
    first = drawn(overview(accounts=[row]), monkeypatch, 140, 30).splitlines()[0]
    assert f"paper-a: the books differ: {sentence}" in first


def test_status_says_which_books_differ(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"account": "a", "why": "", "differs": ["EUR/USD: we say 0, they say 3000"]}
    found = {"running": True, "process_id": 7, "time": "now", "accounts": [row | {"endpoints": []}]}
    show._print_status(
        Console(width=140), found | {"routes": {}, "positions": [], "open_orders": []}
    )
    said = capsys.readouterr().out
    assert "a: the books differ: EUR/USD: we say 0, they say 3000; mtquant reconcile" in said
