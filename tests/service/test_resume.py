"""Real workers that are killed, and what comes of their trials, on both databases."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
import sqlalchemy as sa
import torch

from benchmarks.engine.cohort import Cohort
from benchmarks.spec import TrialSpec
from service.queue.control import Controls
from service.resources import trials
from service.storage.engine import read
from service.storage.models import Checkpoint
from tests.support.stack import LIMIT_SECONDS, Stack, run_until_idle, stack
from tests.support.sweeps import small_sweep
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.local_launcher import LocalLauncher
from workers.messages import CheckpointReport
from workers.orders import WorkerConfig
from workers.ports import CheckpointName

TASK = {"id": "polynomial", "latents": 8, "epochs": 40, "steps_per_epoch": 10}
"""As long as a trial may be that is not compiled: that takes longer than it."""
POLL_SECONDS = 0.01

Results = dict[str, tuple[dict[str, float | None], dict[str, list[float]]]]
"""By key of the trial: final metrics, and curves from the first epoch on."""


class Machine:
    """A stack with workers on it, whose checkpoints lie in a folder."""

    def __init__(self, made: Stack, folder: Path) -> None:
        self.made, self.folder = made, folder / "kept"
        config = WorkerConfig(url=made.url, checkpoints=str(self.folder), checkpoint_seconds=0.02)
        self.launcher = LocalLauncher(config, slots=1, log_dir=folder / "logs")
        self.dispatcher = Dispatcher(made.queue, self.launcher, DispatcherSettings(owner="d"))

    def kill_after(self, checkpoints: int) -> None:
        """Let attempts run until so many checkpoints are known, then kill -9 the worker.

        The report of the last of them is not answered before, so that it cannot tell of its end first.
        """
        queue, known, killed = self.made.queue, threading.Event(), threading.Event()
        store = queue.checkpoint

        def checkpoint(attempt_id: int, secret: str, message: CheckpointReport) -> None:
            store(attempt_id, secret, message)
            if len(self.kept()) >= checkpoints:
                known.set()
                killed.wait(LIMIT_SECONDS)

        deadline = time.monotonic() + LIMIT_SECONDS
        with mock.patch.object(queue, "checkpoint", checkpoint):
            while not known.is_set():
                assert time.monotonic() < deadline, self.made.attempts()
                self.dispatcher.tick(POLL_SECONDS)
            (claim,) = self.dispatcher.running
            os.kill(self.launcher.pid(claim.attempt_id), signal.SIGKILL)
            killed.set()

    def kept(self) -> list[CheckpointName]:
        """The checkpoints that the database knows of, oldest first."""
        columns = (Checkpoint.trial_id, Checkpoint.attempt_id, Checkpoint.step)
        with read(self.made.engine) as connection:
            rows = connection.execute(sa.select(*columns).order_by(*columns)).all()
        keys = {trial.id: trial.key for trial in self.made.trials()}
        return [CheckpointName(keys[trial], attempt, step) for trial, attempt, step in rows]

    def finish(self) -> None:
        """Run to the end."""
        run_until_idle(self.dispatcher, self.made)

    def results(self) -> Results:
        """What the server shows of the trials that succeeded."""
        return {
            trial.key: (
                {
                    name: value
                    for name, value in trials.show_trial(self.made.engine, trial.key).metrics.items()
                    if value is not None
                },
                {
                    one.metric: [value for value in one.values if value is not None]
                    for one in trials.trial_curves(self.made.engine, trial.key).curves
                },
            )
            for trial in self.made.trials()
            if trial.state == "succeeded"
        }

    def resumed(self, key: str) -> list[int | None]:
        """From which step each attempt went on with a trial."""
        shown = trials.trial_attempts(self.made.engine, key).attempts
        return [one.resumed_from_step for one in shown]


@pytest.fixture
def machine(tmp_path: Path, database_url: str) -> Iterator[Machine]:
    with stack(tmp_path, database_url) as made, working(made, tmp_path) as machine:
        yield machine


@contextmanager
def working(made: Stack, folder: Path) -> Iterator[Machine]:
    machine = Machine(made, folder)
    try:
        yield machine
    finally:
        machine.launcher.close()


def undisturbed(specs: list[TrialSpec]) -> Results:
    """The same trials in this process, in one go."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        segments = list(Cohort(specs).segments())
    finally:
        torch.set_num_threads(before)
    curves: dict[int, dict[str, list[float]]] = {}
    for point in (point for segment in segments for point in segment.points):
        value = torch.tensor(point.value, dtype=torch.float32).item()  # as it is stored
        curves.setdefault(point.lane, {}).setdefault(point.metric, []).append(value)
    ends = [end for segment in segments for end in segment.ended if end.diverged_at is None]
    return {specs[end.lane].key: (dict(end.metrics), curves[end.lane]) for end in ends}


def test_a_killed_attempt_goes_on_where_it_was(machine: Machine) -> None:
    """Bit for bit, and nothing is left in the store."""
    changes = {"task": TASK, "estimators": ["reinforce_ema"], "seeds": 2}
    machine.made.submit(**changes)
    machine.kill_after(1)
    machine.finish()
    whole = undisturbed(list(small_sweep(**changes).expand()))
    assert machine.results() == whole
    first, second = (machine.resumed(key) for key in whole)
    assert first[0] is None
    assert (first[1] or 0) > 0
    assert second == [None, None]
    assert [attempt.state for attempt in machine.made.attempts()] == ["lost", "finished"]
    assert machine.made.attempts()[0].provenance["device"].startswith("cpu")
    assert list(machine.folder.iterdir()) == []
    assert machine.kept() == []


def test_a_damaged_checkpoint_is_passed_over(machine: Machine) -> None:
    """Two attempts leave one each: where writing is slow, an attempt as short as this makes no second one."""
    machine.made.submit(task=TASK, estimators=["reinmax"], seeds=1)
    for checkpoints in (1, 2):
        machine.kill_after(checkpoints)
        machine.dispatcher.tick(LIMIT_SECONDS)
    older, newest = machine.kept()
    file = machine.folder / newest.file
    file.write_bytes(file.read_bytes()[:-100])
    machine.finish()
    specs = list(small_sweep(task=TASK, estimators=["reinmax"], seeds=1).expand())
    assert machine.results() == undisturbed(specs)
    assert machine.resumed(specs[0].key) == [None, older.step, older.step]


def test_in_another_cohort_with_other_lane_mates(machine: Machine) -> None:
    changes = {"task": TASK, "estimators": ["reinforce_ema"]}
    machine.made.submit(**changes, seeds=[3])
    machine.kill_after(1)
    machine.dispatcher.tick(LIMIT_SECONDS)
    controls = Controls(machine.made.engine)
    controls.pause(1)
    controls.resume(1)
    machine.made.submit(**changes, seeds=[1, 3, 5])
    machine.finish()
    attempts = machine.made.attempts()
    assert [attempt.cohort_id for attempt in attempts] == [1, 2]
    specs = list(small_sweep(**changes, seeds=[1, 3, 5]).expand())
    assert machine.results() == undisturbed(specs)
    again = machine.resumed(specs[1].key)
    assert again[0] is None
    assert (again[1] or 0) > 0
