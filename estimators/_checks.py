"""Checks of arguments, with advice.

Shapes, dtypes and Python numbers are always checked. A look at the *contents* of a tensor stalls an
accelerator and cannot be traced, so it is taken only where it costs next to nothing: in eager mode on the
CPU. Elsewhere a variable without a possible category shows as a NaN gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from estimators._tracing import is_traced

_DTYPES = (torch.float32, torch.float64)


def can_look_at(tensor: Tensor) -> bool:
    """Whether reading the contents of ``tensor`` is cheap and allowed."""
    return tensor.device.type == "cpu" and not is_traced()


def check_logits(logits: Tensor) -> None:
    """Refuse logits whose dtype or shape no estimator can work with."""
    if logits.dtype not in _DTYPES:
        raise TypeError(
            f"logits are {logits.dtype}; estimators work in torch.float32 and torch.float64 (the rounding of "
            "shorter types shows in probabilities): pass logits.float()"
        )
    if logits.dim() == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}; the last axis must hold at least one category"
        )


def check_some_possible(logits: Tensor, log_p: Tensor) -> None:
    """Refuse a variable all of whose categories are masked. NaN logits (a diverged lane) pass.

    The softmax of such a variable is NaN, so only the first entry of each variable is looked at.
    """
    if not can_look_at(log_p) or not log_p[..., 0].isnan().any():
        return
    masked = int(logits.isneginf().all(-1).sum())
    if masked:
        raise ValueError(
            f"{masked} of {log_p[..., 0].numel()} variables have every category masked (all logits -inf); "
            "leave at least one category possible"
        )


def check_draws(num_draws: int) -> None:
    """Refuse a number of inner draws below 1."""
    if num_draws < 1:
        raise ValueError(f"num_draws must be at least 1, got {num_draws}; 10 to 1000 are usual")


def temperature_tensor(
    temperature: float | Tensor, logits: Tensor, *, minimum: float, open_minimum: bool, advice: str
) -> Tensor:
    """The temperature as a tensor; see :func:`lane_tensor`."""
    return lane_tensor(
        "temperature", temperature, logits, minimum=minimum, open_minimum=open_minimum, advice=advice
    )


def lane_tensor(
    name: str,
    value: float | Tensor,
    logits: Tensor,
    *,
    minimum: float,
    open_minimum: bool = False,
    advice: str,
) -> Tensor:
    """A lane parameter as a tensor that broadcasts against ``logits[..., :1]``.

    Raises:
        ValueError: out of range (a tensor's contents: see the module), of a shape that does not broadcast, or
            a tensor that requires gradients, which no estimator here has for its parameters.
    """
    bound = f"{'above' if open_minimum else 'at least'} {minimum:g}"

    def check(number: float) -> None:
        high_enough = number > minimum if open_minimum else number >= minimum
        if not (high_enough and number < math.inf):
            raise ValueError(f"{name} must be {bound} and finite, got {number:g}; {advice}")

    if not isinstance(value, Tensor):
        check(value)
        return logits.new_full((), value)
    _check_lane_shape(name, value, logits)
    if can_look_at(value) and value.numel():
        for end in value.detach().aminmax():
            check(end.item())
    return value.to(logits.dtype)


def _check_lane_shape(name: str, value: Tensor, logits: Tensor) -> None:
    if value.requires_grad:
        raise ValueError(
            f"{name} requires a gradient, and the estimator has none for it: pass {name}.detach()"
        )
    target = (*logits.shape[:-1], 1)
    if torch.broadcast_shapes(value.shape, target) != target:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, which does not broadcast to {target}, one "
            f"entry per variable of logits {tuple(logits.shape)}; one value per lane is (lanes, 1, ..., 1)"
        )
