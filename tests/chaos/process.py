"""A command of ``heunboard`` on a clock that can be stepped and, if that is asked for, without the fence.

``python -m tests.chaos.process CLOCK fenced|unfenced serve ...``. ``CLOCK`` is a file: how many seconds the
queue of this process is ahead of the database's clock, read whenever the queue asks what time it is.
"""

from __future__ import annotations

import functools
import sys
from datetime import datetime, timedelta
from pathlib import Path
from unittest import mock

from sqlalchemy import Connection

from service import app
from service.cli import main as heunboard
from service.errors import StaleAttempt
from service.queue import cohorts, reports
from service.queue.cohorts import Queue
from service.queue.reports import COMPUTING, Report, Reports
from service.states import AttemptState
from service.storage.engine import database_clock
from service.storage.queries.reports import HeldCohort

UNFENCED = "unfenced"


class FileClock:
    """The database's clock, as far ahead as a file says."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, connection: Connection) -> datetime:
        """What time it is."""
        return database_clock(connection) + timedelta(seconds=float(self._file.read_text()))


class UnfencedReports(Reports):
    """Takes the reports of every attempt that knows its secret, whoever holds its cohort by now."""

    def _hold(
        self,
        connection: Connection,
        attempt_id: int,
        secret: str,
        *,
        states: tuple[AttemptState, ...] = COMPUTING,
    ) -> Report:
        try:
            return super()._hold(connection, attempt_id, secret, states=states)
        except StaleAttempt:
            record = reports._known(connection, attempt_id, secret)
            return Report(HeldCohort(record.cohort_id, record.number, None), self._clock(connection))


def main(clock_file: str, fence: str, *arguments: str) -> None:
    """Run ``heunboard ARGUMENTS``."""
    clock = FileClock(Path(clock_file))
    kind = UnfencedReports if fence == UNFENCED else Reports
    with (
        mock.patch.object(app, "Reports", functools.partial(kind, clock=clock)),
        mock.patch.object(cohorts, "Queue", functools.partial(Queue, clock=clock)),
        mock.patch.object(sys, "argv", ["heunboard", *arguments]),
    ):
        heunboard()


if __name__ == "__main__":
    main(*sys.argv[1:])
