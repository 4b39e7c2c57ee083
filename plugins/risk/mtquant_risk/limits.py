"""Checks of what may be traded at all, how often, and with what protection."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal
from operator import attrgetter
from typing import Annotated, Literal

from pydantic import Field

from mtquant.clock import SECOND, format_time
from mtquant.contract import Check, Exposure, Finding, Proposal, RiskState, Sent, Settings, Worst
from mtquant.model import AssetClass, Number, Positive, plain
from mtquant.risk import figure
from mtquant_risk.account import ZERO, money, notional_of_one


class SpreadSettings(Settings):
    """``max_fraction``: the widest spread, as a part of the price (0.001 is 0.1 %)."""

    max_fraction: Annotated[Number, Field(gt=0, le=1)] = Decimal("0.001")


class Spread(Check[SpreadSettings]):
    """Vetoes while the spread is too wide: at the rollover, at news, in a market that is thin."""

    name = "spread"

    def passes(self, worst: Worst) -> bool:
        """Compare the widest spread with its limit."""
        return worst.spread <= self.settings.max_fraction

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Compare the spread with its limit."""
        quote, name = state.quote, proposal.signal.instrument
        if quote is None:
            return self.veto("no_price", f"{name} has no price")
        widest = self.settings.max_fraction * quote.mid
        if quote.spread <= widest:
            return self.approve(proposal)
        message = (
            f"the spread of {name} is {plain(quote.spread)}; {figure(widest)} is the widest allowed"
        )
        return self.veto(
            "spread_too_wide", message, limit=plain(widest), observed=plain(quote.spread)
        )


class RestrictedSettings(Settings):
    """``deny``: symbols that are never opened; ``allow``: if any are named, only these are."""

    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class Restricted(Check[RestrictedSettings]):
    """Vetoes a symbol that is on the restricted list, or not on the list of those allowed."""

    name = "restricted"

    def passes(self, worst: Worst) -> bool:
        """Look the symbol up."""
        name, wanted = worst.instrument.instrument, self.settings
        return name not in wanted.deny and (not wanted.allow or name in wanted.allow)

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002 - the port's
        """Look the symbol up."""
        name, wanted = proposal.signal.instrument, self.settings
        if name in wanted.deny or (wanted.allow and name not in wanted.allow):
            allowed = ", ".join(wanted.allow) or f"all but {', '.join(wanted.deny)}"
            message = f"{name} is restricted; allowed: {allowed}"
            return self.veto("restricted", message, limit=allowed, observed=name)
        return self.approve(proposal)


class StopRequiredSettings(Settings):
    """``required``: whether an order must bring a protective stop."""

    required: bool = False


class StopRequired(Check[StopRequiredSettings]):
    """Vetoes an order without a protective stop, where one is required."""

    name = "stop_required"

    def passes(self, worst: Worst) -> bool:
        """Tell whether all bring a stop, where one is required."""
        return worst.stopped or not self.settings.required

    def review(self, proposal: Proposal, state: RiskState) -> Finding:  # noqa: ARG002 - the port's
        """Look whether there is a stop."""
        if self.settings.required and proposal.stop_loss is None:
            message = f"the {proposal.side} of {proposal.signal.instrument} brings no stop loss"
            return self.veto("no_stop_loss", message, limit="a stop loss", observed="none")
        return self.approve(proposal)


class OpenOrdersSettings(Settings):
    """``max_orders``: how many orders of ours may be working at one account."""

    max_orders: Annotated[int, Field(ge=1, le=10_000)] = 50


class OpenOrders(Check[OpenOrdersSettings]):
    """Vetoes one more order where too many are working; in doubt counts as working."""

    name = "open_orders"

    def passes(self, worst: Worst) -> bool:  # noqa: ARG002 - the port's
        """Agree: no order works when one of them is sent."""
        return True

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Count them."""
        most, found = self.settings.max_orders, state.working_orders
        if found < most:
            return self.approve(proposal)
        message = f"{found} orders are working at {proposal.account}; {most} is the most allowed"
        return self.veto("open_orders", message, limit=most, observed=found)


def sent_since(state: RiskState, since: int) -> Sequence[Sent]:
    """Return the orders sent after ``since``; ``state.sent`` is in the order of its times."""
    return state.sent[bisect_right(state.sent, since, key=_time_of) :]


_time_of = attrgetter("time")


class ThrottleSettings(Settings):
    """How many messages may be sent to one account in the last second, minute and day.

    Orders that open exposure, closes, changes and cancellations all count (RTS 6, article 15(1));
    only the first are refused.
    """

    per_second: Annotated[int, Field(ge=1, le=10_000)] = 10
    per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    per_day: Annotated[int, Field(ge=1, le=1_000_000)] = 1000


class Throttle(Check[ThrottleSettings]):
    """Vetoes an order that comes too soon after too many others."""

    name = "throttle"

    def passes(self, worst: Worst) -> bool:
        """Count the messages of each window."""
        wanted = self.settings
        windows = ((1, wanted.per_second), (60, wanted.per_minute), (86_400, wanted.per_day))
        return all(worst.most_sent(seconds) < most for seconds, most in windows)

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Count what was sent in each window."""
        wanted = self.settings
        windows = (("second", 1, wanted.per_second), ("minute", 60, wanted.per_minute))
        for title, seconds, most in (*windows, ("day", 86_400, wanted.per_day)):
            since = state.time - seconds * SECOND
            others = len(state.messages) - bisect_right(state.messages, since)
            found = len(sent_since(state, since)) + others
            if found >= most:
                message = (
                    f"{found} orders were sent to {proposal.account} in the last {title}; "
                    f"{most} is the most allowed"
                )
                return self.veto(f"throttle_{title}", message, limit=most, observed=found)
        return self.approve(proposal)


