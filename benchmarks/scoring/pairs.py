"""Paired differences: two estimators at the same seeds, which share initialisation and order of data.

Only seeds that both have are compared, so that a cell with more seeds gains nothing by it. A pair in which a
value is not finite is left out and counted: nothing is put in its place.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from benchmarks.scoring.goals import Goal

ALPHA = 0.05
"""Level of all tests together (familywise)."""

EXACT_SEEDS = 14
"""Seeds up to which all sign changes are tried, 16,384 of them; of more seeds as many are drawn at random."""

_FLIPS = 2**EXACT_SEEDS
_SEED = 0x5EED

Test = Literal["permutation", "t", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How much better one estimator is than another, over the seeds that both have.

    Attributes:
        seeds: pairs that are compared.
        left_out: pairs with a value that is not finite.
        mean: mean of the differences in the good direction: positive when the first one is better.
        sd: their sample standard deviation; ``None`` below two pairs.
        low, high: the 95 % Student-t interval of the mean; ``None`` below two pairs.
        p: two-sided p-value of no difference; 1 below two pairs.
        test: what gave it.
    """

    seeds: int
    left_out: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    p: float
    test: Test


def difference(
    first: Mapping[int, float], second: Mapping[int, float], goal: Goal, *, comparisons: int = 1
) -> Difference:
    """Compare two estimators, given as seed -> value.

    With d_s the difference at seed s, the permutation test asks how often the mean of d_s with random signs
    is as far from 0 as the mean is: exact whatever the distribution, if it is symmetric under no difference.
    Its smallest p-value is 2^(1-n). Where that is above ``ALPHA / comparisons``, which n seeds then could
    never get below, Student's t of the mean takes its place, which is exact for normal differences.

    Args:
        first: of the estimator that is asked about.
        second: of the one that it is held against.
        goal: which direction is good.
        comparisons: how many p-values are judged together (see :func:`holm`).
    """
    common = sorted(first.keys() & second.keys())
    sign = 1.0 if goal == "maximize" else -1.0
    pairs = np.array([(first[seed], second[seed]) for seed in common], dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(pairs).all(axis=1)
    values = sign * (pairs[finite, 0] - pairs[finite, 1])
    return _described(values, left_out=int((~finite).sum()), comparisons=comparisons)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted so that judging each at ``ALPHA`` errs anywhere with at most ``ALPHA`` (Holm 1979).

    The i-th smallest of m becomes the largest of (m - j + 1) p_j over j <= i, at most 1.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * count, 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (count - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def smallest_permutation_p(seeds: int) -> float:
    """The smallest p-value that the permutation test of so many seeds can give: both signs of one in 2^n."""
    return float(2.0 ** (1 - seeds)) if seeds <= EXACT_SEEDS else 1.0 / _FLIPS


def _described(values: NDArray[np.float64], *, left_out: int, comparisons: int) -> Difference:
    n = values.size
    mean = float(values.mean()) if n else math.nan
    if n < 2:  # one difference has no spread
        return Difference(
            seeds=n, left_out=left_out, mean=mean, sd=None, low=None, high=None, p=1.0, test="none"
        )
    sd = float(values.std(ddof=1))
    half = float(stdtrit(n - 1, 1 - ALPHA / 2)) * sd / math.sqrt(n)
    permutable = smallest_permutation_p(n) <= ALPHA / comparisons
    p = _permutation_p(values) if permutable else _t_p(mean, sd, n)
    return Difference(
        seeds=n,
        left_out=left_out,
        mean=mean,
        sd=sd,
        low=mean - half,
        high=mean + half,
        p=p,
        test="permutation" if permutable else "t",
    )


def _t_p(mean: float, sd: float, n: int) -> float:
    if sd == 0.0:
        return 1.0 if mean == 0.0 else 0.0
    return float(2.0 * stdtr(n - 1, -abs(mean) * math.sqrt(n) / sd))


def _permutation_p(values: NDArray[np.float64]) -> float:
    """Share of sign changes with a mean at least as far from 0; of random ones the real one is counted in."""
    signs = _signs(values.size)
    extra = 0 if values.size <= EXACT_SEEDS else 1
    sums = np.abs(signs @ values)
    real = abs(float(values.sum()))
    as_far = int((sums >= real * (1 - 1e-12)).sum()) + extra
    return as_far / (len(signs) + extra)


@functools.cache
def _signs(n: int) -> NDArray[np.float64]:
    """Sign changes of n values, one a row. Of few values all with a + first: their opposites are as far
    from 0."""
    if n <= EXACT_SEEDS:
        bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)[None, :]
        return np.where(bits & 1, -1.0, 1.0)
    return np.random.default_rng(_SEED).choice((1.0, -1.0), size=(_FLIPS - 1, n))
