"""One training step of every lane as a pure function of tensors: what can be run, recorded and compiled.

What a step reads and changes is a :class:`State`; what it only reads, :class:`Inputs`. Both are dictionaries
of tensors whose shapes stay the same from step to step: nothing in a step depends on a Python number that
changes, and nothing is fetched from the device. Counters have one axis: inductor (torch 2.13) loses what is
written to a float64 number without axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from benchmarks.engine.batches import StepShape
from benchmarks.engine.draw import LaneEstimator, States, TrainingDraw
from benchmarks.engine.noise import LaneNoise, Purpose
from benchmarks.engine.optimizers import fused
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.kernels.layers import WeightGradients
from benchmarks.tasks.contract import Batch, Loss, Parameters, Phase, Task, Variables
from estimators.building_blocks import is_traced


class State(TypedDict):
    """What a step changes.

    Attributes:
        step: steps done, int64 ``(1,)``.
        parameters: by group and name, ``(lanes, ...)``.
        buffers: by name, likewise.
        optimizer: what optimizers keep, by phase, slot and name of the parameter, likewise.
        estimator: states of the estimator by name of the call; empty before its first step, or if it has
            none.
        sums: of the epoch's training metrics times ``weight``, by phase and metric, float64 ``(lanes,)``;
            empty before a trial's first step, when their names are not known.
        weight: examples in ``sums``, by phase, float64 ``(1,)``.
        alive: ``(lanes,)`` booleans; other lanes are frozen.
        diverged_at: the step whose loss or gradient was not finite, float64 ``(lanes,)``, 0 for never.
    """

    step: Tensor
    parameters: dict[str, Parameters]
    buffers: Parameters
    optimizer: dict[str, dict[str, Parameters]]
    estimator: States
    sums: dict[str, dict[str, Tensor]]
    weight: dict[str, Tensor]
    alive: Tensor
    diverged_at: Tensor


class Inputs(TypedDict):
    """What a step reads.

    Attributes:
        keys: of the noise, ``(lanes, 2)``.
        lane: parameters of the estimator that differ by lane, ``(lanes,)`` each.
        before: steps done before this epoch, int64 ``(1,)``.
        coefficients: of the optimizers, by phase, ``(steps_per_epoch, rows, lanes)``.
        order: of the data, by split, ``(lanes, examples)``.
    """

    keys: Tensor
    lane: dict[str, Tensor]
    before: Tensor
    coefficients: dict[str, Tensor]
    order: dict[str, Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class _Moment:
    """Where a step stands: what its phases have in common."""

    position: Tensor
    number: Tensor
    inputs: Inputs
    draw: TrainingDraw


_DRAWS_OF_A_BATCH = 2**16


class LaneStep:
    """A step of a task with an estimator.

    Args:
        task: the task.
        estimator: with its static parameters; those by lane and the states are put in at every step.
        optimizers: by phase.

    Attributes:
        evaluations: evaluations of f by name of the call, known after the first step.
        spent: evaluations of a step for each example, likewise.
    """

    def __init__(
        self, task: Task, estimator: LaneEstimator, optimizers: Mapping[str, GroupOptimizer]
    ) -> None:
        self._task = task
        self._estimator = estimator
        self._optimizers = optimizers
        self.evaluations: dict[str, int] = {}
        self.spent = 0

    @property
    def alike(self) -> int:
        """Steps at the start of every epoch that are sure to have equal shapes."""
        task = self._task
        split = task.phases[0].split
        if any(phase.split in task.lengths for phase in task.phases):
            return 1
        return task.splits[split] // task.batch_size if split in task.splits else task.steps_per_epoch

    def __call__(self, state: State, inputs: Inputs, *, shape: StepShape, in_place: bool = False) -> State:
        """The state after the next step.

        Args:
            state: before the step; not changed, unless ``in_place``.
            inputs: of the step's epoch.
            shape: of its minibatches.
            in_place: whether parameters and slots may be changed where they lie. Weights whose gradient is
                the product of known factors then are, without that gradient being written to memory; they are
                returned as the tensors they were.
        """
        number = state["step"] + 1
        moment = _Moment(
            position=state["step"] - inputs["before"],
            number=number,
            inputs=inputs,
            draw=TrainingDraw(
                self._estimator,
                lane=inputs["lane"],
                keys=inputs["keys"],
                step=number,
                states=state["estimator"],
            ),
        )
        alive = state["alive"]
        for i, phase in enumerate(self._task.phases):
            state = self._phase(phase, state, moment, shape.size, shape.lengths[i], in_place=in_place)
        self.evaluations, self.spent = moment.draw.evaluations, moment.draw.spent
        diverges = alive & ~state["alive"]
        return {
            **state,
            "step": number,
            "diverged_at": torch.where(diverges, number.double(), state["diverged_at"]),
        }

    def _phase(
        self, phase: Phase, state: State, at: _Moment, size: int, length: int | None, *, in_place: bool
    ) -> State:
        """The state after one of a step's updates."""
        before = state["parameters"][phase.group]
        leaves = {name: p.detach().requires_grad_() for name, p in before.items()}
        draw = at.draw if len(self._task.phases) == 1 else at.draw.of_phase(phase.name)
        with torch.enable_grad():
            variables = Variables(
                groups={**state["parameters"], phase.group: leaves}, buffers=state["buffers"]
            )
            loss = self._task.loss(phase, variables, self._batch(phase, at, size, length), draw)
            gradients, known = _gradients(
                loss.loss.sum(), leaves, leave_out=in_place and self._optimizers[phase.name].is_plain_adam
            )
        with torch.no_grad():
            moving = state["alive"] & loss.loss.detach().isfinite()
            row = at.inputs["coefficients"][phase.name].index_select(0, at.position).squeeze(0)
            kept = self._beside_the_update(state, phase.name, loss, draw.states, moving)
            done = _updated(
                self._optimizers[phase.name],
                before,
                state["optimizer"][phase.name],
                gradients,
                row,
                moving,
                known=known if in_place else None,
            )
            return {
                **kept,
                "parameters": {**state["parameters"], phase.group: done.parameters},
                "optimizer": {**state["optimizer"], phase.name: done.slots},
                "alive": _still_alive(moving, done.gradient_sums),
            }

    @staticmethod
    def _beside_the_update(state: State, phase: str, loss: Loss, states: States, moving: Tensor) -> State:
        """The state with what a loss brings that is no update.

        Before the update, which may change parameters where they lie: a buffer may be one of them.
        """
        return {
            **state,
            "buffers": {**state["buffers"], **_of_living_lanes(loss.buffers, state["buffers"], moving)},
            "estimator": {
                name: _of_living_lanes(new, state["estimator"].get(name, {}), moving)
                for name, new in states.items()
            },
            "sums": {**state["sums"], phase: _accumulated(state["sums"].get(phase, {}), loss, moving)},
            "weight": {**state["weight"], phase: state["weight"][phase] + loss.weight},
        }

    def _batch(self, phase: Phase, at: _Moment, size: int, length: int | None) -> Batch:
        """The phase's minibatch; data of another split than the first phase's begins anew when it ends."""
        task, order = self._task, at.inputs["order"].get(phase.split)
        if order is None:
            return None
        columns = at.position * task.batch_size + torch.arange(size, device=at.position.device)
        if phase.split != task.phases[0].split:
            columns = columns % task.splits[phase.split]
        noise = LaneNoise(
            at.inputs["keys"],
            Purpose.DATA,
            step=at.number,
            first_draw=task.phases.index(phase) * _DRAWS_OF_A_BATCH,
        )
        return task.batch(phase.split, order.index_select(1, columns), noise, length=length)