class RepeatedOrderSettings(Settings):
    """``count``: orders of one source, symbol and side that may come in ``window_s`` seconds."""

    count: Annotated[int, Field(ge=1, le=10_000)] = 10
    window_s: Positive = Decimal(60)


class RepeatedOrder(Check[RepeatedOrderSettings]):
    """Vetoes an order that its source repeats over and over (RTS 6, article 15(3)).

    A loop gone wrong sends the same side again and again: it is stopped for as long as the window
    holds so many.
    """

    name = "repeated_order"

    def passes(self, worst: Worst) -> bool:
        """Count the orders of a window, whatever their side."""
        return worst.most_opened(self.settings.window_s) < self.settings.count

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Count the source's orders in the symbol and on the side."""
        signal, most = proposal.signal, self.settings.count
        since = state.time - int(self.settings.window_s * SECOND)
        mine = (signal.strategy_id, signal.instrument, proposal.side)
        found = sum(
            mine == (each.strategy_id, each.instrument, each.side)
            for each in sent_since(state, since)
        )
        if found < most:
            return self.approve(proposal)
        message = (
            f"{signal.strategy_id} sent {found} orders to {proposal.side} {signal.instrument} in "
            f"the last {figure(self.settings.window_s)} s; {most} is the most allowed"
        )
        return self.veto("repeated_order", message, limit=most, observed=found)


class DuplicateSettings(Settings):
    """``window_s``: how soon the same order again counts as a mistake, in seconds."""

    window_s: Positive = Decimal(2)


class Duplicate(Check[DuplicateSettings]):
    """Vetoes what was just sent: same source, symbol, side and quantity.

    An order that was refused, or proven never to have lived, doesn't count: its wish may be tried
    again.
    """

    name = "duplicate"

    def passes(self, worst: Worst) -> bool:
        """Tell whether two ever come within the window."""
        return not worst.most_opened(self.settings.window_s)

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Look for the same order in the window."""
        signal = proposal.signal
        since = state.time - int(self.settings.window_s * SECOND)
        mine = (signal.strategy_id, signal.instrument, proposal.side, proposal.quantity)
        for each in sent_since(state, since):
            theirs = (each.strategy_id, each.instrument, each.side, each.quantity)
            if mine == theirs:
                message = (
                    f"{signal.strategy_id} sent the same {proposal.side} "
                    f"{figure(proposal.quantity)} {signal.instrument} at {format_time(each.time)}"
                )
                window = f"{figure(self.settings.window_s)} s"
                return self.veto(
                    "duplicate_order", message, limit=window, observed=each.client_order_id
                )
        return self.approve(proposal)


class CurrencySettings(Settings):
    """``max_net``: the most net exposure in one currency, as a multiple of equity."""

    max_net: Positive = Decimal(20)


class CurrencyExposure(Check[CurrencySettings]):
    """Vetoes an order after which too much would stand on one currency.

    A position of EUR/USD is long euros and short dollars, both at its notional value. Working
    orders count as filled where that is worse. The account's own currency isn't a risk to it.
    """

    name = "currency_exposure"

    def passes(self, worst: Worst) -> bool:
        """Compare the largest order, beside which nothing is held, with the limit."""
        return worst.notional <= self.settings.max_net * worst.equity

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Add up both currencies of the order over the whole account."""
        account, instrument = state.account, state.instrument
        most = self.settings.max_net * account.equity
        order = notional_of_one(proposal, state) * proposal.quantity * proposal.side.sign
        for currency, change in ((instrument.base, order), (instrument.quote, -order)):
            if currency == account.currency:
                continue
            net = self._net(currency, change, state) + change
            if not net.is_finite():
                message = "a position or working order of the account can't be valued now"
                return self.veto("unvalued_exposure", message)
            if (net if change > 0 else -net) > most:
                message = (
                    f"the net exposure in {currency} would be "
                    f"{money(net, account.currency)}; {figure(self.settings.max_net)} times the "
                    f"equity, {money(most, account.currency)}, is allowed"
                )
                return self.veto(
                    "currency_exposure", message, limit=plain(most), observed=plain(net)
                )
        return self.approve(proposal)

    def _net(self, currency: str, change: Decimal, state: RiskState) -> Decimal:
        """Return what stands on ``currency`` now, with what works the same way as ``change``."""
        totals = state.totals
        return (totals.longest if change > 0 else totals.shortest).get(currency, ZERO)


