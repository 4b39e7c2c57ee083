"""First-party stores of mtquant."""
