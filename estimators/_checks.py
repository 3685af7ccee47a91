"""Checks of arguments, with advice.

Shapes, dtypes and Python numbers are always checked. A look at the *contents* of a tensor stalls an
accelerator and cannot be traced, so it is taken only where it costs next to nothing: in eager mode on the
CPU. Elsewhere a variable without a possible category shows as a NaN gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from estimators import registry
from estimators._tracing import is_traced, is_transformed
from estimators.info import OUT_OF_RANGE, Parameter

_WORKING_DTYPES = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}


def can_look_at(tensor: Tensor) -> bool:
    """Whether reading the contents of ``tensor`` is cheap and allowed."""
    return tensor.device.type == "cpu" and not is_traced() and not is_transformed()


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """What logits of ``dtype`` are computed in: the rounding of half precision shows in probabilities."""
    return _WORKING_DTYPES[dtype]


def check_logits(logits: Tensor) -> None:
    """Refuse logits whose dtype or shape no estimator can work with."""
    if logits.dtype not in _WORKING_DTYPES:
        names = ", ".join(str(dtype) for dtype in _WORKING_DTYPES)
        raise TypeError(
            f"logits are {logits.dtype}; estimators take {names} (the last two are computed in "
            "float32): pass logits.float()"
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


def check_parameters(id: str, **given: float | str | Tensor) -> None:
    """Refuse values that the registry does not allow for estimator ``id``, as a sweep file does.

    Args:
        id: an estimator.
        given: its parameters by name; of a tensor every entry is checked, where it may be looked at.

    Raises:
        TypeError: something that is no number, or no text where text is declared.
        ValueError: a value out of range.
    """
    for parameter in registry.get(id).parameters:
        value = given[parameter.name]
        if not isinstance(value, Tensor):
            _check_value(id, parameter, value)
        elif parameter.type is not float:
            raise TypeError(f"{id}: {parameter.name} must be {parameter.expected_text()}, got a tensor")
        elif can_look_at(value) and value.numel():
            for end in value.detach().aminmax():
                _check_value(id, parameter, end.item())


def _check_value(id: str, parameter: Parameter, value: float | str) -> None:
    if not isinstance(value, str if parameter.type is str else Real) or isinstance(value, bool):
        raise TypeError(_refusal(id, parameter, value))
    if isinstance(value, str):
        objection = "" if value in parameter.choices else OUT_OF_RANGE
    else:
        objection = parameter.objection(value)
    if objection:
        raise ValueError(_refusal(id, parameter, value, "" if objection == OUT_OF_RANGE else objection))


def _refusal(id: str, parameter: Parameter, value: object, objection: str = "") -> str:
    """What came, what was expected and what to do."""
    why = f", which {objection}" if objection else ""
    advice = f"; {parameter.advice}" if parameter.advice else ""
    return f"{id}: {parameter.name} must be {parameter.expected_text()}, got {value!r}{why}{advice}"


def lane_tensor(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    """A lane parameter as a tensor that broadcasts against ``like[..., :1]``, of its dtype.

    Raises:
        ValueError: of a shape that does not broadcast, or a tensor that requires gradients, which no
            estimator here has for its parameters.
    """
    if not isinstance(value, Tensor):
        return like.new_full((), value)
    if value.requires_grad:
        raise ValueError(
            f"{name} requires a gradient, and the estimator has none for it: pass {name}.detach()"
        )
    target = (*like.shape[:-1], 1)
    if not _broadcasts(value.shape, target):
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}, which does not broadcast to {target}, one "
            f"entry per variable of logits {tuple(like.shape)}; one value per lane is (lanes, 1, ..., 1)"
        )
    return value.to(like.dtype)


def _broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Whether a tensor of this shape expands to ``target``.

    In place of ``torch.broadcast_shapes``, whose first call imports SymPy: half a second.
    """
    pairs = zip(reversed(shape), reversed(target), strict=False)
    return len(shape) <= len(target) and all(size in (1, wanted) for size, wanted in pairs)
