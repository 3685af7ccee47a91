"""Estimators as researchers write them: plain autograd, one-hot values by adding and subtracting.

These are the other side of the comparison, not part of the library: short, broadcast over draws, correct.
Each maps logits ``(..., n)`` to one-hot samples of the same shape that carry the surrogate gradient.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from estimators.info import Value

Sampler = Callable[[Tensor], Tensor]


def sampler(estimator: str, parameters: Mapping[str, Value]) -> Sampler:
    """The reference implementation of an estimator.

    Raises:
        KeyError: there is none for this estimator.
    """
    tau = float(parameters["temperature"])
    if estimator == "gumbel_rao":
        return functools.partial(gumbel_rao, tau=tau, draws=int(parameters["num_draws"]))
    makers = {"st": straight_through, "stgs": straight_through_gumbel, "reinmax": reinmax_function()}
    return functools.partial(makers[estimator], tau=tau)


def one_hot_draw(logits: Tensor) -> Tensor:
    """D ~ softmax(logits), without a gradient."""
    p = logits.detach().softmax(-1)
    index = torch.multinomial(p.flatten(0, -2), 1).view(*p.shape[:-1], 1)
    return torch.zeros_like(p).scatter_(-1, index, 1.0)


def straight_through(logits: Tensor, *, tau: float) -> Tensor:
    """Gradient of softmax(logits / tau) in place of that of the sample (Bengio et al. 2013)."""
    return _with_gradient_of((logits / tau).softmax(-1), one_hot_draw(logits))


def straight_through_gumbel(logits: Tensor, *, tau: float) -> Tensor:
    """Straight-through Gumbel-softmax (Jang et al. 2017), PyTorch's own."""
    return functional.gumbel_softmax(logits, tau, hard=True)


def reinmax(logits: Tensor, *, tau: float) -> Tensor:
    """ReinMax (Liu et al. 2023): gradient of 2 m - pi / 2, with m at (D + softmax(logits / tau)) / 2."""
    sample, p = one_hot_draw(logits), logits.softmax(-1)
    middle = (sample + (logits / tau).softmax(-1)) / 2
    centred = middle.log().detach() + logits - logits.detach()
    return _with_gradient_of(2 * centred.softmax(-1) - p / 2, sample)


def packaged_reinmax(logits: Tensor, *, tau: float) -> Tensor:
    """The authors' package; it wants contiguous logits."""
    sample: Tensor = importlib.import_module("reinmax").reinmax(logits.contiguous(), tau)[0]
    return sample


def reinmax_function() -> Callable[..., Tensor]:
    """The authors' package where it is installed, which is faster than :func:`reinmax`."""
    return packaged_reinmax if importlib.util.find_spec("reinmax") else reinmax


def gumbel_rao(logits: Tensor, *, tau: float, draws: int) -> Tensor:
    """Mean of K relaxed samples given the hard one (Paulus et al. 2021), all held at once.

    With w = exp(logits), Z their sum, D = e_i and unit exponentials E, perturbed logits given D are
    V_i = -log E_i + log Z and V_j = -log(E_j / w_j + E_i / Z).
    """
    sample = one_hot_draw(logits)
    with torch.no_grad():
        e = torch.empty(draws, *logits.shape).exponential_()
        w = logits.exp()
        z = w.sum(-1, keepdim=True)
        e_drawn = (e * sample).sum(-1, keepdim=True)
        v = torch.where(sample.bool(), z.log() - e_drawn.log(), -(e / w + e_drawn / z).log())
        shift = v - logits
    return _with_gradient_of(((logits + shift) / tau).softmax(-1).mean(0), sample)


def _with_gradient_of(soft: Tensor, hard: Tensor) -> Tensor:
    return hard + soft - soft.detach()