def _gradients(
    loss: Tensor, leaves: Mapping[str, Tensor], *, leave_out: bool
) -> tuple[Parameters, WeightGradients]:
    """Of a sum over lanes by its leaves, and those whose factors are known.

    Args:
        leave_out: whether nothing but the update in place will read the latter.
    """
    with fused.weight_gradients() as known:
        if leave_out and not is_traced():
            known.leave_out(loss, leaves.values())
        found = torch.autograd.grad(loss, tuple(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, found, strict=True)), known


@dataclass(frozen=True, slots=True, eq=False)
class _Updated:
    """A group of parameters after its update; sums of all numbers of each gradient, ``(lanes,)``."""

    parameters: Parameters
    slots: dict[str, Parameters]
    gradient_sums: list[Tensor]


def _updated(
    optimizer: GroupOptimizer,
    parameters: Parameters,
    slots: dict[str, Parameters],
    gradients: Parameters,
    coefficients: Tensor,
    moving: Tensor,
    *,
    known: WeightGradients | None,
) -> _Updated:
    """The update: in place where factors of gradients are known, else by the rule, which changes nothing."""
    done: frozenset[str] = frozenset()
    total: Tensor | None = None
    if known is not None:
        done, total = fused.updated_in_place(
            optimizer, known, parameters, slots, gradients, coefficients=coefficients, moving=moving
        )
    rest = {name: gradient for name, gradient in gradients.items() if name not in done}
    sums = [gradient.flatten(1).sum(1) for gradient in rest.values()]
    new, new_slots = optimizer.step(
        {name: parameters[name] for name in rest}, slots, rest, coefficients, moving
    )
    return _Updated(
        parameters={name: new.get(name, old) for name, old in parameters.items()},
        slots={
            slot: {name: new_slots[slot].get(name, old) for name, old in tensors.items()}
            for slot, tensors in slots.items()
        },
        gradient_sums=sums if total is None else [*sums, total],
    )


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
    """New tensors of lanes that move; a frozen lane keeps its old ones."""
    if not old:
        return dict(new)
    return {
        name: value
        if value is old[name]
        else torch.where(alive.view(-1, *[1] * (value.dim() - 1)), value, old[name])
        for name, value in new.items()
    }


def _accumulated(sums: Mapping[str, Tensor], loss: Loss, alive: Tensor) -> dict[str, Tensor]:
    """Add the step's metrics to the epoch's sums."""
    values = {
        name: torch.where(alive, value, 0.0).double() * loss.weight for name, value in loss.metrics.items()
    }
    return {name: sums[name] + value if name in sums else value for name, value in values.items()}
