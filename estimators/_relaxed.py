"""Relaxed samples, and control variates made of them.

    z = log pi + G,  D = onehot(argmax z),  x = softmax(z / tau)        G standard Gumbel numbers
    z~ a draw of z given D,                 x~ = softmax(z~ / tau)

Given D = e_i and unit exponentials E, the differences z~_i - z~_j are softplus(log E_j - log pi_j - log E_i):
no logit is exponentiated. Both x and x~ are differentiable in the logits, x~ through the conditional
distribution.

For every c, [f(D) - c(x~)] (D - pi) + d c(x)/d theta - d c(x~)/d theta has mean the gradient of E f.

Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from estimators._checks import working_dtype
from estimators._noise import exponential
from estimators._score import gradient_at
from estimators._types import Noise


@dataclass(frozen=True)
class RelaxedDraws:
    """K draws and what they come from.

    Attributes:
        theta: the logits, a leaf that the relaxed samples are differentiable in.
        p: pi, detached.
        samples: D, ``(K, ..., V, n)``.
        relaxed: x and, after them along axis 0, x~: ``(2K, ..., V, n)``.
    """

    theta: Tensor
    p: Tensor
    samples: Tensor
    relaxed: Tensor


def draw_relaxed(logits: Tensor, tau: Tensor, num_samples: int, generator: Noise) -> RelaxedDraws:
    """Draw D, x and x~; ``tau`` broadcasts against the logits. Gradients must be enabled.

    A masked category gets weight 0 and gradient 0: its log-probability is replaced by a finite number before
    anything that would make inf - inf of it, in values or derivatives, and its weight is cleared after.
    """
    theta = logits.detach().to(working_dtype(logits.dtype)).requires_grad_()
    masked = theta.isneginf()
    log_p = theta.log_softmax(-1).masked_fill(masked, 0.0)
    z = log_p - _log_exponentials(theta, num_samples, generator)
    index = z.detach().masked_fill(masked, -torch.inf).argmax(-1, keepdim=True)
    log_e = _log_exponentials(theta, num_samples, generator)
    behind = softplus(log_e - log_p - log_e.gather(-1, index))
    samples = torch.zeros_like(log_e).scatter_(-1, index, 1.0)
    z_given = -torch.where(samples > 0, 0.0, behind)
    scaled = torch.cat([z, z_given]) / tau
    relaxed = scaled.masked_fill(masked, -torch.inf).softmax(-1)
    return RelaxedDraws(theta, log_p.detach().exp().masked_fill(masked, 0.0), samples, relaxed)


def _log_exponentials(theta: Tensor, num_samples: int, generator: Noise) -> Tensor:
    """Logarithms of unit exponential numbers ``(K, ..., V, n)``; minus them, standard Gumbel numbers."""
    shape = (*theta.shape, num_samples)
    e = exponential(shape, generator, dtype=theta.dtype, device=theta.device)
    return e.log().movedim(-1, 0)


def controlled_gradient(draws: RelaxedDraws, values: Tensor, controls: Tensor, *, tune: bool) -> Tensor:
    """The estimate ``(..., V, n)``, averaged over K.

    Args:
        draws: from :func:`draw_relaxed`.
        values: f at D, ``(K, ...)``, detached.
        controls: c at x and x~, ``(2K, ...)``, with its graph.
        tune: whether the estimate is to be differentiated by the parameters of c and tau.
    """
    c, c_given = controls.chunk(2)
    path = gradient_at(draws.theta, (c - c_given).sum(), create_graph=tune)
    score = (values - c_given)[..., None, None] * (draws.samples - draws.p)
    return score.mean(0) + path / len(values)
