"""What an LLM agent may ask of an engine: its tools, its identity and budget, and the trail of it.

Nothing here knows of MCP: :mod:`mtquant.gateway` puts it on the wire.
"""
