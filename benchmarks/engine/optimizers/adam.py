r"""Adam and RAdam.

With the gradient g and the moments m <- b1 m + (1 - b1) g and v <- b2 v + (1 - b2) g^2 both rules are

    p <- p - m / (scale sqrt(v) + offset)

where, with c_i = 1 - b_i^t at step t (counted from 1) and learning rate r,

    Adam                  scale = c1 / (r sqrt(c2)),      offset = eps c1 / r
    RAdam, rho_t > 5      scale = c1 / (r a sqrt(c2)),    offset = eps c1 / (r a sqrt(c2))
    RAdam, rho_t <= 5     scale = 0,                      offset = c1 / r

    rho_t = rho - 2 t b2^t / c2,    rho = 2 / (1 - b2) - 1
    a^2   = (rho_t - 4)(rho_t - 2) rho / ((rho - 4)(rho - 2) rho_t)

The coefficients are computed in float64. Equal to ``torch.optim.Adam`` and ``torch.optim.RAdam`` up to
rounding; a weight decay is an L2 penalty, as there.

Sources: Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015; Liu et al., "On the Variance
of the Adaptive Learning Rate and Beyond", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from benchmarks.engine.optimizers.rule import Floats, by_lane, with_weight_decay

FIRST, SECOND = "first_moment", "second_moment"

_SMALLEST_RATE = 1e-30
"""Rates below it, as after many falls on a plateau, count as it: the inverse has to be a float32."""


class Adam:
    """A :class:`benchmarks.engine.optimizers.rule.Rule`.

    Args:
        beta1, beta2: b1 and b2, decays of the moments.
        eps: added to the root of the second moment.
        weight_decay: of the L2 penalty.
    """

    slots: tuple[str, ...] = (FIRST, SECOND)
    rows = 2

    def __init__(
        self, *, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8, weight_decay: float = 0.0
    ) -> None:
        self._beta1, self._beta2 = beta1, beta2
        self._eps = eps
        self._weight_decay = weight_decay

    def coefficients(self, rates: Floats, first_step: int) -> Tensor:
        """``(count, 2, lanes)`` float32: scale and offset for the rates ``(count, lanes)``."""
        steps = np.arange(first_step, first_step + len(rates), dtype=np.float64)[:, None]
        table = self._of_rate_1(steps) / np.maximum(rates, _SMALLEST_RATE)
        return torch.from_numpy(table.swapaxes(0, 1).astype(np.float32))

    def updated(
        self, parameter: Tensor, slots: Mapping[str, Tensor], gradient: Tensor, coefficients: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The parameter ``(lanes, ...)`` and its moments after one step."""
        gradient = with_weight_decay(gradient, parameter, self._weight_decay)
        scale, offset = (by_lane(row, parameter) for row in coefficients)
        first = slots[FIRST].lerp(gradient, 1 - self._beta1)
        second = slots[SECOND] * self._beta2 + gradient * gradient * (1 - self._beta2)
        return parameter - first / (second.sqrt() * scale + offset), {FIRST: first, SECOND: second}

    def _of_rate_1(self, t: Floats) -> Floats:
        """Scale and offset at steps ``(count, 1)`` for a learning rate of 1, ``(2, count, 1)``."""
        c_1, c_2 = 1 - self._beta1**t, 1 - self._beta2**t
        return np.stack([c_1 / np.sqrt(c_2), self._eps * c_1])


class RAdam(Adam):
    """Adam whose rate is rectified while few squares have been averaged; its parameters are Adam's."""

    def _of_rate_1(self, t: Floats) -> Floats:
        c_1, c_2 = 1 - self._beta1**t, 1 - self._beta2**t
        rho = 2 / (1 - self._beta2) - 1
        rho_t = rho - 2 * t * self._beta2**t / c_2
        adaptive = rho_t > 5
        if not adaptive.any():
            return np.stack([np.zeros_like(c_1), c_1])
        rho_t = np.where(adaptive, rho_t, 6.0)  # any value above 4: the square root below is then not used
        rectifier = np.sqrt((rho_t - 4) * (rho_t - 2) * rho / ((rho - 4) * (rho - 2) * rho_t))
        scale = c_1 / (rectifier * np.sqrt(c_2))
        return np.stack([np.where(adaptive, scale, 0.0), np.where(adaptive, self._eps * scale, c_1)])
