"""DAT: instruments, quotes, bars and money."""

from __future__ import annotations

import re
from decimal import Decimal

from mtquant.clock import SECOND, format_time
from mtquant.errors import ErrorCode
from mtquant.model import PriceSide, Timeframe
from mtquant.testing.bench import CENTS, Bench, expect
from mtquant.testing.case import Failed, Skipped, case

UNKNOWN = "NOSUCH9"


@case("DAT-001", "An empty search lists instruments")
async def lists(bench: Bench) -> None:
    """Let an empty query match every instrument."""
    found = (await bench.remote.search_instruments("")).instruments
    expect(found, "at least one instrument", "none")


@case("DAT-002", "A search for a symbol finds it, whatever its case")
async def finds(bench: Bench) -> None:
    """Compare symbols without regard to case."""
    symbol = bench.instrument.instrument
    for query in (symbol, symbol.lower(), symbol.upper()):
        found = (await bench.remote.search_instruments(query)).instruments
        names = [each.instrument for each in found]
        expect(symbol in names, f"{symbol} among the results of {query!r}", names[:5])


@case("DAT-003", "Instruments by pages of one are those of one page")
async def pages(bench: Bench) -> None:
    """Keep the order of instruments from page to page, and begin after the cursor."""
    whole = [each.instrument for each in (await bench.remote.search_instruments("")).instruments]
    found: list[str] = []
    cursor: str | None = None
    for _ in range(min(len(whole), 20) + 1):
        page = await bench.remote.search_instruments("", limit=1, cursor=cursor)
        found += [each.instrument for each in page.instruments]
        cursor = page.next_cursor
        if cursor is None:
            break
    expect(found == whole[: len(found)] and len(found) >= min(len(whole), 20), whole[:5], found[:5])


@case("DAT-004", "An instrument is the same alone as in the list")
async def same(bench: Bench) -> None:
    """Make both from one place, so that they can't differ."""
    alone = await bench.remote.get_instrument(bench.instrument.instrument)
    expect(alone == bench.instrument, bench.instrument, alone)


@case("DAT-005", "Quantity limits lie on the quantity step")
async def steps(bench: Bench) -> None:
    """Take minimum, maximum and step from the venue's own instrument record."""
    for each in bench.instruments:
        low, high, step = each.quantity_min, each.quantity_max, each.quantity_step
        expect(low <= high, f"{each.instrument}: minimum <= maximum", f"{low} > {high}")
        expect(
            not low % step,
            f"{each.instrument}: a minimum that is a multiple of {step}",
            low,
            "The smallest order must be one that can be placed.",
        )


@case("DAT-006", "An unknown instrument is refused by name, and nothing is sent")
async def unknown(bench: Bench) -> None:
    """Raise unknown_instrument with the field, and near matches in the message."""
    await bench.refused(
        bench.remote.get_instrument(UNKNOWN),
        ErrorCode.UNKNOWN_INSTRUMENT,
        ErrorCode.AMBIGUOUS_INSTRUMENT,
        field="instrument",
    )


@case("DAT-007", "A bid is not above its ask")
async def uncrossed(bench: Bench) -> None:
    """Check which of the two is which, and drop a quote that is crossed."""
    quote = await bench.quote()
    expect(quote.bid <= quote.ask, "bid <= ask", f"{quote.bid} > {quote.ask}")


@case("DAT-008", "A quote lies on the instrument's price step")
async def on_grid(bench: Bench) -> None:
    """Take price_step from the venue's digits, and don't compute prices in floats."""
    quote, step = await bench.quote(), bench.instrument.price_step
    expect(not quote.bid % step and not quote.ask % step, f"multiples of {step}", quote)


@case("DAT-009", "A quote is not from the future")
async def not_ahead(bench: Bench) -> None:
    """Stamp a quote with the venue's time of it, in UTC."""
    quote, now = await bench.quote(), (await bench.remote.get_health()).time
    expect(
        quote.known_at <= now + 2 * SECOND,
        f"no later than {format_time(now)}",
        format_time(quote.known_at),
        "Local time was taken for UTC, or the quote is stamped when it is asked for.",
    )


@case("DAT-010", "Quotes of several instruments come in one call")
async def many_quotes(bench: Bench) -> None:
    """Answer for all that were asked for, under the symbols they were asked by."""
    names = tuple(each.instrument for each in bench.instruments[:5])
    found = {each.instrument for each in (await bench.remote.get_quotes(names)).quotes}
    expect(found <= set(names), f"only those of {names}", found)
    expect(bench.instrument.instrument in found, bench.instrument.instrument, found)


@case("DAT-011", "An unknown instrument among others is an error, not left out")
async def unknown_among(bench: Bench) -> None:
    """Raise unknown_instrument, also where other instruments of the call are known."""
    names = (bench.instrument.instrument, UNKNOWN)
    await bench.refused(
        bench.remote.get_quotes(names),
        ErrorCode.UNKNOWN_INSTRUMENT,
        remedy="An error shown as an empty list hides that the price is missing.",
    )


async def _timeframe(bench: Bench) -> Timeframe:
    """Return a timeframe of which there are bars."""
    for each in Timeframe:
        answer = await bench.raw(
            "get_bars",
            {"instrument": bench.instrument.instrument, "timeframe": each.value, "count": 1},
        )
        if not answer.is_error:
            return each
        expect(
            answer.error.get("code") == "unsupported",
            f"bars of {each}, or a refusal (unsupported)",
            answer.error or answer.failure,
        )
    raise Failed(
        "bars of some timeframe",
        "every timeframe is unsupported",
        "Leave get_bars out where there are none: what isn't declared isn't tested.",
    )


