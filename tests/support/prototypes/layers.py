"""What the prototypes share: affine maps by name, and where they start."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from benchmarks.tasks.contract import Parameters, linear
from estimators import NoiseSource


def initial(
    noise: NoiseSource, lanes: int, sizes: Mapping[str, tuple[int, int]], *, like: Tensor
) -> Parameters:
    """Weights ``NAME.weight`` and biases ``NAME.bias``, uniform in +-1/sqrt(fan-in).

    Args:
        noise: of initialisation.
        lanes: number of lanes.
        sizes: inputs and outputs of every map.
        like: of whose dtype and device they are.
    """
    parameters: Parameters = {}
    for name, (inputs, outputs) in sizes.items():
        for kind, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            u = noise.uniform((lanes, *shape), dtype=like.dtype, device=like.device)
            parameters[f"{name}.{kind}"] = (2 * u - 1) / math.sqrt(inputs)
    return parameters


def affine(parameters: Mapping[str, Tensor], name: str, x: Tensor, *, mostly_zero: bool = False) -> Tensor:
    """The map of that name, ``(lanes, ..., i) -> (lanes, ..., o)``."""
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return linear(x, weight, bias, mostly_zero=mostly_zero)


def aligned(x: Tensor, like: Tensor) -> Tensor:
    """``(lanes, B, i)`` with axes of size 1 after the lane, so that it broadcasts against ``like``."""
    return x.view(len(x), *[1] * (like.dim() - x.dim()), *x.shape[1:])


def cross_entropy(scores: Tensor, label: Tensor) -> Tensor:
    """-ln softmax of the label, ``(..., classes), (...) -> (...)``; leading axes broadcast."""
    return -(scores.log_softmax(-1) * one_hot(label, like=scores)).sum(-1)


def is_right(scores: Tensor, label: Tensor) -> Tensor:
    """1 where the label has the highest score, else 0, ``(...)`` of the dtype of the scores."""
    return (scores.detach().argmax(-1) == label).to(scores.dtype)


def likeliest(logits: Tensor) -> Tensor:
    """The one-hot arg max of every variable, of the shape and dtype of ``logits``."""
    return one_hot(logits.argmax(-1), like=logits)


def one_hot(index: Tensor, *, like: Tensor) -> Tensor:
    """``(...)`` to ``(..., n)``, with n and dtype of ``like``; torch's own reads the indices on a CPU."""
    return (index.unsqueeze(-1) == torch.arange(like.shape[-1], device=index.device)).to(like.dtype)


def seeded(seed: int) -> torch.Generator:
    """What made-up data are drawn from."""
    return torch.Generator().manual_seed(seed)
