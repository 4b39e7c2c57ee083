"""The ASGI application: v20's paths, each with the function that answers it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mtquant.clock import Clock
from mtquant.contract import Source
from mtquant_simulators.oanda import (
    accounts,
    books,
    control,
    market,
    orders,
    positions,
    trades,
    transactions,
)
from mtquant_simulators.oanda.answers import FORBIDDEN, Answer, Problem
from mtquant_simulators.oanda.asked import Asked, body_of, form_of
from mtquant_simulators.oanda.faults import FaultMaker
from mtquant_simulators.oanda.guard import Guard
from mtquant_simulators.oanda.settings import OandaSettings
from mtquant_simulators.oanda.streams import Streams
from mtquant_simulators.oanda.text import RFC3339
from mtquant_simulators.oanda.venue import Venue, load_source

if TYPE_CHECKING:
    from typing import Any

Handler = Callable[[Asked], Answer]
_ACCOUNT = "/v3/accounts/{account_id}"
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", accounts.details),
    ("GET", "/summary", accounts.summary),
    ("GET", "/instruments", accounts.instruments),
    ("PATCH", "/configuration", accounts.configure),
    ("GET", "/changes", accounts.changes),
    ("GET", "/instruments/{instrument}/candles", market.candles),
    ("GET", "/pricing", market.pricing),
    ("POST", "/orders", orders.create),
    ("GET", "/orders", orders.listed),
    ("GET", "/pendingOrders", orders.pending),
    ("GET", "/orders/{order}", orders.one),
    ("PUT", "/orders/{order}", orders.replace),
    ("PUT", "/orders/{order}/cancel", orders.cancel),
    ("PUT", "/orders/{order}/clientExtensions", orders.extensions),
    ("GET", "/trades", trades.listed),
    ("GET", "/openTrades", trades.opened),
    ("GET", "/trades/{trade}", trades.one),
    ("PUT", "/trades/{trade}/close", trades.close),
    ("PUT", "/trades/{trade}/orders", trades.dependents),
    ("PUT", "/trades/{trade}/clientExtensions", trades.extensions),
    ("GET", "/positions", positions.listed),
    ("GET", "/openPositions", positions.opened),
    ("GET", "/positions/{instrument}", positions.one),
    ("PUT", "/positions/{instrument}/close", positions.close),
    ("GET", "/transactions", transactions.pages),
    ("GET", "/transactions/idrange", transactions.between),
    ("GET", "/transactions/sinceid", transactions.since),
    ("GET", "/transactions/{transaction}", transactions.one),
)

_OF_INSTRUMENTS: dict[str, Handler] = {
    "candles": market.candles,
    "orderBook": books.orders,
    "positionBook": books.positions,
}


class _Guarded(Starlette):
    """Behind a guard that stands before all else: it must reach the server's own connection."""

    guard: Callable[[ASGIApp], ASGIApp]

    def build_middleware_stack(self) -> ASGIApp:
        return self.guard(super().build_middleware_stack())


def application(
    settings: OandaSettings, clock: Clock, source: Source[Any] | None = None
) -> Starlette:
    """Return the venue of ``settings`` on the time of ``clock``.

    ``source`` gives the prices instead of the plugin that the settings name. Raises ConfigError
    or PluginError where the prices can't be had.
    """
    venue = Venue(settings, load_source(settings) if source is None else source, clock)
    faults = FaultMaker(settings.faults)
    streams = Streams(venue, clock, faults)
    routes = [
        Route("/v3/accounts", partial(_listed, venue), methods=["GET"]),
        *(
            Route(f"/v3/instruments/{{instrument}}/{name}", partial(_first, venue, handler))
            for name, handler in _OF_INSTRUMENTS.items()
        ),
        Route(f"{_ACCOUNT}/pricing/stream", streams.pricing, methods=["GET"]),
        Route(f"{_ACCOUNT}/transactions/stream", streams.transactions, methods=["GET"]),
        *(
            Route(_ACCOUNT + path, partial(_handle, venue, handler), methods=[method])
            for method, path, handler in _ROUTES
        ),
    ]
    routes += control.routes(venue, faults)
    app = _Guarded(
        routes=routes, exception_handlers={HTTPException: _http_problem, Problem: _problem}
    )
    app.guard = partial(Guard, settings=settings, clock=clock, faults=faults)
    app.state.venue, app.state.faults = venue, faults
    return app


async def _listed(venue: Venue, request: Request) -> Response:
    ids = [{"id": each, "tags": []} for each in venue.accounts]
    return Answer({"accounts": ids}).response(form_of(request))


async def _first(venue: Venue, handler: Handler, request: Request) -> Response:
    """Answer what needs no account of the client's, with the first one's terms."""
    request.path_params["account_id"] = next(iter(venue.accounts))
    return await _handle(venue, handler, request)


async def _handle(venue: Venue, handler: Handler, request: Request) -> Response:
    form = form_of(request)
    account = venue.accounts.get(request.path_params["account_id"])
    if account is None:
        raise Problem(401, FORBIDDEN)
    body = await body_of(request)
    venue.sync()
    asked = Asked(
        venue=venue,
        account=account,
        path={key: str(each) for key, each in request.path_params.items()},
        query=dict(request.query_params),
        body=body,
        request_id=request.state.request_id,
        url=f"{request.url.scheme}://{request.url.netloc}",
    )
    return handler(asked).response(form)


async def _problem(request: Request, error: Exception) -> Response:
    del request
    return (
        error.answer.response(RFC3339) if isinstance(error, Problem) else Response(status_code=500)
    )


async def _http_problem(request: Request, error: Exception) -> Response:
    """Answer what no path or method fits, as OANDA does: with an errorMessage."""
    del request
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    text = {404: "Not Found", 405: "Method Not Allowed"}.get(status, "Error")
    return Answer({"errorMessage": text}, status, headers).response(RFC3339)
