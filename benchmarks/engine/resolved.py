"""From the specifications of a group's trials to what runs: estimator, lane parameters, optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.engine.draw import LaneEstimator
from benchmarks.engine.optimizers.fixed import FixedOptimizer
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.spec import Component, Diagnostics, TrialSpec
from benchmarks.tasks.contract import Task
from estimators import registry
from estimators.info import Value


def lane_parameters(trials: Sequence[TrialSpec], device: torch.device) -> dict[str, Tensor]:
    """Parameters of the estimator that may differ by lane, ``(lanes,)`` each."""
    return _by_lane([trial.estimator for trial in trials], device)


def annealed(temperature: Tensor, final: float, *, epoch: int, epochs: Sequence[int]) -> Tensor:
    r"""Temperatures of an epoch, ``(lanes,)``: t (1 + (final - 1) e / (E - 1)), of the first of E alone t.

    Args:
        temperature: t of every lane.
        final: share of it in the last epoch.
        epoch: e, counted from 0; lanes that have ended keep what they had last.
        epochs: E of every lane.
    """
    shares = [1 + (final - 1) * min(epoch, count - 1) / max(count - 1, 1) for count in epochs]
    return temperature * torch.tensor(shares, device=temperature.device)


def resolved_estimator(trial: TrialSpec) -> LaneEstimator:
    """The estimator with the parameters that the lanes share."""
    return _resolved(trial.estimator)


def others_of(
    diagnostics: Diagnostics, lanes: int, device: torch.device
) -> dict[str, tuple[LaneEstimator, dict[str, Tensor]]]:
    """Estimators that are measured besides the one that trains, with their parameters by lane; by id."""
    return {
        other.id: (_resolved(other), _by_lane([other] * lanes, device)) for other in diagnostics.estimators
    }


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


def _by_lane(estimators: Sequence[Component], device: torch.device) -> dict[str, Tensor]:
    return {
        name: torch.tensor([float(estimator.values[name]) for estimator in estimators], device=device)
        for name in estimators[0].values
        if name in _names_by_lane(estimators[0])
    }


def _resolved(estimator: Component) -> LaneEstimator:
    by_lane = _names_by_lane(estimator)
    static = {name: value for name, value in estimator.values.items() if name not in by_lane}
    return LaneEstimator.bound(registry.get(estimator.id), static)


def _names_by_lane(estimator: Component) -> frozenset[str]:
    return frozenset(p.name for p in registry.get(estimator.id).parameters if p.lane)
