"""First-party notifiers of mtquant."""
