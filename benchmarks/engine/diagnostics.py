r"""How good the gradient estimates of a training are: measured at fixed parameters, on a fixed minibatch.

R repeated draws give the gradient of the estimated objectives at the logits of every named call of
``expect``, and the gradient of the loss at the parameters. With mean m and elementwise standard deviation s
over the R draws, and the exact gradient g by enumeration where that is possible, all as one long vector:

    norm        |m|                        variance      sum of s^2
    deviation   |s| / |m|                  snr           |m| / |s|
    cosine      <g, m> / (|g| |m|)         bias          |g - m| / |g|

m itself is noisy, which lowers its cosine. With the means m_1, m_2 of two halves of the draws, <m_1, m_2> is
an unbiased estimate of the squared norm of what m tends to, so that

    cosine_corrected  <g, m> / (|g| sqrt <m_1, m_2>)
    bias_corrected    sqrt(|g|^2 - 2 <g, m> + <m_1, m_2>) / |g|

where a bias that noise hides, with a negative number under the root, is 0. What cannot be told at all (the
norm of a mean that noise hides, a share of an exact gradient of 0) is left out.

Source: the definitions without correction are those of Figure 4 in Liu et al., "Bridging Discrete and
Backpropagation: Straight-Through and Beyond", NeurIPS 2023, and of the code released with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from benchmarks.engine.draw import LaneEstimator, TrainingDraw
from benchmarks.engine.noise import LaneNoise, Purpose
from benchmarks.spec import Diagnostics
from benchmarks.tasks.contract import Batch, Task, Variables
from benchmarks.tasks.diagnostic_metrics import PARAMETERS, metric_name
from estimators import Objective, registry

_MOST_DRAWS = 2**16
_EXACT_EXAMPLES = 8
"""Examples whose outcomes are enumerated at a time."""

Gradients = dict[str, Tensor]
"""By name of the call, ``(lanes, numbers)``."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subject:
    """What is measured: an estimator on a task at fixed parameters.

    Attributes:
        task: the task.
        variables: of all lanes.
        estimator: which is measured.
        lane: its parameters that differ by lane.
        keys: of the noise, ``(lanes, 2)``.
        states: of a stateful estimator; they do not change.
        others: estimators without states that are measured besides, and their parameters by lane; by id.
    """

    task: Task
    variables: Variables
    estimator: LaneEstimator
    lane: Mapping[str, Tensor]
    keys: Tensor
    states: Mapping[str, dict[str, Tensor]]
    others: Mapping[str, tuple[LaneEstimator, Mapping[str, Tensor]]] = field(default_factory=dict)

    def of(self, other: str) -> Subject:
        """The same with another of its estimators; with its own for an empty id."""
        if not other:
            return self
        estimator, lane = self.others[other]
        return replace(self, estimator=estimator, lane=lane, states={})


def measured(
    subject: Subject, diagnostics: Diagnostics, *, order: Mapping[str, Tensor], epoch: int
) -> dict[str, Tensor]:
    """The diagnostics of every lane, ``(lanes,)`` each; NaN where a number cannot be told.

    Args:
        subject: what is measured.
        diagnostics: how.
        order: of the epoch's data, by split: the minibatch is the first examples of the first phase's.
        epoch: counted from 1; whose noise.
    """
    index = _examples(subject.task, order, diagnostics.examples)
    exact = _exact(subject, index, epoch)
    return {
        metric_name(call, kind, other): value
        for other in ("", *subject.others)
        for call, statistics in _moments(subject.of(other), index, diagnostics.draws, epoch)
        .statistics(exact)
        .items()
        for kind, value in statistics.items()
    }


def _moments(subject: Subject, index: Tensor | None, draws: int, epoch: int) -> _Moments:
    """Of repeated draws; every estimator is given the same noise."""
    moments = _Moments()
    for k in range(draws):
        moments.add(_drawn(subject, index, epoch * _MOST_DRAWS + k), second_half=2 * k >= draws)
    return moments


class _Probe(TrainingDraw):
    """A draw that keeps the logits of calls of ``expect`` and the sum of what the outermost ones return.

    Attributes:
        logits: by name of the call.
        nested: names of calls that are part of another one's f.
        total: the sum; ``None`` before the first call.
    """

    def __init__(self, subject: Subject, step: int) -> None:
        super().__init__(
            subject.estimator,
            lane=subject.lane,
            keys=subject.keys,
            step=step,
            states=subject.states,
            purpose=Purpose.DIAGNOSTICS,
        )
        self.logits: dict[str, Tensor] = {}
        self.nested: set[str] = set()
        self.total: Tensor | None = None

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """As in training; the gradient at the logits is asked for by :func:`_at_logits`."""
        outermost = self._depth == 0
        logits = logits if logits.requires_grad else logits.detach().requires_grad_()
        self.logits.setdefault(name, logits)
        surrogate = super().expect(name, logits, f, passes=passes)
        if outermost:
            total = surrogate.sum()
            self.total = total if self.total is None else self.total + total
        else:
            self.nested.add(name)
        return surrogate


