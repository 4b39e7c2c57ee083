"""Stretches of history whose trading is reckoned in whole numbers, instead of being played.

One strategy in one instrument, market orders and their protections, nothing that anybody has to be
asked about: there what the exchange, the gate and the order desk would do is known beforehand, and
is worked out from arrays, to the last digit the same. Where that isn't certain the stretch ends,
and the decider and the desk that trade live go on from there.
"""
