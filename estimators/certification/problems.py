"""The problems of a certificate: small enough to enumerate, smooth, of no finite degree.

    u(D) = sum_v <w_v, D_v>,   f_s = (e^{s u} - 1) / s   or   f_s = (sin(s u + 1/2) - sin(1/2)) / (s cos(1/2))

Both are u + O(s): affine at s = 0, with curvature that grows with the scale s. The bias of an estimator whose
mean is exact for polynomials of degree k falls like s^k, relative to the gradient.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from estimators._types import Objective
from estimators.info import EstimatorInfo

SCALES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0)
UNBIASED_SCALES = SCALES[2:]
"""Where there is no order to fit, the small scales say nothing that the others do not."""

Family = Literal["exponential", "sine"]
EQUATIONS: dict[Family, str] = {
    "exponential": "(exp(s u) - 1) / s",
    "sine": "(sin(s u + 1/2) - sin(1/2)) / (s cos(1/2))",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """V variables of n categories with fixed logits, and an objective with a scale."""

    family: Family
    variables: int
    categories: int

    @property
    def id(self) -> str:
        """For example ``exponential-2x3``."""
        return f"{self.family}-{self.variables}x{self.categories}"

    @property
    def logits(self) -> Tensor:
        """``(V, n)``, float64; the least likely outcome of the problems below has probability 0.02."""
        return _wave(self.variables, self.categories, amplitude=0.9, step=1.7, phase=0.4)

    def objective(self, scale: float) -> Objective:
        """f_s, defined between the one-hot points too."""
        weights = _wave(self.variables, self.categories, amplitude=1.0, step=2.1, phase=1.3)
        return functools.partial(_value, self.family, scale, weights)


PROBLEMS = (
    Problem(family="exponential", variables=1, categories=2),
    Problem(family="exponential", variables=1, categories=3),
    Problem(family="exponential", variables=1, categories=8),
    Problem(family="exponential", variables=3, categories=2),
    Problem(family="sine", variables=2, categories=3),
)


def problems_for(info: EstimatorInfo) -> tuple[Problem, ...]:
    """Those that the estimator takes."""
    return tuple(p for p in PROBLEMS if p.categories == 2 or not info.properties.binary_only)


def scales_for(info: EstimatorInfo) -> tuple[float, ...]:
    """By rising size."""
    return UNBIASED_SCALES if info.properties.unbiased else SCALES


def _wave(variables: int, categories: int, *, amplitude: float, step: float, phase: float) -> Tensor:
    """Numbers without symmetry that need no random generator: amplitude sin(step k + 2.3 v + phase)."""
    k = torch.arange(categories, dtype=torch.float64)
    v = torch.arange(variables, dtype=torch.float64).unsqueeze(-1)
    return amplitude * torch.sin(step * k + 2.3 * v + phase)


def _value(family: Family, scale: float, weights: Tensor, samples: Tensor) -> Tensor:
    u = scale * (samples * weights.to(samples)).sum((-1, -2))
    if family == "exponential":
        return torch.expm1(u) / scale
    return (torch.sin(u + 0.5) - math.sin(0.5)) / (scale * math.cos(0.5))
