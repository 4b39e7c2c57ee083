"""The Turtles' rules: breakouts of Donchian channels, with the published sizing and exits.

Source: Curtis Faith, The Original Turtle Trading Rules (2003). System 1 enters at a breakout of 20
days and leaves at one of 10, and skips the breakout that follows a winning one, unless it is of 55
days; system 2 enters at 55 and leaves at 20, and skips none. N is the 20-day average true range;
the stop stands 2 N off the entry, so that a unit risks 2 per cent of equity where the sizer
``fixed_fraction`` is set to 0.02, as the Turtles' was (1 per cent of equity a move of N).
Pyramiding, their adding of up to four units, isn't done: a target is one position.
"""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mtquant import Settings, Strategy
from mtquant.model import Bar, Signal
from mtquant_strategies.stops import Length, Multiple, distance


class DonchianSettings(Settings):
    """``entry`` and ``exit``: lengths of the channels in bars; ``range``: of N; ``stop_n``: in N.

    ``skip_after_win``: leave out the breakout after one that would have won, as system 1 does,
    unless it breaks the channel of ``failsafe`` bars. ``direction``: whether it sells short.
    """

    entry: Length = 20
    exit: Length = 10
    failsafe: Length = 55
    range: Length = 20
    stop_n: Multiple = 2.0
    skip_after_win: bool = True
    direction: Literal["long_short", "long_only"] = "long_short"

    @model_validator(mode="after")
    def _lengths_are_in_order(self) -> DonchianSettings:
        if not self.exit < self.entry <= self.failsafe:
            found = f"exit ({self.exit}), entry ({self.entry}), failsafe ({self.failsafe})"
            raise ValueError(f"{found} must be in rising order")
        return self


class Donchian(Strategy[DonchianSettings]):
    """Go with a breakout of the channel; out at a breakout of the shorter one the other way.

    A breakout that wasn't taken is followed too, because the rule asks whether it would have won:
    one loses where the price comes to its stop before its exit.
    """

    name = "donchian"

    def on_start(self) -> None:
        """Take the channels and N."""
        wanted = self.settings
        self.entry = self.indicator("donchian", period=wanted.entry)
        self.exit = self.indicator("donchian", period=wanted.exit)
        self.failsafe = self.indicator("donchian", period=wanted.failsafe)
        self.n = self.indicator("atr", period=wanted.range)
        self.side, self.taken, self.last_won = 0, False, False
        self.price, self.stop = 0.0, 0.0

    def on_bar(self, bar: Bar) -> Signal | None:
        """Follow the breakout under way, or look for the next."""
        if self.side:
            return self._follow(bar)
        for side, channel in ((1, self.entry.upper[1]), (-1, self.entry.lower[1])):
            short = side < 0 and self.settings.direction == "long_only"
            if (bar.close - channel) * side > 0 and not short:
                return self._enter(bar, side, channel)
        return None

    def _enter(self, bar: Bar, side: int, channel: float) -> Signal | None:
        """Note a breakout, and take it unless the last one won."""
        stop = distance(self.n, self.settings.stop_n, bar)
        if stop is None:
            return None
        far = self.failsafe.upper if side > 0 else self.failsafe.lower
        skipped = self.settings.skip_after_win and self.last_won
        self.taken = not skipped or (bar.close - far[1]) * side > 0
        self.side, self.price, self.stop = side, bar.close, bar.close - side * float(stop)
        if not self.taken:
            return None
        hold, word = (self.long, "above") if side > 0 else (self.short, "below")
        reason = f"close {bar.close:.7g} {word} the {self.settings.entry}-bar channel {channel:.7g}"
        return hold(reason, stop_distance=stop)

    def _follow(self, bar: Bar) -> Signal | None:
        """End the breakout at its stop, or at the shorter channel the other way."""
        side, stop = self.side, self.stop
        stopped = (bar.low if side > 0 else bar.high) * side <= stop * side
        channel = self.exit.lower[1] if side > 0 else self.exit.upper[1]
        if not (stopped or (bar.close - channel) * side < 0):
            return None
        self.side, self.last_won = 0, not stopped and (bar.close - self.price) * side > 0
        if not self.taken:
            return None
        if stopped:
            return self.flat(f"the stop at {stop:.7g} was reached")
        return self.flat(f"close {bar.close:.7g} beyond the {self.settings.exit}-bar channel")
