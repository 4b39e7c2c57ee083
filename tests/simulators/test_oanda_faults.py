"""Limits and faults of the simulated OANDA, over real HTTP."""

from __future__ import annotations

import pytest
import requests
from tests.simulators.desk import HEADERS
from tests.simulators.served import PATIENCE_S, served


def test_an_order_whose_answer_is_lost_was_taken() -> None:
    with served(faults={"next": ("drop_after",)}) as venue:
        with pytest.raises(requests.exceptions.ConnectionError):
            venue.order(clientExtensions={"id": "mine"})
        order = venue.get("/orders/@mine").json()["order"]
        assert order["state"] == "FILLED"
        assert venue.order().status_code == 201


def test_a_server_error_may_come_before_the_order_or_after() -> None:
    with served(faults={"next": ("error_before", "error_after", "none"), "status": 502}) as venue:
        answers = [venue.order(clientExtensions={"id": each}) for each in "abc"]
        assert [each.status_code for each in answers] == [502, 502, 201]
        found = [venue.get(f"/orders/@{each}").status_code for each in "abc"]
        assert found == [404, 200, 200]


def test_faults_are_drawn_from_their_seed() -> None:
    def story(seed: int) -> list[int]:
        with served(faults={"error_before": 0.5, "seed": seed}) as venue:
            return [venue.order().status_code for _ in range(12)]

    assert story(1) == story(1)
    assert set(story(1)) == {201, 503}


def test_faults_can_be_set_while_it_runs_where_that_is_allowed() -> None:
    with served(admin=True) as venue:
        where = f"{venue.url}/admin/faults"
        body = {"next": ["error_after"]}
        assert requests.put(where, json=body, timeout=PATIENCE_S).status_code == 401
        assert (
            requests.put(where, json=body, headers=HEADERS, timeout=PATIENCE_S).status_code == 204
        )
        assert [venue.order().status_code for _ in range(2)] == [503, 201]
        wrong = requests.put(where, json={"drop_after": 2}, headers=HEADERS, timeout=PATIENCE_S)
        assert (wrong.status_code, "drop_after" in wrong.text) == (400, True)
    with served() as venue:
        closed = requests.put(
            f"{venue.url}/admin/faults", json={}, headers=HEADERS, timeout=PATIENCE_S
        )
        assert closed.status_code == 404


def test_too_many_requests_are_refused_until_a_second_has_passed() -> None:
    limits = {"on": True, "requests_per_s": 100}
    with served(limits=limits) as venue, requests.Session() as session:
        session.headers.update(HEADERS)
        where = venue.path("/summary")

        def asked() -> requests.Response:
            return session.get(where, timeout=PATIENCE_S)

        assert [asked().status_code for _ in range(101)] == [200] * 100 + [429]
        assert asked().headers["Retry-After"] == "1"
        venue.step(1)
        assert asked().status_code == 200


def test_too_many_new_connections_are_refused() -> None:
    with served(limits={"on": True}) as venue:
        assert [venue.get("/summary").status_code for _ in range(3)] == [200, 200, 429]
        venue.step(1)
        assert venue.get("/summary").status_code == 200


def test_an_answer_can_be_slow() -> None:
    with (
        served(faults={"slow_s": 600}) as venue,
        pytest.raises(requests.exceptions.ReadTimeout),
    ):
        requests.get(venue.path("/summary"), headers=HEADERS, timeout=0.3)
