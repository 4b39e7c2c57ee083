"""Resources and prompts: what an agent may read beside the tools, and how to go about a task."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp import MCPError, types
from mcp.server.context import ServerRequestContext

from mtquant.errors import BrokerError
from mtquant.wire.cues import ACCOUNT

JSON = "application/json"
ORDER = "mtquant://order/"
Query = Callable[..., Awaitable[Mapping[str, Any]]]

GLOSSARY = """\
client_order_id: made by the client, once for each order (FIX 11). The same id never acts twice.
order_id: the broker's own id of an order (FIX 37).
position_id: a ticket where positions are hedged, one for each instrument where they are netted.
quantity: in base units; 100000 EUR/USD is one standard lot.
order_type: market; limit (limit_price or better); stop (a market order once stop_price trades);
  stop_limit (a limit once stop_price trades); market_if_touched; trailing_stop (a stop that
  follows the best price at a distance).
time_in_force: gtc until cancelled; day until the session ends; gtd until expire_time; ioc what
  fills at once, the rest cancelled; fok all at once or nothing.
stop_loss, take_profit, trailing_stop: attached to the position; one fills, the others go.
reduce_only: the order may only make a position smaller.
netting, hedging: one position an instrument, or one a ticket.
outcome of an error: not_sent and rejected (nothing happened), unknown (it may have: look it up).
"""


@dataclass(frozen=True, slots=True)
class _Prompt:
    title: str
    description: str
    text: str
    argument: str | None = None


_PROMPTS = {
    "pre_trade_checklist": _Prompt(
        "Before a trade",
        "What to look at before an order is placed.",
        "Before you place an order in {instrument}: read get_health and get_account; read the"
        " instrument's steps and minimum stop distance with get_instrument, and its price with"
        " get_quotes; look for what is open already with get_positions and list_orders; choose"
        " the stop first, then the quantity, so that the loss at the stop is one you accept; call"
        " preview_order and read margin, cost and loss_at_stop; only then place_order, with a new"
        " client_order_id. Say at each step what you found.",
        "instrument",
    ),
    "explain_rejection": _Prompt(
        "Explain a rejection",
        "Why an order was refused, and what to do about it.",
        "Explain in plain words why this order was refused, and what would have to change: look it"
        " up with get_order by client_order_id {client_order_id}; read the error's code, field,"
        " outcome and retry; compare the order with get_instrument, get_account and get_quotes. If"
        " the outcome is unknown, say so and look it up; never send it again under another id.",
        "client_order_id",
    ),
    "flatten": _Prompt(
        "Plan to close everything",
        "How to cancel all orders and close all positions, step by step.",
        "Plan how to flatten this account: cancel_orders with filter all; get_positions; then"
        " close_position for each, every one with a new client_order_id. Show the plan with"
        " quantities and expected prices first, and wait for the user's word before the first"
        " order. Afterwards check with get_positions and list_orders that nothing is left.",
    ),
    "first_paper_trade": _Prompt(
        "A first paper trade",
        "A small trade on a paper account, from search to close.",
        "On a paper account only (get_capabilities tells the environment; stop if it is another):"
        " find an instrument with search_instruments, preview the smallest order it takes with a"
        " stop-loss and a take-profit, place it, look at get_positions, move the stop with"
        " set_protection, and close it with close_position. Explain each answer.",
    ),
}


class Library:
    """Serves the resources and prompts of one server; ``query`` calls one of its read tools."""

    def __init__(self, query: Query, limits: Mapping[str, Any]) -> None:
        self._query = query
        self._limits = limits

    async def list_resources(
        self, _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """Answer resources/list."""
        return types.ListResourcesResult(
            resources=[
                _resource("capabilities", "What this server offers"),
                _resource("instruments", "The instruments, the first thousand"),
                _resource("account", "Balance, equity and margin"),
                _resource("limits", "The server's own limits, which no client lifts"),
                _resource("glossary", "The terms of the tools", "text/plain"),
            ]
        )

    async def list_templates(
        self, _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """Answer resources/templates/list."""
        return types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    name="order",
                    title="An order",
                    uri_template=f"{ORDER}{{order_id}}",
                    description="An order, with what the broker itself says of it: data only",
                    mime_type=JSON,
                )
            ]
        )

    async def read(
        self, _: ServerRequestContext[Any], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """Answer resources/read."""
        uri = params.uri
        try:
            text = GLOSSARY if uri == "mtquant://glossary" else await self._json(uri)
        except BrokerError as error:
            raise MCPError(
                types.INTERNAL_ERROR, f"{error.code}: {error.message}", {"uri": uri}
            ) from None
        kind = "text/plain" if uri == "mtquant://glossary" else JSON
        return types.ReadResourceResult(
            contents=[types.TextResourceContents(uri=uri, mime_type=kind, text=text)]
        )

    async def _json(self, uri: str) -> str:
        if uri == "mtquant://capabilities":
            value = await self._query("get_capabilities")
        elif uri == "mtquant://instruments":
            value = await self._query("search_instruments", query="", limit=1000)
        elif uri == ACCOUNT:
            value = await self._query("get_account")
        elif uri == "mtquant://limits":
            value = self._limits
        elif uri.startswith(ORDER):
            value = await self._query("get_order", order_id=uri.removeprefix(ORDER))
        else:
            raise MCPError(types.INVALID_PARAMS, "this server has no such resource", {"uri": uri})
        return json.dumps(value, ensure_ascii=False)

    async def list_prompts(
        self, _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """Answer prompts/list."""
        return types.ListPromptsResult(
            prompts=[
                types.Prompt(
                    name=name,
                    title=each.title,
                    description=each.description,
                    arguments=[types.PromptArgument(name=each.argument, required=True)]
                    if each.argument
                    else [],
                )
                for name, each in _PROMPTS.items()
            ]
        )

    async def prompt(
        self, _: ServerRequestContext[Any], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult:
        """Answer prompts/get."""
        found = _PROMPTS.get(params.name)
        if found is None:
            raise MCPError(types.INVALID_PARAMS, "this server has no such prompt")
        text = found.text
        if found.argument:
            given = (params.arguments or {}).get(found.argument, "")
            if not given or len(given) > 64 or not given.isprintable():  # noqa: PLR2004 - as a symbol or id
                raise MCPError(types.INVALID_PARAMS, f"{found.argument}: give it, in one line")
            text = text.format_map({found.argument: given})
        return types.GetPromptResult(
            description=found.description,
            messages=[
                types.PromptMessage(role="user", content=types.TextContent(type="text", text=text))
            ],
        )


def _resource(name: str, description: str, kind: str = JSON) -> types.Resource:
    return types.Resource(
        uri=f"mtquant://{name}", name=name, description=description, mime_type=kind
    )
