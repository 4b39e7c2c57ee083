"""Why a run and its replay differ, from what the journal tells; guesses are called so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib.metadata import version

from mtquant.clock import SECOND, format_time
from mtquant.drift.recorded import Recorded, Span, Start
from mtquant.drift.replay import Replayed
from mtquant.drift.result import ZERO, Because, Cause
from mtquant.drift.setting import Setting, Setup, account_settings, differing
from mtquant.drift.story import Order, SignalKey, Verdict
from mtquant.model import Bar, plain
from mtquant.plugins import Catalogue

_BY_BREAKER = {"trading_halted", "reducing_only"}
_BY_PERSON = {"manual_mode"}
_MOST = 3
"""How many changed settings a sentence names."""


class Evidence:
    """What the journal and the replay say of the causes of differences."""

    def __init__(
        self, found: Recorded, replayed: Replayed, setup: Setup, catalogue: Catalogue
    ) -> None:
        self.found, self.replayed, self.setup = found, replayed, setup
        self._installed = {"mtquant": version("mtquant")} | {
            f"{each.kind} {each.name}": f"{each.distribution} {each.version}"
            for each in catalogue.listings
        }
        self._settings: dict[int, list[Setting]] = {}
        self._terms: dict[int, list[Setting]] = {}
        self.data = _data(found, replayed, setup)

    # --- what differs as a whole -------------------------------------------------------------

    def _changed(self, start: Start) -> list[Setting]:
        if start.time not in self._settings:
            self._settings[start.time] = differing(start.config, self.setup.config)
        return self._settings[start.time]

    def terms(self, time: int, *words: str) -> str:
        """Return which terms of the account were others at ``time``; empty where none was.

        ``words``: only those whose name holds one of them.
        """
        start = self.found.start_at(time)
        if start.time not in self._terms:
            self._terms[start.time] = account_settings(
                start.config, self.setup.config, self.setup.traded, self.setup.prepared.account
            )
        return _named(
            each
            for each in self._terms[start.time]
            if not words or any(word in each.key for word in words)
        )

    def _of_strategies(self, names: str, time: int) -> Because | None:
        """Return what of strategies was otherwise at ``time``: settings, versions, prices."""
        start = self.found.start_at(time)
        prefixes = tuple(f"strategies.{name}." for name in names.split("+"))
        mine = [
            each
            for each in self._changed(start)
            if each.key.startswith((*prefixes, "combine.", "market.timeframe"))
        ]
        if mine:
            return Because(Cause.SETTINGS, _named(mine))
        plugins = {
            f"strategy {table.get('plugin')}"
            for name, table in start.config.get("strategies", {}).items()
            if name in names.split("+")
        }
        return self._of_code(start, plugins, "indicator ")

    def _of_code(self, start: Start, plugins: set[str], *kinds: str) -> Because | None:
        others = [
            f"{name}: {was} then, {self._installed.get(name, 'not installed')} now"
            for name, was in start.versions.items()
            if (name == "mtquant" or name in plugins or name.startswith(kinds))
            and self._installed.get(name) != was
        ]
        return Because(Cause.CODE, "; ".join(others[:_MOST])) if others else None

    def _of_risk(self, time: int) -> Because | None:
        start = self.found.start_at(time)
        mine = [each for each in self._changed(start) if each.key.startswith("risk.")]
        if mine:
            return Because(Cause.SETTINGS, _named(mine))
        return self._of_code(start, set(), "check ", "sizer ")

    def prices(self, symbol: str, time: int) -> Because | None:
        """Return the first sign, until ``time``, that the prices of ``symbol`` were others."""
        for moment, why in self.data.get(symbol, ()):
            if moment <= time:
                return Because(Cause.DATA, why)
        start = self.found.start_at(time)
        source = [each for each in self._changed(start) if each.key.startswith("market.source")]
        return Because(Cause.DATA, _named(source)) if source else None

    def _restarted(self, time: int) -> Because | None:
        starts = [each.time for each in self.found.starts[1:] if each.time <= time]
        if not starts or not self.found.live:
            return None
        why = f"the engine was started anew at {format_time(starts[-1])}"
        return Because(Cause.DOWN, f"{why}, and its strategies began with the history of then")

    # --- signals -----------------------------------------------------------------------------

    def signal(self, key: SignalKey, *, missed: bool) -> Because:
        """Return why a signal isn't the same; ``missed``: the replay alone has it."""
        if missed and (because := self._missed(key)) is not None:
            return because
        return (
            self._of_strategies(key.strategy_id, key.time)
            or self.prices(key.instrument, key.time)
            or self._unheard(key)
            or self._restarted(key.time)
            or Because(
                Cause.UNEXPLAINED,
                "versions and settings are the same, and the journal shows no other price: the "
                "strategy's code or its prices have changed, or it isn't repeatable",
            )
        )

    def _missed(self, key: SignalKey) -> Because | None:
        if (down := _within(self.found.down, key.time)) is not None:
            return Because(Cause.DOWN, str(down))
        if key.strategy_id in self.found.failed:
            time, problem = self.found.failed[key.strategy_id]
            if time <= key.time:
                told = f"{key.strategy_id} failed at {format_time(time)}: {problem}"
                return Because(Cause.FAILED, told)
        if not self.found.live:
            return None
        length = self.setup.prepared.market.length
        told_bar = self.found.first_bars.get(key.instrument, {}).get(key.time - length)
        if told_bar is None:
            return Because(
                Cause.DATA, f"the journal has no bar that closed {format_time(key.time)}"
            )
        if not told_bar.traded:
            late = (told_bar.time - key.time) / SECOND
            why = f"the bar came {late:,.1f} s after its end, and only warmed the strategy up"
            return Because(Cause.LATE_BAR, why)
        return None

    def _unheard(self, key: SignalKey) -> Because | None:
        if key.strategy_id not in self.replayed.unheard:
            return None
        return Because(
            Cause.QUOTES, f"{key.strategy_id} listens to quotes, which the journal doesn't keep"
        )

    # --- orders ------------------------------------------------------------------------------

    def not_sent(self, order: Order) -> Because | None:
        """Return why the run didn't send an order that the replay sent."""
        key = (order.key.strategy_id, order.key.instrument, order.key.origin)
        verdicts = self.found.story.verdicts.get(key, [])
        if verdicts and not verdicts[-1].approved:
            return self._vetoed(verdicts[-1], "in the run")
        for spans, cause in (
            (self.found.down, Cause.DOWN),
            (self.found.outages.get(order.key.instrument, []), Cause.OUTAGE),
            (self.found.outages.get("", []), Cause.OUTAGE),
            (self.found.halted, Cause.PERSON),
        ):
            if (span := _within(spans, order.time)) is not None:
                return Because(cause, str(span))
        for each in self.found.suggestions.values():
            signal = each["signal"]
            same = (signal["strategy_id"], signal["instrument"]) == key[:2]
            if same and signal["time"] == format_time(order.key.origin):
                return Because(Cause.PERSON, f"suggestion {each['number']} was not approved")
        return self._of_risk(order.time)

    def not_replayed(self, order: Order) -> Because | None:
        """Return why the replay didn't send an order that the run sent."""
        if order.person:
            return Because(Cause.PERSON, f"{order.person} ordered it")
        key = (order.key.strategy_id, order.key.instrument, order.key.origin)
        verdicts = self.replayed.story.verdicts.get(key, [])
        if verdicts and not verdicts[-1].approved:
            risk = self._of_risk(order.time)
            return risk or self._vetoed(verdicts[-1], "in the replay")
        return self._of_risk(order.time)

    def _vetoed(self, verdict: Verdict, where: str) -> Because:
        if verdict.code in _BY_BREAKER:
            halted = _within(self.found.halted, verdict.time)
            cause = Cause.PERSON if halted else Cause.BREAKER
            return Because(cause, str(halted) if halted else f"{where}: {verdict.objection}")
        if verdict.code in _BY_PERSON:
            return Because(Cause.PERSON, f"{where} the mode was manual: a person sends its orders")
        return Because(Cause.VETO, f"{where}: {verdict.objection}")

    def not_filled(self, order: Order, *, reported: Decimal) -> Because:
        """Return why an order that was sent wasn't filled; ``reported`` is what its broker said."""
        if reported > order.filled:
            why = f"the broker reported {plain(reported)} filled, the journal has "
            return Because(Cause.LOST_FILL, f"{why}{plain(order.filled)} of it")
        if any(stage in {"in_doubt", "proven_absent"} for stage, *_ in order.told):
            told = "; ".join(why for *_, why in order.told if why)
            return Because(Cause.OUTAGE, f"the order was in doubt: {told}")
        stage, status, why = order.told[-1] if order.told else ("sent", "no answer", "")
        said = f"{stage.replace('_', ' ')}, {status}{f': {why}' if why else ''}"
        return Because(Cause.BROKER, f"the order was {said}")

    def resized(self, order: Order, other: Order) -> Because:
        """Return why an order isn't of the replay's size."""
        if order.quantity == other.quantity:
            if order.reported > order.filled:
                return self.not_filled(order, reported=order.reported)
            told = f"{plain(order.filled)} of {plain(order.quantity)} filled in the run"
            return Because(Cause.PARTIAL, f"{told}, {plain(other.filled)} in the replay")
        if (risk := self._of_risk(order.time)) is not None:
            return risk
        equities = [each.verdict.equity if each.verdict else None for each in (order, other)]
        if None not in equities and equities[0] != equities[1]:
            told = " and ".join(f"{each:,.2f}" for each in equities if each is not None)
            return Because(
                Cause.EQUITY, f"sized on the equity: {told}; follows from what differed before"
            )
        return self._of_strategies(order.key.strategy_id, order.time) or Because(
            Cause.UNEXPLAINED, "the gate sized it otherwise on the same equity"
        )

    def elsewhere(self, order: Order) -> Because | None:
        """Return what of an outage bears on an order's price and costs: its account, a doubt."""
        if any(stage == "in_doubt" for stage, *_ in order.told):
            told = next((why for stage, _, why in order.told if stage == "in_doubt"), "")
            return Because(Cause.OUTAGE, f"the order was in doubt: {told}")
        if order.account != self.setup.traded:
            told = f"it was sent to {order.account}, and is replayed as one of {self.setup.traded}"
            return Because(Cause.OUTAGE, told)
        return None

    def unprotected(self, order: Order) -> Because:
        """Return why a protective order filled in one of both alone."""
        changed = self.terms(order.time)
        if changed:
            return Because(Cause.SETTINGS, changed)
        data = self.prices(order.key.instrument, order.time)
        if data is not None:
            return data
        level = "" if order.protects is None else f" at {plain(order.protects)}"
        return Because(
            Cause.DATA, f"one of both reached its price{level}: within a bar the way isn't known"
        )


