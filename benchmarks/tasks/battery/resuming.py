"""A trial that stops and goes on, and one whose steps are compiled."""

from __future__ import annotations

import itertools

import torch

from benchmarks.engine.batches import StepShape
from benchmarks.engine.compiled import inductor, tree
from benchmarks.engine.compiled.compiler import Compiler
from benchmarks.engine.compiled.forms import Form
from benchmarks.engine.compiled.recording import MOST_OPERATIONS, Make
from benchmarks.engine.group import LaneGroup
from benchmarks.engine.lane_state import LaneState
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import (
    computed,
    difference,
    disagreement,
    group,
    require,
    step_by_step,
    stored,
    train,
)

LANES = 2


def resume(subject: Subject, estimator: str) -> None:
    """Stopped after any segment and resumed from a file by another object, a trial has the same bits."""
    lanes = subject.trials(estimator, LANES)
    whole = train(subject.task(), lanes, group_width=LANES)
    for stop in itertools.count(1):
        begun = train(subject.task(), lanes, stop_after=stop, group_width=LANES, clock=step_by_step())
        if begun.ends:
            break
        states = {lane: stored(state) for lane, state in begun.states.items()}
        rest = train(subject.task(), lanes, states=states, group_width=LANES)
        for lane in range(LANES):
            rest.curves[lane] = begun.curves.get(lane, []) + rest.curves[lane]
            found = difference(rest.of(lane), whole.of(lane))
            require(not found, f"stopped after step {states[lane]['step']} and resumed: {found}")


def compiled(subject: Subject, estimator: str) -> None:
    """Compiled steps compute what eager ones do, but for rounding."""
    recorded: list[Recorded] = []

    def record(step: LaneStep, shape: StepShape, state: State, inputs: Inputs, make: Make) -> Recorded:
        recorded.append(Recorded(step, shape, state, inputs))
        return recorded[-1]

    _compare(subject, estimator, Compiler(lambda state: {"steps": record}), steps=2)
    if estimator == subject.estimators[0] and all(each.operations <= MOST_OPERATIONS for each in recorded):
        _compare(subject, estimator, Compiler(), steps=1)


def _compare(subject: Subject, estimator: str, compiler: Compiler, *, steps: int) -> None:
    """Hold compiled steps against eager ones: those after the first, of whole minibatches."""
    trials, task = subject.trials(estimator, LANES), subject.task()
    eager = group(subject, task, trials)
    eager.advance(1)
    whole = task.steps_per_epoch - bool(task.splits)
    for _ in range(1, min(whole, 1 + steps)):
        fast = group(subject, task, trials, states=_states(eager), compiler=compiler)
        fast.advance(1)
        eager.advance(1)
        failures = [line for each in fast.compilations if not each.program for line in each.failures]
        require(not failures, f"a step cannot be compiled: {'; '.join(failures)}")
        for lane, (one, other) in enumerate(zip(_states(eager), _states(fast), strict=True)):
            found = disagreement(computed(one), computed(other))
            require(not found, f"compiled steps differ, lane {lane} at step {one['step']}: {found}")


def _states(lanes: LaneGroup) -> list[LaneState]:
    return [lanes.state(lane) for lane in range(LANES)]


class Recorded:
    """A step that is recorded for a compiler, and run as it was recorded.

    Args:
        step: what to record.
        shape: of the minibatches.
        state, inputs: an example of what it will be given.

    Attributes:
        operations: of the record.
    """

    form: Form = "steps"

    def __init__(self, step: LaneStep, shape: StepShape, state: State, inputs: Inputs) -> None:
        def one_step(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tree.tensors(step(*tree.split(tensors, state, inputs), shape=shape))

        self._graph = inductor.recorded(one_step, [*tree.tensors(tree.copied(state)), *tree.tensors(inputs)])
        self.operations = len(self._graph.graph.nodes)

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps."""
        with torch.no_grad():
            for _ in range(count):
                new: State = tree.like(state, iter(self._graph(*tree.tensors(state), *tree.tensors(inputs))))
                state = new
        return state
