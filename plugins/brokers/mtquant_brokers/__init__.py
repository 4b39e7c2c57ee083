"""First-party brokers of mtquant."""
