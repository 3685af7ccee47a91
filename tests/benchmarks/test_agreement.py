"""The comparison with published curves: what it accepts and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.commands import agreement
from benchmarks.commands.agreement import EPOCHS, METRICS, compare, published


def curves(estimator: str, shift: float) -> dict[tuple[str, int], list[float]]:
    """Three seeds at the published value, ``shift`` standard deviations off."""
    values = {}
    for metric in METRICS:
        for epoch in EPOCHS:
            row = published(estimator, metric, epoch)
            mean, sd = float(row["mean"]), float(row["sd"])
            values[metric, epoch] = [mean + shift * sd] * 3
    return values


@pytest.mark.parametrize("estimator", ["stgs", "reinmax", "gst"])
def test_published_means_agree_and_shifted_ones_do_not(estimator: str) -> None:
    assert all(c.distance == pytest.approx(0, abs=1e-9) for c in compare(estimator, curves(estimator, 0)))
    assert not any(c.agrees for c in compare(estimator, curves(estimator, 4)))
    assert not any(c.agrees for c in compare(estimator, curves(estimator, math.nan)))


def test_straight_through_is_compared_with_the_nine_runs_that_did_not_collapse() -> None:
    agreeing = curves("st", -(10**-0.5))
    assert all(c.agrees for c in compare("st", agreeing) if c.epoch > 1)
    one_collapsed = {key: [*values[:2], 500.0] for key, values in agreeing.items()}
    assert all(c.agrees for c in compare("st", one_collapsed) if c.epoch > 1)
    worse = {key: [1.04 * value for value in values] for key, values in agreeing.items()}
    assert not any(c.agrees for c in compare("st", worse) if c.epoch > 1)


def test_false_alarms_are_as_rare_as_said() -> None:
    """3 against 10 normal numbers: 200,000 comparisons, one in 3,200 beyond the bound."""
    chance = np.random.default_rng(0)
    repeats = 200_000
    ours, theirs = chance.normal(size=(repeats, 3)), chance.normal(size=(repeats, 10))
    t = (ours.mean(1) - theirs.mean(1)) / (theirs.std(1, ddof=1) * (1 / 3 + 1 / 10) ** 0.5)
    expected = repeats * agreement.FALSE_ALARMS / 32
    alarms = (np.abs(t) > agreement.bound()).sum()
    assert abs(alarms - expected) < 5 * expected**0.5


def test_the_table_names_what_disagrees() -> None:
    text = agreement.shown(compare("gst", curves("gst", 0)) + compare("stgs", curves("stgs", 4)))
    assert text.count("DISAGREES") == 8
    assert "8 of 16 agree" in text
