"""What a person does with an engine: look, order, close, cancel, change, approve.

The same commands serve a running engine, over a local authenticated channel (``channel`` at its
end, ``reach`` at the other), and one that is started for a single command.
"""