MAJORS = frozenset({"USD", "EUR", "JPY", "GBP", "CAD", "CHF"})
"""The currencies that ESMA's decision (EU) 2018/796 calls major."""
US_MAJORS = frozenset({"USD", "EUR", "JPY", "GBP", "CAD", "CHF", "AUD", "NZD", "SEK", "NOK", "DKK"})
"""The currencies that NFA Financial Requirements, section 12, lists for 2 per cent."""
_ESMA = {
    AssetClass.METAL: Decimal("0.05"),
    AssetClass.INDEX: Decimal("0.05"),
    AssetClass.COMMODITY: Decimal("0.10"),
    AssetClass.EQUITY: Decimal("0.20"),
    AssetClass.CRYPTO: Decimal("0.50"),
}


class RegulatorySettings(Settings):
    """``profile``: whose leverage caps hold: ``esma``, ``us`` or ``none``."""

    profile: Literal["none", "esma", "us"] = "none"


class Regulatory(Check[RegulatorySettings]):
    """Vetoes an order after which equity wouldn't cover the margin that the regulator asks for.

    ``esma``: 30:1 between major currencies, 20:1 other currencies, gold and indices, 10:1
    commodities, 5:1 shares, 2:1 crypto (Decision (EU) 2018/796). ``us``: 50:1 between the
    currencies of NFA's list, 20:1 others; nothing but currencies.
    """

    name = "regulatory"

    def __init__(self, settings: RegulatorySettings) -> None:
        super().__init__(settings)
        self._known: dict[str, tuple[Exposure, Decimal]] = {}

    def passes(self, worst: Worst) -> bool:
        """Compare the margin of the largest order with the least equity."""
        if self.settings.profile == "none":
            return True
        traded = worst.instrument
        rate = self._rate(traded.asset_class, traded.base, traded.quote)
        return rate is not None and worst.notional * rate <= worst.equity

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Add up the margin of all that is held, works, and is asked for."""
        if self.settings.profile == "none":
            return self.approve(proposal)
        instrument, account = state.instrument, state.account
        rate = self._rate(instrument.asset_class, instrument.base, instrument.quote)
        if rate is None:
            message = f"{self.settings.profile}: {instrument.asset_class} isn't allowed to retail"
            return self.veto("regulatory_instrument", message, observed=instrument.asset_class)
        needed = notional_of_one(proposal, state) * proposal.quantity * rate
        for each in state.exposures:
            needed += self._margin(each)
        if not needed.is_finite():
            message = "a position or working order of the account can't be valued now"
            return self.veto("unvalued_exposure", message)
        if needed <= account.equity:
            return self.approve(proposal)
        message = (
            f"{self.settings.profile}: the margin would be {money(needed, account.currency)}, the "
            f"equity is {money(account.equity, account.currency)}"
        )
        return self.veto(
            "regulatory_leverage", message, limit=plain(account.equity), observed=plain(needed)
        )

    def _margin(self, exposure: Exposure) -> Decimal:
        """Return what an exposure ties up; reckoned once for as long as it stays the same."""
        key = exposure.instrument
        known = self._known.get(key)
        if known is not None and known[0] is exposure:
            return known[1]
        margin, size = ZERO, exposure.size
        if size:
            rate = self._rate(exposure.asset_class, exposure.base, exposure.quote) or Decimal(1)
            margin = size * exposure.notional_rate * rate
        self._known[key] = (exposure, margin)
        return margin

    def _rate(self, kind: AssetClass, base: str, quote: str) -> Decimal | None:
        """Return the margin rate; None where the regulator doesn't let it be traded."""
        pair = {base, quote}
        if self.settings.profile == "us":
            if kind is not AssetClass.FOREX:
                return None
            return Decimal("0.02") if pair <= US_MAJORS else Decimal("0.05")
        if kind is AssetClass.FOREX:
            return 1 / Decimal(30) if pair <= MAJORS else Decimal("0.05")
        if kind is AssetClass.METAL and base != "XAU":
            return Decimal("0.10")
        return _ESMA[kind]
