"""One colour and one mark for every estimator, the same on every page and in every picture.

A family has a hue; its members differ in shade, and no two of one family have the same pattern: dashes of a
line, shape of a mark. Those that share a pattern are of different families, and their colours stay apart for
people who see no red or no green. All are legible as text on both grounds.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from estimators import registry

Scheme = Literal["light", "dark"]

PATTERNS = 6
"""Full, dashed, dotted, dash-dot, long dashes, long dash-dot; circle, square, triangle, diamond, triangle
upside down, cross."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How an estimator looks.

    Attributes:
        place: in the table of all marks; the class of its colour is ``e`` and this number.
        light: its colour on a light ground, ``#rrggbb``.
        dark: its colour on a dark ground.
        pattern: of its lines and marks, 0 to 5.
    """

    place: int
    light: str
    dark: str
    pattern: int

    @property
    def style(self) -> str:
        """Its classes in the style sheet: ``e3 p0``."""
        return f"e{self.place} p{self.pattern}"

    def colour(self, scheme: Scheme) -> str:
        """Its colour on a ground."""
        return self.light if scheme == "light" else self.dark


Look = tuple[str, str, int]
"""Colour on light ground, colour on dark ground, pattern."""

FAMILIES: Mapping[str, Mapping[str, Look]] = {
    "exact": {
        "exact": ("#6b7177", "#bdc4cb", 0),
    },
    "REINFORCE": {
        "reinforce": ("#00613c", "#4da15e", 0),
        "reinforce_ema": ("#17864d", "#659981", 3),
        "rloo": ("#137b33", "#92e29b", 4),
        "nvil": ("#005426", "#69a26f", 2),
    },
    "antithetic": {
        "disarm": ("#007b83", "#5b97a4", 1),
        "disarm_tree": ("#00758f", "#00abb7", 4),
        "arms": ("#008097", "#84f5ff", 2),
        "arm": ("#006b84", "#4be5ff", 3),
        "arsm": ("#005b70", "#48c8de", 5),
    },
    "control variates": {
        "muprop": ("#8151bf", "#d09df2", 4),
        "rebar": ("#714cb7", "#a078c8", 2),
        "relax": ("#6740a7", "#a993ed", 5),
        "double_cv": ("#8760b7", "#9680b6", 3),
        "rodeo": ("#571885", "#a185de", 1),
    },
    "straight-through": {
        "st": ("#a92139", "#ff9d8e", 0),
        "st_uniform_baseline": ("#8a0023", "#cd7173", 4),
        "gst": ("#7b001d", "#ffcac2", 5),
        "gst_p": ("#9a1015", "#df786a", 1),
    },
    "Gumbel-softmax": {
        "stgs": ("#5b3300", "#ffdebd", 0),
        "decoupled_stgs": ("#a85f00", "#fcba86", 1),
        "gumbel_softmax": ("#8c4200", "#d0873a", 3),
    },
    "Gumbel-Rao": {
        "gumbel_rao": ("#787800", "#b9ad3f", 0),
        "zgr": ("#605b00", "#d2d16a", 5),
    },
    "ReinMax": {
        "reinmax": ("#0844a7", "#82a5f4", 0),
        "reinmax_rao": ("#1255ab", "#98c4ff", 1),
        "reinmax_cv": ("#083794", "#71b1ee", 2),
        "reinmax_cv_released": ("#174491", "#58a6ed", 3),
        "reinmax_mean_baseline": ("#075094", "#638ad9", 4),
        "reinmax_mean_baseline_released": ("#2a70d1", "#b5daff", 5),
    },
}
"""Family -> estimator -> how it looks."""

SPARE: tuple[Look, ...] = (
    ("#661f56", "#cb80b3", 0),
    ("#7f316f", "#e3a4c8", 1),
    ("#750660", "#d793b2", 2),
    ("#ab347a", "#ffb9d4", 3),
    ("#a94474", "#ffd4e8", 4),
    ("#9b1d60", "#bc6baa", 5),
    ("#383e43", "#dde4eb", 1),
    ("#585d63", "#c1c8cf", 2),
    ("#484e53", "#a7adb4", 3),
    ("#40464b", "#b6bcc3", 4),
    ("#6e747a", "#9ca3a9", 5),
)
"""For estimators of plug-ins: a hue that no family has, then greys."""

_LOOKS = [look for family in FAMILIES.values() for look in family.values()]
_MARKS = tuple(
    Mark(place=place, light=light, dark=dark, pattern=pattern)
    for place, (light, dark, pattern) in enumerate([*_LOOKS, *SPARE])
)
_BUILT_IN = dict(zip((id for family in FAMILIES.values() for id in family), _MARKS, strict=False))


def marks(estimators: Iterable[str]) -> dict[str, Mark]:
    """Marks of the estimators of a page or picture.

    Those of this package and of installed plug-ins have theirs everywhere. One that is not installed, as on a
    board of another machine, has one that neither these nor others of the page have, as long as there are
    any.
    """
    wanted = sorted(set(estimators))
    known = _BUILT_IN | _installed()
    free = _given([id for id in wanted if id not in known], {mark.place for mark in known.values()})
    return {id: (known | free)[id] for id in wanted}


def colours(estimators: Iterable[str]) -> dict[str, str]:
    """Style classes of the estimators of a page, of colour and pattern: ``e3 p0``."""
    return {id: mark.style for id, mark in marks(estimators).items()}


def style_rules() -> str:
    """The part of the style sheet that holds the colours; a test keeps it there."""
    return "\n".join(f".e{mark.place} {{ color: light-dark({mark.light}, {mark.dark}); }}" for mark in _MARKS)


@cache  # what is installed does not change under a process
def _installed() -> dict[str, Mark]:
    """Of plug-ins: a mark that hardly ever changes when another one is installed."""
    return _given(sorted(set(registry.available()) - set(_BUILT_IN)), set())


def _given(estimators: Iterable[str], taken: set[int]) -> dict[str, Mark]:
    """A spare mark for each: the first from that of its hash on that is not taken."""
    given: dict[str, Mark] = {}
    spare = _MARKS[-len(SPARE) :]
    for id in estimators:
        first = zlib.crc32(id.encode()) % len(spare)
        order = [*spare[first:], *spare[:first]]
        used = taken | {mark.place for mark in given.values()}
        given[id] = next((mark for mark in order if mark.place not in used), order[0])
    return given
