"""Deciding, as a pure function: events in, effects out."""

from mtquant.decide.decider import Decider, Rules
from mtquant.decide.entries import read_signal, read_suggestion, signal_body
from mtquant.decide.events import (
    AccountSeen,
    Answered,
    BarClosed,
    Close,
    CloseOrdered,
    Effect,
    Event,
    FeedChanged,
    Filled,
    HaltSet,
    ModeSet,
    Opened,
    Ordered,
    OrderMoved,
    QuotesSeen,
    Record,
    RoutesChanged,
    Submit,
    Tell,
    Ticked,
)
from mtquant.decide.flow import EQUITY_MAX_AGE_S
from mtquant.decide.hearing import take_target
from mtquant.decide.persons import ApprovalRules, digest

__all__ = [
    "EQUITY_MAX_AGE_S",
    "AccountSeen",
    "Answered",
    "ApprovalRules",
    "BarClosed",
    "Close",
    "CloseOrdered",
    "Decider",
    "Effect",
    "Event",
    "FeedChanged",
    "Filled",
    "HaltSet",
    "ModeSet",
    "Opened",
    "OrderMoved",
    "Ordered",
    "QuotesSeen",
    "Record",
    "RoutesChanged",
    "Rules",
    "Submit",
    "Tell",
    "Ticked",
    "digest",
    "read_signal",
    "read_suggestion",
    "signal_body",
    "take_target",
]
