r"""Adam and RAdam for lanes: one update, with its own rule and learning rate in every lane.

With moments m <- b1 m + (1 - b1) g and v <- b2 v + (1 - b2) g^2 both rules are

    p <- p - m / (scale sqrt(v) + offset)

where, with c_i = 1 - b_i^t at step t (counted from 1) and learning rate r,

    Adam                  scale = c1 / (r sqrt(c2)),      offset = eps c1 / r
    RAdam, rho_t > 5      scale = c1 / (r a sqrt(c2)),    offset = eps c1 / (r a sqrt(c2))
    RAdam, rho_t <= 5     scale = 0,                      offset = c1 / r

    rho_t = rho - 2 t b2^t / c2,    rho = 2 / (1 - b2) - 1
    a^2   = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t)

The coefficients are computed in float64. Equal to ``torch.optim.Adam`` and ``torch.optim.RAdam`` with their
defaults (b = 0.9, 0.999; eps = 1e-8; no weight decay) up to rounding.

Sources: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; Liu et al., "On the Variance
of the Adaptive Learning Rate and Beyond", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

OPTIMIZERS = ("adam", "radam")
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8

Floats = NDArray[np.float64]


class LaneOptimizers:
    """The rule and the learning rate of every lane.

    Args:
        kinds: ``adam`` or ``radam``, one per lane.
        rates: learning rates, one per lane.

    Raises:
        ValueError: an unknown optimizer.
    """

    def __init__(self, kinds: Sequence[str], rates: Sequence[float]) -> None:
        if unknown := sorted(set(kinds) - set(OPTIMIZERS)):
            raise ValueError(f"unknown optimizer {unknown[0]!r}; there are {', '.join(OPTIMIZERS)}")
        self._rectified = np.array([kind == "radam" for kind in kinds])
        self._rates = np.array(rates, dtype=np.float64)

    def coefficients(self, first_step: int, count: int) -> Tensor:
        """``(count, 2, lanes)`` float32: scale and offset from step ``first_step`` (counted from 1)."""
        steps = np.arange(first_step, first_step + count, dtype=np.float64)[:, None]
        adam, radam = _adam(steps), _radam(steps)
        table = np.where(self._rectified, radam[..., None], adam[..., None])[..., 0, :] / self._rates
        return torch.from_numpy(table.swapaxes(0, 1).astype(np.float32))


def updated(
    parameter: Tensor, first: Tensor, second: Tensor, gradient: Tensor, coefficients: Tensor, alive: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Parameter and moments after one step.

    Args:
        parameter: ``(lanes, ...)``.
        first, second, gradient: m, v and g, likewise.
        coefficients: ``(2, lanes)``, a row of :meth:`LaneOptimizers.coefficients`.
        alive: ``(lanes,)`` booleans. The parameters of other lanes keep their bits; their moments go on
            unattended, since a frozen lane never moves again.
    """
    lanes = (-1,) + (1,) * (parameter.dim() - 1)
    scale, offset = (row.view(lanes) for row in coefficients)
    first = first.lerp(gradient, 1 - BETA_1)
    second = second * BETA_2 + gradient * gradient * (1 - BETA_2)
    change = first / (second.sqrt() * scale + offset)
    return torch.where(alive.view(lanes), parameter - change, parameter), first, second


def _adam(t: Floats) -> Floats:
    """Scale and offset of Adam for a learning rate of 1, ``(2, steps, 1)``."""
    c_1, c_2 = 1 - BETA_1**t, 1 - BETA_2**t
    return np.stack([c_1 / np.sqrt(c_2), EPSILON * c_1])


def _radam(t: Floats) -> Floats:
    """Scale and offset of RAdam for a learning rate of 1, ``(2, steps, 1)``."""
    c_1, c_2 = 1 - BETA_1**t, 1 - BETA_2**t
    rho = 2 / (1 - BETA_2) - 1
    rho_t = rho - 2 * t * BETA_2**t / c_2
    adaptive = rho_t > 5
    rho_t = np.where(adaptive, rho_t, 6.0)  # any value above 4: the square root below is then not used
    rectifier = np.sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t))
    scale = c_1 / (rectifier * np.sqrt(c_2))
    return np.stack([np.where(adaptive, scale, 0.0), np.where(adaptive, EPSILON * scale, c_1)])
