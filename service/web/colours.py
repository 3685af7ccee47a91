"""Colours of estimators on pages and in pictures."""

from __future__ import annotations

import zlib

COLOURS = {"reinmax": 0, "stgs": 1, "st": 2, "exact": 3, "reinforce": 4}
"""Estimator -> colour of the style sheet, the same on every page and picture."""

SPARE_COLOURS = 5
"""Estimators from plug-ins share the colours after these, by a hash of their id."""


def colour(estimator: str) -> str:
    """Style class of an estimator's colour."""
    spare = len(COLOURS) + zlib.crc32(estimator.encode()) % SPARE_COLOURS
    return f"e{COLOURS.get(estimator, spare)}"
