"""A check of when may be traded: sessions, holidays, and times one would rather stay out of."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AwareDatetime, Field, field_validator

from mtquant.clock import SECOND, format_time
from mtquant.contract import Check, Finding, Proposal, RiskState, Settings, Worst
from mtquant.errors import ConfigError, Vetoed
from mtquant.model import AssetClass

NEW_YORK = ZoneInfo("America/New_York")
_OPEN, _CLOSE = time(17), time(17)
_FRIDAY = 4
FOREX = "forex"
Session = tuple[int, int]
"""When a market opens and closes: nanoseconds UTC, the close excluded."""


class TradingHoursSettings(Settings):
    """When new exposure may be opened, beyond what the broker itself says.

    ``calendars``: by symbol or asset class, ``forex`` (Sunday to Friday 17:00 New York, without
    25 December and 1 January) or the code of an exchange, such as ``XNYS``, whose sessions and
    holidays come from exchange_calendars. ``before_close_s``: how many seconds before a close
    nothing is opened any more. ``blackouts``: times, such as of news, as pairs of a beginning and
    an end with their offset from UTC.
    """

    calendars: dict[str, str] = Field(default_factory=dict)
    before_close_s: Annotated[int, Field(ge=0, le=86_400)] = 0
    blackouts: tuple[tuple[AwareDatetime, AwareDatetime], ...] = ()

    @field_validator("blackouts")
    @classmethod
    def _ordered(
        cls, pairs: tuple[tuple[datetime, datetime], ...]
    ) -> tuple[tuple[datetime, datetime], ...]:
        for begins, ends in pairs:
            if ends <= begins:
                msg = f"{ends.isoformat()} is not after {begins.isoformat()}"
                raise ValueError(msg)
        return pairs


class TradingHours(Check[TradingHoursSettings]):
    """Vetoes what would be opened while its market is closed, or about to close.

    Whether an instrument can be traded now is the broker's word first: this is for those that
    take orders at any time, and for times that you choose.
    """

    name = "trading_hours"

    def __init__(self, settings: TradingHoursSettings) -> None:
        super().__init__(settings)
        self._markets = {code: _market(code) for code in set(settings.calendars.values())}
        self._sessions: dict[str, Session | None] = {}
        self._blackouts = [
            tuple(_nanoseconds(each) for each in pair) for pair in settings.blackouts
        ]

    def passes(self, worst: Worst) -> bool:
        """Tell whether the market is one without hours, and no time is left out."""
        traded = worst.instrument
        return not self._blackouts and self._code(traded.instrument, traded.asset_class) is None

    def review(self, proposal: Proposal, state: RiskState) -> Finding:
        """Look whether the market of the order's symbol is open, and stays so for long enough."""
        now, symbol = state.time, proposal.signal.instrument
        for begins, ends in self._blackouts:
            if begins <= now < ends:
                message = f"nothing is opened until {format_time(ends)}: risk.checks.trading_hours"
                return self.veto("blackout", message, limit=format_time(ends))
        code = self._code(symbol, state.instrument.asset_class)
        if code is None:
            return self.approve(proposal)
        session = self._session(code, now)
        if session is None:
            message = f"the market of {symbol} ({code}) is closed at {format_time(now)}"
            return self.veto("market_closed", message, limit=code, observed=format_time(now))
        if now >= session[1] - self.settings.before_close_s * SECOND:
            message = (
                f"the market of {symbol} ({code}) closes at {format_time(session[1])}, and nothing "
                f"is opened in the {self.settings.before_close_s} s before"
            )
            return self.veto("before_close", message, limit=format_time(session[1]))
        return self.approve(proposal)

    def _code(self, symbol: str, kind: AssetClass) -> str | None:
        wanted = self.settings.calendars
        return wanted.get(symbol, wanted.get(kind))

    def _session(self, code: str, now: int) -> Session | None:
        """Return the session that ``now`` is in; the one found last is asked first."""
        known = self._sessions.get(code)
        if known is None or not known[0] <= now < known[1]:
            known = self._sessions[code] = self._markets[code](now)
        return known


def _market(code: str) -> Callable[[int], Session | None]:
    """Return what finds a market's session; raises ConfigError where there is no such calendar."""
    if code == FOREX:
        return forex_session
    sessions = _sessions(code)
    opens = [each[0] for each in sessions]

    def session(now: int) -> Session | None:
        if not opens[0] <= now < sessions[-1][1]:
            message = f"the sessions of {code} are known until {format_time(sessions[-1][1])}: "
            raise Vetoed("calendar_unknown", message + "update exchange_calendars")
        found = sessions[bisect_right(opens, now) - 1]
        return found if now < found[1] else None

    return session


def _sessions(code: str) -> list[Session]:
    """Return an exchange's sessions since 2000, those with a pause in two parts."""
    where = "risk.checks.trading_hours.calendars"
    try:
        import exchange_calendars  # noqa: PLC0415 - an extra, and slow to load
        from pandas import isna  # noqa: PLC0415 - it comes with it
    except ImportError:
        problem = f"{code!r} needs exchange_calendars, which isn't installed"
        raise ConfigError(where, problem, 'pip install "mtquant[calendars]"') from None
    found: list[Session] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it is told of its own use of pandas
        try:
            calendar = exchange_calendars.get_calendar(code, start="2000-01-01")
        except exchange_calendars.errors.InvalidCalendarName:
            remedy = "forex, or the code of an exchange, such as XNYS, XLON or XFRA."
            raise ConfigError(where, f"{code!r} is no calendar", remedy) from None
        for row in calendar.schedule.itertuples():
            times = (row.open, row.break_start, row.break_end, row.close)
            known = [each.as_unit("ns").value for each in times if not isna(each)]
            found += zip(known[::2], known[1::2], strict=True)
    return found


def forex_session(now: int) -> Session | None:
    """Return the day of foreign exchange, 17:00 to 17:00 in New York, that ``now`` falls in.

    None from Friday to Sunday and on the days that begin on the eves of 25 December and
    1 January. (The calendars that are published for it are wrong about the weekend.)
    """
    local = datetime.fromtimestamp(now // SECOND, NEW_YORK)
    begins = local.date() if local.time() >= _OPEN else local.date() - timedelta(days=1)
    trading_day = begins + timedelta(days=1)
    if begins.weekday() in {_FRIDAY, _FRIDAY + 1}:
        return None
    if (trading_day.month, trading_day.day) in {(12, 25), (1, 1)}:
        return None
    opens = datetime.combine(begins, _OPEN, NEW_YORK)
    closes = datetime.combine(trading_day, _CLOSE, NEW_YORK)
    return _nanoseconds(opens), _nanoseconds(closes)


def _nanoseconds(moment: datetime) -> int:
    return int(moment.astimezone(UTC).timestamp()) * SECOND
