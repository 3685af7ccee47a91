"""``service.processes.dispatch`` as a real process that is stopped, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.errors import InvalidSettings
from service.processes.dispatch import DispatchOptions, build_launcher, dispatch
from service.settings import Settings
from tests.support.fakes import make_claim
from tests.support.stack import LIMIT_SECONDS, Stack, stack
from workers import local_launcher
from workers.local_launcher import LocalLauncher
from workers.orders import Order, WorkerConfig

PROGRAM = """
import sys
from service.processes.dispatch import DispatchOptions, dispatch
from service.settings import load_settings
dispatch(load_settings(), DispatchOptions(worker_url=sys.argv[1], launcher="local", slots=1, owner="d"))
"""
ENDLESS = {"id": "polynomial", "latents": 4, "epochs": 1000, "steps_per_epoch": 1000}
POLL_SECONDS = 0.05
ENDS_WITHIN = 40.0  # it takes 2 s; the machine may be busy


@contextmanager
def dispatching(made: Stack, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A dispatcher process on the stack's database; ended at the latest with the block."""
    environment = os.environ | {
        "HEUNBOARD_DATABASE_URL": f"sqlite:///{made.engine.url.database}",
        "HEUNBOARD_DATA_HOME": str(folder),
    }
    with subprocess.Popen([sys.executable, "-c", PROGRAM, made.url], env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_attempt(made: Stack, *, count: int) -> None:
    """Wait until there are so many attempts and the last one has computed something."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while len(made.attempts()) != count or not made.attempts()[-1].steps_done:
        assert time.monotonic() < deadline, made.attempts()
        time.sleep(POLL_SECONDS)  # another process works; the loop is bounded by the deadline


def test_stop_and_kill_return_the_cohort_without_counting_a_loss(tmp_path: Path) -> None:
    with stack(tmp_path) as made:
        made.submit(task=ENDLESS, estimators=["exact"], seeds=1)
        with dispatching(made, tmp_path) as first:
            wait_for_attempt(made, count=1)
            first.send_signal(signal.SIGTERM)
            assert first.wait(ENDS_WITHIN) == 0
        assert [trial.state for trial in made.trials()] == ["queued"]
        with dispatching(made, tmp_path) as second:
            wait_for_attempt(made, count=2)
            second.kill()
        with dispatching(made, tmp_path):
            wait_for_attempt(made, count=3)
        stopped, killed, running = made.attempts()
        assert (stopped.state, killed.state, running.state) == ("finished", "lost", "running")
        assert "dispatcher d is gone" in killed.error


def test_options_choose_the_launcher(tmp_path: Path) -> None:
    settings = Settings(data_home=tmp_path)
    launcher = build_launcher(settings, DispatchOptions(worker_url="http://x", launcher="local", slots=3))
    assert isinstance(launcher, LocalLauncher)
    assert launcher.slots() == 3


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "/data/checkpoints"),
        ("/elsewhere", "/elsewhere"),
        ("s3://bucket/folder", "s3://bucket/folder"),
        ("off", None),
    ],
)
def test_workers_are_told_where_checkpoints_lie(
    given: str, address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[WorkerConfig] = []
    monkeypatch.setattr(local_launcher, "LocalLauncher", lambda config, **_: told.append(config))
    settings = Settings(data_home=Path("/data"), checkpoints=given, checkpoint_seconds=5)
    build_launcher(settings, DispatchOptions(worker_url="http://x", launcher="local"))
    order = told[0].order(make_claim(1), "cpu")
    assert (order.checkpoints, order.checkpoint_seconds) == (address, 5)
    assert Order.from_json(order.to_json()) == order


def test_a_relative_folder_is_the_same_for_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings(checkpoints="kept").checkpoint_store == str(tmp_path / "kept")


def test_a_place_that_nothing_can_open_is_said_at_the_start(tmp_path: Path) -> None:
    settings = Settings(data_home=tmp_path, checkpoints="nowhere://x")
    with pytest.raises(InvalidSettings, match=r"'nowhere://x'.*--checkpoints"):
        dispatch(settings, DispatchOptions(worker_url="http://x", launcher="local", slots=1))


def test_ray_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    options = DispatchOptions(worker_url="http://x", launcher="ray")
    with pytest.raises(InvalidSettings, match=r"pip install 'heunboard\[ray\]'"):
        build_launcher(Settings(data_home=tmp_path), options)
