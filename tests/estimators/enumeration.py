"""Exact mean and variance of estimates that depend on finitely many cells of their uniform numbers.

A cell is an interval of (0, 1) within which a number can move without changing the estimate. All combinations
of cells of all numbers, each at its midpoint and weighted by its length, give the distribution of the
estimate without error.

Shapes: R combinations, V variables, D numbers per variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from estimators import surrogate
from estimators.score.disarm_tree import places, tree
from tests.support.noise import GivenNoise

Cells = tuple[Tensor, Tensor]
"""Midpoints and lengths."""


def cells(edges: Tensor) -> Cells:
    """The cells between ``edges``, a flat tensor of numbers in (0, 1)."""
    bounds = torch.cat([edges.new_zeros(1), edges.sort().values, edges.new_ones(1)])
    lengths = bounds.diff()
    keep = lengths > 1e-12
    return ((bounds[1:] + bounds[:-1]) / 2)[keep], lengths[keep]


def by_inversion(p: Tensor, samples: int) -> list[list[Cells]]:
    """Numbers ``(V, K)`` of independent samples."""
    return [[cells(row.cumsum(-1)[:-1])] * samples for row in p]


def antithetic(p: Tensor, samples: int) -> list[list[Cells]]:
    """Numbers ``(V, K/2)`` of antithetic pairs of bits."""
    return [[cells(row)] * (samples // 2) for row in p]


def down_the_tree(p: Tensor, samples: int) -> list[list[Cells]]:
    """Numbers ``(V, depth, 2, K/2)``; the second number of the root is never used."""
    levels = tree(p.log(), places(p.shape[-1], p.device))
    whole = cells(p.new_zeros(0))
    numbers = []
    for v in range(len(p)):
        row = []
        for depth, level in enumerate(levels):
            cell = cells(level[v].flatten())
            row += [cell] * (samples // 2) + [cell if depth else whole] * (samples // 2)
        numbers.append(row)
    return numbers


def combinations(numbers: Sequence[Cells]) -> tuple[Tensor, Tensor]:
    """All combinations ``(R, len(numbers))`` and their probabilities ``(R,)``."""
    midpoints = torch.cartesian_prod(*(middle for middle, _ in numbers))
    lengths = torch.cartesian_prod(*(length for _, length in numbers))
    return midpoints.reshape(-1, len(numbers)), lengths.reshape(-1, len(numbers)).prod(-1)


def enumerated(
    id: str,
    logits: Tensor,
    objective: Callable[[Tensor], Tensor],
    numbers: Sequence[Cells],
    shape: tuple[int, ...],
    **call: Any,
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the estimate, all rows in one lane.

    Args:
        id: the estimator.
        logits: ``(V, n)``.
        objective: f.
        numbers: cells of the V D numbers, variable by variable.
        shape: shape of one row's numbers in the order of ``numbers``, ``(V, ...)``.
        call: parameters and state.
    """
    midpoints, probability = combinations(numbers)
    rows = logits.expand(1, len(midpoints), *logits.shape).clone().requires_grad_()
    noise = GivenNoise(midpoints.reshape(1, -1, *shape))
    surrogate(id, rows, objective, generator=noise, **call).surrogate.sum().backward()
    assert rows.grad is not None
    gradient, weight = rows.grad.squeeze(0), probability.reshape(-1, 1, 1)
    mean = (weight * gradient).sum(0)
    return mean, (weight * (gradient - mean).square()).sum(0)
