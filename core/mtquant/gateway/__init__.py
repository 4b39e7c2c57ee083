"""The gateway: one MCP server through which LLM agents trade, under the same rules as everyone.

It is the wire alone: who may do what, and what it comes to, is decided by the engine's desk of
agents (:class:`mtquant.agents.port.Desk`).
"""

from mtquant.gateway.http import run_gateway_http
from mtquant.gateway.server import gateway
from mtquant.gateway.stdio import run_gateway_stdio

__all__ = ["gateway", "run_gateway_http", "run_gateway_stdio"]
