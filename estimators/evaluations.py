"""How many evaluations of f an estimate takes: arithmetic that can be done before one is made.

Notation: K samples (``num_samples``), V variables of n categories. Does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """What the number of evaluations depends on.

    Attributes:
        samples: K; 1 for estimators without a number of samples.
        variables: V, drawn together.
        categories: n, of each.
        separable: f is a sum of one term per variable.
    """

    samples: int
    variables: int
    categories: int
    separable: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationCount:
    """Evaluations of f per estimate, for people and as arithmetic.

    Attributes:
        text: the formula in K, V and n, with what an evaluation needs besides.
        count: the formula.
        most: more than these the estimator refuses; ``None``: no limit.
    """

    text: str
    count: Callable[[Sizes], int]
    most: int | None = None

    def __str__(self) -> str:
        return self.text


def one(sizes: Sizes) -> int:
    """1, whatever the sizes: a path estimator evaluates f at its sample."""
    return 1


def per_sample(sizes: Sizes) -> int:
    """K."""
    return sizes.samples


def samples_and_mean(sizes: Sizes) -> int:
    """K + 1: at every sample, and once at the mean."""
    return sizes.samples + 1


def three_per_sample(sizes: Sizes) -> int:
    """3 K: at every sample and at its two relaxations."""
    return 3 * sizes.samples


def pairs_of_categories(sizes: Sizes) -> int:
    """n (n - 1) / 2 + 1: one for every swap of two categories, and the sample itself."""
    return sizes.categories * (sizes.categories - 1) // 2 + 1


def all_outcomes(sizes: Sizes) -> int:
    """n^V; n when f is a sum of one term per variable."""
    return sizes.categories if sizes.separable else sizes.categories**sizes.variables


ONE = EvaluationCount(text="1", count=one)
SAMPLES = EvaluationCount(text="K", count=per_sample)
