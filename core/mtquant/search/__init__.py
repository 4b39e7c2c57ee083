"""The search for settings: many backtests, what they found, and how much of it is luck."""
