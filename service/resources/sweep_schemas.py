"""What the API answers of a sweep by estimator, and of why its trials failed."""

from __future__ import annotations

from service.resources.schemas import Answer, Failure


class EstimatorProgress(Answer):
    """An estimator in a sweep: how many cells it has there, and its trials by state."""

    estimator: str
    title: str
    cells: int
    trials: int
    counts: dict[str, int]


class EstimatorProgressList(Answer):
    """The estimators of a sweep, as they were submitted."""

    estimators: list[EstimatorProgress]


class FailureCause(Answer):
    """Trials that failed alike: the first lines of their errors differ in numbers at most.

    ``cause`` is the first line of one of them, and ``examples`` are some, with tracebacks.
    """

    cause: str
    diverged: bool
    trials: int
    examples: list[Failure]


class FailureCauseList(Answer):
    """Why trials of a sweep failed, the most frequent cause first; ``left_out`` trials have other causes."""

    causes: list[FailureCause]
    left_out: int
