"""First-party strategies of mtquant."""
