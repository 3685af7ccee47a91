"""The vocabulary of estimators: objectives, estimates and sources of noise.

Shapes: ``...`` lanes and batch, V variables, n categories, K samples (evaluations of f).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

Objective = Callable[[Tensor], Tensor]
"""f: maps samples ``(K, ..., V, n)`` to values ``(K, ...)``."""


@dataclass(frozen=True)
class SeparableObjective:
    """An objective that is a sum of one term per variable, f(D) = sum_v f_v(D_v).

    Callable like any objective. ``exact`` then needs n evaluations instead of n^V.

    Attributes:
        terms: maps samples ``(K, ..., V, n)`` to terms ``(K, ..., V)``.
    """

    terms: Objective

    def __call__(self, samples: Tensor) -> Tensor:
        return self.terms(samples).sum(-1)


@runtime_checkable
class NoiseSource(Protocol):
    """Counter-based noise: every number depends on (seed, purpose, step, draw) alone.

    The first axis of ``shape`` is the lane axis (the leading axis of the logits), which is what keeps
    a trial's noise independent of its lane-mates.
    """

    def uniform(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Uniform numbers in the open interval (0, 1); every call is the next draw of the step."""


@runtime_checkable
class CentredNoiseSource(NoiseSource, Protocol):
    """A source that makes numbers which are dense at both ends without a detour through float64."""

    def centred(self, shape: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """The numbers of ``uniform``, those from 1/2 on less 1, in steps that are finer than 2^-36 near 0."""


Noise = torch.Generator | NoiseSource | None
"""What ``generator=`` accepts; ``None`` is torch's default generator."""


@dataclass(frozen=True)
class Estimate:
    """What a score-function estimator (or the adapter :func:`estimators.surrogate`) returns.

    Attributes:
        surrogate: ``(...)``, equal in value to the mean of ``values`` over K, for ``exact`` to E f.
            ``surrogate.sum().backward()`` leaves the gradient estimate in ``logits.grad`` and the
            ordinary gradient in the parameters of the objective.
        samples: ``(K, ..., V, n)`` where f was evaluated; ``None`` for an enumeration.
        values: ``(K, ...)`` values of f there, detached.
        evaluations: evaluations of f spent per element of ``...``.
        state: what a stateful estimator wants back at its next call.
    """

    surrogate: Tensor
    samples: Tensor | None
    values: Tensor
    evaluations: int
    state: dict[str, Any] = field(default_factory=dict)
