"""The doors to an estimator that the engine hands to a task: in training and in evaluation.

Both are :class:`benchmarks.tasks.contract.Draw`. Each call has a name; names get streams of noise of their
own, in the order of their first use in a step, which is the task's and not the estimator's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.engine.noise import ExampleNoise, LaneNoise, Purpose
from estimators import (
    Estimate,
    EstimatorInfo,
    NoiseSource,
    Objective,
    Properties,
    SeparableObjective,
    Value,
    bind,
    building_blocks,
)

States = dict[str, dict[str, Tensor]]
"""States of stateful estimators by name of the call, every tensor ``(lanes, ...)``."""

_DRAWS_OF_A_STREAM = 2**16


@dataclass(frozen=True, kw_only=True)
class LaneEstimator:
    """An estimator with the hyper-parameters that all lanes share.

    Attributes:
        info: its registry entry.
        function: the estimator itself.
        estimate: the same behind the common interface, from ``estimators.bind``.
        static: parameters that all lanes share.
    """

    info: EstimatorInfo
    function: Callable[..., Any]
    estimate: Callable[..., Estimate]
    static: Mapping[str, Value]

    @classmethod
    def bound(cls, info: EstimatorInfo, static: Mapping[str, Value]) -> LaneEstimator:
        """With its function imported, which cannot be done while a step is traced."""
        return cls(info=info, function=info.load(), estimate=bind(info), static=dict(static))


class TrainingDraw:
    """The estimator in a training step.

    Args:
        estimator: which.
        lane: its parameters that may differ by lane, ``(lanes,)`` each.
        keys: of the noise, ``(lanes, 2)``.
        step: whose noise.
        states: of stateful estimators before the step.
        purpose: which of a seed's streams.

    Attributes:
        states: of stateful estimators, those that were called with their new ones.
        evaluations: evaluations of f by name of the call, for each element of the estimate.
        spent: evaluations of the step, for each example: those of calls that are not part of another one's f.
    """

    training = True

    def __init__(
        self,
        estimator: LaneEstimator,
        *,
        lane: Mapping[str, Tensor],
        keys: Tensor,
        step: int | Tensor,
        states: Mapping[str, dict[str, Tensor]],
        purpose: Purpose = Purpose.TRAINING,
    ) -> None:
        self._estimator, self._lane = estimator, lane
        self._keys, self._step, self._purpose = keys, step, purpose
        self._streams: dict[str, LaneNoise] = {}
        self._phase = ""
        self.states: States = dict(states)
        self.evaluations: dict[str, int] = {}
        self.spent = 0
        self._depth = 0

    @property
    def properties(self) -> Properties:
        """What the registry declares of the estimator."""
        return self._estimator.info.properties

    def of_phase(self, name: str) -> TrainingDraw:
        """The same draw, whose calls from now on belong to a phase of a step that has several."""
        self._phase = f"{name}."
        return self

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """See :meth:`benchmarks.tasks.contract.Draw.expect`."""
        name = self._phase + name
        if self.properties.kind != "path":
            estimate = self._estimate(name, logits, _samples_second(f))
            self._count(name, estimate.evaluations)
            return estimate.surrogate
        several = logits.unsqueeze(1).expand(-1, passes, *logits.shape[1:])
        estimate = self._estimate(name, several, lambda z: f(z.squeeze(0)).unsqueeze(0))
        self._count(name, passes)
        return estimate.surrogate.squeeze(1) if passes == 1 else estimate.surrogate.mean(1)

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """See :meth:`benchmarks.tasks.contract.Draw.sample`.

        Raises:
            ValueError: the estimator gives no sample with a gradient, and the logits need one.
        """
        name = self._phase + name
        if self.properties.kind != "path":
            if not logits.requires_grad:
                return building_blocks.draw(building_blocks.softmax(logits), self._noise(name))
            raise ValueError(
                f"the call {name!r} needs samples that carry a gradient, {self._estimator.info.id} gives "
                "none; use a path estimator (st, stgs, reinmax, ...)"
            )
        self.evaluations[name] = 1
        self.spent = max(self.spent, 1)
        z: Tensor = self._estimator.function(logits, generator=self._noise(name), **self._parameters(logits))
        return z

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """See :meth:`benchmarks.tasks.contract.Draw.uniform`."""
        return self._noise(self._phase + name).uniform(shape, dtype=dtype, device=self._keys.device)

    def _estimate(self, name: str, logits: Tensor, objective: Objective) -> Estimate:
        state: dict[str, Any] = {"state": self.states[name]} if self.states.get(name) else {}
        self._depth += 1
        estimate = self._estimator.estimate(
            logits, objective, generator=self._noise(name), **state, **self._parameters(logits)
        )
        self._depth -= 1
        if estimate.state:
            self.states[name] = estimate.state
        return estimate

    def _count(self, name: str, evaluations: int) -> None:
        self.evaluations[name] = evaluations
        if self._depth == 0:
            self.spent += evaluations

    def _parameters(self, logits: Tensor) -> dict[str, Any]:
        shape = (-1,) + (1,) * (logits.dim() - 1)
        return {**self._estimator.static, **{name: value.view(shape) for name, value in self._lane.items()}}

    def _noise(self, name: str) -> LaneNoise:
        if name not in self._streams:
            first = len(self._streams) * _DRAWS_OF_A_STREAM
            self._streams[name] = LaneNoise(self._keys, self._purpose, step=self._step, first_draw=first)
        return self._streams[name]


class EvaluationDraw:
    """Plain draws in an evaluation, the same for an example whatever chunk it comes in.

    Args:
        properties: of the estimator, for tasks that ask.
        noise: name of a stream (its number in the order of first use) -> noise of the chunk.
    """

    training = False

    def __init__(
        self, properties: Properties, noise: Callable[[int], ExampleNoise], device: torch.device
    ) -> None:
        self.properties = properties
        self._make, self._device = noise, device
        self._streams: dict[str, ExampleNoise] = {}

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """f at one plain draw."""
        return f(self.sample(name, logits).unsqueeze(1)).squeeze(1)

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """One one-hot draw of every variable."""
        return building_blocks.draw(building_blocks.softmax(logits), self._noise(name))

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Uniform numbers of the task's own."""
        return self._noise(name).uniform(shape, dtype=dtype, device=self._device)

    def _noise(self, name: str) -> NoiseSource:
        if name not in self._streams:
            self._streams[name] = self._make(len(self._streams))
        return self._streams[name]


def _samples_second(f: Objective) -> Objective:
    """The objective of an estimator, samples first, from a task's, lanes first."""
    if isinstance(f, SeparableObjective):
        return SeparableObjective(terms=_samples_second(f.terms))
    return lambda samples: f(samples.movedim(0, 1)).movedim(1, 0)
