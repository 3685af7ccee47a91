"""``make chaos``: sweeps on real processes, which are killed, frozen and set back until something breaks.

It lies with the tests and not with the packages: it needs their PostgreSQL, it takes the fence off for its
control run, and nobody who installs Heunboard needs it.
"""
