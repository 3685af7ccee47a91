"""What the engine asks of an update rule.

A rule works on all lanes at once: tensors are ``(lanes, ...)``. What differs from lane to lane or from step
to step (rate, bias corrections) comes as *coefficients*, computed by the host in float64 for an epoch at a
time; what is equal in all lanes of a cohort (betas, momentum) is part of the rule.

Its class takes the parameters that the registry declares, as keywords, without those of clipping and
schedule, which come before the rule. Two rules of one family have the same slots, rows and ``updated``: only
their coefficients differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


class Rule(Protocol):
    """An update rule of the lanes of a cohort.

    Attributes:
        slots: names of the tensors that it keeps for each parameter, of the parameter's shape, 0 at first.
        rows: coefficients of a lane at a step.
    """

    slots: tuple[str, ...]
    rows: int

    def coefficients(self, rates: Floats, first_step: int) -> Tensor:
        """``(count, rows, lanes)`` float32, from step ``first_step`` (counted from 1).

        Args:
            rates: learning rates ``(count, lanes)``, schedules applied.
            first_step: of the first row.
        """

    def updated(
        self, parameter: Tensor, slots: Mapping[str, Tensor], gradient: Tensor, coefficients: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The parameter and its slots after one step.

        Args:
            parameter: ``(lanes, ...)``.
            slots: by name, likewise.
            gradient: likewise.
            coefficients: ``(rows, lanes)``.
        """


def by_lane(numbers: Tensor, like: Tensor) -> Tensor:
    """One number a lane, ``(lanes,)``, as ``(lanes, 1, ...)`` of as many axes as ``like`` has."""
    return numbers.view((-1,) + (1,) * (like.dim() - 1))


def with_weight_decay(gradient: Tensor, parameter: Tensor, weight_decay: float) -> Tensor:
    """The gradient plus ``weight_decay parameter``, that of an L2 penalty; without one, no operation."""
    return gradient.add(parameter, alpha=weight_decay) if weight_decay else gradient


def rates_alone(rates: Floats) -> Tensor:
    """Coefficients ``(count, 1, lanes)`` of a rule that needs no more than the rates ``(count, lanes)``."""
    return torch.from_numpy(rates[:, None, :].astype(np.float32))
