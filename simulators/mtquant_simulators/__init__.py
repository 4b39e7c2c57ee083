"""Venues on your desk: simulators that speak a broker's own API over the simulated exchange."""
