"""The state of one lane outside of a group: where it starts, stops and goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

import torch
from torch import Tensor

from benchmarks.engine.noise import LaneNoise, Purpose
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.engine.records import LaneRecord
from benchmarks.engine.step import State
from benchmarks.tasks.contract import Parameters, Task


class LaneState(TypedDict):
    """Everything a lane needs to go on, in any cohort. Tensors lie on the CPU, without a lane axis.

    Plain tensors, numbers and dictionaries: ``torch.save`` writes it, ``torch.load(weights_only=True)``
    reads it. The parts are those of :class:`benchmarks.engine.step.State`, and the record of the host.
    """

    step: int
    parameters: dict[str, Parameters]
    buffers: Parameters
    optimizer: dict[str, dict[str, Parameters]]
    estimator: dict[str, Parameters]
    sums: dict[str, dict[str, float]]
    weight: dict[str, float]
    record: LaneRecord


_BY_LANE = ("parameters", "buffers", "optimizer", "estimator")


def initial(task: Task, keys: Tensor, optimizers: Mapping[str, GroupOptimizer]) -> State:
    """The state of lanes that have done nothing."""
    variables = task.init(LaneNoise(keys, Purpose.INITIALISATION, step=0), len(keys))
    device = keys.device
    return State(
        step=torch.zeros(1, dtype=torch.int64, device=device),
        parameters={group: dict(members) for group, members in variables.groups.items()},
        buffers=dict(variables.buffers),
        optimizer={
            phase.name: optimizers[phase.name].initial(variables.groups[phase.group]) for phase in task.phases
        },
        estimator={},
        sums={},
        weight={phase.name: torch.zeros(1, dtype=torch.float64, device=device) for phase in task.phases},
        alive=torch.ones(len(keys), dtype=torch.bool, device=device),
        diverged_at=torch.zeros(len(keys), dtype=torch.float64, device=device),
    )


def of_lane(state: State, position: int, *, step: int, record: LaneRecord) -> LaneState:
    """The state of the lane at a position, copied to the CPU."""
    parts = {name: _lane(cast(Mapping[str, Any], state)[name], position) for name in _BY_LANE}
    return cast(
        LaneState,
        {
            "step": step,
            **parts,
            "sums": {
                phase: {name: float(value[position]) for name, value in sums.items()}
                for phase, sums in state["sums"].items()
            },
            "weight": {phase: float(weight) for phase, weight in state["weight"].items()},
            "record": record,
        },
    )


def restored(states: Sequence[LaneState], device: torch.device) -> State:
    """Lanes that all stand at the same step, side by side on a device."""
    first, lanes = states[0], len(states)
    parts = {
        name: _stacked([cast(Mapping[str, Any], state)[name] for state in states], device)
        for name in _BY_LANE
    }
    sums = {
        phase: {
            name: torch.tensor([s["sums"][phase][name] for s in states], dtype=torch.float64, device=device)
            for name in members
        }
        for phase, members in first["sums"].items()
    }
    return cast(
        State,
        {
            "step": torch.tensor([first["step"]], device=device),
            **parts,
            "sums": sums,
            "weight": {
                phase: torch.tensor([weight], dtype=torch.float64, device=device)
                for phase, weight in first["weight"].items()
            },
            "alive": torch.ones(lanes, dtype=torch.bool, device=device),
            "diverged_at": torch.zeros(lanes, dtype=torch.float64, device=device),
        },
    )


def _lane(tree: Any, position: int) -> Any:
    """One lane of nested dictionaries of tensors, row-major, whatever order the program wanted in memory."""
    if isinstance(tree, Tensor):
        return tree[position].detach().cpu().clone(memory_format=torch.contiguous_format)
    return {name: _lane(part, position) for name, part in tree.items()}


def _stacked(trees: Sequence[Any], device: torch.device) -> Any:
    if isinstance(trees[0], Tensor):
        return torch.stack(list(trees)).to(device)
    return {name: _stacked([tree[name] for tree in trees], device) for name in trees[0]}