def _drawn(subject: Subject, index: Tensor | None, step: int) -> Gradients:
    """The gradients of one draw: at the logits of every call, and of the loss at the parameters."""
    with torch.enable_grad():
        probe, loss, leaves = _run(subject, index, step)
        found = _at_logits(probe, retain=True, copies=index is None)
        parts = torch.autograd.grad(loss.sum(), leaves, allow_unused=True, materialize_grads=True)
    return found | {PARAMETERS: torch.cat([part.flatten(1) for part in parts], 1)}


def _exact(subject: Subject, index: Tensor | None, epoch: int) -> Gradients:
    """The exact gradients at the logits of the outermost calls; empty where outcomes are too many.

    Logits of other calls depend on what was drawn: there is no one gradient at them.
    """
    info = registry.get("exact")
    exact = replace(subject, estimator=LaneEstimator.bound(info, {}), lane={}, states={})
    parts: Sequence[Tensor | None] = [None] if index is None else index.split(_EXACT_EXAMPLES, 1)
    found: list[Gradients] = []
    for part in parts:
        try:
            with torch.enable_grad():
                probe, _, _ = _run(exact, part, epoch * _MOST_DRAWS)
                gradients = _at_logits(probe, retain=False, copies=index is None)
                found.append({name: g for name, g in gradients.items() if name not in probe.nested})
        except ValueError:  # too many outcomes, or choices that depend on each other
            return {}
    return {name: torch.cat([each[name] for each in found], 1) for name in found[0]}


def _run(subject: Subject, index: Tensor | None, step: int) -> tuple[_Probe, Tensor, list[Tensor]]:
    """The first phase's loss with its graph: the probe, the loss and the parameters it depends on."""
    task, phase = subject.task, subject.task.phases[0]
    leaves = {name: p.detach().requires_grad_() for name, p in subject.variables.groups[phase.group].items()}
    variables = Variables(
        groups={**subject.variables.groups, phase.group: leaves}, buffers=subject.variables.buffers
    )
    probe = _Probe(subject, step)
    if len(task.phases) > 1:
        probe.of_phase(phase.name)  # as in training: states and noise belong to the phase
    batch: Batch = None
    if index is not None:
        # The same inputs at every draw: what a task draws of its inputs is drawn once.
        noise = LaneNoise(subject.keys, Purpose.DATA, step=0)
        length = int(task.lengths[phase.split].max()) if phase.split in task.lengths else None
        batch = task.batch(phase.split, index, noise, length=length)
    loss = task.loss(phase, variables, batch, probe)
    return probe, loss.loss, list(leaves.values())


def _at_logits(probe: _Probe, *, retain: bool, copies: bool) -> Gradients:
    """The gradient of all objectives at the logits of every call.

    Without data, the rows of a minibatch are copies of the same variables, and their mean is what counts.
    """
    if probe.total is None:
        return {}
    gradients = torch.autograd.grad(
        probe.total,
        tuple(probe.logits.values()),
        retain_graph=retain,
        allow_unused=True,
        materialize_grads=True,
    )
    by_name = dict(zip(probe.logits, gradients, strict=True))
    if copies:
        by_name = {name: g.flatten(1, -3).mean(1) if g.dim() > 3 else g for name, g in by_name.items()}
    return {name: g.flatten(1) for name, g in by_name.items()}


def _examples(task: Task, order: Mapping[str, Tensor], count: int) -> Tensor | None:
    """Indices of the first examples of the first phase's epoch, ``(lanes, count)``; ``None`` without data."""
    return order[task.phases[0].split][:, :count] if task.phases[0].split in order else None


class _Moments:
    """Sums over draws, in float64: of each half, and of squares."""

    def __init__(self) -> None:
        self._counts = [0, 0]
        self._sums: tuple[Gradients, Gradients] = ({}, {})
        self._squares: Gradients = {}

    def add(self, gradients: Gradients, *, second_half: bool) -> None:
        """Count one more draw."""
        self._counts[second_half] += 1
        for name, gradient in gradients.items():
            g = gradient.double()
            _accumulate(self._sums[second_half], name, g)
            _accumulate(self._squares, name, g.square())

    def statistics(self, exact: Gradients) -> dict[str, dict[str, Tensor]]:
        """By call, the numbers of the module's docstring, ``(lanes,)`` each."""
        first, second = self._sums
        count = sum(self._counts)
        found = {}
        for name in self._squares:
            mean = (first[name] + second[name]) / count
            deviation = (self._squares[name] / count - mean.square()).clamp_min(0).sqrt()
            halves = _dot(first[name] / self._counts[0], second[name] / self._counts[1])
            found[name] = _spread(mean, deviation)
            if name in exact:
                found[name] |= _accuracy(exact[name].double(), mean, halves)
        return found


def _spread(mean: Tensor, deviation: Tensor) -> dict[str, Tensor]:
    norm, spread = mean.norm(dim=1), deviation.norm(dim=1)
    return {"norm": norm, "variance": spread.square(), "deviation": spread / norm, "snr": norm / spread}


def _accuracy(exact: Tensor, mean: Tensor, halves: Tensor) -> dict[str, Tensor]:
    size, product = exact.norm(dim=1), _dot(exact, mean)
    return {
        "cosine": product / (size * mean.norm(dim=1)),
        "bias": (exact - mean).norm(dim=1) / size,
        "cosine_corrected": product / (size * halves.sqrt()),
        "bias_corrected": (size.square() - 2 * product + halves).clamp_min(0).sqrt() / size,
    }


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def _accumulate(sums: Gradients, name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value