@case("DAT-012", "Bars are in order, consistent, and ended", "tool:get_bars")
async def bars(bench: Bench) -> None:
    """Return only bars that have ended, oldest first, each once."""
    timeframe = await _timeframe(bench)
    found = await bench.remote.get_bars(bench.instrument.instrument, timeframe, count=50)
    expect(list(found.time) == sorted(set(found.time)), "times in order, each once", found.time[:5])
    for index in range(len(found)):
        bar = found.bar(index)
        inside = bar.low <= min(bar.open, bar.close) and max(bar.open, bar.close) <= bar.high
        expect(inside, "low <= open, close <= high", bar)
    now = (await bench.remote.get_health()).time
    if len(found):
        ends = found.time[-1] + timeframe.seconds * SECOND
        expect(ends <= now + SECOND, "only bars that have ended", format_time(ends))


@case("DAT-013", "A count of bars gives the last ones, and no more", "tool:get_bars")
async def bar_count(bench: Bench) -> None:
    """Count from the newest bar back."""
    timeframe, name = await _timeframe(bench), bench.instrument.instrument
    many = await bench.remote.get_bars(name, timeframe, count=10)
    few = await bench.remote.get_bars(name, timeframe, count=3)
    expect(len(few) <= 3, "at most 3 bars", len(few))  # noqa: PLR2004
    expect(few.time == many.time[-len(few) :] if len(few) else True, "the last ones", few.time)


@case("DAT-014", "Bars from a time to another lie between them", "tool:get_bars")
async def bar_range(bench: Bench) -> None:
    """Include the bar that opens at from, and leave out the one that opens at to."""
    timeframe, name = await _timeframe(bench), bench.instrument.instrument
    many = await bench.remote.get_bars(name, timeframe, count=10)
    if len(many) < 4:  # noqa: PLR2004 - a first, a last and something between
        raise Skipped("the broker has fewer than four bars")
    first, last = many.time[1], many.time[-1]
    found = await bench.remote.get_bars(name, timeframe, from_=first, to=last)
    expect(found.time == many.time[1:-1], "from <= opening time < to", found.time)


@case("DAT-015", "Bid bars lie below ask bars, where both are offered", "tool:get_bars")
async def sides(bench: Bench) -> None:
    """Make bars of the side that was asked for."""
    timeframe, name = await _timeframe(bench), bench.instrument.instrument
    answers = [
        await bench.raw(
            "get_bars",
            {"instrument": name, "timeframe": timeframe.value, "count": 5, "price": each.value},
        )
        for each in (PriceSide.BID, PriceSide.ASK)
    ]
    if any(each.error.get("code") == "unsupported" for each in answers):
        raise Skipped("get_bars says that bid and ask are unsupported")
    bid, ask = (each.content["close"] for each in answers)
    expect(all(b <= a for b, a in zip(bid, ask, strict=True)), "bid <= ask", (bid, ask))


@case("DAT-016", "Ticks are in order and uncrossed", "tool:get_ticks")
async def ticks(bench: Bench) -> None:
    """Return ticks oldest first, with bid and ask as they stood together."""
    answer = await bench.raw("get_ticks", {"instrument": bench.instrument.instrument, "count": 50})
    if answer.error.get("code") == "unsupported":
        raise Skipped("get_ticks says that they are unsupported here")
    content = answer.content
    expect(not answer.is_error, "ticks", answer.error)
    expect(content["time"] == sorted(content["time"]), "times in order", content["time"][:5])
    pairs = zip(content["bid"], content["ask"], strict=True)
    expect(all(bid <= ask for bid, ask in pairs), "bid <= ask", "a crossed tick")


@case("DAT-017", "Equity is the balance and the open profit")
async def equity(bench: Bench) -> None:
    """Read balance, equity and positions at one moment, in the account's currency."""
    account = await bench.remote.get_account()
    open_profit = sum(
        (each.unrealized_profit for each in (await bench.remote.get_positions()).positions),
        Decimal(0),
    )
    expect(
        abs(account.balance + open_profit - account.equity) <= CENTS,
        account.balance + open_profit,
        account.equity,
    )


@case("DAT-018", "The account's currency is an ISO 4217 code")
async def currency(bench: Bench) -> None:
    """Write the currency as its ISO 4217 code, such as USD."""
    account = await bench.remote.get_account()
    expect(re.fullmatch(r"[A-Z]{3}", account.currency), "three capital letters", account.currency)


@case("DAT-019", "An account that the server doesn't trade is not found")
async def unknown_account(bench: Bench) -> None:
    """Compare account_id with the account that is served; answer for no other."""
    await bench.refused(bench.remote.get_account("no-such-account"), ErrorCode.NOT_FOUND)


@case("DAT-020", "Quotes of nothing are nothing")
async def no_quotes(bench: Bench) -> None:
    """Answer an empty list with an empty list, without asking the venue."""
    found = (await bench.remote.get_quotes(())).quotes
    expect(found == (), "no quotes", found)


@case("DAT-021", "The list of accounts holds the account", "tool:list_accounts")
async def accounts(bench: Bench) -> None:
    """List the account that get_account returns, under the same id."""
    account = await bench.remote.get_account()
    listed = [each.account_id for each in (await bench.remote.list_accounts()).accounts]
    expect(account.account_id in listed, account.account_id, listed)


@case("DAT-022", "A cursor of instruments from elsewhere is refused")
async def strange_cursor(bench: Bench) -> None:
    """Refuse a cursor that this server has not given."""
    await bench.refused(
        bench.remote.search_instruments("", cursor="no-such-cursor"),
        ErrorCode.INVALID_ARGUMENT,
        remedy="Starting over in silence shows instruments twice.",
    )
