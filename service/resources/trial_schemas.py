"""What the API answers of one trial: where it belongs, what became of it, how to compute it again."""

from __future__ import annotations

from datetime import datetime

from service.resources.schemas import Answer, SeedTrial, Setting, SweepOfAttempt, Trial


class CheckpointLine(Answer):
    """A checkpoint from which another attempt can go on; ``seconds`` is what the trial had taken."""

    attempt: int
    step: int
    epochs: int
    bytes: int
    seconds: float


class TrialEvent(Answer):
    """Something that happened to an attempt at a trial."""

    at: datetime
    kind: str
    attempt: int | None
    detail: str


class TrialDetail(Trial):
    """A trial with where it belongs and what became of it.

    ``board_page`` is the path of its board's page here. ``seeds`` are the trials of its cell, itself among
    them, and ``sweeps`` those that want it; of very many the first. ``checkpoints`` are there while it has
    not ended. ``sweep_file`` is a sweep file of this trial alone. ``absurd`` is, by metric, the epoch from
    which a loss is finite but absurd until the end.
    """

    seed: int
    estimator: str
    title: str
    setting: Setting
    cell: str
    board: str
    board_title: str
    board_page: str
    task: str
    steps: int
    steps_done: int
    ended_at: datetime | None
    seeds: list[SeedTrial]
    sweeps: list[SweepOfAttempt]
    checkpoints: list[CheckpointLine]
    events: list[TrialEvent]
    sweep_file: str
    absurd: dict[str, int]
