"""Small problems for the battery: two variables of three categories, objectives of known degree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from estimators import Estimate, EstimatorInfo, Noise, surrogate

LOGITS = torch.tensor([[0.4, -0.9, 0.2], [-0.3, 0.8, -1.1]], dtype=torch.float64)
WEIGHTS = torch.tensor([[1.3, -0.7, 0.4], [-1.1, 0.6, 1.7]], dtype=torch.float64)


def degree(power: int) -> Callable[[Tensor], Tensor]:
    """(w . D)^power: a polynomial of that degree in the one-hot vectors, coupling the variables.

    Every objective has weights of its own: torch.compile leaves marks on the tensors that it meets
    (sizes that changed), and an exported program would check them on a global tensor.
    """
    weights = WEIGHTS.clone()

    def f(samples: Tensor) -> Tensor:
        return (samples * weights[:, : samples.shape[-1]].to(samples)).sum((-1, -2)) ** power

    return f


def lanes(count: int, batch: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    """Different logits ``(count, batch, 2, 3)`` for every lane and row."""
    noise = torch.randn(count, batch, 2, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (LOGITS + noise).to(dtype)


def problem(info: EstimatorInfo) -> Tensor:
    """``LOGITS``, without the third category for estimators that take two."""
    return LOGITS[:, :2] if info.properties.binary_only else LOGITS


def lanes_for(info: EstimatorInfo, count: int, batch: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    """:func:`lanes` with as many categories as the estimator takes."""
    logits = lanes(count, batch, dtype)
    return logits[..., :2].clone() if info.properties.binary_only else logits


def gradient(
    info: EstimatorInfo,
    logits: Tensor,
    objective: Callable[[Tensor], Tensor],
    generator: Noise,
    **parameters: Any,
) -> tuple[Tensor, Estimate]:
    """The gradient estimate for ``logits``, which is not changed, and the estimate it comes from."""
    leaf = logits.detach().requires_grad_()  # shares memory and strides with the argument
    estimate = surrogate(info, leaf, objective, generator=generator, **parameters)
    estimate.surrogate.sum().backward()
    assert leaf.grad is not None
    return leaf.grad, estimate


def seeded(seed: int = 0) -> torch.Generator:
    """A fresh generator."""
    return torch.Generator().manual_seed(seed)


def draws(
    info: EstimatorInfo, objective: Callable[[Tensor], Tensor], count: int, **parameters: Any
) -> Tensor:
    """Independent gradient estimates ``(count, 2, 3)`` of the problem ``LOGITS``, as rows of one lane."""
    logits = problem(info)
    rows = logits.expand(1, count, *logits.shape).clone()
    return gradient(info, rows, objective, seeded(), **parameters)[0].squeeze(0)
