"""First-party indicators of mtquant."""
