"""An estimator under guard: what it does wrong becomes an error in words, whichever measurement finds it."""

from __future__ import annotations

import dataclasses
import functools
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from estimators._types import Estimate
from estimators.certification.problems import problems_for
from estimators.certification.subject import LocalEstimator
from estimators.info import EstimatorInfo, Value

ROWS = 4


class NotAnEstimator(ValueError):
    """A function raises, or returns what no estimate can be made of; says what came and what was expected."""


def guarded(info: EstimatorInfo, settings: Mapping[str, Value]) -> LocalEstimator:
    """The same entry with settings, and a function that raises :class:`NotAnEstimator` and nothing else."""
    fields = {field.name: getattr(info, field.name) for field in dataclasses.fields(EstimatorInfo)}
    function = functools.partial(_guarded, info, info.load())
    return LocalEstimator(**fields, function=function, settings=settings)


def rehearse(info: LocalEstimator, seed: int) -> None:
    """One call on a few rows of every problem: the result carries a gradient, and all of it is finite.

    Raises:
        NotAnEstimator: it does not.
        TypeError: a parameter that the estimator does not have.
    """
    for problem in problems_for(info):
        logits = problem.logits.expand(ROWS, 1, problem.variables, problem.categories)
        leaf = logits.clone().requires_grad_()
        generator = torch.Generator().manual_seed(seed)
        estimate = info.bound()(leaf, problem.objective(1.0), generator=generator)
        _refuse_not_finite(info, "the samples", estimate.samples, logits)
        if not estimate.surrogate.requires_grad:
            raise NotAnEstimator(
                f"{info.title} returned a result without a gradient; expected one whose backward pass "
                "reaches the logits: detach neither them nor the result"
            )
        estimate.surrogate.sum().backward()
        _refuse_not_finite(info, "the gradient", leaf.grad, logits)


def _guarded(
    info: EstimatorInfo, function: Callable[..., Any], logits: Tensor, *args: Any, **kwargs: Any
) -> Any:
    given = f"logits of shape {tuple(logits.shape)}, {logits.dtype}"
    try:
        result = function(logits, *args, **kwargs)
    except Exception as error:  # whatever a function of somebody else raises is the answer
        place = _place(error)
        raise NotAnEstimator(
            f"{info.title} raised {type(error).__name__}{place}: {error} (called with {given}; expected an "
            "estimate for logits with any leading axes)"
        ) from error
    expected = _expected(info, logits, result)
    if expected:
        raise NotAnEstimator(f"{info.title} returned {_shown(result)} for {given}; expected {expected}")
    return result


def _expected(info: EstimatorInfo, logits: Tensor, result: Any) -> str:
    """What the function should have returned; empty if it did."""
    if info.properties.kind == "path":
        alike = isinstance(result, Tensor) and (result.shape, result.dtype) == (logits.shape, logits.dtype)
        return "" if alike else "the samples alone, a tensor of the shape and dtype of the logits"
    if not isinstance(result, Estimate):
        return "an estimators.Estimate with surrogate, samples, values and evaluations"
    shape = logits.shape[:-2]
    alike = isinstance(result.surrogate, Tensor) and result.surrogate.shape == shape
    return (
        "" if alike else f"a surrogate of shape {tuple(shape)}: sum over variables, average over samples only"
    )


def _shown(result: Any) -> str:
    if isinstance(result, Estimate):
        return f"an Estimate whose surrogate is {_shown(result.surrogate)}"
    if isinstance(result, Tensor):
        return f"a tensor of shape {tuple(result.shape)}, {result.dtype}"
    return f"an object of type {type(result).__name__}"


def _place(error: Exception) -> str:
    """The line of the function's own file at which it failed; empty if the call itself was refused."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""


def _refuse_not_finite(info: EstimatorInfo, what: str, found: Tensor | None, logits: Tensor) -> None:
    if found is None or found.isfinite().all():
        return
    count = int((~found.isfinite()).sum())
    raise NotAnEstimator(
        f"{info.title}: {count} of {found.numel()} entries of {what} are NaN or infinite for logits between "
        f"{logits.min():.2g} and {logits.max():.2g}; expected finite numbers: look for a logarithm of 0, a "
        "division by 0, or infinity minus infinity"
    )
