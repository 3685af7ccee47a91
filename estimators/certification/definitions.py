"""The mean gradient given the outcome, E[h | D = e_i], of the path estimators, straight from their papers.

Written with dense matrices and one-dimensional integrals, in nothing like the way the estimators compute:
a sign, a temperature or a factor that is wrong there is not wrong here in the same way. f is linear, with
gradient g. Estimators with noise besides D are defined for two categories, where it is one logistic number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Definition = Callable[..., Tensor]
"""Maps ``(theta, i, tau, g, **parameters)`` to E[h | D = e_i], all of shape ``(n,)``."""

NODES = 20_001


def jacobian(p: Tensor) -> Tensor:
    """J(p) = diag(p) - p p^T."""
    return torch.diag(p) - torch.outer(p, p)


def straight_through(theta: Tensor, i: int, tau: float, g: Tensor) -> Tensor:
    """(1/tau) J(pi_tau) g."""
    return jacobian((theta / tau).softmax(-1)) @ g / tau


def reinmax(theta: Tensor, i: int, tau: float, g: Tensor) -> Tensor:
    """2 J((pi_tau + D)/2) g - J(pi) g / 2."""
    middle = ((theta / tau).softmax(-1) + _one_hot(i, theta)) / 2
    return 2 * jacobian(middle) @ g - jacobian(theta.softmax(-1)) @ g / 2


def untempered_reinmax(theta: Tensor, i: int, tau: float, g: Tensor, **_: Any) -> Tensor:
    """ReinMax at temperature 1, whatever tau."""
    return reinmax(theta, i, 1.0, g)


def uniform_straight_through(theta: Tensor, i: int, tau: float, g: Tensor) -> Tensor:
    """(1 / (n pi_i)) (1/tau) J(pi_tau) g."""
    return straight_through(theta, i, tau, g) / (len(theta) * theta.softmax(-1)[i])


def mean_baseline(theta: Tensor, i: int, tau: float, g: Tensor) -> Tensor:
    """(1/2) [(g_i - mean g) (D - pi) + J(pi) g / (n pi_tau,i)]."""
    p, p_tau = theta.softmax(-1), (theta / tau).softmax(-1)
    first = (g[i] - g.mean()) * (_one_hot(i, theta) - p)
    return (first + jacobian(p) @ g / (len(theta) * p_tau[i])) / 2


def mean_baseline_released(theta: Tensor, i: int, tau: float, g: Tensor) -> Tensor:
    """(1/2) [(g_i - mean g) (D - pi) + (D pi g - pi <pi, g>) / (n pi_tau,i)]."""
    p, p_tau, d = theta.softmax(-1), (theta / tau).softmax(-1), _one_hot(i, theta)
    second = d * p * g - p * (p @ g)
    return ((g[i] - g.mean()) * (d - p) + second / (len(theta) * p_tau[i])) / 2


def gapped(theta: Tensor, i: int, tau: float, g: Tensor, gap: float = 1.0) -> Tensor:
    """(1/tau) J(softmax(t/tau)) g with t_i = max theta and t_j = min(theta_j, max theta - gap)."""
    top = theta.max()
    shifted = torch.where(_one_hot(i, theta) > 0, top, torch.minimum(theta, top - gap))
    return jacobian((shifted / tau).softmax(-1)) @ g / tau


def gapped_by_probability(theta: Tensor, i: int, tau: float, g: Tensor) -> Tensor:
    """The same with gap = -log(1 - pi_i) / pi_i."""
    p = theta.softmax(-1)[i].item()
    return gapped(theta, i, tau, g, gap=-math.log1p(-p) / p)


def relaxed(theta: Tensor, i: int, tau: float, g: Tensor, **_: Any) -> Tensor:
    """(1/tau) E[J(softmax((theta + G)/tau)) g | argmax(theta + G) = i] for two categories."""
    return _mean_jacobian(theta, i, tau) @ g / tau


def decoupled(theta: Tensor, i: int, tau: float, g: Tensor, forward_temperature: float = 1.0) -> Tensor:
    """The same given argmax(theta/tau_f + G) = i, for two categories."""
    return _jacobian_of(_relaxed_samples(theta, i, tau, forward_temperature)) @ g / tau


def reinmax_rao(theta: Tensor, i: int, tau: float, g: Tensor, **_: Any) -> Tensor:
    """2 (1/tau) E[J(softmax((log m + G)/tau)) g | D] - J(pi) g / 2, m = (pi + D)/2, for two categories."""
    middle = (theta.softmax(-1) + _one_hot(i, theta)) / 2
    return 2 * _mean_jacobian(middle.log(), i, tau) @ g / tau - jacobian(theta.softmax(-1)) @ g / 2


def reinmax_cv_released(theta: Tensor, i: int, tau: float, g: Tensor, eta: float = 0.7) -> Tensor:
    """ReinMax at temperature 1 - eta (1/tau) E[J(softmax((log m + y')/tau)) - J(y)] g, for two categories.

    y is relaxed for the logits log m, y' for theta: the relaxed sample stands where the noise was meant.
    """
    middle = ((theta.softmax(-1) + _one_hot(i, theta)) / 2).log()
    again = (middle[1] - middle[0]).item() + 2 * _relaxed_samples(theta, i, tau) - 1
    bracket = _jacobian_of(torch.sigmoid(again / tau)) - _mean_jacobian(middle, i, tau)
    return reinmax(theta, i, 1.0, g) - eta / tau * bracket @ g


EVERY_SIZE: Mapping[str, Definition] = {
    "st": straight_through,
    "gst": gapped,
    "gst_p": gapped_by_probability,
    "reinmax": reinmax,
    "zgr": untempered_reinmax,
    "reinmax_mean_baseline": mean_baseline,
    "reinmax_mean_baseline_released": mean_baseline_released,
    "st_uniform_baseline": uniform_straight_through,
    "reinmax_cv": untempered_reinmax,
}
TWO_CATEGORIES: Mapping[str, Definition] = {
    "stgs": relaxed,
    "decoupled_stgs": decoupled,
    "gumbel_softmax": relaxed,
    "gumbel_rao": relaxed,
    "reinmax_rao": reinmax_rao,
    "reinmax_cv_released": reinmax_cv_released,
}


def definitions(categories: int) -> Mapping[str, Definition]:
    """Those that hold for so many categories, by estimator id."""
    return {**EVERY_SIZE, **TWO_CATEGORIES} if categories == 2 else EVERY_SIZE


@functools.cache
def _nodes() -> Tensor:
    """Midpoints of equal cells of (0, 1)."""
    return (torch.arange(NODES, dtype=torch.float64) + 0.5) / NODES


def _mean_jacobian(theta: Tensor, i: int, tau: float) -> Tensor:
    """E[J(y) | D], y relaxed for the logits theta."""
    return _jacobian_of(_relaxed_samples(theta, i, tau))


def _relaxed_samples(theta: Tensor, i: int, tau: float, forward_temperature: float = 1.0) -> Tensor:
    """y_1 given D, over x = G_1 - G_0, logistic, on the side of i of (theta_1 - theta_0)/tau_f + x = 0."""
    difference = (theta[1] - theta[0]).item()
    below = 1 / (1 + math.exp(difference / forward_temperature))  # P(D = e_0)
    u = below * _nodes() if i == 0 else below + (1 - below) * _nodes()
    return torch.sigmoid((difference + u.logit()) / tau)


def _jacobian_of(y: Tensor) -> Tensor:
    """The mean of J((1 - y, y)) over the nodes."""
    product = (y * (1 - y)).mean()
    return product * torch.tensor([[1.0, -1.0], [-1.0, 1.0]], dtype=torch.float64)


def _one_hot(i: int, like: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(i), len(like)).to(like)
