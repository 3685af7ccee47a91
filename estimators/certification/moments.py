"""Means, covariances and their errors, by stratum.

Estimates of path estimators are stratified by the outcome D that was drawn, whose probability is known:

    mean = sum_D p(D) mean_D,     Cov(mean) = sum_D p(D)^2 Cov_D / N_D

An estimate that is a function of D has Cov_D = 0, and its mean is enumerated without error. Other estimates
are one stratum. Shapes: N rows, C components, S strata.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 1e-11
"""Spread within a stratum, relative to the size of the numbers, that rounding alone can make in float64."""


@dataclass(frozen=True)
class Moments:
    """Sums over rows of one stratum each.

    Attributes:
        probability: ``(S,)`` of the strata.
        count: ``(S,)``.
        centre: ``(C,)``, about where the rows are; sums are of differences from it.
        total: ``(S, C)``.
        products: ``(S, C, C)``.
    """

    probability: Tensor
    count: Tensor
    centre: Tensor
    total: Tensor
    products: Tensor

    @staticmethod
    def empty(probability: Tensor, centre: Tensor) -> Moments:
        """No rows yet."""
        strata, size = len(probability), len(centre)
        return Moments(
            probability,
            centre.new_zeros(strata),
            centre,
            centre.new_zeros(strata, size),
            centre.new_zeros(strata, size, size),
        )

    def add(self, rows: Tensor, stratum: Tensor) -> Moments:
        """With ``rows`` ``(N, C)``, each of the stratum of that number ``(N,)``."""
        count, total, products = self.count.clone(), self.total.clone(), self.products.clone()
        for s in range(len(count)):
            x = rows[stratum == s] - self.centre
            count[s] += len(x)
            total[s] += x.sum(0)
            products[s] += x.T @ x
        return Moments(self.probability, count, self.centre, total, products)

    @property
    def complete(self) -> bool:
        """Every stratum has enough rows for a variance."""
        return bool((self.count >= 2).all())

    def pooled(self) -> Moments:
        """All strata as one, without use of their probabilities."""
        return Moments(
            self.probability.new_ones(1),
            self.count.sum(0, keepdim=True),
            self.centre,
            self.total.sum(0, keepdim=True),
            self.products.sum(0, keepdim=True),
        )

    def mean(self) -> Tensor:
        """``(C,)``."""
        return self.centre + (self.probability.unsqueeze(-1) * self._means()).sum(0)

    def covariance_of_mean(self) -> Tensor:
        """``(C, C)``; entries that rounding explains are 0."""
        means = self._means()
        spread = self.products / self.count[:, None, None] - means.unsqueeze(-1) * means.unsqueeze(-2)
        size = (
            self.products.diagonal(dim1=-2, dim2=-1) / self.count[:, None]
        ).amax() + self.centre.square().amax()
        spread = torch.where(spread.abs() <= ROUNDING * size, 0.0, spread)
        weight = self.probability.square() / (self.count - 1)
        return (weight[:, None, None] * spread).sum(0)

    def _means(self) -> Tensor:
        return self.total / self.count.unsqueeze(-1)


def joint_index(samples: Tensor) -> Tensor:
    """Number of the joint outcome of samples ``(..., V, n)``, by largest entries; variable 0 runs fastest."""
    variables, n = samples.shape[-2:]
    return (samples.argmax(-1) * n ** torch.arange(variables)).sum(-1)


def joint_probabilities(logits: Tensor) -> Tensor:
    """``(n^V,)`` in the order of :func:`joint_index` for logits ``(V, n)``."""
    joint = logits.new_ones(1)
    for p in logits.softmax(-1):
        joint = (p.unsqueeze(-1) * joint).reshape(-1)
    return joint
