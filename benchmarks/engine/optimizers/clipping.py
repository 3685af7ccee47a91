r"""Gradients clipped by their norm, each lane's by its own.

    g <- g min(1, max_norm / (|g| + 1e-6)),    |g|^2 = sum of the squares of all numbers of the lane

Equal to ``torch.nn.utils.clip_grad_norm_`` of a model of one lane, up to rounding.

Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", ICML 2013.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from benchmarks.engine.optimizers.rule import by_lane

_ADDED = 1e-6  # as in torch; keeps a norm of 0 from dividing


def norms(gradients: Mapping[str, Tensor]) -> Tensor:
    """Norm of each lane over all tensors ``(lanes, ...)``: ``(lanes,)``.

    Summed tensor by tensor, in one order for any number of lanes: a lane's norm has the same bits alone.
    """
    squares = [gradient.square().reshape(len(gradient), -1).sum(1) for gradient in gradients.values()]
    total = squares[0]
    for part in squares[1:]:
        total = total + part
    return total.sqrt()


def clipped(gradients: Mapping[str, Tensor], max_norm: float) -> dict[str, Tensor]:
    """Gradients ``(lanes, ...)`` of a norm of at most ``max_norm`` in every lane.

    A lane whose norm is infinite gets zeros, and NaN where it has infinities; one with NaN gets NaN.
    """
    factors = (max_norm / (norms(gradients) + _ADDED)).clamp(max=1.0)
    return {name: gradient * by_lane(factors, gradient) for name, gradient in gradients.items()}
