"""What the engine asks of an update rule.

A rule works on all lanes at once: tensors are ``(lanes, ...)``. What differs from lane to lane or from step to
step (rate, bias corrections) comes as *coefficients*, computed by the host in float64 for an epoch at a time;
what is equal in all lanes of a cohort (betas, momentum) is part of the rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


class Rule(Protocol):
    """An update rule of the lanes of a cohort.

    Attributes:
        slots: names of the tensors that it keeps for each parameter, of the parameter's shape, 0 at the start.
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
