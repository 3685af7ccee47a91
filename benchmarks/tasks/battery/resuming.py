"""A trial that stops and goes on, and one whose steps are compiled."""

from __future__ import annotations

import itertools

import torch

from benchmarks.engine.batches import StepShape
from benchmarks.engine.compiled import inductor, tree
from benchmarks.engine.compiled.compiler import Compiler
from benchmarks.engine.compiled.forms import Form
from benchmarks.engine.step import Inputs, LaneStep, State
from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import (
    difference,
    disagreement,
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
    lanes = subject.trials(estimator, LANES)
    eager = train(subject.task(), lanes, group_width=LANES)
    # Compiling takes many seconds; whether a step can be recorded, and rightly, depends on the estimator.
    compiler = (
        Compiler() if estimator == subject.estimators[0] else Compiler(lambda state: {"steps": Recorded})
    )
    fast = train(subject.task(), lanes, group_width=LANES, compiled=True, compiler=compiler)
    require(
        fast.forms != ("eager",),
        f"no step could be compiled: {'; '.join(fast.failures) or 'nothing was tried'}",
    )
    for lane in range(LANES):
        found = disagreement(eager, fast, lane)
        require(not found, f"compiled steps differ: {found}")


class Recorded:
    """A step that is recorded for a compiler, and run as it was recorded.

    Args:
        step: what to record.
        shape: of the minibatches.
        state, inputs: an example of what it will be given.
    """

    form: Form = "steps"

    def __init__(self, step: LaneStep, shape: StepShape, state: State, inputs: Inputs) -> None:
        def one_step(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tree.tensors(step(*tree.split(tensors, state, inputs), shape=shape))

        self._graph = inductor.recorded(one_step, [*tree.tensors(tree.copied(state)), *tree.tensors(inputs)])

    def advance(self, state: State, inputs: Inputs, count: int) -> State:
        """Do the steps."""
        with torch.no_grad():
            for _ in range(count):
                new: State = tree.like(state, iter(self._graph(*tree.tensors(state), *tree.tensors(inputs))))
                state = new
        return state
