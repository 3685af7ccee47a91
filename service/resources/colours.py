"""Colours of estimators on pages and in pictures."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

COLOURS = {"reinmax": 0, "stgs": 1, "st": 2, "exact": 3, "reinforce": 4}
"""Estimator -> colour of the style sheet, the same on every page and picture."""

SPARE = tuple(range(5, 10))
"""Colours of the style sheet for all other estimators."""

LIGHT = (
    "#0b62c4", "#c8701a", "#b5384f", "#4a5560", "#12805c",
    "#8a5bc9", "#0f8496", "#a8471c", "#6d7a1b", "#b03a94",
)  # fmt: skip
"""The colours ``--c0`` to ``--c9`` of the style sheet, for pictures that it does not reach."""

DARK = (
    "#6aa9ff", "#f0a35a", "#f07f92", "#b6c0ca", "#4fc795",
    "#b896f0", "#54cbe0", "#f08b62", "#c2cf62", "#ee8bd4",
)  # fmt: skip
"""Likewise on a dark ground."""

PATTERNS = 3
"""Ways to draw a colour, once all are taken: full, dashed, dotted; its key is filled, hollow, half filled."""


def colours(estimators: Iterable[str]) -> dict[str, str]:
    """Style classes of the estimators of one page: ``e0`` to ``e9``, then with a pattern, as in ``e7 p1``.

    No two are equal as long as there are colours and patterns. An estimator without a fixed colour has the
    same one on all pages where no other wants it.
    """
    wanted = sorted(set(estimators))
    chosen = {id: _style(COLOURS[id], 0) for id in wanted if id in COLOURS}
    for id in (id for id in wanted if id not in COLOURS):
        chosen[id] = _free(id, set(chosen.values()))
    return chosen


def _free(estimator: str, taken: set[str]) -> str:
    """The first style not taken: spare colours from that of its hash on, fixed ones, then patterns."""
    first = zlib.crc32(estimator.encode()) % len(SPARE)
    order = [*SPARE[first:], *SPARE[:first], *COLOURS.values()]
    styles = [_style(colour, pattern) for pattern in range(PATTERNS) for colour in order]
    return next((style for style in styles if style not in taken), styles[0])


def _style(colour: int, pattern: int) -> str:
    return f"e{colour} p{pattern}" if pattern else f"e{colour}"
