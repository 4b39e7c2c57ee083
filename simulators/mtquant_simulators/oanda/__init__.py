"""OANDA on your desk: the v20 REST and streaming API over the simulated exchange.

``application(settings, clock)`` is the ASGI application, ``serving(settings)`` runs it on loopback.
"""

from mtquant_simulators.oanda.app import application
from mtquant_simulators.oanda.serve import serving
from mtquant_simulators.oanda.settings import AccountSettings, Faults, Limits, OandaSettings

__all__ = [
    "AccountSettings",
    "Faults",
    "Limits",
    "OandaSettings",
    "application",
    "serving",
]
