"""From the specifications of a group's trials to what runs: estimator, lane parameters, optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.engine.draw import LaneEstimator
from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import Task
from estimators import registry
from estimators.info import Value


def lane_parameters(trials: Sequence[TrialSpec], device: torch.device) -> dict[str, Tensor]:
    """Parameters of the estimator that may differ by lane, ``(lanes,)`` each."""
    return {
        name: torch.tensor([float(trial.estimator.values[name]) for trial in trials], device=device)
        for name in trials[0].estimator.values
        if name in _names_by_lane(trials[0])
    }


def resolved_estimator(trial: TrialSpec) -> LaneEstimator:
    """The estimator with the parameters that the lanes share."""
    by_lane = _names_by_lane(trial)
    static = {name: value for name, value in trial.estimator.values.items() if name not in by_lane}
    return LaneEstimator.bound(registry.get(trial.estimator.id), static)


def optimizers_of(
    task: Task, trials: Sequence[TrialSpec], total_steps: Sequence[int]
) -> dict[str, GroupOptimizer]:
    """The optimizer of every phase: the trials', with what the task fixes."""
    return {
        phase.name: _optimizer(phase.optimizer or FixedOptimizer(), trials, total_steps)
        for phase in task.phases
    }


def _optimizer(
    fixed: FixedOptimizer, trials: Sequence[TrialSpec], total_steps: Sequence[int]
) -> GroupOptimizer:
    return GroupOptimizer(
        [_component(fixed, trial) for trial in trials],
        rates=[trial.lr if fixed.lr is None else fixed.lr for trial in trials],
        total_steps=total_steps,
        plateau=fixed.plateau,
    )


def _component(fixed: FixedOptimizer, trial: TrialSpec) -> tuple[str, Mapping[str, Value]]:
    if fixed.id is not None:
        return fixed.id, fixed.parameters
    return trial.optimizer.id, {**trial.optimizer.values, **fixed.parameters}


def _names_by_lane(trial: TrialSpec) -> frozenset[str]:
    return frozenset(p.name for p in registry.get(trial.estimator.id).parameters if p.lane)
