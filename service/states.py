"""States and the transition table: the only place that knows which event leads where.

The database repeats the names in its check constraints; ``service.storage.queries.moves`` builds every
transition from an event of this table, so one that is not in it cannot be written.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TrialState(StrEnum):
    """Life of a trial. ``succeeded`` is final; the other ends are left only when somebody asks again."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class CohortState(StrEnum):
    """Life of a cohort. ``done``: every trial has an outcome. ``failed``: attempts were lost too often.
    ``dissolved``: what was left of its trials went back to planning, and may be in other cohorts now."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    DISSOLVED = "dissolved"


class AttemptState(StrEnum):
    """Life of an attempt: handed to a launcher, computing, then reported or lost."""

    CLAIMED = "claimed"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"


class Cause(StrEnum):
    """What took an attempt that was lost."""

    PROCESS = "process"
    """Its worker process died."""
    NODE = "node"
    """Its machine went, or had no process for it."""
    SILENCE = "silence"
    """It was not heard of for a lease."""
    DISPATCHER = "dispatcher"
    """The dispatcher that held it went."""


class NodeState(StrEnum):
    """What is known of a node adds up to; never stored."""

    READY = "ready"
    DRAINING = "draining"
    DRAINED = "drained"
    QUARANTINED = "quarantined"
    AWAY = "away"


class Hold(StrEnum):
    """What the people who own a sweep want of it: only an ``active`` sweep wants its trials computed."""

    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class Scope(StrEnum):
    """What a token allows, the least first; each includes those before it."""

    READ = "read"
    SUBMIT = "submit"
    """Submit sweeps, and control and delete one's own."""
    ADMIN = "admin"
    """Everybody's sweeps, nodes, tokens, the audit."""

    def includes(self, other: Scope) -> bool:
        """Whether whoever has this one may do what needs the other."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


class AuditOutcome(StrEnum):
    """How a recorded request ended: it was done, not allowed, or failed for another reason."""

    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


class SweepState(StrEnum):
    """What a sweep's hold and its trials add up to; never stored."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What may happen; the value is how drawings name it."""

    CLAIM = "claim"
    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    FINISH = "finish"
    LOSE = "lose"
    GIVE_UP = "give up"
    STOP = "stop"
    DISSOLVE = "dissolve"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY = "retry"


MEANING: Mapping[Event, str] = {
    Event.CLAIM: "a dispatcher takes the cohort and gives it to a launcher",
    Event.START: "the attempt's process has asked what it is to compute",
    Event.SUCCEED: "the attempt reports the trial's final metrics",
    Event.FAIL: "the attempt reports an error, or a lane that diverged",
    Event.FINISH: "the attempt has reported its end",
    Event.LOSE: "the attempt's process died, its machine went, or its lease ran out",
    Event.GIVE_UP: "that happened too often",
    Event.STOP: "the attempt was asked to stop, or had to, with trials left",
    Event.DISSOLVE: "its trials go back to planning: not wanted now, wanted sooner, or to stand apart",
    Event.PAUSE: "somebody pauses the sweep",
    Event.RESUME: "somebody resumes or retries the sweep",
    Event.CANCEL: "somebody cancels; a trial is cancelled when no other sweep waits for it",
    Event.RETRY: "somebody wants it again",
}
"""What brings each event about, for the documentation."""

Transitions = Mapping[StrEnum, Mapping[Event, StrEnum]]
"""Old state -> event -> new state."""

TRIAL: Transitions = {
    TrialState.QUEUED: {Event.CLAIM: TrialState.RUNNING, Event.CANCEL: TrialState.CANCELLED},
    TrialState.RUNNING: {
        Event.SUCCEED: TrialState.SUCCEEDED,
        Event.FAIL: TrialState.FAILED,
        Event.LOSE: TrialState.QUEUED,
        Event.STOP: TrialState.QUEUED,
        Event.GIVE_UP: TrialState.FAILED,
    },
    TrialState.SUCCEEDED: {},
    TrialState.FAILED: {Event.RETRY: TrialState.QUEUED},
    TrialState.CANCELLED: {Event.RETRY: TrialState.QUEUED},
}

