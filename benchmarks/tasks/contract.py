"""What the lane engine asks of a task.

Shapes: lanes first, always; B examples or copies per step, V variables of n categories, K samples.

A task is stateless: parameters and noise come in, losses go out. Order of data, noise, optimizer,
accumulation of metrics, checkpoints and lanes that diverge are the engine's business. A task never asks for
an estimator's name, only for its declared properties.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.kernels import layers
from estimators import Estimate, NoiseSource, Objective, Properties, Value
from estimators import _ops as ops

Parameters = dict[str, Tensor]
"""Trainable tensors by name, each ``(lanes, *shape)``."""


@dataclass(frozen=True, kw_only=True)
class LaneEstimator:
    """An estimator with its hyper-parameters filled in.

    Attributes:
        function: the estimator behind the common interface, from ``estimators.bind``.
        properties: what the registry declares about it.
        static: parameters that all lanes share.
        lane: parameters that may differ by lane, ``(lanes,)`` each.
        state: what a stateful estimator returned at the last step; ``None`` at the first, and for others.
    """

    function: Callable[..., Estimate]
    properties: Properties
    static: Mapping[str, Value]
    lane: Mapping[str, Tensor]
    state: Mapping[str, Tensor] | None = None

    def __call__(self, logits: Tensor, objective: Objective, noise: NoiseSource) -> Estimate:
        """Estimate E[f] over the variables of ``logits`` ``(lanes, ..., V, n)``, and its gradient."""
        shape = (-1,) + (1,) * (logits.dim() - 1)
        lane = {name: value.view(shape) for name, value in self.lane.items()}
        carried = {} if self.state is None else {"state": self.state}
        return self.function(logits, objective, generator=noise, **carried, **self.static, **lane)


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One minibatch of every lane.

    Attributes:
        loss: ``(lanes,)``, differentiable; its gradient is what the optimizer gets.
        metrics: ``(lanes,)`` each, detached: minibatch means of what the task reports for training.
        weight: number of examples in the minibatch; the epoch's metrics are means with these weights.
        state: the state of the estimate, which the estimator gets back at the next step.
    """

    loss: Tensor
    metrics: dict[str, Tensor]
    weight: int
    state: Mapping[str, Tensor]


class Task(Protocol):
    """A task bound to its parameters, data and device.

    Attributes:
        steps_per_epoch: updates per epoch.
        examples: size of the training set that the engine shuffles, or ``None`` without data.
        batch_size: examples per update; the last minibatch of an epoch may be smaller.
        input_major: parameters that are best kept input-major in memory
            (:mod:`benchmarks.kernels.operators`).
    """

    steps_per_epoch: int
    examples: int | None
    batch_size: int
    input_major: frozenset[str]

    def init(self, noise: NoiseSource, lanes: int) -> Parameters:
        """Initial parameters; lane i's depend on lane i's noise only."""

    def batch(self, index: Tensor) -> Tensor:
        """Training examples ``(lanes, B, ...)`` of the indices ``(lanes, B)``; not asked without data."""

    def step(
        self, parameters: Parameters, batch: Tensor | None, noise: NoiseSource, estimator: LaneEstimator
    ) -> StepResult:
        """Loss and training metrics of one minibatch: a pure function."""

    def evaluate(self, parameters: Parameters, noise: NoiseSource) -> dict[str, Tensor]:
        """Metrics measured at the end of an epoch, ``(lanes,)`` each; called without autograd."""


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, mostly_zero: bool = False) -> Tensor:
    """A linear layer of its own weights in every lane: ``(lanes, B, i) -> (lanes, B, o)``.

    Args:
        x: inputs.
        weight: ``(lanes, o, i)``, the layout of ``torch.nn.Linear``.
        bias: ``(lanes, o)``.
        mostly_zero: whether x is known to be mostly zeros.
    """
    if weight.shape[0] == 1:
        return layers.linear(x, weight, bias, mostly_zero=mostly_zero)
    return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))


def draw(logits: Tensor, noise: NoiseSource) -> Tensor:
    """One one-hot draw of every variable, from one uniform number each."""
    return ops.draw(ops.softmax(logits), noise)
