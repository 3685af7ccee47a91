"""Lanes do not know of each other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.engine.lane_state import LaneState
from benchmarks.spec import TrialSpec
from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import (
    computed,
    difference,
    disagreement,
    group,
    metrics,
    require,
    step_by_step,
    stored,
    train,
)
from benchmarks.tasks.contract import Task

WIDTH = 3
_BREAKS = 1  # the lane that is made to diverge, between two others


def independent(subject: Subject, estimator: str) -> None:
    """A lane has the same bits whatever lanes are beside it in a group or take turns with it."""
    lanes, others = _lanes_and_others(subject, estimator)
    together = train(subject.task(), lanes, group_width=WIDTH)
    for place, lane in enumerate(lanes):
        mates = [*others[:place], lane, *others[place + 1 :]]
        found = difference(train(subject.task(), mates, group_width=WIDTH).of(place), together.of(place))
        require(not found, f"lane {place} of {WIDTH} depends on the lanes beside it: {found}")
    one_by_one = train(subject.task(), lanes, group_width=1)
    for place, lane in enumerate(lanes):
        found = difference(train(subject.task(), [lane], group_width=1).of(0), one_by_one.of(place))
        require(not found, f"a lane depends on groups that take turns with it: {found}")


def _lanes_and_others(subject: Subject, estimator: str) -> tuple[list[Any], list[Any]]:
    trials = subject.trials(estimator, 2 * WIDTH)
    return trials[:WIDTH], trials[WIDTH:]


def wide(subject: Subject, estimator: str) -> None:
    """A group of several lanes computes what its lanes compute one by one, but for rounding."""
    lanes, task = subject.trials(estimator, WIDTH), subject.task()
    alone = [group(subject, task, [lane]) for lane in lanes]
    states: list[LaneState] = []
    for _ in range(task.steps_per_epoch):
        together = group(subject, task, lanes, states=states)
        for each in (*alone, together):
            each.advance(1)
        for place, lane in enumerate(lanes):
            one, other = alone[place].state(0), together.state(place)
            found = disagreement(computed(one), computed(other)) or _metrics_differ(subject, task, lane, one)
            require(not found, f"lane {place} alone against {WIDTH} lanes together: {found}")
        states = [each.state(0) for each in alone]


def _metrics_differ(subject: Subject, task: Task, trial: TrialSpec, state: LaneState) -> str:
    """Where an evaluation of one lane and one of several lanes of its state differ."""
    one, several = (metrics(task, [trial] * width, [state] * width) for width in (1, WIDTH))
    return disagreement(one[0], several[-1])


def nan(subject: Subject, estimator: str) -> None:
    """A lane whose parameters are not numbers is reported as diverged, and the others keep their bits."""
    lanes = subject.trials(estimator, WIDTH)
    begun = train(subject.task(), lanes, stop_after=1, group_width=WIDTH, clock=step_by_step())
    healthy = {lane: stored(state) for lane, state in begun.states.items()}
    broken = healthy | {_BREAKS: poisoned(healthy[_BREAKS])}
    before = train(subject.task(), lanes, states=healthy, group_width=WIDTH)
    after = train(subject.task(), lanes, states=broken, group_width=WIDTH)
    for lane in range(WIDTH):
        if lane != _BREAKS:
            found = difference(after.of(lane), before.of(lane))
            require(not found, f"lane {lane} is disturbed by lane {_BREAKS}, which is not finite: {found}")
    end, step = after.ends[_BREAKS], healthy[_BREAKS]["step"] + 1
    require(
        end.diverged_at == step,
        f"a lane whose parameters are NaN diverges at step {step}, reported was {end.diverged_at}; is a NaN "
        "replaced by a number?",
    )


def poisoned(state: LaneState) -> LaneState:
    """The state with NaN in place of all its floating-point tensors."""
    return _poisoned(state)  # type: ignore[no-any-return]


def _poisoned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _poisoned(part) for name, part in value.items()}
    return (
        torch.full_like(value, torch.nan)
        if isinstance(value, Tensor) and value.is_floating_point()
        else value
    )
