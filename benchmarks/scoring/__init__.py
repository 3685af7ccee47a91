"""Statistics of boards: pure functions, without torch."""

VERSION = 2
"""Counts changes of what is computed from the same results; every board says it."""
