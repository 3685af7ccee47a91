"""Straight-through Gumbel-softmax.

    V_k = theta_k + G_k,   D = onehot(argmax V),   y = softmax(V / tau),   gradient = (1/tau) J(y) g

with G_k independent standard Gumbel numbers.

Properties: biased, even for affine f; the bias grows with tau, the variance like 1/tau as tau goes to 0.
Needs the gradient g of f at D. Temperatures up to 1 are usual.
Cost: one evaluation of f.
Source: Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax", 2017; Maddison, Mnih, Teh, "The
Concrete Distribution", 2017.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from estimators._autograd import apply
from estimators._checks import temperature_tensor
from estimators._noise import uniform
from estimators._ops import jacobian_product, log_probabilities, tempered
from estimators._types import Noise


def stgs(logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None) -> Tensor:
    """Draw one-hot samples by the Gumbel-max trick, with the gradient of the relaxed sample.

    Args:
        logits: ``(..., n)``, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only.
        generator: source of noise, n uniform numbers per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    log_p = log_probabilities(logits)
    tau = temperature_tensor(
        temperature, logits, minimum=0.0, open_minimum=True, advice="values from 0.1 to 1 are usual"
    )
    return apply(_GumbelSoftmax, logits, perturbed(log_p, generator), tau)


def perturbed(log_p: Tensor, generator: Noise) -> Tensor:
    """log pi + G, with G = -log E and E = -log u a unit exponential, positive and finite for u in (0, 1)."""
    uniforms = uniform(log_p.shape, generator, dtype=log_p.dtype, device=log_p.device)
    return log_p - uniforms.log().neg().log()


class _GumbelSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, v: Tensor, tau: Tensor) -> Tensor:
        # Softmax of differences to the largest: v / tau itself would lose digits at small temperatures.
        ctx.save_for_backward(tempered(v - v.amax(-1, keepdim=True), tau), tau)
        return torch.zeros_like(v).scatter_(-1, v.argmax(-1, keepdim=True), 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        y, tau = ctx.saved_tensors
        return jacobian_product(y, g) / tau, None, None
