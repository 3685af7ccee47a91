"""A dispatcher of a Ray cluster whose head dies and comes back, without anybody's help."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.processes import alive, end, family, heunboard, until
from tests.support.stack import Stack, stack

pytestmark = [pytest.mark.ray, pytest.mark.slow]
AGAIN_SECONDS = 90.0
"""After the head is back; it takes about 15 s on a machine that has nothing else to do."""


@contextmanager
def head(port: int, folder: str) -> Iterator[int]:
    """A head with one CPU that lets everybody in; the process id of what started it."""
    options = [
        f"--port={port}",
        "--num-cpus=1",
        "--object-store-memory=80000000",
        "--include-dashboard=false",
    ]
    options += [f"--temp-dir={folder}"]
    opened = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, env=opened,
    ) as process:  # fmt: skip
        try:
            yield process.pid
        finally:
            end(family(process.pid))


def succeeded(made: Stack) -> int:
    """How many trials have."""
    return sum(trial.state == "succeeded" for trial in made.trials())


@pytest.mark.timeout(600)
def test_a_head_that_dies_and_comes_back_is_found_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="hb") as folder, stack(tmp_path) as made:
        made.submit(estimators=["exact"], seeds=1)
        with head(port, folder) as first:
            dispatcher = heunboard(
                "dispatch", "--launcher=ray", f"--ray-address=127.0.0.1:{port}", "--insecure-dev",
                f"--worker-url={made.url}", data=tmp_path / "home", RAY_AUTH_MODE="disabled",
                HEUNBOARD_DATABASE_URL=f"sqlite:///{made.engine.url.database}",
            )  # fmt: skip
            try:
                until(lambda: succeeded(made) == 1, "the first sweep has succeeded", limit=AGAIN_SECONDS)
                end(family(first))
                made.submit(name="second", estimators=["st"], seeds=1)
                with head(port, folder):
                    until(lambda: succeeded(made) == 2, "the second one has", limit=AGAIN_SECONDS)
                    dispatcher.send_signal(signal.SIGTERM)
                    assert dispatcher.wait(60) == 0
            finally:
                end([pid for pid in family(dispatcher.pid) if alive(pid)])
                dispatcher.communicate()
