"""A task that is watched at work: what it calls, reads and returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Task, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Objective, Properties, SeparableObjective

Guard = Callable[[str], AbstractContextManager[Any]]
"""Name of a method of the task -> what stands around its calls."""


def _unguarded(method: str) -> AbstractContextManager[Any]:
    return nullcontext()


@dataclass(kw_only=True)
class Call:
    """One call of ``expect`` or ``sample`` in training.

    Attributes:
        name: of the call.
        shape: of its logits.
        step: of which call of ``loss``, counted from 0.
        sampled: whether it was ``sample``.
        nested: whether it was made by an objective.
        learned: whether its logits have a gradient.
        separable: whether the objective says that it is a sum of terms.
        passes: as the task asked for.
        evaluations: of the objective, for every element of the estimate.
        differentiable: whether the objective has a gradient in its samples; ``None`` where nobody looked.
    """

    name: str
    shape: tuple[int, ...]
    step: int
    sampled: bool
    nested: bool
    learned: bool
    separable: bool = False
    passes: int = 1
    evaluations: int = 0
    differentiable: bool | None = None


@dataclass
class Record:
    """What a watched task did.

    Attributes:
        calls: in order.
        indices: of every minibatch in training, by phase.
        losses: what ``loss`` returned, by phase.
        steps: calls of ``loss`` that have begun.
        depth: objectives that are being evaluated.
    """

    calls: list[Call] = field(default_factory=list)
    indices: dict[str, list[Tensor]] = field(default_factory=dict)
    losses: dict[str, list[Loss]] = field(default_factory=dict)
    steps: int = 0
    depth: int = 0

    def begin(self, name: str, logits: Tensor, *, sampled: bool) -> Call:
        """Note a call; what only its objective tells is left open."""
        call = Call(
            name=name,
            shape=tuple(logits.shape),
            step=self.steps - 1,
            sampled=sampled,
            nested=self.depth > 0,
            learned=logits.requires_grad,
        )
        self.calls.append(call)
        return call

    @contextmanager
    def inside(self) -> Iterator[None]:
        """While an objective is evaluated."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1


class Watched:
    """A task that does as another one and keeps a record.

    Args:
        task: the other one.
        guard: what stands around calls of its methods.
        probing: whether objectives are differentiated for the record, which costs evaluations.

    Attributes:
        record: what it did so far.
    """

    def __init__(self, task: Task, *, guard: Guard = _unguarded, probing: bool = False) -> None:
        self._task, self._guard, self._probing = task, guard, probing
        self.record = Record()
        self._index: Tensor | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """As the task."""
        with self._guard("init"):
            return self._task.init(noise, lanes)

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """As the task; the indices are kept for the loss that they are for, if any."""
        self._index = index.detach().clone()
        with self._guard("batch"):
            return self._task.batch(split, index, noise, length=length)

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """As the task; loss and calls of the estimator are noted, the backward pass is guarded."""
        self.record.steps += 1
        with self._guard("loss"):
            loss = self._task.loss(phase, variables, batch, self._watched(draw))
            trained = [tensor for tensor in variables.groups[phase.group].values() if tensor.requires_grad]
            if trained:
                torch.autograd.grad(loss.loss.sum(), trained, retain_graph=True, allow_unused=True)
        if self._index is not None:
            self.record.indices.setdefault(phase.name, []).append(self._index)
        self.record.losses.setdefault(phase.name, []).append(loss)
        return loss

    def _watched(self, draw: Draw) -> WatchedDraw:
        return WatchedDraw(draw, self.record, probing=self._probing)

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """As the task."""
        with self._guard("evaluate"):
            return self._task.evaluate(split, variables, batch, draw)

    def measure(self, variables: Variables) -> Mapping[str, Tensor]:
        """As the task."""
        with self._guard("measure"):
            return self._task.measure(variables)


class WatchedDraw:
    """A draw that does as another one and notes its calls.

    Args:
        draw: the other one.
        record: where to.
        probing: whether objectives are differentiated.
    """

    def __init__(self, draw: Draw, record: Record, *, probing: bool) -> None:
        self._draw, self._record, self._probing = draw, record, probing

    @property
    def training(self) -> bool:
        """As the other one."""
        return self._draw.training

    @property
    def properties(self) -> Properties:
        """As the other one."""
        return self._draw.properties

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """As the other one."""
        call = self._record.begin(name, logits, sampled=False)
        call.separable, call.passes = isinstance(f, SeparableObjective), passes
        if self._probing:
            f = _probed(f, call, self._record)
        return self._draw.expect(name, logits, _counted(f, call, self._record), passes=passes)

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """As the other one."""
        self._record.begin(name, logits, sampled=True)
        return self._draw.sample(name, logits)

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """As the other one."""
        return self._draw.uniform(name, shape, dtype=dtype)


def _counted(f: Objective, call: Call, record: Record) -> Objective:
    """The objective, whose evaluations are noted."""
    if isinstance(f, SeparableObjective):
        return SeparableObjective(terms=_counted(f.terms, call, record))

    def counted(samples: Tensor) -> Tensor:
        call.evaluations += samples.shape[1]
        with record.inside():
            return f(samples)

    return counted


def _probed(f: Objective, call: Call, record: Record) -> Objective:
    """The objective, which is evaluated once more to see whether it has a gradient in its samples."""
    if isinstance(f, SeparableObjective):
        return SeparableObjective(terms=_probed(f.terms, call, record))

    def probed(samples: Tensor) -> Tensor:
        with torch.enable_grad(), record.inside():
            point = samples.detach().requires_grad_()
            call.differentiable = bool(call.differentiable) or _depends(f(point), point)
        return f(samples)

    return probed


def _depends(values: Tensor, point: Tensor) -> bool:
    """Whether there is a way for a gradient from values to a point, even where it happens to be 0."""
    if not values.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(values.sum(), point, allow_unused=True)
    return gradient is not None
