"""How much one owner of sweeps may have in the queue."""

from __future__ import annotations

from sqlalchemy import Engine

from benchmarks.sweep import Sweep
from service.errors import TooManyTrials
from service.queue.submission import expand
from service.states import PENDING, TrialState
from service.storage.engine import read
from service.storage.queries import submission


def require_room(engine: Engine, sweep: Sweep, most: int | None) -> None:
    """Refuse a sweep that would give its owner more than ``most`` trials that wait or run.

    What is queued or has a result takes no room. It is looked at before the sweep is stored: submissions at
    the same moment may pass together.

    Raises:
        TooManyTrials: it would; the message has the numbers.
    """
    if most is None:
        return
    keys = {key for cell in expand(sweep) for key in cell.seeds}
    with read(engine) as connection:
        known = submission.known_trials(connection, sorted(keys))
        pending = submission.pending_of_owner(connection, sweep.owner)
    there = (*PENDING, TrialState.SUCCEEDED)
    more = len(keys) - sum(trial.state in there for trial in known.values())
    if more and pending + more > most:
        who = "nobody (sweeps without an owner)" if sweep.owner is None else sweep.owner
        raise TooManyTrials(
            f"{who} has {pending:,} trials that wait or run, and this sweep would add {more:,} more; there "
            f"may be at most {most:,} (HEUNBOARD_OWNER_TRIALS of the server). Submit it later"
        )
