"""What a task is given in place of the engine's draws: an estimator at hand, or samples that are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

import estimators
from benchmarks.engine.draw import LaneEstimator, States, TrainingDraw
from benchmarks.engine.noise import seed_keys
from estimators import Objective, Properties
from estimators.info import Value


def training(
    estimator: str,
    *,
    seeds: Sequence[int],
    temperatures: Sequence[float] | None = None,
    step: int = 0,
    states: States | None = None,
    dtype: torch.dtype = torch.float32,
    static: Mapping[str, Value] | None = None,
) -> TrainingDraw:
    """A registered estimator in lanes of these seeds, and of these temperatures if it has any."""
    lane = {} if temperatures is None else {"temperature": torch.tensor(temperatures, dtype=dtype)}
    return TrainingDraw(
        LaneEstimator.bound(estimators.get(estimator), static or {}),
        lane=lane,
        keys=seed_keys(seeds),
        step=step,
        states=states or {},
    )


class Sampled:
    """Draws in training by a function.

    Args:
        function: from logits to samples of the same shape, with or without a gradient.
    """

    training = True

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self._function = function

    @property
    def properties(self) -> Properties:
        """Those of straight-through, a path estimator."""
        return estimators.get("st").properties

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """f at one sample."""
        return f(self.sample(name, logits).unsqueeze(1)).squeeze(1)

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """What the function says."""
        return self._function(logits)

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Halves."""
        return torch.full(shape, 0.5, dtype=dtype)


def certain(code: Tensor) -> Sampled:
    """Draws of one code ``(V, n)``, whatever the logits, which get no gradient."""
    return Sampled(code.expand_as)
