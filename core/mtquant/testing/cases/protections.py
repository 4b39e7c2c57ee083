"""PRT: what protects a position."""

from __future__ import annotations

from decimal import Decimal

from mtquant.errors import ErrorCode
from mtquant.model import Position, ProtectionRequest, Reason
from mtquant.testing.bench import FAR, NEAR, Bench, expect
from mtquant.testing.case import Skipped, case
from mtquant.testing.cases.orders import STEP_S, STEPS

_SET = ("tool:set_protection", "type:market")
_BOTH = ("feature:stop_loss", "feature:take_profit")


async def protected(bench: Bench) -> tuple[Position, Decimal, Decimal]:
    """Return a bought position with its stop-loss and its take-profit."""
    quote = await bench.quote()
    stop, target = bench.on_grid(quote.bid * (1 - FAR)), bench.on_grid(quote.ask * (1 + FAR))
    await bench.bought(stop_loss=stop, take_profit=target)
    position = await bench.position()
    return position, stop, target


@case(
    "PRT-001",
    "A stop-loss and a take-profit come with the order and stand at the position",
    "type:market",
    *_BOTH,
)
async def attached(bench: Bench) -> None:
    """Attach both at the venue in the order itself, and report them with the position."""
    position, stop, target = await protected(bench)
    got = (position.stop_loss, position.take_profit)
    expect(got == (stop, target), (stop, target), got)


@case("PRT-002", "A stop-loss is moved, and the take-profit stays", *_SET, *_BOTH)
async def moves(bench: Bench) -> None:
    """Send the present values of what the change leaves out."""
    position, stop, target = await protected(bench)
    nearer = bench.on_grid(stop * (1 + NEAR))
    changed = await bench.remote.set_protection(
        ProtectionRequest(
            client_order_id=bench.new_id(), position_id=position.position_id, stop_loss=nearer
        )
    )
    expect(changed.stop_loss == nearer, nearer, changed.stop_loss)
    expect(
        changed.take_profit == target,
        f"the take-profit {target}, which was left out",
        changed.take_profit,
        "Absent means unchanged; only null clears.",
    )


@case("PRT-003", "Null takes a protection away", *_SET, *_BOTH)
async def clears(bench: Bench) -> None:
    """Tell null, which clears, from absent, which leaves."""
    position, stop, _ = await protected(bench)
    changed = await bench.remote.set_protection(
        ProtectionRequest(
            client_order_id=bench.new_id(), position_id=position.position_id, take_profit=None
        )
    )
    got = (changed.stop_loss, changed.take_profit)
    expect(got == (stop, None), (stop, None), got)
    again = await bench.position()
    expect(again.take_profit is None, "no take-profit, looked up", again.take_profit)


@case("PRT-004", "A stop-loss on the wrong side is refused", *_SET, *_BOTH)
async def wrong_side(bench: Bench) -> None:
    """Refuse a stop-loss that would trigger at once; leave the old one in place."""
    position, stop, target = await protected(bench)
    await bench.refused(
        bench.remote.set_protection(
            ProtectionRequest(
                client_order_id=bench.new_id(), position_id=position.position_id, stop_loss=target
            )
        ),
        ErrorCode.INVALID_PRICE,
        field="stop_loss",
    )
    again = await bench.position()
    expect(again.stop_loss == stop, f"the old stop-loss {stop}", again.stop_loss)


@case(
    "PRT-005",
    "An order with a stop-loss on the wrong side is refused",
    "type:market",
    "feature:stop_loss",
)
async def wrong_order(bench: Bench) -> None:
    """Refuse the whole order where its protection can't be had."""
    above = await bench.price(bench.order().side, -FAR)
    await bench.refused(
        bench.remote.place_order(bench.order(stop_loss=above)),
        ErrorCode.INVALID_PRICE,
        field="stop_loss",
        remedy="An order whose protection is dropped or impossible must not be taken.",
    )


@case("PRT-006", "Protections end with their position", "type:market", *_BOTH)
async def end_with_it(bench: Bench) -> None:
    """Cancel the protective orders of a position that is closed, at the venue if it doesn't."""
    position, _, _ = await protected(bench)
    await bench.close(position)
    left = await bench.working()
    expect(not left, "no working order", f"{len(left)} left", "An orphaned stop opens a position.")


@case("PRT-007", "A trailing stop stands at the position", *_SET, "feature:trailing_stop")
async def trailing(bench: Bench) -> None:
    """Report the distance that was asked for as the position's trailing_stop."""
    await bench.bought()
    position = await bench.position()
    distance = bench.on_grid(position.average_price * FAR)
    changed = await bench.remote.set_protection(
        ProtectionRequest(
            client_order_id=bench.new_id(),
            position_id=position.position_id,
            trailing_stop=distance,
        )
    )
    expect(changed.trailing_stop == distance, distance, changed.trailing_stop)


