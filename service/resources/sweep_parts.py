"""A sweep by estimator, why its trials failed, and the file that it was submitted as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from service.resources import describe
from service.resources.kept import Kept
from service.resources.sweep_schemas import (
    EstimatorProgress,
    EstimatorProgressList,
    FailureCause,
    FailureCauseList,
)
from service.resources.sweeps import failed_trials, failure, stored_sweep
from service.states import TrialState
from service.storage.engine import read
from service.storage.queries import boards, sweeps, trials
from service.storage.queries.sweeps import ErrorRow

SHOWN_CAUSES = 20
EXAMPLES = 3
"""Trials that are shown of one cause."""
READ_ERRORS = 2_000
"""Different errors that are grouped; trials with rarer ones are counted as left out."""

MANY_TRIALS = 10_000
"""Trials of a sweep from which counting them by estimator takes a tenth of a second or more."""

_large: Kept[EstimatorProgressList] = Kept(boards.news, 64, slow=lambda _: True)

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def list_estimators(engine: Engine, sweep_id: str) -> EstimatorProgressList:
    """The estimators of a sweep with the states of their trials; of a large one as of some seconds ago.

    Raises:
        NotFound: there is no such sweep.
    """
    with read(engine) as connection:
        sweep = stored_sweep(connection, sweep_id)
        if sweep.trials <= MANY_TRIALS:
            return _estimators(connection, sweep.id)
    return _large.get(engine, sweep.id, lambda connection, _: _estimators(connection, sweep.id))


def _estimators(connection: Connection, sweep: int) -> EstimatorProgressList:
    cells = sweeps.estimator_cells(connection, sweep)
    rows = sweeps.estimator_states(connection, sweep)
    counts = {id: {state.value: 0 for state in TrialState} for id in cells}
    for id, state, number in rows:
        counts[id][state.value] = number
    return EstimatorProgressList(
        estimators=[
            EstimatorProgress(
                estimator=id,
                title=describe.title_of_estimator(id),
                cells=cells[id],
                trials=sum(counts[id].values()),
                counts=counts[id],
            )
            for id in cells
        ]
    )


def list_causes(engine: Engine, sweep_id: str) -> FailureCauseList:
    """Why trials of a sweep failed, the most frequent cause first.

    Raises:
        NotFound: there is no such sweep.
    """
    with read(engine) as connection:
        sweep = stored_sweep(connection, sweep_id)
        failed = failed_trials(connection, sweep)
        if not failed:
            return FailureCauseList(causes=[], left_out=0)
        groups = grouped(sweeps.errors(connection, sweep.id, limit=READ_ERRORS))[:SHOWN_CAUSES]
        firsts = [row.first for group in groups for row in group[:EXAMPLES]]
        examples = trials.trials_by_id(connection, firsts)
    causes = [
        FailureCause(
            cause=first_line(group[0].error),
            diverged=group[0].diverged,
            trials=sum(row.trials for row in group),
            examples=[failure(examples[row.first]) for row in group[:EXAMPLES]],
        )
        for group in groups
    ]
    return FailureCauseList(causes=causes, left_out=failed - sum(cause.trials for cause in causes))


def grouped(rows: Sequence[ErrorRow]) -> list[list[ErrorRow]]:
    """Errors whose first lines are equal but for numbers, the group with the most trials first."""
    groups: dict[tuple[bool, str], list[ErrorRow]] = {}
    for row in rows:
        groups.setdefault((row.diverged, _NUMBER.sub("#", first_line(row.error))), []).append(row)
    return sorted(groups.values(), key=lambda group: -sum(row.trials for row in group))


def first_line(error: str) -> str:
    """The first line of an error that says something."""
    return next((line.strip() for line in error.splitlines() if line.strip()), "no message")


def sweep_file(engine: Engine, sweep_id: str) -> dict[str, Any]:
    """The sweep file as it was submitted, with every default written out.

    Raises:
        NotFound: there is no such sweep.
    """
    with read(engine) as connection:
        return sweeps.document(connection, stored_sweep(connection, sweep_id).id)