COHORT: Transitions = {
    CohortState.QUEUED: {Event.CLAIM: CohortState.RUNNING, Event.DISSOLVE: CohortState.DISSOLVED},
    CohortState.RUNNING: {
        Event.FINISH: CohortState.DONE,
        Event.LOSE: CohortState.QUEUED,
        Event.STOP: CohortState.DISSOLVED,
        Event.GIVE_UP: CohortState.FAILED,
    },
    CohortState.DONE: {},
    CohortState.FAILED: {},
    CohortState.DISSOLVED: {},
}

ATTEMPT: Transitions = {
    AttemptState.CLAIMED: {Event.START: AttemptState.RUNNING, Event.LOSE: AttemptState.LOST},
    AttemptState.RUNNING: {Event.FINISH: AttemptState.FINISHED, Event.LOSE: AttemptState.LOST},
    AttemptState.FINISHED: {},
    AttemptState.LOST: {},
}

SWEEP: Transitions = {
    Hold.ACTIVE: {Event.PAUSE: Hold.PAUSED, Event.CANCEL: Hold.CANCELLED},
    Hold.PAUSED: {Event.RESUME: Hold.ACTIVE, Event.CANCEL: Hold.CANCELLED},
    Hold.CANCELLED: {Event.RESUME: Hold.ACTIVE},
}

MACHINES: Mapping[type[StrEnum], Transitions] = {
    TrialState: TRIAL,
    CohortState: COHORT,
    AttemptState: ATTEMPT,
    Hold: SWEEP,
}
"""Kind of state -> its transition table. Members of different kinds may be equal text."""

PENDING = (TrialState.QUEUED, TrialState.RUNNING)
"""Trials that have no outcome yet."""
ENDED_BADLY = (TrialState.FAILED, TrialState.CANCELLED)
"""Trials whose outcome somebody may want to try for again."""
FINAL = (SweepState.SUCCEEDED, SweepState.FAILED, SweepState.CANCELLED)
"""Sweeps in which nothing happens until somebody asks."""


def after(old: StrEnum, event: Event) -> StrEnum:
    """The state that an event leads to.

    Raises:
        ValueError: it may not happen to something in the state ``old``; the message lists what may.
    """
    arrows = MACHINES[type(old)][old]
    if event not in arrows:
        known = ", ".join(arrows) or "nothing: it is final"
        raise ValueError(f"{event.value!r} may not happen to {old!r}; what may: {known}")
    return arrows[event]


def sweep_state(counts: Mapping[TrialState, int], hold: Hold = Hold.ACTIVE) -> SweepState:
    """State of a sweep whose trials are in these states.

    A sweep with work left is ``paused`` or ``cancelled`` when somebody has said so, whatever other sweeps
    have computed of its trials, else ``queued`` until the first trial has begun and then ``running``. Without
    work left, one failed trial makes it ``failed``, else one cancelled trial ``cancelled``; in a sweep that
    somebody cancelled, the cancelled trial counts first.
    """
    if any(counts.get(state) for state in PENDING):
        if hold is not Hold.ACTIVE:
            return SweepState(hold.value)
        begun = any(number for state, number in counts.items() if state is not TrialState.QUEUED)
        return SweepState.RUNNING if begun else SweepState.QUEUED
    stopped = hold is Hold.CANCELLED and counts.get(TrialState.CANCELLED)
    if counts.get(TrialState.FAILED) and not stopped:
        return SweepState.FAILED
    return SweepState.CANCELLED if counts.get(TrialState.CANCELLED) else SweepState.SUCCEEDED


def node_state(*, draining: bool, busy: int, quarantined: bool, away: bool) -> NodeState:
    """State of a node: what somebody has said of it first, then what keeps work from it."""
    if draining:
        return NodeState.DRAINING if busy and not away else NodeState.DRAINED
    if away:
        return NodeState.AWAY
    return NodeState.QUARANTINED if quarantined else NodeState.READY


def mermaid(machine: Transitions) -> str:
    """The transition table as a Mermaid state diagram; the first state is where things begin."""
    first = next(iter(machine))
    arrows = [
        f"    {old} --> {new}: {event.value}"
        for old, targets in machine.items()
        for event, new in targets.items()
    ]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {first}", *arrows])
