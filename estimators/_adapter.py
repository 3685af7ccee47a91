"""One way for a task to use any estimator, whatever its kind."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor

from estimators import registry
from estimators._score import NEEDS_GRADIENT, evaluate
from estimators._types import Estimate, Noise, Objective
from estimators.info import EstimatorInfo


def surrogate(
    estimator: str | EstimatorInfo,
    logits: Tensor,
    objective: Objective,
    *,
    generator: Noise = None,
    **parameters: Any,
) -> Estimate:
    """Estimate the gradient of E[f(D)]. Code that ``torch.compile`` traces calls :func:`bind` outside.

    Estimators that differentiate f, or learn, within the call cannot be traced.

    Args:
        estimator: registry id or entry.
        logits: ``(..., V, n)``; tasks use ``(lanes, batch, V, n)`` with lane parameters ``(lanes, 1, 1, 1)``.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``; it must be differentiable in the
            samples for estimators whose property ``needs_grad`` says so.
        generator: source of noise.
        parameters: hyper-parameters of the estimator; those left out take the declared defaults. An estimator
            with a state (``info.stateful``) also takes ``state``, that of its last estimate or ``None``.

    Returns:
        :class:`Estimate`; ``estimate.surrogate.sum().backward()`` leaves the gradient estimate in
        ``logits.grad`` and ordinary gradients in the parameters of f.

    Raises:
        KeyError: unknown id.
        TypeError: a parameter that the estimator does not have.
        ValueError: as the estimator itself.
    """
    return bind(estimator)(logits, objective, generator=generator, **parameters)


def bind(estimator: str | EstimatorInfo) -> Callable[..., Estimate]:
    """:func:`surrogate` with its first argument given, and the import, which cannot be traced, done."""
    info = registry.get(estimator) if isinstance(estimator, str) else estimator
    estimate = _path_estimate if info.properties.kind == "path" else _score_estimate
    declared = tuple(p.name for p in info.parameters)
    passed_on = ("generator", "state") if info.stateful else ("generator",)
    return functools.partial(_checked, info.id, declared, passed_on, functools.partial(estimate, info.load()))


def initial_state(
    estimator: str | EstimatorInfo, logits: Tensor, *, generator: Noise = None, **parameters: Any
) -> dict[str, Tensor]:
    """The state that the first call of a stateful estimator starts from; empty for one without a state.

    Calling the estimator without a state does the same; this is for callers that keep states, with noise of
    another purpose.

    Args:
        estimator: registry id or entry.
        logits: ``(lanes, ..., V, n)`` or ``(V, n)``; only shape, dtype and device matter.
        generator: source of noise for networks.
        parameters: as for :func:`surrogate`; those that have nothing to do with the state are allowed.

    Returns:
        Tensors by name, every one with a leading lane axis (of size 1 for logits ``(V, n)``).
    """
    info = registry.get(estimator) if isinstance(estimator, str) else estimator
    _check_declared(info.id, tuple(p.name for p in info.parameters), parameters)
    if not info.stateful:
        return {}
    function = info.load_initial_state()
    takes = inspect.signature(function).parameters
    given = {"generator": generator, **parameters}
    return function(logits, **{name: value for name, value in given.items() if name in takes})


def _checked(
    id: str,
    declared: tuple[str, ...],
    passed_on: tuple[str, ...],
    estimate: Callable[..., Estimate],
    *args: Any,
    **kwargs: Any,
) -> Estimate:
    _check_declared(id, declared, [name for name in kwargs if name not in passed_on])
    return estimate(*args, **kwargs)


def _check_declared(id: str, declared: tuple[str, ...], names: Iterable[str]) -> None:
    """Refuse parameters that are not declared, before any work."""
    unknown = [name for name in names if name not in declared]
    if unknown:
        has = ", ".join(declared) or "none"
        raise TypeError(f"estimator {id!r} has no parameter {', '.join(unknown)}; its parameters: {has}")


def _path_estimate(
    function: Callable[..., Tensor], logits: Tensor, objective: Objective, **kwargs: Any
) -> Estimate:
    """One sample with its surrogate gradient is one evaluation of f."""
    samples = function(logits, **kwargs).unsqueeze(0)
    values = evaluate(objective, samples, logits)
    if samples.requires_grad and not values.requires_grad:
        raise ValueError(NEEDS_GRADIENT)
    return Estimate(
        surrogate=values.squeeze(0), samples=samples.detach(), values=values.detach(), evaluations=1
    )


def _score_estimate(
    function: Callable[..., Estimate], logits: Tensor, objective: Objective, **kwargs: Any
) -> Estimate:
    return function(logits, objective, **kwargs)
