"""The wire: ``serve`` a broker as an MCP server, or reach one as a ``Remote``.

The only package that imports mcp.
"""

from mtquant.wire.remote import Remote
from mtquant.wire.run import run_http, run_stdio
from mtquant.wire.server import serve

__all__ = ["Remote", "run_http", "run_stdio", "serve"]
