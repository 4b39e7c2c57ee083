"""The endpoints of the account itself."""

from __future__ import annotations

from decimal import Decimal

from mtquant_simulators.oanda import show
from mtquant_simulators.oanda.answers import Answer, Problem
from mtquant_simulators.oanda.asked import Asked
from mtquant_simulators.oanda.text import read_decimal

_ALIAS_LENGTH = 64


def details(asked: Asked) -> Answer:
    """GET: the account with its open trades, positions and pending orders."""
    account = asked.account
    return Answer({"account": show.details(account), "lastTransactionID": account.ledger.last})


def summary(asked: Asked) -> Answer:
    """GET: the account without what it holds."""
    account = asked.account
    shown = show.summary(account, show.Worth(account))
    return Answer({"account": shown, "lastTransactionID": account.ledger.last})


def instruments(asked: Asked) -> Answer:
    """GET: the terms of the instruments, all or those named."""
    account, known = asked.account, asked.venue.names
    names = asked.listed("instruments")
    symbols = (
        known.values() if names is None else [asked.symbol(each, "instruments") for each in names]
    )
    shown = [show.instrument(account.exchange.instruments[each]) for each in symbols]
    return Answer({"instruments": shown, "lastTransactionID": account.ledger.last})


def changes(asked: Asked) -> Answer:
    """GET: what has changed since a transaction."""
    account = asked.account
    newest = int(account.ledger.last)
    since = asked.number("sinceTransactionID", newest, 0, 10**18)
    if since > newest:
        raise Problem(416, "The sinceTransactionID is beyond the last transaction")
    return Answer(
        {
            "changes": show.changes(account, since),
            "state": show.changes_state(account),
            "lastTransactionID": account.ledger.last,
        }
    )


def configure(asked: Asked) -> Answer:
    """PATCH: the alias; a margin rate of the client's own isn't offered here."""
    account, body = asked.account, asked.body
    fields = {key: body[key] for key in ("alias", "marginRate") if isinstance(body.get(key), str)}
    reason = _configure_problem(fields)
    with account.ledger.batch(asked.request_id):
        if reason is not None:
            if read_decimal(fields.get("marginRate")) is None:
                fields.pop("marginRate", None)
            entry = account.ledger.add(
                "CLIENT_CONFIGURE_REJECT", account.time, rejectReason=reason, **fields
            )
            return Answer(
                {
                    "clientConfigureRejectTransaction": entry,
                    "lastTransactionID": account.ledger.last,
                    "errorCode": reason,
                    "errorMessage": "The account can't be configured so",
                },
                400,
            )
        entry = account.ledger.add("CLIENT_CONFIGURE", account.time, **fields)
        account.alias = fields.get("alias", account.alias)
        return Answer(
            {"clientConfigureTransaction": entry, "lastTransactionID": account.ledger.last}
        )


def _configure_problem(fields: dict[str, str]) -> str | None:
    if not fields:
        return "CLIENT_CONFIGURE_DATA_MISSING"
    if len(fields.get("alias", "")) > _ALIAS_LENGTH:
        return "ALIAS_INVALID"
    if "marginRate" in fields:
        rate = read_decimal(fields["marginRate"])
        if rate is None or not Decimal(0) < rate <= 1:
            return "MARGIN_RATE_INVALID"
        return "MARGIN_RATE_WOULD_TRIGGER_CLOSEOUT"  # the exchange's margin rates are fixed
    return None
