"""What moves the simulator itself and is none of OANDA's: its faults, and a stepped clock."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mtquant.errors import MtquantError
from mtquant_simulators.oanda import market, show
from mtquant_simulators.oanda.answers import Answer
from mtquant_simulators.oanda.asked import body_of, form_of
from mtquant_simulators.oanda.faults import FaultMaker
from mtquant_simulators.oanda.settings import Faults
from mtquant_simulators.oanda.text import RFC3339, Moment, read_moment
from mtquant_simulators.oanda.venue import Venue


def routes(venue: Venue, faults: FaultMaker) -> list[Route]:
    """Return the paths that the venue's settings open: ``/admin/faults``, ``/admin/clock``."""
    found: list[Route] = []
    if venue.settings.admin:
        found.append(Route("/admin/faults", partial(_set_faults, faults), methods=["PUT"]))
    if venue.settings.stepped:
        found.append(Route("/admin/clock", partial(_clock, venue), methods=["GET"]))
        found.append(Route("/admin/clock", partial(_move, venue), methods=["PUT"]))
    return found


async def _set_faults(faults: FaultMaker, request: Request) -> Response:
    try:
        faults.set(Faults.read(await body_of(request), "faults"))
    except MtquantError as error:
        return Answer({"errorMessage": str(error)}, 400).response(RFC3339)
    return Response(status_code=204)


async def _clock(venue: Venue, request: Request) -> Response:
    return Answer(_standing(venue)).response(form_of(request))


async def _move(venue: Venue, request: Request) -> Response:
    """Move time forward; all that it brought about stands in the accounts before it is answered.

    The answer has the prices that are left then, as the stream of prices would tell them, and the
    state of each account, as the account's changes would.
    """
    body = await body_of(request)
    try:
        to = read_moment(str(body.get("time")))
    except ValueError as error:
        problem = f'time: {body.get("time")!r} is {error}; send {{"time": "2026-01-31T09:30:00Z"}}'
        return Answer({"errorMessage": problem}, 400).response(RFC3339)
    venue.advance(to)
    first = next(iter(venue.accounts.values()))
    symbols = venue.names.values()
    prices = [market.priced(first, each, venue.latest(each), units=False) for each in symbols]
    states = {name: show.changes_state(each) for name, each in venue.accounts.items()}
    told = _standing(venue) | {"prices": prices, "states": states}
    return Answer(told).response(form_of(request))


def _standing(venue: Venue) -> dict[str, Any]:
    """Return where the venue stands: its time, and the last transaction of each account."""
    return {
        "clock": venue.settings.clock,
        "time": Moment(venue.time),
        "lastTransactionIDs": {name: each.ledger.last for name, each in venue.accounts.items()},
    }
