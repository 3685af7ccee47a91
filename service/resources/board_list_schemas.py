"""What the API answers of lists of boards, and of where an estimator stands on them."""

from __future__ import annotations

from datetime import datetime

from service.resources.schemas import Answer, BoardLink


class BestResult(Answer):
    """The estimator with the best mean of the metric that chooses on boards of the task by default."""

    estimator: str
    title: str
    metric: str
    mean: float
    n: int


class BoardLine(BoardLink):
    """A board as it stands in lists: who is best, and how far it is.

    ``counts`` are its trials by state. ``changed_at`` is when the last of its trials ended, or, before that,
    when somebody first asked for one. ``best`` is null without a result, and where the task is not installed.
    """

    failed: int
    counts: dict[str, int]
    estimators: int
    best: BestResult | None
    changed_at: datetime


class BoardList(Answer):
    """One page of boards; ``next_page_token`` is null on the last page."""

    boards: list[BoardLine]
    next_page_token: str | None = None


class BoardStanding(Answer):
    """An estimator on one board, at its best setting by the task's metric.

    ``rank`` counts those with a better mean, ties share the mean of their places; ``of`` estimators have a
    result. Both numbers and the means are null where the estimator, or nobody, has one. ``shortfall`` is 0
    for the best of a board and 1 for the worst.
    """

    board: str
    title: str
    task: str
    metric: str
    goal: str
    rank: float | None
    of: int
    n: int | None
    mean: float | None
    shortfall: float | None
    best: BestResult | None
    changed_at: datetime


class ProfilePoint(Answer):
    """The share of the boards on which an estimator falls short of the best by at most ``shortfall``."""

    shortfall: float
    share: float


class Standing(Answer):
    """Where an estimator stands over the boards that it is on, those with the newest results first.

    They are looked for among the 10,000 boards with the newest results; ``left_out``: it is on more of
    them. ``average_rank`` is the mean over the ``ranked`` boards on which at least two estimators have
    results, ``average_of`` the mean number of estimators there; ``first`` counts boards on which its rank is
    1, ``profile`` is over boards on which they differ.
    """

    estimator: str
    boards: list[BoardStanding]
    left_out: bool
    ranked: int
    average_rank: float | None
    average_of: float | None
    first: int
    profile: list[ProfilePoint]
