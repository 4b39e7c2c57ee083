"""The gateway: one MCP server through which LLM agents trade, under the same rules as everyone."""
