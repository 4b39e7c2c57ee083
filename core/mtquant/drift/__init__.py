"""Drift: what a live or paper run did otherwise than a replay of the same strategy, and why."""

from mtquant.drift.drift import drift_of
from mtquant.drift.result import Cause, Difference, Drift, Share

__all__ = ["Cause", "Difference", "Drift", "Share", "drift_of"]
