"""The names of ``torch.nn.functional.gumbel_softmax`` for the arguments of a path estimator."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol, cast, overload

from torch import Tensor

from estimators._types import Noise
from estimators.registry import get

P = ParamSpec("P")


class DropIn(Protocol[P]):
    """A function with parameters of its own, and with those of ``torch.nn.functional.gumbel_softmax``."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...

    @overload
    def __call__(
        self, logits: Tensor, tau: float | Tensor, hard: bool = ..., *, dim: int = ..., generator: Noise = ...
    ) -> Tensor: ...

    @overload
    def __call__(
        self, logits: Tensor, *, hard: bool = ..., dim: int = ..., generator: Noise = ...
    ) -> Tensor: ...


def drop_in(function: Callable[P, Tensor]) -> DropIn[P]:
    """``function``, which also takes ``tau`` for ``temperature``, both by position too, ``hard`` and ``dim``.

    ``hard`` can only confirm what the registry declares of the forward value: exactly one-hot, or relaxed.

    Raises:
        KeyError: no estimator has the name of the function.
    """
    one_hot = get(function.__name__).properties.hard_forward

    @functools.wraps(function)
    def aliased(
        logits: Tensor,
        tau: float | Tensor | None = None,
        hard: bool | None = None,
        *,
        dim: int = -1,
        **given: Any,
    ) -> Tensor:
        if hard is not None and hard != one_hot:
            raise ValueError(_other_forward(function.__name__, one_hot))
        if tau is not None and "temperature" in given:
            raise TypeError(f"{function.__name__} got temperature and tau, which are the same; leave one out")
        if tau is not None:
            given["temperature"] = tau
        # The signature above is not that of P, which mypy cannot see through.
        if dim in (-1, logits.dim() - 1):
            return function(logits, **given)  # type: ignore[arg-type]
        return function(logits.movedim(dim, -1), **given).movedim(-1, dim)  # type: ignore[arg-type]

    return cast(DropIn[P], aliased)


def _other_forward(name: str, one_hot: bool) -> str:
    if one_hot:
        return f"{name} is exactly one-hot and does not take hard=False; `gumbel_softmax` is relaxed"
    return f"{name} has a relaxed forward value and does not take hard=True; `stgs` is exactly one-hot"
