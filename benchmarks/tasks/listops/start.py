r"""What training starts from.

embedding, query             normal, standard deviation 0.01
leaves, of the symbol        normal, standard deviation sqrt(2 / H) (Kaiming); biases 0, of the forget gate 1
leaves, of the state before  orthonormal columns
merge                        orthonormal columns, bias 0
classifier                   Kaiming normal, then uniform within 0.002; biases 0
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.tasks.contract import Parameters
from benchmarks.tasks.listops import cell, leaves
from estimators import NoiseSource

_SMALL = 0.01
_LAST = 0.002


def parameters(
    noise: NoiseSource, lanes: int, *, symbols: int, width: int, classes: int, like: Tensor
) -> Parameters:
    """All tensors of the model.

    Args:
        noise: of initialisation.
        lanes: number of lanes.
        symbols: of the reader.
        width: H.
        classes: outputs of the classifier.
        like: of whose dtype and device they are.
    """

    def gauss(*shape: int) -> Tensor:
        return normal(noise, (lanes, *shape), like)

    def zeros(*shape: int) -> Tensor:
        return like.new_zeros(lanes, *shape)

    kaiming = math.sqrt(2 / width)
    first_bias = zeros(leaves.GATES * width)
    first_bias[:, 2 * width : 3 * width] = 1.0
    last = noise.uniform((lanes, classes, width), dtype=like.dtype, device=like.device)
    return {
        "embedding.weight": _SMALL * gauss(symbols, width),
        "leaf.weight_ih": kaiming * gauss(leaves.GATES * width, width),
        "leaf.weight_hh": orthonormal(gauss(leaves.GATES * width, width)),
        "leaf.bias_ih": first_bias,
        "leaf.bias_hh": zeros(leaves.GATES * width),
        "merge.weight": orthonormal(gauss(cell.GATES * width, 2 * width)),
        "merge.bias": zeros(cell.GATES * width),
        "query": _SMALL * gauss(width),
        "classifier.0.weight": kaiming * gauss(width, width),
        "classifier.0.bias": zeros(width),
        "classifier.1.weight": (2 * last - 1) * _LAST,
        "classifier.1.bias": zeros(classes),
    }


def normal(noise: NoiseSource, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal numbers, two uniform ones each: sqrt(-2 ln u) cos(2 pi v), by Box and Muller."""
    u, v = (noise.uniform(shape, dtype=like.dtype, device=like.device) for _ in range(2))
    return (-2 * u.log()).sqrt() * (2 * math.pi * v).cos()


def orthonormal(gauss: Tensor) -> Tensor:
    """Columns of a normal matrix, made orthonormal: uniformly distributed over all such matrices.

    Args:
        gauss: ``(lanes, rows, columns)``, at least as many rows as columns.
    """
    q, r = torch.linalg.qr(gauss)
    # as a matrix that is read from a file lies in memory: how one is multiplied, and its bits, depend on that
    columns: Tensor = q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
    return columns.contiguous()
