"""What a server has declared that it offers, held against a request before it is sent."""

from __future__ import annotations

from collections.abc import Iterator

from mtquant.errors import ErrorCode, Outcome, Refused, Retry
from mtquant.model import (
    UNCHANGED,
    Capabilities,
    CloseRequest,
    Feature,
    ModifyRequest,
    OrderRequest,
    OrderType,
    PositionEffect,
    ProtectionRequest,
)

_PROTECTIONS = {
    "stop_loss": Feature.STOP_LOSS,
    "take_profit": Feature.TAKE_PROFIT,
    "trailing_stop": Feature.TRAILING_STOP,
}


def check_offered(request: object, capabilities: Capabilities) -> None:
    """Raise Refused (unsupported, not sent) where ``request`` asks for what isn't declared."""
    if isinstance(request, OrderRequest) and request.order_type not in capabilities.order_types:
        raise _unsupported("order_type", request.order_type, capabilities.order_types)
    if isinstance(request, OrderRequest | ModifyRequest):
        wanted = request.time_in_force
        if wanted is not None and wanted not in capabilities.time_in_force:
            raise _unsupported("time_in_force", wanted, capabilities.time_in_force)
    for field, feature in _features(request):
        if feature not in capabilities.features:
            raise _unsupported(field, feature, capabilities.features)


def _features(request: object) -> Iterator[tuple[str, Feature]]:
    """Return each field of ``request`` that needs a feature."""
    if isinstance(request, OrderRequest | ModifyRequest | ProtectionRequest):
        own = isinstance(request, OrderRequest) and request.order_type is OrderType.TRAILING_STOP
        for field, feature in _PROTECTIONS.items():
            if getattr(request, field) in (None, UNCHANGED) or (own and field == "trailing_stop"):
                continue
            yield field, feature
    if isinstance(request, OrderRequest):
        if request.reduce_only:
            yield "reduce_only", Feature.REDUCE_ONLY
        if request.position_effect is not PositionEffect.AUTO:
            yield "position_effect", Feature.POSITION_EFFECT
        if request.max_slippage is not None:
            yield "max_slippage", Feature.MAX_SLIPPAGE
    if isinstance(request, CloseRequest) and request.quantity is not None:
        yield "quantity", Feature.PARTIAL_CLOSE


def _unsupported(field: str, wanted: str, offered: tuple[str, ...]) -> Refused:
    return Refused(
        ErrorCode.UNSUPPORTED,
        f"{field}: this broker does not offer {wanted}; it offers {', '.join(offered) or 'none'}",
        outcome=Outcome.NOT_SENT,
        retry=Retry.AFTER_FIX,
        field=field,
    )
