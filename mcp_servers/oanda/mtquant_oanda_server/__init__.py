"""An OANDA v20 account as a standalone MCP broker server."""
