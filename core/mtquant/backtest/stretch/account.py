"""What an account is worth at each step of a stretch, before and after what it trades there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mtquant.backtest.quiet import Worth
from mtquant.backtest.stretch.money import Money
from mtquant.backtest.stretch.trading import Done, Kind, Standing
from mtquant.backtest.tape import Ints, Tape
from mtquant.model.arrays import Floats


@dataclass(frozen=True, slots=True)
class Course:
    """``seen`` is what the gate and the breaker are told at each step, before orders are sent.

    ``left`` is what the account is worth once they have filled, ``balance`` its balance then, in
    0.0001 of its currency.
    """

    seen: Worth
    left: Worth
    balance: Ints


def course(
    done: Sequence[Done],
    standing: Standing,
    span: tuple[int, int],
    tape: Tape,
    money: Money,
    margin_rate: float,
) -> Course:
    """Return what the account is worth over the steps of ``span``, from ``standing`` on."""
    first, end = span
    rows = [(2 * first - 1, standing.held, standing.average, standing.balance)]
    # What a bar fills comes before what is sent at its end.
    rows += [
        (2 * each.step + (each.kind > Kind.TOOK_PROFIT), each.held, each.average, each.balance)
        for each in done
    ]
    when, held, average, balance = np.array(rows, np.int64).T
    steps = np.arange(first, end)
    at = tape.at[first:end]
    quotes = tape.bid[at], tape.ask[at]
    mids, rates, lot = tape.mids(at), money.rates(first, end), float(money.lot)

    def worth(after: NDArray[np.intp]) -> Worth:
        quantity = held[after]
        prices = np.where(quantity > 0, *quotes)
        equity = balance[after] + money.gains(quantity, prices - average[after], first)
        value: Floats = quantity * lot * mids * rates
        return Worth(equity, value, np.abs(value) * margin_rate)

    seen = when.searchsorted(2 * steps, "right") - 1
    left = when.searchsorted(2 * steps + 1, "right") - 1
    return Course(worth(seen), worth(left), balance[left])