def _within(spans: list[Span], time: int) -> Span | None:
    return next((each for each in spans if each.has(time)), None)


def _named(settings: Iterable[Setting]) -> str:
    """Say which settings changed, the first of them."""
    known = [str(each) for each in settings]
    more = f"; and {len(known) - _MOST} more" if len(known) > _MOST else ""
    return "; ".join(known[:_MOST]) + more


def _data(found: Recorded, replayed: Replayed, setup: Setup) -> Mapping[str, list[tuple[int, str]]]:
    """Return by symbol when, and how, the prices of the run were others than the replay's."""
    signs: dict[str, list[tuple[int, str]]] = {}
    if found.live and not setup.from_journal:
        for symbol in setup.prepared.bars:
            signs[symbol] = _other_bars(found, setup, symbol)
    elif not found.live:
        _other_quotes(found, replayed, signs)
    return signs


def _other_bars(found: Recorded, setup: Setup, symbol: str) -> list[tuple[int, str]]:
    prices, length = setup.prepared.bars[symbol], setup.prepared.market.length
    now = {int(time): prices.bar(index) for index, time in enumerate(prices.time)}
    told = found.first_bars.get(symbol, {})
    if not told or not now:
        return []
    signs = []
    first, last = max(min(told), min(now)), min(max(told), max(now))
    for time in sorted({*told, *now}):
        if not first <= time <= last:
            continue
        then, other = told.get(time), now.get(time)
        if then is None or other is None:
            gone = "the run" if then is None else "the replay"
            signs.append((time + length, f"{gone} has no bar of {format_time(time)}"))
        elif _ohlc(then.bar) != _ohlc(other):
            both = f"{_ohlc(then.bar)} in the run, {_ohlc(other)} in the replay"
            signs.append((time + length, f"the bar of {format_time(time)} is {both}"))
    return signs


def _sides(quote: tuple[Decimal, Decimal]) -> str:
    return "/".join(plain(each) for each in quote)


def _ohlc(bar: Bar) -> str:
    return f"{bar.open:.10g}/{bar.high:.10g}/{bar.low:.10g}/{bar.close:.10g}"


def _other_quotes(
    found: Recorded, replayed: Replayed, signs: dict[str, list[tuple[int, str]]]
) -> None:
    """Compare the mid prices that both decided on at the same time."""
    steps = {
        symbol: Decimal(terms["price_step"]) for (_, symbol), terms in found.story.terms.items()
    }
    for key, verdicts in found.story.verdicts.items():
        others = replayed.story.verdicts.get(key, [])
        for one, other in zip(verdicts, others, strict=False):
            if one.quote is None or other.quote is None:
                continue
            gap = abs(sum(one.quote, ZERO) - sum(other.quote, ZERO)) / 2
            if gap > steps[key[1]]:  # bid and ask are each rounded
                seen = f"{_sides(one.quote)}, in the replay {_sides(other.quote)}"
                why = f"at {format_time(one.time)} bid/ask were {seen}"
                signs.setdefault(key[1], []).append((one.time, why))
    for each in signs.values():
        each.sort()