@case(
    "PRT-008",
    "A position that isn't there is not protected",
    "tool:set_protection",
    "feature:stop_loss",
)
async def nothing_there(bench: Bench) -> None:
    """Raise not_found for a position that isn't open."""
    change = ProtectionRequest(
        client_order_id=bench.new_id(), position_id="no-such-position", stop_loss=Decimal(1)
    )
    await bench.refused(
        bench.remote.set_protection(change), ErrorCode.NOT_FOUND, ErrorCode.UNKNOWN_INSTRUMENT
    )


@case(
    "PRT-009",
    "A protective price off the grid is refused, with its neighbours",
    *_SET,
    "feature:stop_loss",
)
async def off_grid(bench: Bench) -> None:
    """Refuse a price off the grid, and name the nearest that are on it."""
    await bench.bought()
    position = await bench.position()
    step = bench.instrument.price_step
    stop = bench.on_grid(position.average_price * (1 - FAR))
    refusal = await bench.refused(
        bench.remote.set_protection(
            ProtectionRequest(
                client_order_id=bench.new_id(),
                position_id=position.position_id,
                stop_loss=stop + step / 2,
            )
        ),
        ErrorCode.INVALID_PRICE,
    )
    expect(f"{stop.normalize():f}" in refusal.message, f"the nearest price {stop}", refusal.message)


@case(
    "PRT-010",
    "Protections follow the size of a position",
    "type:market",
    "feature:stop_loss",
    "feature:partial_close",
)
async def follow(bench: Bench) -> None:
    """Set the size of protective orders anew when the position's size changes."""
    twice = bench.instrument.quantity_min * 2
    quote = await bench.quote()
    await bench.bought(quantity=twice, stop_loss=bench.on_grid(quote.bid * (1 - FAR)))
    position = await bench.position()
    await bench.close(position, bench.instrument.quantity_min)
    sizes = {each.remaining_quantity for each in (await bench.working()).values()}
    wanted = {bench.instrument.quantity_min}
    expect(sizes <= wanted, f"protections of {wanted}", sizes)


_STEPPED = ("type:market", *_BOTH, "clock:stepped")


@case("PRT-011", "A protection that is reached closes the position, and the other ends", *_STEPPED)
async def reached(bench: Bench) -> None:
    """Link the two at the venue (one cancels the other), or cancel the other yourself."""
    quote, each = await bench.quote(), bench.instrument
    room = each.pip_size * 2 + each.minimum_stop_distance
    report = await bench.bought(
        stop_loss=bench.on_grid(quote.bid - room), take_profit=bench.on_grid(quote.ask + room)
    )
    for _ in range(STEPS):
        if not await bench.positions():
            break
        await bench.step(STEP_S)
    else:
        raise Skipped(f"the price did not come so far in {STEPS} minutes of the venue's time")
    left = [each.order_id for each in (await bench.working()).values()]
    expect(not left, "no working order", left, "When one protection fills, the other must end.")
    fills = (await bench.remote.list_fills(instrument=report.instrument)).fills
    why = [each.reason for each in fills if each.time >= report.submitted_at][-1:]
    wanted = {Reason.STOP_LOSS, Reason.TAKE_PROFIT}
    expect(
        why and why[0] in wanted,
        "an execution whose reason is stop_loss or take_profit",
        why,
        "Say which protection it was: a strategy must tell it from its own orders.",
    )


@case(
    "PRT-012",
    "A trailing stop never moves back",
    *_SET,
    "feature:trailing_stop",
    "clock:stepped",
)
async def never_back(bench: Bench) -> None:
    """Move the level with the best price, and never away from the market again."""
    await bench.bought()
    position, each = await bench.position(), bench.instrument
    distance = bench.on_grid(position.average_price * NEAR)
    await bench.remote.set_protection(
        ProtectionRequest(
            client_order_id=bench.new_id(),
            position_id=position.position_id,
            trailing_stop=max(distance, each.price_step),
        )
    )
    levels: list[Decimal] = []
    for _ in range(10):
        levels += [
            order.stop_price
            for order in (await bench.working()).values()
            if order.position_id == position.position_id and order.stop_price is not None
        ]
        await bench.step(STEP_S)
    expect(levels, "a working order with the level at which the stop stands", "none")
    expect(levels == sorted(levels), "levels that only rise under a long position", levels)
