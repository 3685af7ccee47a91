"""Trains tasks as plainly as can be: what they mean, without compilation, cohorts or checkpoints."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import estimators
from benchmarks.engine.noise import LaneNoise, Purpose
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Task, Variables
from benchmarks.tasks.info import Split
from estimators import Objective, Properties, Value

States = dict[str, Mapping[str, Tensor]]


class PlainDraw:
    """A :class:`benchmarks.tasks.contract.Draw` whose noise is keyed by name and use.

    Args:
        estimator: registry id.
        keys: of the noise, ``(lanes, 2)``.
        step: whose numbers.
        training: whether gradients are wanted.
        parameters: of the estimator, the same in all lanes.
        states: of the estimator by name of call; updated.
    """

    def __init__(
        self,
        estimator: str,
        keys: Tensor,
        *,
        step: int = 0,
        training: bool = True,
        parameters: Mapping[str, Value] | None = None,
        states: States | None = None,
    ) -> None:
        info = estimators.get(estimator)
        self.properties: Properties = info.properties
        self.training = training
        self.states: States = {} if states is None else states
        self._function = estimators.bind(info)
        self._path = info.load() if info.properties.kind == "path" else None
        self._stateful = info.stateful
        self._parameters: dict[str, Any] = dict(parameters or {})
        self._keys, self._step = keys, step
        self._uses: dict[str, int] = {}

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """As the contract says."""
        if self._path is not None or not self.training:
            many = logits.unsqueeze(1).expand(-1, passes, *logits.shape[1:])
            return f(self.sample(name, many)).mean(1)
        given: dict[str, Any] = {"state": self.states.get(name)} if self._stateful else {}
        estimate = self._function(
            logits,
            lambda samples: f(samples.movedim(0, 1)).movedim(1, 0),
            generator=self._noise(name),
            **given,
            **self._parameters,
        )
        if self._stateful:
            self.states[name] = estimate.state
        return estimate.surrogate

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """As the contract says; a plain draw for any estimator where the logits need no gradient."""
        noise = self._noise(name)
        if self._path is not None and self.training:
            sample: Tensor = self._path(logits, generator=noise, **self._parameters)
            return sample
        assert not (self.training and logits.requires_grad), "needs a path estimator"
        u = noise.uniform(tuple(logits.shape[:-1]), dtype=torch.float64, device=logits.device)
        below = logits.detach().double().softmax(-1).cumsum(-1)[..., :-1] < u.unsqueeze(-1)
        return functional.one_hot(below.sum(-1), logits.shape[-1]).to(logits.dtype)

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """As the contract says."""
        return self._noise(name).uniform(shape, dtype=dtype, device=self._keys.device)

    def _noise(self, name: str) -> LaneNoise:
        use = self._uses[name] = self._uses.get(name, 0) + 1
        purpose = Purpose.TRAINING if self.training else Purpose.EVALUATION
        return LaneNoise(self._keys ^ zlib.crc32(f"{name}/{use}".encode()), purpose, step=self._step)


def start(task: Task, keys: Tensor) -> Variables:
    """Where training starts."""
    return task.init(LaneNoise(keys, Purpose.INITIALISATION, step=0), len(keys))


def minibatch(task: Task, split: Split, keys: Tensor, *, step: int, size: int | None = None) -> Batch:
    """The minibatch of a step: the split's examples in turn, the same in every lane."""
    count = task.splits[split]
    index = (step * task.batch_size + torch.arange(size or task.batch_size)) % count
    length = int(task.lengths[split][index].max()) if split in task.lengths else None
    noise = LaneNoise(keys, Purpose.ORDER, step=step)
    return task.batch(split, index.expand(len(keys), -1), noise, length=length)


def gradient(
    task: Task, phase: Phase, variables: Variables, batch: Batch, draw: Draw
) -> tuple[Loss, dict[str, Tensor]]:
    """Loss and gradient of a phase's group, whose tensors must be leaves."""
    group = variables.groups[phase.group]
    loss = task.loss(phase, wanting(variables, phase.group), batch, draw)
    gradients = torch.autograd.grad(loss.loss.sum(), tuple(group.values()))
    return loss, dict(zip(group, gradients, strict=True))


def wanting(variables: Variables, group: str) -> Variables:
    """The same variables; only those of ``group`` want a gradient."""
    for name, tensors in variables.groups.items():
        for tensor in tensors.values():
            tensor.requires_grad_(name == group)
    return variables


class Driver:
    """Training of lanes by Adam (SGD with momentum where the task fixes that), step by step."""

    def __init__(self, task: Task, estimator: str, keys: Tensor, *, lr: float, **parameters: Value) -> None:
        self.task, self.keys, self.lr = task, keys, lr
        self.variables = start(task, keys)
        self._estimator, self._parameters = estimator, parameters
        self._states: dict[str, States] = {phase.name: {} for phase in task.phases}
        self._optimizers = {phase.name: self._optimizer(phase) for phase in task.phases}
        self._done = 0

    def _optimizer(self, phase: Phase) -> torch.optim.Optimizer:
        group = list(self.variables.groups[phase.group].values())
        if phase.optimizer is not None and phase.optimizer.id == "sgd":
            assert phase.optimizer.lr is not None
            return torch.optim.SGD(group, lr=phase.optimizer.lr, momentum=0.9, nesterov=True)
        return torch.optim.Adam(group, lr=self.lr)

    def step(self) -> dict[str, Tensor]:
        """One update of every phase; their metrics."""
        metrics: dict[str, Tensor] = {}
        self._done += 1
        for phase in self.task.phases:
            draw = PlainDraw(
                self._estimator,
                self.keys,
                step=self._done,
                parameters=self._parameters,
                states=self._states[phase.name],
            )
            batch = minibatch(self.task, phase.split, self.keys, step=self._done)
            loss, gradients = gradient(self.task, phase, self.variables, batch, draw)
            for name, tensor in self.variables.groups[phase.group].items():
                tensor.grad = gradients[name]
            self._optimizers[phase.name].step()
            self.variables = Variables(
                groups=self.variables.groups, buffers={**self.variables.buffers, **loss.buffers}
            )
            metrics |= loss.metrics
        return metrics

    def evaluate(self, split: Split) -> dict[str, Tensor]:
        """Means over a split."""
        draw = PlainDraw(self._estimator, self.keys, step=self._done, training=False)
        batch = minibatch(self.task, split, self.keys, step=0, size=self.task.splits[split])
        with torch.no_grad():
            values = self.task.evaluate(split, self.variables, batch, draw)
        return {name: value.mean(-1) for name, value in values.items()}
