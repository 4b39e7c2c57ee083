"""The streams of the simulated OANDA over real HTTP, and what can go wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from tests.simulators.desk import HEADERS, Json
from tests.simulators.served import PATIENCE_S, Served, served
from tests.simulators.spec import spec

MIDS = (1.1, 1.1, 1.101, 1.102, 1.103, 1.104, 1.105, 1.106)


@contextmanager
def lines(venue: Served, path: str, patience_s: float = PATIENCE_S) -> Iterator[Iterator[Json]]:
    """Open a stream; each line is held against the spec."""
    with requests.get(venue.path(path), headers=HEADERS, stream=True, timeout=patience_s) as answer:
        assert answer.status_code == 200
        yield _checked(venue, path, answer)


def _checked(venue: Served, path: str, answer: requests.Response) -> Iterator[Json]:
    where = venue.path(path).removeprefix(f"{venue.url}/v3").partition("?")[0]
    for text in answer.iter_lines(chunk_size=1):
        line = json.loads(text)
        against = spec()
        if against is not None:
            problems = against.check_line("GET", where, line)
            assert not problems, (problems, line)
        yield line


def kinds(stream: Iterator[Json], count: int) -> list[str]:
    return [next(stream)["type"] for _ in range(count)]


def test_prices_come_as_they_become_known_and_heartbeats_between() -> None:
    with served(MIDS) as venue, lines(venue, "/pricing/stream?instruments=EUR_USD") as stream:
        assert next(stream)["bids"][0]["price"] == "1.09990"
        venue.step(120)
        prices = [next(stream) for _ in range(2)]
        assert [each["closeoutBid"] for each in prices] == ["1.09990", "1.10090"]
        assert prices[1]["time"] == "2024-01-03T12:02:00.000000000Z"
        assert next(stream)["type"] == "HEARTBEAT"  # more than five seconds have passed
        venue.step(5)
        assert next(stream) == {"type": "HEARTBEAT", "time": "2024-01-03T12:02:05.000000000Z"}


def test_a_stream_without_a_snapshot_begins_with_a_heartbeat() -> None:
    with (
        served(MIDS) as venue,
        lines(venue, "/pricing/stream?instruments=EUR_USD&snapshot=false") as stream,
    ):
        assert next(stream)["type"] == "HEARTBEAT"


def test_transactions_come_in_their_order_without_a_gap() -> None:
    with served(MIDS) as venue, lines(venue, "/transactions/stream") as stream:
        assert next(stream)["lastTransactionID"] == "3"
        venue.order(takeProfitOnFill={"price": "1.102"})
        made = [next(stream) for _ in range(3)]
        assert [each["id"] for each in made] == ["4", "5", "6"]
        venue.step(300)
        closed = next(stream)
        assert (closed["id"], closed["reason"]) == ("7", "TAKE_PROFIT_ORDER")


def test_at_most_one_price_of_an_instrument_in_the_interval() -> None:
    path = "/pricing/stream?instruments=EUR_USD"
    with served(MIDS, conflate_s=150) as venue, lines(venue, path) as stream:
        next(stream)
        venue.step(300)
        times = [each["time"][14:16] for each in (next(stream), next(stream))]
        assert times == ["03", "05"]  # the newest of those between is kept for the end


def test_a_stream_is_refused_for_what_is_unknown() -> None:
    with served() as venue:
        assert venue.get("/pricing/stream?instruments=EUR_XXX").status_code == 400
        assert venue.get("/pricing/stream").status_code == 400
        venue.account_id = "101-001-1-001"
        assert venue.get("/transactions/stream").status_code == 401


def test_streams_are_limited_and_free_again_when_closed() -> None:
    limits = {"on": True, "connections_per_s": 1000, "streams": 1}
    path = "/transactions/stream"
    with served(limits=limits) as venue:
        with lines(venue, path) as stream:
            next(stream)
            refused = venue.get(path)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        # The venue notices the closed connection when it next writes.
        while venue.get(path, stream=True).status_code == 429:
            venue.step(5)


def test_a_stream_is_cut() -> None:
    with (
        served(MIDS, faults={"cut_stream_after": 2}) as venue,
        lines(venue, "/pricing/stream?instruments=EUR_USD,USD_JPY") as stream,
    ):
        assert len(list(stream)) == 2


def test_a_stream_stays_open_and_says_nothing() -> None:
    path = "/pricing/stream?instruments=EUR_USD"
    with (
        served(MIDS, faults={"silent_stream_after": 1}) as venue,
        lines(venue, path, patience_s=0.5) as stream,
    ):
        next(stream)
        venue.step(120)
        with pytest.raises(requests.exceptions.ConnectionError, match="timed out"):
            next(stream)


def test_heartbeats_can_be_stale() -> None:
    with (
        served(MIDS, faults={"stale_heartbeat_s": 60}) as venue,
        lines(venue, "/transactions/stream") as stream,
    ):
        assert next(stream)["time"] == "2024-01-03T11:59:00.000000000Z"
