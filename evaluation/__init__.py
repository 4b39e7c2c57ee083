"""How well an LLM trades through the gateway: tasks in plain language, checked at the venue."""
