"""What the lane engine asks of a task, and what it gives to one.

Shapes: lanes first, always; B examples or copies of a minibatch, K samples, V variables of n categories.

A task is stateless: parameters, buffers, a minibatch and a :class:`Draw` come in, losses go out. Order of
data, noise, optimizers, accumulation of metrics, evaluation, diagnostics, checkpoints and lanes that diverge
are the engine's business. Whatever a task computes of one lane, it computes of that lane's tensors alone:
nothing is averaged or shared across the first axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.kernels import layers
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Objective, Properties

Parameters = dict[str, Tensor]
"""Tensors by name, each ``(lanes, *shape)``."""

Batch = Tensor | Mapping[str, Tensor] | None
"""A minibatch, lanes first: a tensor, several by name, or ``None`` for tasks without data."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One update of a step: whose loss on which data moves which parameters.

    Only the parameters of its group require a gradient in its loss. A split other than the first phase's has
    an order of its own, and begins anew when an epoch needs more of it; its minibatches are as large as the
    first phase's.

    Attributes:
        name: key in metrics' weights and optimizer states.
        split: data that its minibatches come from.
        group: the group of parameters that it updates.
        optimizer: what the task's protocol fixes; ``None``: the optimizer and the rate of the sweep.
    """

    name: str = "train"
    split: Split = "train"
    group: str = "model"
    optimizer: FixedOptimizer | None = None


@dataclass(frozen=True, kw_only=True)
class Variables:
    """The tensors of a model.

    Attributes:
        groups: trainable tensors, by group and name.
        buffers: tensors that a loss replaces and no optimizer moves (running means of a batch norm).
    """

    groups: Mapping[str, Parameters]
    buffers: Parameters = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One minibatch of every lane.

    Attributes:
        loss: ``(lanes,)``, differentiable; its gradient is what the phase's optimizer gets.
        metrics: ``(lanes,)`` each, detached: minibatch means of what the task reports for training.
        weight: number of examples in the minibatch; the epoch's metrics are means with these weights.
        buffers: those that change, with their new values; the others stay.
    """

    loss: Tensor
    metrics: Mapping[str, Tensor]
    weight: int
    buffers: Mapping[str, Tensor] = field(default_factory=dict)


class Draw(Protocol):
    """The estimator with its hyper-parameters, noise and states filled in: the only door to it.

    Calls have names. Noise and states are kept by name, so that what one call draws depends neither on how
    many numbers another one needs nor on the estimator behind it. A name may be used several times in a step.

    In an evaluation there is no estimator: samples are plain draws and nothing has a gradient.

    Attributes:
        training: whether this is a training step, not an evaluation.
        properties: what the registry declares of the estimator.
    """

    @property
    def training(self) -> bool:
        """Whether this is a training step, not an evaluation."""

    @property
    def properties(self) -> Properties:
        """What the registry declares of the estimator."""

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """E[f(D)] over the variables of ``logits``, with the estimator's gradient.

        Args:
            name: of this call.
            logits: ``(lanes, ..., V, n)``.
            f: maps samples ``(lanes, K, ..., V, n)`` to values ``(lanes, K, ...)``; it may itself call
                :meth:`expect` or :meth:`sample`, with logits whose first axes are those of its samples. It is
                asked at points that need not be draws, and more than once: what else a task wants to know of
                    a
                draw (batch statistics, an accuracy) it finds out with :meth:`sample`.
            passes: of an estimator that draws one sample a pass; their mean is the estimate. Estimators with
                a number of samples of their own take that.

        Returns:
            ``(lanes, ...)``: the estimate of E[f]; its gradient with respect to ``logits`` is the
            estimator's, that with respect to what f uses besides is the ordinary one.
        """

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """One one-hot draw of every variable with the estimator's gradient: ``(lanes, ..., V, n)``.

        For choices that depend on each other. In training the estimator must be a path estimator, unless the
        logits need no gradient.
        """

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Uniform numbers of the task's own (dropout, augmentation); the first axis is the lane."""


class Task(Protocol):
    """A task bound to its parameters, data and device.

    Attributes:
        splits: examples of every split there is; empty without data.
        batch_size: examples per minibatch; the last one of an epoch may be smaller.
        steps_per_epoch: updates per epoch. With data, one pass over the split of the first phase.
        evaluations_per_epoch: how often in an epoch it is evaluated, in equal parts.
        evaluated: splits that an evaluation goes through.
        phases: updates of one step, in order.
        lengths: of the examples of a split ``(examples,)``, where those differ: minibatches are then made of
            examples of similar length, and cut to about the longest. Which numbers a step draws may depend on
            that length.
        sparse_inputs: names of weights whose inputs are known to be mostly zero, whatever group they are in.
        final_temperature: share of the estimator's temperature that a trial has in its last epoch; it moves
            linearly from epoch to epoch. 1: it stays. An estimator without temperature has none to move.
    """

    splits: Mapping[Split, int]
    batch_size: int
    steps_per_epoch: int
    evaluations_per_epoch: int
    evaluated: tuple[Split, ...]
    phases: tuple[Phase, ...]
    lengths: Mapping[Split, Tensor]
    sparse_inputs: frozenset[str]
    final_temperature: float

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """What training starts from; lane i's depends on lane i's noise only."""

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """The examples of the indices ``(lanes, B)``; not asked without data.

        Args:
            split: which data.
            index: which examples, by lane.
            noise: of this minibatch, for inputs that are drawn anew at every use.
            length: to which examples of different lengths are cut; ``None`` where they have none.
        """

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Loss and training metrics of one minibatch: a pure function."""

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """Metrics of every example ``(lanes, B)``; the engine goes through the split and takes means."""

    def measure(self, variables: Variables) -> Mapping[str, Tensor]:
        """Metrics that need no data, ``(lanes,)`` each."""


class TaskBase:
    """What most tasks agree on; a task overrides the rest of :class:`Task`."""

    splits: Mapping[Split, int] = {}
    evaluations_per_epoch: int = 1
    evaluated: tuple[Split, ...] = ()
    phases: tuple[Phase, ...] = (Phase(),)
    lengths: Mapping[Split, Tensor] = {}
    sparse_inputs: frozenset[str] = frozenset()
    final_temperature: float = 1.0

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """There is no data to index."""
        raise NotImplementedError(f"{type(self).__name__} has no data")

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """There is no split to evaluate."""
        raise NotImplementedError(f"{type(self).__name__} evaluates no split")

    def measure(self, variables: Variables) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, mostly_zero: bool = False) -> Tensor:
    """A linear layer of its own weights in every lane: ``(lanes, ..., i) -> (lanes, ..., o)``.

    Args:
        x: inputs.
        weight: ``(lanes, o, i)``, the layout of ``torch.nn.Linear``.
        bias: ``(lanes, o)``.
        mostly_zero: whether x is known to be mostly zeros.
    """
    rows = x.flatten(1, -2)
    if bias is None:
        y = rows @ weight.transpose(1, 2)
    elif weight.shape[0] == 1:
        y = layers.linear(rows, weight, bias, mostly_zero=mostly_zero)
    else:
        y = torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
    return y.view(*x.shape[:-1], weight.shape[1])
