"""Every estimator looks like itself alone, whoever looks, on either ground."""

from __future__ import annotations

import itertools
import re

import pytest

from estimators import registry
from service.resources import colours, drawing
from service.resources.colours import FAMILIES, PATTERNS, SPARE, Scheme, marks
from service.web.assets import FOLDER
from tests.support.sight import contrast, distance, oklab

BUILT_IN = registry.available()
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

APART = {"all cones": 0.1, "no red cones": 0.06, "no green cones": 0.06}
"""Smallest distance in OKLab of two colours with the same pattern. A step that is just seen is about 0.02."""

SHADES = 0.025
"""Likewise within a family, where patterns differ as well."""


def test_sight_by_hand() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    assert oklab("#ffffff") == pytest.approx([1, 0, 0], abs=1e-3)
    assert oklab("#ff0000") == pytest.approx([0.628, 0.225, 0.126], abs=1e-3)
    # Red and green of one lightness: far apart for most people, close for those without green cones.
    seen = [distance("#c05050", "#6f7f2f", sight) for sight in ("all cones", "no green cones")]
    assert seen[0] > 2.5 * seen[1]


def test_every_estimator_of_the_package_has_a_family() -> None:
    assert sorted(id for family in FAMILIES.values() for id in family) == sorted(BUILT_IN)


def test_no_two_look_alike() -> None:
    looks = [(mark.light, mark.pattern) for mark in marks(BUILT_IN).values()]
    assert len(set(looks)) == len(BUILT_IN) >= 30
    for family in FAMILIES.values():
        patterns = [pattern for _, _, pattern in family.values()]
        assert len(set(patterns)) == len(family), family
        assert set(patterns) <= set(range(PATTERNS))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("sight", APART)
def test_colours_of_one_pattern_stay_apart(scheme: Scheme, sight: str) -> None:
    for one, other in itertools.combinations(colours._MARKS, 2):
        if one.pattern == other.pattern:
            assert distance(one.colour(scheme), other.colour(scheme), sight) >= APART[sight], (one, other)


@pytest.mark.parametrize("place", [0, 1])
def test_members_of_a_family_have_one_hue_in_different_shades(place: int) -> None:
    for name, family in FAMILIES.items():
        shades = [(light, dark)[place] for light, dark, _ in family.values()]
        for one, other in itertools.combinations(shades, 2):
            assert distance(one, other, "all cones") >= SHADES, (name, one, other)
            (_, a, b), (_, c, d) = oklab(one), oklab(other)
            assert a * c + b * d >= 0.9 * ((a * a + b * b) * (c * c + d * d)) ** 0.5, (name, one, other)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_they_are_legible_as_text_on_the_page(scheme: Scheme) -> None:
    ground = drawing.GROUNDS[scheme][0]
    for mark in colours._MARKS:
        assert contrast(mark.colour(scheme), ground) >= 4.5, mark


def test_pages_never_change_the_look_of_an_estimator() -> None:
    every = marks(BUILT_IN)
    assert all(marks([id]) == {id: every[id]} for id in BUILT_IN)


def test_estimators_that_are_not_of_the_package_take_spare_marks() -> None:
    strangers = [f"stranger_{i}" for i in range(len(SPARE))]
    shown = marks([*BUILT_IN, *strangers])
    assert len({mark.place for mark in shown.values()}) == len(BUILT_IN) + len(SPARE)
    assert marks(["stranger_0"])["stranger_0"] == marks(["stranger_0", "st"])["stranger_0"]


def test_more_strangers_than_spare_marks_are_shown_all_the_same() -> None:
    strangers = [f"stranger_{i}" for i in range(len(SPARE) + 3)]
    assert len({mark.place for mark in marks(strangers).values()}) == len(SPARE)


def test_a_plug_in_has_one_mark_whatever_stands_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged = [f"plugged_{i}" for i in range(4)]
    monkeypatch.setattr(registry, "available", lambda: (*BUILT_IN, *plugged))
    colours._installed.cache_clear()
    alone = {id: marks([id])[id] for id in plugged}
    assert marks([*plugged, *BUILT_IN, "stranger"]).items() >= alone.items()
    assert len({mark.place for mark in alone.values()}) == len(plugged)
    monkeypatch.undo()
    colours._installed.cache_clear()


def test_the_style_sheet_has_these_colours() -> None:
    sheet = (FOLDER / "style.css").read_text(encoding="utf-8")
    assert colours.style_rules() in sheet, f"put these lines there:\n{colours.style_rules()}"
    ground, ink, muted, line = ("card", "ink", "muted", "line")
    for name, light, dark in zip((ground, ink, muted, line), *drawing.GROUNDS.values(), strict=True):
        (found,) = re.findall(rf"--{name}: light-dark\((#\w+), (#\w+)\)", sheet)
        long = tuple("#" + "".join(2 * c for c in one[1:]) if len(one) == 4 else one for one in found)
        assert long == (light, dark)
