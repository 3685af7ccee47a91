"""Verdicts with a margin, by hand and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scoring.margins import compare

BETTER_BY = [1.0, 1.2, 0.8, 1.1, 0.9, 1.0]
OTHER = dict(enumerate([5.0, 6.0, 7.0, 8.0, 9.0, 10.0]))
FIRST = {seed: value - better for (seed, value), better in zip(OTHER.items(), BETTER_BY, strict=True)}


@pytest.mark.parametrize(
    ("margin", "verdict", "no_worse"),
    [
        (0.0, "better", True),
        (0.5, "better", True),  # all six differences are above 0.5: p = 2 / 2^6
        (1.0, "undecided", True),
        (1.5, "equivalent", True),  # both one-sided tests have p = 1 / 2^6
    ],
)
def test_one_that_is_better_by_1(margin: float, verdict: str, no_worse: bool) -> None:
    (one,) = compare(FIRST, [OTHER], "minimize", margin=margin)
    assert one.difference.mean == pytest.approx(1.0)
    assert one.p == pytest.approx(2 / 2**6)
    assert (one.verdict, one.no_worse) == (verdict, no_worse)


@pytest.mark.parametrize(
    ("margin", "verdict", "no_worse"),
    [(0.0, "worse", False), (0.5, "worse", False), (1.0, "undecided", False), (1.5, "equivalent", True)],
)
def test_the_other_way_round_it_is_worse(margin: float, verdict: str, no_worse: bool) -> None:
    (one,) = compare(OTHER, [FIRST], "minimize", margin=margin)
    assert (one.verdict, one.no_worse) == (verdict, no_worse)
    (up,) = compare(FIRST, [OTHER], "maximize", margin=margin)
    assert (up.verdict, up.no_worse) == (verdict, no_worse)


def test_several_are_judged_together() -> None:
    first = {seed: 0.0 for seed in range(8)}
    far, near = {seed: 1.0 + seed / 100 for seed in range(8)}, {seed: (-1.0) ** seed for seed in range(8)}
    one, other = compare(first, [far, near], "minimize")
    # Of 2^8 sign changes two are as far; twice that by Holm.
    assert one.p == pytest.approx(2 * 2 / 2**8)
    assert other.p == 1.0
    assert [one.verdict, other.verdict] == ["better", "undecided"]


@pytest.mark.parametrize("common", [0, 1])
def test_fewer_than_two_seeds_in_common_decide_nothing(common: int) -> None:
    (one,) = compare({seed: 0.0 for seed in range(common)}, [{0: 9.0}], "minimize", margin=1.0)
    assert (one.verdict, one.no_worse, one.p) == ("undecided", False, 1.0)


def test_a_margin_is_a_size() -> None:
    with pytest.raises(ValueError, match=r"0 or more, got -1"):
        compare(FIRST, [OTHER], "minimize", margin=-1.0)


@pytest.mark.parametrize(("shift", "wrong"), [(0.5, "worse"), (-0.5, "better")])
def test_a_difference_of_just_the_margin_is_rarely_called_more(shift: float, wrong: str) -> None:
    rng = np.random.default_rng(0)
    calls = 0
    for _ in range(400):
        differences = rng.normal(shift, 1.0, 6)
        (one,) = compare(dict(enumerate(differences)), [dict.fromkeys(range(6), 0.0)], "minimize", margin=0.5)
        calls += one.verdict == wrong
    assert calls / 400 < 0.05  # two-sided at 5 %: 2.5 % on this side
