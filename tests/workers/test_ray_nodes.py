"""A Ray cluster of two nodes with declared GPUs and a token, and a dispatcher of its own: what runs where.

One test, since a cluster takes half a minute: every process of it is ended by its own id.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.queue.nodes import Nodes
from service.queue.submission import submit
from service.resources.nodes import list_nodes
from service.storage.engine import read
from service.storage.models import Attempt, Node, Trial
from tests.support.processes import family, program, until
from tests.support.stack import Stack, stack
from tests.support.sweeps import small_sweep

pytestmark = pytest.mark.ray

LIMIT = 180.0
TRIALS = 20
TASK = {"id": "polynomial", "latents": 4, "epochs": 10, "steps_per_epoch": 200}
PORTS = (
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
DISPATCHER = """
import sys
from service.processes.dispatch import DispatchOptions, dispatch
from service.settings import load_settings
url, address = sys.argv[1:]
dispatch(load_settings(), DispatchOptions(
    worker_url=url, launcher="ray", ray_address=address, device="cpu", gpus_each=0.5,
    resources={"lanes": 1}, owner="d"))
"""


def free_ports(count: int) -> list[int]:
    """So many different ones."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


@contextmanager
def running(*command: str, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with all that it has started."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=os.environ | environment, start_new_session=True
        )
    try:
        yield process
    finally:
        started = family(process.pid)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        for pid in started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait()


def ray_start(*options: str) -> list[str]:
    ports = [f"--{name}={port}" for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)]
    light = ["--object-store-memory=80000000", "--min-worker-port=0", "--max-worker-port=0", "--block"]
    return [sys.executable, "-m", "ray.scripts.scripts", "start", *ports, *light, *options]


def raylet_of(process: subprocess.Popen[bytes]) -> int:
    """Process id of the raylet that a `ray start` has started."""
    (pid,) = [pid for pid in family(process.pid) if program(pid) == "raylet"]
    return pid


@pytest.fixture
def folder() -> Iterator[Path]:
    """Near the root: paths of sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="hbn-", dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Stack]:
    with stack(tmp_path) as one:
        yield one


def test_two_nodes_that_drain_and_die(made: Stack, folder: Path, tmp_path: Path) -> None:
    """Half a declared GPU and a resource for each attempt: two fit on a node."""
    token = folder / "token"
    token.write_text("0" * 64)
    token.chmod(0o644)  # as Ray before 2.60.1 leaves it
    environment = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with ExitStack() as started:

        def run(name: str, *command: str, **others: str) -> subprocess.Popen[bytes]:
            log = tmp_path / f"{name}.log"
            return started.enter_context(running(*command, log=log, **environment, **others))

        def ray(name: str, *options: str) -> subprocess.Popen[bytes]:
            process = run(name, *ray_start(*options))
            log = tmp_path / f"{name}.log"
            until(lambda: "Ray runtime started" in log.read_text(), f"{name} is up", limit=LIMIT)
            return process

        head = ["--head", f"--port={address.split(':')[1]}", "--num-cpus=0", "--num-gpus=0"]
        ray("head", *head, "--include-dashboard=false", f"--temp-dir={folder}/r")
        has = ["--num-cpus=2", "--num-gpus=1", f"--resources={json.dumps({'lanes': 2})}"]
        left = ray("left", f"--address={address}", "--node-name=left", *has)
        right = ray("right", f"--address={address}", "--node-name=right", *has)
        database = {"HEUNBOARD_DATABASE_URL": str(made.engine.url), "HEUNBOARD_MAX_LANES": "1"}
        dispatcher = [sys.executable, "-c", DISPATCHER, made.url, address]
        run("dispatcher", *dispatcher, HEUNBOARD_DATA_HOME=str(tmp_path), **database)
        until(lambda: slots(made) == {"left": 2, "right": 2}, "both nodes are known", limit=LIMIT)
        assert token.stat().st_mode & 0o777 == 0o600

        compute_on_both(made, "st")
        Nodes(made.engine).drain("left")
        until(lambda: state(made, "left") == "drained", "its attempts have stopped", limit=LIMIT)
        before = newest_attempt(made)
        compute(made, "stgs")  # beside what may be left of the first
        until(all_ended(made), "the right computes the rest", limit=LIMIT)
        # What the dispatcher had sent to the left before it knew has stopped at once there.
        assert set(computed(made, after=before)) == {"right"}

        Nodes(made.engine).undrain("left")
        compute_on_both(made, "reinmax")
        os.kill(raylet_of(right), signal.SIGKILL)
        until(lambda: "right" not in slots(made, away=False), "it is away", limit=LIMIT)
        before = newest_attempt(made)
        until(all_ended(made), "the left computes the rest", limit=LIMIT)
        assert left.poll() is None
        assert set(begun(made, after=before)) <= {"left"}
        assert {one.state for one in made.trials()} == {"succeeded"}


def compute(made: Stack, estimator: str, *, first: int = 0) -> None:
    """Twenty trials of two thousand steps, an attempt each."""
    seeds = list(range(first, first + TRIALS))
    submit(made.engine, small_sweep(name=estimator, task=TASK, estimators=[estimator], seeds=seeds))


def compute_on_both(made: Stack, estimator: str) -> None:
    """Submit more and more until attempts have begun on both nodes from now on: before one of them has loaded
    torch, the other may be done with twenty."""
    before = newest_attempt(made)
    firsts = itertools.count(0, TRIALS)

    def on_both() -> bool:
        if all_ended(made)():
            compute(made, estimator, first=next(firsts))
        return set(begun(made, after=before)) == {"left", "right"}

    until(on_both, "both nodes compute", limit=LIMIT)


def slots(made: Stack, *, away: bool = True) -> dict[str, int]:
    found = list_nodes(made.engine).nodes
    return {node.name: node.slots for node in found if away or node.state != "away"}


def state(made: Stack, name: str) -> str:
    (found,) = [node.state for node in list_nodes(made.engine).nodes if node.name == name]
    return found


def all_ended(made: Stack) -> Callable[[], bool]:
    return lambda: all(one.state not in ("queued", "running") for one in made.trials())


def newest_attempt(made: Stack) -> int:
    return max((attempt.id for attempt in made.attempts()), default=0)


def begun(made: Stack, *, after: int = 0) -> list[str]:
    """Nodes of the attempts that have begun."""
    with read(made.engine) as connection:
        begun = sa.select(Node.name).join(Attempt, Attempt.node_id == Node.id).where(Attempt.id > after)
        return list(connection.scalars(begun))


def computed(made: Stack, *, after: int) -> list[str]:
    """Nodes of the attempts that have computed trials to their end."""
    with read(made.engine) as connection:
        its = sa.select(Trial.id).where(Trial.cohort_id == Attempt.cohort_id, Trial.state == "succeeded")
        ended = (Attempt.id > after, Attempt.state == "finished", its.exists())
        where = sa.select(Node.name).join(Attempt, Attempt.node_id == Node.id)
        return list(connection.scalars(where.where(*ended)))
