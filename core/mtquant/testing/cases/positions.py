"""POS: positions, netted or hedged, and closing them."""

from __future__ import annotations

from decimal import Decimal

from mtquant.errors import ErrorCode
from mtquant.model import CloseRequest, PositionEffect, Side
from mtquant.testing.bench import CENTS, Bench, expect
from mtquant.testing.case import case

_NETTING = ("type:market", "mode:netting")
_HEDGING = ("type:market", "mode:hedging")


@case("POS-001", "A second order in one direction makes one larger position", *_NETTING)
async def grows(bench: Bench) -> None:
    """Net orders of one instrument, and average their prices by quantity."""
    first, second = await bench.bought(), await bench.bought()
    position = await bench.position()
    whole = first.quantity + second.quantity
    expect(position.quantity == whole, whole, position.quantity)
    prices = [each.average_price or Decimal(0) for each in (first, second)]
    low, high = min(prices), max(prices)
    expect(low <= position.average_price <= high, f"{low} to {high}", position.average_price)


@case("POS-002", "An opposite order makes the position smaller", *_NETTING)
async def shrinks(bench: Bench) -> None:
    """Net an opposite order against what is held."""
    await bench.bought(quantity=bench.instrument.quantity_min * 2)
    await bench.bought(side=Side.SELL)
    position = await bench.position()
    expect(position.side is Side.BUY, "side buy", position.side)
    wanted = bench.instrument.quantity_min
    expect(position.quantity == wanted, wanted, position.quantity)


@case("POS-003", "A larger opposite order turns the position", *_NETTING)
async def turns(bench: Bench) -> None:
    """Close what is held, and open the rest the other way."""
    await bench.bought()
    await bench.bought(side=Side.SELL, quantity=bench.instrument.quantity_min * 2)
    position = await bench.position()
    expect(position.side is Side.SELL, "side sell", position.side)
    expect(position.quantity == bench.instrument.quantity_min, "the rest", position.quantity)


@case("POS-004", "Two orders in one direction are two tickets", *_HEDGING)
async def tickets(bench: Bench) -> None:
    """Keep one ticket for each order, under its own position_id."""
    await bench.bought()
    await bench.bought()
    held = await bench.positions()
    expect(len({each.position_id for each in held}) == 2, "two tickets", held)  # noqa: PLR2004


@case("POS-005", "An opposite order opens a ticket of its own", *_HEDGING)
async def hedges(bench: Bench) -> None:
    """Keep opposite tickets apart: they must not be merged."""
    await bench.bought()
    await bench.bought(side=Side.SELL)
    sides = sorted(each.side for each in await bench.positions())
    expect(
        sides == [Side.BUY, Side.SELL],
        "one ticket each way",
        sides,
        "Two hedged positions of one symbol must not be merged.",
    )


@case("POS-006", "Closing a ticket closes that one", *_HEDGING)
async def closes_ticket(bench: Bench) -> None:
    """Close the ticket that position_id names, not the oldest."""
    await bench.bought()
    await bench.bought()
    first, second = await bench.positions()
    await bench.close(first)
    left = [each.position_id for each in await bench.positions()]
    expect(left == [second.position_id], second.position_id, left)


@case("POS-007", "A close that could mean several tickets is refused", *_HEDGING)
async def ambiguous(bench: Bench) -> None:
    """Refuse a close by instrument where several tickets are open."""
    await bench.bought()
    await bench.bought()
    close = CloseRequest(client_order_id=bench.new_id(), instrument=bench.instrument.instrument)
    await bench.refused(bench.remote.close_position(close), ErrorCode.INVALID_ARGUMENT)


@case("POS-008", "A position is closed whole, and nothing is left", "type:market")
async def closes(bench: Bench) -> None:
    """Close by an order of the other side for all that is held."""
    await bench.bought()
    position = await bench.position()
    report = await bench.close(position)
    expect(report.side is Side.SELL, "side sell", report.side)
    left = await bench.positions()
    expect(not left, "no position", left)


