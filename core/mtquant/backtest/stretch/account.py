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
    rows = [(first, 1, standing.held, standing.average, standing.balance)]
    # What a bar fills comes before what is sent at its end.
    rows += [
        (each.step, each.kind > Kind.TOOK_PROFIT, each.held, each.average, each.balance)
        for each in done
    ]
    when, sent, *states = np.array(rows, np.int64).T
    lengths = np.diff(when, append=end)
    held, average, balance = (np.repeat(each, lengths) for each in states)
    left = _worth((held, average, balance), slice(first, end), tape, money, margin_rate)
    # Before orders are sent it is worth the same, but where some were.
    steps = np.unique(when[1:])
    before = (2 * when + sent).searchsorted(2 * steps, "right") - 1
    before = np.maximum(before, 0)
    then = tuple(each[before] for each in states)
    told = _worth(then, steps, tape, money, margin_rate)
    seen = Worth(left.equity.copy(), left.exposure.copy(), left.margin.copy())
    for whole, part in (
        (seen.equity, told.equity),
        (seen.exposure, told.exposure),
        (seen.margin, told.margin),
    ):
        whole[steps - first] = part
    return Course(seen, left, balance)


def _worth(
    state: tuple[Ints, ...],
    steps: slice | NDArray[np.int64],
    tape: Tape,
    money: Money,
    margin_rate: float,
) -> Worth:
    """Return what is held, at what average price, beside which balance, is worth at ``steps``."""
    held, average, balance = state
    prices = np.where(held > 0, tape.bid[steps], tape.ask[steps])
    equity = balance + money.gains(held, prices - average, steps)
    value: Floats = money.sizes(held) * tape.mids(steps) * money.rates(steps)
    return Worth(equity, value, np.abs(value) * margin_rate)
