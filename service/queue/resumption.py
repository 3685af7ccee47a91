"""Checkpoints as attempts report them and are offered them, inside the report's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection

from benchmarks.spec import CellSpec
from service.errors import InvalidReport
from service.queue.storable import storable_json
from service.storage.queries import checkpoints, curves, reports
from service.storage.queries.checkpoints import CheckpointRow
from service.storage.queries.reports import Lane
from workers.messages import CheckpointReport, LaneTrial, ResumedTrial, Resumption, StoredCheckpoint


def lane_trials(connection: Connection, lanes: Sequence[Lane], *, attempt_id: int) -> tuple[LaneTrial, ...]:
    """What an attempt is to compute, with the checkpoints to go on from.

    Of the curves of earlier attempts that stays which the newest checkpoint has behind it.
    """
    offered = checkpoints.of_trials(connection, [lane.id for lane in lanes])
    behind = {lane.id: offered[lane.id][0].epochs if lane.id in offered else 0 for lane in lanes}
    curves.keep_up_to(connection, behind, attempt=attempt_id)
    cells = reports.cell_specs(connection, {lane.cell_id for lane in lanes})
    return tuple(_lane_trial(lane, cells[lane.cell_id], offered.get(lane.id, ())) for lane in lanes)


def go_on(connection: Connection, cohort_id: int, attempt_id: int, message: Resumption) -> None:
    """Note where trials go on; what earlier attempts reported beyond, curves and checkpoints, goes.

    Raises:
        InvalidReport: a trial that the attempt does not hold, or a checkpoint that it was not offered.
    """
    lanes = {lane.key: lane for lane in reports.running_lanes(connection, cohort_id)}
    if strangers := sorted({one.trial for one in message.trials} - lanes.keys()):
        raise InvalidReport(f"trial {strangers[0]} is not one that this attempt goes on with")
    offered = checkpoints.of_trials(connection, [lanes[one.trial].id for one in message.trials])
    epochs = {}
    for one in message.trials:
        trial_id = lanes[one.trial].id
        epochs[trial_id] = _epochs_behind(one, offered.get(trial_id, ()))
        checkpoints.delete_newer(connection, trial_id, attempt=one.attempt or 0, step=one.step, by=attempt_id)
    curves.keep_up_to(connection, epochs, attempt=attempt_id)
    checkpoints.note_resumption(connection, attempt_id, {one.trial: one.step for one in message.trials})


def store(
    connection: Connection, cohort_id: int, attempt_id: int, message: CheckpointReport, *, now: datetime
) -> None:
    """Note checkpoints of the cohort's unfinished trials, and with what the attempt computes.

    A cohort that gets on has not been lost in vain: losses before this are not counted any more.

    Raises:
        InvalidReport: a checkpoint of a trial that is not in the cohort.
    """
    lanes = {lane.key: lane.id for lane in reports.running_lanes(connection, cohort_id)}
    told = {one.trial for one in message.checkpoints}
    if strangers := sorted(told - lanes.keys() - reports.ended_keys(connection, cohort_id)):
        raise InvalidReport(f"trial {strangers[0]} is not one of this attempt")
    rows = [
        one.model_dump(exclude={"trial"})
        | {"trial_id": lanes[one.trial], "attempt_id": attempt_id, "created_at": now}
        for one in message.checkpoints
        if one.trial in lanes
    ]
    if rows:
        checkpoints.insert(connection, rows)
        reports.forget_losses(connection, cohort_id)
    provenance = storable_json(message.provenance.model_dump())
    reports.note_provenance(connection, attempt_id, provenance)


def _lane_trial(lane: Lane, cell: CellSpec, offered: Sequence[CheckpointRow]) -> LaneTrial:
    return LaneTrial(
        key=lane.key,
        spec=cell.seeded(lane.seed).to_json(),
        checkpoints=tuple(
            StoredCheckpoint(
                trial=lane.key,
                attempt=row.attempt_id,
                step=row.step,
                epochs=row.epochs,
                digest=row.digest,
                bytes=row.bytes,
                seconds=row.seconds,
            )
            for row in offered
        ),
    )


def _epochs_behind(told: ResumedTrial, offered: Sequence[CheckpointRow]) -> int:
    if told.attempt is None:
        return 0
    for row in offered:
        if (row.attempt_id, row.step) == (told.attempt, told.step):
            return row.epochs
    raise InvalidReport(
        f"trial {told.trial} has no checkpoint of attempt {told.attempt} after {told.step} steps"
    )
