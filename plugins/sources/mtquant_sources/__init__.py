"""First-party sources of mtquant."""
