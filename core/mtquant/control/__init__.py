"""What a person does with an engine: look, order, close, cancel, change, approve.

The same commands serve a running engine, over a local authenticated channel, and one that is
started for a single command.
"""

from mtquant.control.channel import Channel, Reached, reach, serve_channel
from mtquant.control.commands import Commands

__all__ = ["Channel", "Commands", "Reached", "reach", "serve_channel"]