@case("POS-009", "A position is closed in part", "type:market", "feature:partial_close")
async def closes_part(bench: Bench) -> None:
    """Close the quantity that was asked for, and keep the rest under its id."""
    await bench.bought(quantity=bench.instrument.quantity_min * 2)
    position = await bench.position()
    await bench.close(position, bench.instrument.quantity_min)
    left = await bench.position()
    wanted = bench.instrument.quantity_min
    expect(left.quantity == wanted, wanted, left.quantity)
    expect(left.position_id == position.position_id, position.position_id, left.position_id)


@case("POS-010", "More than is held can't be closed", "type:market", "feature:partial_close")
async def closes_too_much(bench: Bench) -> None:
    """Compare the quantity with what is held before sending."""
    await bench.bought()
    position = await bench.position()
    named = (
        {"instrument": position.instrument}
        if bench.netting
        else {"position_id": position.position_id}
    )
    close = CloseRequest(client_order_id=bench.new_id(), quantity=position.quantity * 2, **named)
    await bench.refused(
        bench.remote.close_position(close),
        ErrorCode.INVALID_QUANTITY,
        remedy="A close never opens a position the other way, and is never cut down in silence.",
    )
    left = await bench.position()
    expect(left.quantity == position.quantity, position.quantity, left.quantity)


@case("POS-011", "Nothing is closed where nothing is held", "tool:close_position")
async def closes_nothing(bench: Bench) -> None:
    """Raise not_found where there is nothing to close."""
    close = CloseRequest(client_order_id=bench.new_id(), instrument=bench.instrument.instrument)
    await bench.refused(bench.remote.close_position(close), ErrorCode.NOT_FOUND)
    expect(not await bench.positions(), "no position", "one was opened")


@case("POS-012", "Reduce only opens nothing", *_NETTING, "feature:reduce_only")
async def reduce_only(bench: Bench) -> None:
    """Refuse a reduce-only order where there is nothing to reduce."""
    await bench.refused(
        bench.remote.place_order(bench.order(reduce_only=True)),
        ErrorCode.INVALID_QUANTITY,
        ErrorCode.NOT_FOUND,
        ErrorCode.CONFLICT,
    )
    expect(not await bench.positions(), "no position", "one")


@case("POS-013", "Reduce only closes what is held", *_NETTING, "feature:reduce_only")
async def reduces(bench: Bench) -> None:
    """Send a reduce-only order against what is held."""
    await bench.bought()
    await bench.bought(side=Side.SELL, reduce_only=True)
    expect(not await bench.positions(), "no position", "one")


@case("POS-014", "An order that may only open closes nothing", *_NETTING, "feature:position_effect")
async def only_opens(bench: Bench) -> None:
    """Refuse with conflict an order that may only open where it would close."""
    await bench.bought()
    order = bench.order(side=Side.SELL, position_effect=PositionEffect.OPEN)
    await bench.refused(bench.remote.place_order(order), ErrorCode.CONFLICT)
    expect(len(await bench.positions()) == 1, "the position", "none")


@case("POS-015", "Positions of an unknown instrument are an error, not an empty list")
async def unknown(bench: Bench) -> None:
    """Raise unknown_instrument; an empty list says that nothing is held."""
    await bench.refused(bench.remote.get_positions("NOSUCH9"), ErrorCode.UNKNOWN_INSTRUMENT)


@case("POS-016", "Closing books the profit or loss that it tells", "type:market")
async def realizes(bench: Bench) -> None:
    """Report realized_profit in the account's currency, before commission."""
    before = (await bench.remote.get_account()).balance
    await bench.bought()
    position = await bench.position()
    report = await bench.close(position)
    after = (await bench.remote.get_account()).balance
    fills = (await bench.remote.list_fills(instrument=position.instrument)).fills
    cost = sum((each.commission for each in fills), Decimal(0))
    gained = sum(
        (each.realized_profit for each in fills if each.order_id == report.order_id), Decimal(0)
    )
    room = abs(cost) + CENTS
    expect(abs(after - before - gained) <= room, f"about {gained}", after - before)
