"""A trial that stops and goes on, and one whose steps are compiled."""

from __future__ import annotations

import itertools

from benchmarks.tasks.battery.subject import Subject
from benchmarks.tasks.battery.training import difference, disagreement, require, step_by_step, stored, train

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
    eager, fast = (train(subject.task(), lanes, group_width=LANES, compiled=on) for on in (False, True))
    require(
        fast.forms != ("eager",),
        f"no step could be compiled: {'; '.join(fast.failures) or 'nothing was tried'}",
    )
    for lane in range(LANES):
        found = disagreement(eager, fast, lane)
        require(not found, f"compiled steps differ: {found}")
