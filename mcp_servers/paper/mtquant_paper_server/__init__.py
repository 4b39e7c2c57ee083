"""A paper trading account as a standalone MCP broker server."""
