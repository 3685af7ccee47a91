"""States and the transition table: the only place that knows which state may follow which.

The database repeats the names in its check constraints; ``service.storage.queries.move`` builds every
transition and asks :func:`require_arrow` first, so a transition that is not in the table cannot be written.
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
    """Life of a cohort. ``done``: every trial has an outcome. ``failed``: attempts were lost too often."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class AttemptState(StrEnum):
    """Life of an attempt: handed to a launcher, computing, then reported or lost."""

    CLAIMED = "claimed"
    RUNNING = "running"
    FINISHED = "finished"
    LOST = "lost"


class SweepState(StrEnum):
    """What a sweep's trials add up to; never stored."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


Transitions = Mapping[StrEnum, Mapping[StrEnum, str]]
"""Old state -> new state -> what brings it about."""

TRIAL: Transitions = {
    TrialState.QUEUED: {TrialState.RUNNING: "its cohort is claimed", TrialState.CANCELLED: "nobody wants it"},
    TrialState.RUNNING: {
        TrialState.SUCCEEDED: "finish",
        TrialState.FAILED: "finish with an error, or lost too often",
        TrialState.CANCELLED: "finish after a cancel",
        TrialState.QUEUED: "attempt lost",
    },
    TrialState.SUCCEEDED: {},
    TrialState.FAILED: {TrialState.QUEUED: "wanted again"},
    TrialState.CANCELLED: {TrialState.QUEUED: "wanted again"},
}

COHORT: Transitions = {
    CohortState.QUEUED: {CohortState.RUNNING: "claim"},
    CohortState.RUNNING: {
        CohortState.DONE: "finish",
        CohortState.QUEUED: "attempt lost",
        CohortState.FAILED: "lost too often",
    },
    CohortState.DONE: {},
    CohortState.FAILED: {},
}

ATTEMPT: Transitions = {
    AttemptState.CLAIMED: {
        AttemptState.RUNNING: "start",
        AttemptState.LOST: "launcher or lease gave it up",
    },
    AttemptState.RUNNING: {
        AttemptState.FINISHED: "finish",
        AttemptState.LOST: "launcher or lease gave it up",
    },
    AttemptState.FINISHED: {},
    AttemptState.LOST: {},
}

MACHINES: Mapping[type[StrEnum], Transitions] = {
    TrialState: TRIAL,
    CohortState: COHORT,
    AttemptState: ATTEMPT,
}
"""Kind of state -> its transition table. Members of different kinds may be equal text."""


def require_arrow(old: StrEnum, new: StrEnum) -> None:
    """Refuse a transition that is not in the table.

    Raises:
        ValueError: ``old`` may not become ``new``; the message lists what it may become.
    """
    arrows = MACHINES[type(old)][old]
    if type(old) is not type(new) or new not in arrows:
        known = ", ".join(arrows) or "nothing: it is final"
        raise ValueError(f"{old!r} may not become {new!r}; it may become {known}")


def sweep_state(counts: Mapping[TrialState, int]) -> SweepState:
    """State of a sweep whose trials are in these states.

    Work left makes it ``queued`` until the first trial has begun, then ``running``. Without work left, one
    failed trial makes it ``failed``, else one cancelled trial ``cancelled``.
    """
    begun = any(number for state, number in counts.items() if state is not TrialState.QUEUED)
    if counts.get(TrialState.RUNNING) or (counts.get(TrialState.QUEUED) and begun):
        return SweepState.RUNNING
    if counts.get(TrialState.QUEUED):
        return SweepState.QUEUED
    if counts.get(TrialState.FAILED):
        return SweepState.FAILED
    return SweepState.CANCELLED if counts.get(TrialState.CANCELLED) else SweepState.SUCCEEDED


def mermaid(machine: Transitions) -> str:
    """The transition table as a Mermaid state diagram; the first state is where things begin."""
    first = next(iter(machine))
    arrows = [
        f"    {old} --> {new}: {why}" for old, targets in machine.items() for new, why in targets.items()
    ]
    return "\n".join(["stateDiagram-v2", f"    [*] --> {first}", *arrows])
