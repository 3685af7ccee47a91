"""One training step of every lane as a pure function of tensors: what can be run, recorded and compiled.

What a step reads and changes is a :class:`State`; what it only reads, :class:`Inputs`. Both are dictionaries
of tensors whose shapes stay the same from step to step: nothing in a step depends on a Python number that
changes, and nothing is fetched from the device. Counters have one axis: inductor (torch 2.13) loses what is
written to a float64 number without axes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TypedDict

import torch
from torch import Tensor

from benchmarks.engine.noise import LaneNoise, Purpose
from benchmarks.engine.optimizers.adam import updated
from benchmarks.kernels import layers, operators
from benchmarks.kernels.operators import Factors
from benchmarks.tasks.contract import LaneEstimator, Parameters, StepResult, Task


class State(TypedDict):
    """What a step changes.

    Attributes:
        step: steps done, int64 ``(1,)``.
        parameters, first_moment, second_moment: of the optimizer, ``(lanes, ...)``.
        estimator: state of the estimator, ``(lanes, ...)``; empty before its first step, or if it has none.
        sums: of the epoch's training metrics times ``weight``, float64 ``(lanes,)``; empty before a trial's
            first step, when their names are not known.
        weight: examples in ``sums``, float64 ``(1,)``.
        alive: ``(lanes,)`` booleans; other lanes are frozen.
        diverged_at: the step whose loss or gradient was not finite, float64 ``(lanes,)``, 0 for never.
    """

    step: Tensor
    parameters: Parameters
    first_moment: Parameters
    second_moment: Parameters
    estimator: dict[str, Tensor]
    sums: dict[str, Tensor]
    weight: Tensor
    alive: Tensor
    diverged_at: Tensor


class Inputs(TypedDict):
    """What a step reads.

    Attributes:
        keys: of the noise, ``(lanes, 2)``.
        lane: parameters of the estimator that differ by lane, ``(lanes,)`` each.
        before: steps done before this epoch, int64 ``(1,)``.
        coefficients: of the optimizers, ``(steps_per_epoch, 2, lanes)``.
        order: of the training set, ``(lanes, examples)``; without data, no columns.
    """

    keys: Tensor
    lane: dict[str, Tensor]
    before: Tensor
    coefficients: Tensor
    order: Tensor


class LaneStep:
    """A step of a task with an estimator.

    Args:
        task: the task.
        estimator: with its static parameters; those by lane and the state are put in at every step.
    """

    def __init__(self, task: Task, estimator: LaneEstimator) -> None:
        self._task = task
        self._estimator = estimator

    @property
    def full_steps(self) -> int:
        """Steps at the start of an epoch whose minibatches are complete."""
        short = self._task.examples is not None and self._task.examples % self._task.batch_size != 0
        return self._task.steps_per_epoch - int(short)

    @property
    def input_major(self) -> frozenset[str]:
        """Parameters that a program is to keep input-major."""
        return self._task.input_major

    def __call__(self, state: State, inputs: Inputs, *, short: bool = False, in_place: bool = False) -> State:
        """The state after the next step.

        Args:
            state: before the step; not changed, unless ``in_place``.
            inputs: of the step's epoch.
            short: whether this is the last minibatch of an epoch that the others leave incomplete.
            in_place: whether parameters and moments may be changed where they lie. Those whose gradient is a
                product then are, without that gradient; they are returned as the tensors they were.
        """
        position = state["step"] - inputs["before"]
        step = state["step"] + 1
        parameters = {name: p.detach().requires_grad_() for name, p in state["parameters"].items()}
        with torch.enable_grad():
            result = self._evaluate(parameters, state, inputs, position, step, short=short)
            with layers.weight_gradients() as known:
                gradients = torch.autograd.grad(result.loss.sum(), tuple(parameters.values()))
        by_name = dict(zip(parameters, gradients, strict=True))
        with torch.no_grad():
            moving = state["alive"] & result.loss.detach().isfinite()
            row = inputs["coefficients"].index_select(0, position).squeeze(0)
            factors = {name: known.factors(g) for name, g in by_name.items()} if in_place else {}
            changed = {name: found for name, found in factors.items() if found}
            sums = [gradient.flatten(1).sum(1) for name, gradient in by_name.items() if name not in changed]
            if changed:
                sums.append(_changed_in_place(state, changed, row, moving))
            alive = _still_alive(moving, sums)
            diverges = state["alive"] & ~alive
            new = State(
                step=step,
                parameters={},
                first_moment={},
                second_moment={},
                estimator=_of_living_lanes(result.state, state["estimator"], moving),
                sums=_accumulated(state["sums"], result, moving),
                weight=state["weight"] + result.weight,
                alive=alive,
                diverged_at=torch.where(diverges, step.double(), state["diverged_at"]),
            )
            for name, gradient in by_name.items():
                values = state["parameters"][name], state["first_moment"][name], state["second_moment"][name]
                if name not in changed:
                    values = updated(*values, gradient, row, moving)
                new["parameters"][name], new["first_moment"][name], new["second_moment"][name] = values
        return new

    def _evaluate(
        self,
        parameters: Parameters,
        state: State,
        inputs: Inputs,
        position: Tensor,
        step: Tensor,
        *,
        short: bool,
    ) -> StepResult:
        task = self._task
        noise = LaneNoise(inputs["keys"], Purpose.TRAINING, step=step)
        estimator = dataclasses.replace(
            self._estimator, lane=inputs["lane"], state=state["estimator"] or None
        )
        if task.examples is None:
            return task.step(parameters, None, noise, estimator)
        size = task.examples % task.batch_size if short else task.batch_size
        columns = position * task.batch_size + torch.arange(size, device=position.device)
        return task.step(parameters, task.batch(inputs["order"].index_select(1, columns)), noise, estimator)


def _changed_in_place(state: State, factors: Mapping[str, Factors], row: Tensor, moving: Tensor) -> Tensor:
    """Update weights and moments from the factors of the gradients, whose sum ``(1,)`` is returned."""
    weights, first, second = (
        [state[kind][name] for name in factors] for kind in ("parameters", "first_moment", "second_moment")
    )
    return operators.update(weights, first, second, list(factors.values()), rule=row, moving=moving)


def _still_alive(alive: Tensor, sums: Sequence[Tensor]) -> Tensor:
    """Lanes whose gradient is finite, given sums of its numbers; one whose sum overflows counts as diverged.

    The update of this very step does not wait for the answer, so that each gradient is read once for both. It
    leaves a diverged lane with parameters that are not finite; nothing reads them.
    """
    total = torch.zeros_like(alive, dtype=sums[0].dtype)
    for part in sums:
        total = total + part
    return alive & total.isfinite()


def _of_living_lanes(
    new: Mapping[str, Tensor], old: Mapping[str, Tensor], alive: Tensor
) -> dict[str, Tensor]:
    """The estimator's new state; a frozen lane keeps its old one."""
    if not old:
        return dict(new)
    return {
        name: torch.where(alive.view(-1, *[1] * (value.dim() - 1)), value, old[name])
        for name, value in new.items()
    }


def _accumulated(sums: Mapping[str, Tensor], result: StepResult, alive: Tensor) -> dict[str, Tensor]:
    """Add the step's metrics to the epoch's sums."""
    values = {
        name: torch.where(alive, value, 0.0).double() * result.weight
        for name, value in result.metrics.items()
    }
    return {name: sums[name] + value if name in sums else value for name, value in values.items()}
