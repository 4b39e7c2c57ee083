"""First-party risk of mtquant."""
