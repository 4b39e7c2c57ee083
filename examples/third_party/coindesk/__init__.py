"""Coindesk: a broker, a strategy and a risk check, found by mtquant once this is installed."""

from mtquant import hookimpl


@hookimpl
def brokers():
    from coindesk.desk import Coindesk

    return [Coindesk]


@hookimpl
def strategies():
    from coindesk.momentum import Momentum

    return [Momentum]


@hookimpl
def checks():
    from coindesk.weekend import Weekend

    return [Weekend]
