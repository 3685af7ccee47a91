"""Estimators that differentiate within the call: f, or the square of their own estimate."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import torch
from torch import Tensor

from estimators._tracing import is_traced, is_transformed, outside_of_programs
from estimators._types import Estimate

P = ParamSpec("P")


def differentiates_within(function: Callable[P, Estimate]) -> Callable[P, Estimate]:
    """``function`` in every mode of autograd: without gradients, and in inference mode.

    Raises:
        RuntimeError: inside of a transform of ``torch.func``, which cannot see through an inner derivative;
            in inference mode, f uses tensors that were made there.
    """

    @outside_of_programs
    @functools.wraps(function)
    def call(*args: P.args, **given: P.kwargs) -> Estimate:
        if is_traced():
            return function(*args, **given)
        if is_transformed():
            raise RuntimeError(
                f"{function.__name__} differentiates within the call, which torch.func (vmap, grad, jvp) "
                "cannot see through; differentiate with .backward() or torch.autograd.grad, or use `rloo`"
            )
        if not torch.is_inference_mode_enabled():
            return function(*args, **given)
        with torch.inference_mode(mode=False), torch.no_grad():
            return _outside(function, args, given)

    return call


def _outside(function: Callable[..., Estimate], args: tuple[Any, ...], given: Mapping[str, Any]) -> Estimate:
    try:
        return function(*map(_ordinary, args), **{name: _ordinary(value) for name, value in given.items()})
    except RuntimeError as error:
        if "nference tensor" not in str(error):
            raise
        raise RuntimeError(
            "the estimator differentiates the objective, which uses tensors made in inference mode, and "
            "those have no gradients: use torch.no_grad() in place of torch.inference_mode()"
        ) from error


def _ordinary(value: Any) -> Any:
    """Tensors made in inference mode, states among them, as ordinary ones."""
    if isinstance(value, Mapping):
        return {name: _ordinary(entry) for name, entry in value.items()}
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value
