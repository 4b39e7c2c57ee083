"""Between the objects that trade live and the numbers of a stretch: read before, written after.

After a stretch the exchange, the book and the desk hold what they would had every step been played.
What nobody looks at again is left out: old orders, settled tickets, the ids of past executions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from mtquant.backtest.quiet import at_rest
from mtquant.backtest.shell import Shell, done
from mtquant.backtest.stretch.block import Block, cents
from mtquant.backtest.stretch.money import Money
from mtquant.backtest.stretch.trading import Kind, Standing
from mtquant.backtest.tape import Tape
from mtquant.book import DAY, AccountBook, Holding, Target
from mtquant.clock import id_text
from mtquant.contract import BreakerLevel, Sent
from mtquant.model import OrderType, Position, Reason, Side

_ZERO = Decimal(0)
_CENTS = 10_000
_LARGEST = 2**52
"""In 0.0001: half of what a float64 holds exactly, so that there is room to gain."""
_GUARDS = {Reason.STOP_LOSS: OrderType.STOP, Reason.TAKE_PROFIT: OrderType.LIMIT}


@dataclass(frozen=True, slots=True)
class Begun:
    """How the account stands where a stretch begins, and what is there of before."""

    standing: Standing
    guards: Mapping[Reason, str]
    swap: Decimal
    level: BreakerLevel
    opened: list[int]
    sent: list[int]


class Handover:
    """Reads and writes one strategy's position at one account."""

    def __init__(
        self, shell: Shell, strategy_id: str, symbol: str, tape: Tape, money: Money
    ) -> None:
        self._shell, self._strategy_id, self._symbol = shell, strategy_id, symbol
        self._tape, self._money = tape, money

    @property
    def _book(self) -> AccountBook:
        return self._shell.book.account(self._shell.venue.name)

    # --- before ------------------------------------------------------------------------------

    def begin(self, step: int) -> Begun | None:
        """Return how the account stands before ``step``; None where something else is going on."""
        shell, book = self._shell, self._book
        if not self._calm() or book.breaker is None:
            return None
        done(shell.desk.catch_up(shell.venue))
        exchange = shell.venue.exchange
        balance = exchange.balance * _CENTS
        if balance != int(balance) or abs(balance) >= _LARGEST:
            return None
        target = shell.book.targets.get(self._symbol)
        standing = Standing(
            balance=int(balance),
            numbered=exchange.numbered,
            since=step,
            wish=target.signal if target else None,
            spent=target.spent if target else False,
            vetoed=shell.decider.pursuit.told_veto(self._symbol),
        )
        held = exchange.held_positions()
        if target is not None:
            ours, way = book.ours(self._symbol), target.signal.direction
            if not at_rest(ours, way, spent=target.spent):
                return None  # what was refused is tried again at the next bar
        guards = self._guards()
        if guards is None or (held and not self._take_on(standing, held[0], guards)):
            return None
        opened = [each.time for each in book.sent]
        return Begun(
            standing=standing,
            guards=guards,
            swap=held[0].swap if held else _ZERO,
            level=book.breaker.level,
            opened=opened,
            sent=sorted((*opened, *book.messages)),
        )

    def _calm(self) -> bool:
        """Tell whether nothing is under way at the account, and all that is held is ours."""
        shell, book, whole = self._shell, self._book, self._shell.book
        exchange, symbol = shell.venue.exchange, self._symbol
        held = exchange.held_positions()
        position = held[0] if held else None
        signed = position.side.sign * position.quantity if position else _ZERO
        owner = book.trades.opened_by.get(symbol)
        return (
            not (shell.busy or book.working or book.leaving or book.external or book.differing)
            and not (whole.suggestions or whole.paused or whole.halted or whole.answered)
            and book.expected is None
            and book.account is not None
            and not (book.paid or book.anticipated)
            and whole.routes.get(symbol) == shell.venue.name
            and whole.targets.keys() <= {symbol}
            and whole.wishes.get(symbol, {}).keys() <= {self._strategy_id}
            and len(held) <= 1
            and book.ours(symbol) == signed
            and (position is None or (position.instrument, owner) == (symbol, self._strategy_id))
        )

    def _guards(self) -> dict[Reason, str] | None:
        """Return what protects the position; None where other orders work."""
        exchange, found = self._shell.venue.exchange, {}
        for working in exchange.working().values():
            for order_id in working:
                report = exchange.orders[order_id]
                reason = report.reason
                if reason not in _GUARDS or report.order_type is not _GUARDS[reason]:
                    return None
                if report.filled_quantity or reason in found:
                    return None
                found[reason] = order_id
        return found

    def _take_on(
        self, standing: Standing, position: Position, guards: Mapping[Reason, str]
    ) -> bool:
        """Take a position on; return False where its numbers aren't whole."""
        orders = self._shell.venue.exchange.orders
        lots = position.quantity / self._money.lot
        average = self._tape.whole(position.average_price)
        if average is None or lots != int(lots) or position.trailing_stop is not None:
            return False
        standing.held = position.side.sign * int(lots)
        standing.size, standing.average = position.quantity, average
        prices: dict[Reason, int | None] = {}
        for reason, order_id in guards.items():
            report = orders[order_id]
            price = report.stop_price if reason is Reason.STOP_LOSS else report.limit_price
            prices[reason] = None if price is None else self._tape.whole(price)
            if prices[reason] is None or report.remaining_quantity != position.quantity:
                return False
        standing.stop = prices.get(Reason.STOP_LOSS)
        standing.take = prices.get(Reason.TAKE_PROFIT)
        return True

    # --- after -------------------------------------------------------------------------------

    def end(self, begun: Begun, block: Block, standing: Standing, time: int) -> None:
        """Write down what came of a stretch that ended at ``time``."""
        shell = self._shell
        if block.done:
            self._write_exchange(begun, block, standing, time)
            self._write_book(begun, block, standing)
        shell.decider.pursuit.take_veto(self._symbol, standing.vetoed)
        shell.venue.exchange.pass_time(time)
        shell.venue.quiet(time)
        shell.clock.set(time)
        shell.book.time = max(shell.book.time, time)
        if standing.wish is not None:
            wish, name = standing.wish, self._strategy_id
            shell.book.wishes.setdefault(self._symbol, {})[name] = wish
            shell.book.targets[self._symbol] = Target(wish, (name,), spent=standing.spent)

    def _write_exchange(self, begun: Begun, block: Block, standing: Standing, time: int) -> None:
        exchange, last = self._shell.venue.exchange, block.done[-1]
        if begun.standing.held:
            self._end_position(begun, block)
        # Nothing was held when a swap fell due: nobody pays any.
        exchange.pass_time(time)
        position = None
        if last.kind is Kind.OPENED:
            terms = block.terms
            position = Position(
                position_id=self._symbol,
                instrument=self._symbol,
                side=Side.BUY if last.held > 0 else Side.SELL,
                quantity=last.size,
                average_price=terms.price(last.average),
                unrealized_profit=_ZERO,
                opened_at=int(terms.times[last.step]),
                stop_loss=None if last.stop is None else terms.price(last.stop),
                take_profit=None if last.take is None else terms.price(last.take),
            )
        numbered = last.number + 2 if position else standing.numbered
        exchange.go_on(
            balance=cents(standing.balance),
            numbered=numbered,
            seq=exchange.seq + _changes(block, len(begun.guards)),
            position=position,
        )
        shell = self._shell
        shell.venue.forget_changes()
        shell.desk.cursors[shell.venue.name] = str(exchange.seq)

    def _end_position(self, begun: Begun, block: Block) -> None:
        """End the position that was held before, and what protected it."""
        first = block.done[0]
        filled = None
        if first.kind <= Kind.TOOK_PROFIT:
            reason = Reason.STOP_LOSS if first.kind is Kind.STOPPED else Reason.TAKE_PROFIT
            filled = block.fill(first, begun.guards[reason], None)
        time = int(block.terms.times[first.step])
        self._shell.venue.exchange.end_position(self._symbol, begun.guards, filled, time)

    def _write_book(self, begun: Begun, block: Block, standing: Standing) -> None:
        book, symbol, name = self._book, self._symbol, self._strategy_id
        times, last = block.terms.times, block.done[-1]
        book.balance += cents(standing.balance - begun.standing.balance)
        profit, ended = book.trades.pending(symbol), []
        for each in block.done:
            if each.kind is Kind.OPENED:
                profit = cents(-each.fee)
            else:
                ended.append((int(times[each.step]), profit + cents(each.gain - each.fee)))
        book.trades.ended(name, symbol, ended)
        if last.held:
            signed = last.size if last.held > 0 else -last.size
            book.holdings[symbol] = Holding(signed, block.terms.price(last.average))
            book.trades.begun(name, symbol, profit)
        else:
            book.holdings.pop(symbol, None)
        held = book.holdings.get(symbol)
        book.exposures.hold(symbol, held.quantity if held else _ZERO)
        self._write_sent(block)

    def _write_sent(self, block: Block) -> None:
        """Remember what was sent in the last day, as the book does."""
        book, times = self._book, block.terms.times
        orders = [each for each in block.done if each.kind >= Kind.CLOSED]
        opened = [
            (number, each)
            for number, each in zip(block.ids, orders, strict=True)
            if each.kind is Kind.OPENED
        ]
        closes = [int(times[each.step]) for each in orders if each.kind is Kind.CLOSED]
        if closes:
            since = closes[-1] - DAY
            kept = (*book.messages, *closes)
            book.messages = tuple(each for each in kept if each > since)
        if not opened:
            return
        since = int(times[opened[-1][1].step]) - DAY
        fresh = [
            Sent(
                time=int(times[each.step]),
                client_order_id=id_text(number),
                strategy_id=self._strategy_id,
                instrument=self._symbol,
                side=Side.BUY if each.quantity > 0 else Side.SELL,
                quantity=each.size,
            )
            for number, each in opened
            if times[each.step] > since
        ]
        book.sent = (*(each for each in book.sent if each.time > since), *fresh)


def _changes(block: Block, guards: int) -> int:
    """Return how many changes the exchange would have told of: orders' states and executions."""
    told = 0
    for each in block.done:
        if each.kind is Kind.OPENED:
            guards = (each.stop is not None) + (each.take is not None)
            told += 3 + guards
        else:
            told += guards + (3 if each.kind is Kind.CLOSED else 1)
            guards = 0
    return told
