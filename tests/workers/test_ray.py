"""Attempts on a real local Ray: queue, HTTP, Ray and engine together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from benchmarks.datasets.catalogue import DATA_SETS
from tests.support.fakes import WAIT_SECONDS, make_claim
from tests.support.processes import program, until
from tests.support.stack import LIMIT_SECONDS, Stack, run_until_idle, stack
from workers import ray_launcher
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.messages import Heartbeat
from workers.orders import WorkerConfig
from workers.ports import Claim, Superseded
from workers.ray_launcher import RayLauncher
from workers.reporter import HttpReporter

pytestmark = pytest.mark.ray

LONG = {"id": "polynomial", "latents": 4, "epochs": 20, "steps_per_epoch": 200}
LONGER = {**LONG, "epochs": 200}
VAE = {"id": "categorical_vae", "dataset": "mnist", "categories": 8, "latents": 4, "epochs": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("ray")) as one:
        yield one


@pytest.fixture(scope="module")
def launcher(made: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayLauncher]:
    """One local Ray for all tests (three seconds and half a gigabyte), whose workers find broken data."""
    data_dir = tmp_path_factory.mktemp("data")
    broken = data_dir / "mnist" / DATA_SETS["mnist"].train.name
    broken.parent.mkdir()
    broken.write_text("not gzip")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_worker_niceness", "0")  # by default 15: beside busy tests they would starve
        one = RayLauncher(WorkerConfig(url=made.url, data_dir=str(data_dir)), slots=1, gpus=0)
        one.prepare()
        yield one
        one.close()


@pytest.fixture
def dispatcher(made: Stack, launcher: RayLauncher) -> Dispatcher:
    return Dispatcher(made.queue, launcher, DispatcherSettings(owner="d"))


def test_cohort_succeeds(made: Stack, dispatcher: Dispatcher) -> None:
    made.submit(name="first", estimators=["exact"], seeds=2)
    run_until_idle(dispatcher, made)
    assert [trial.state for trial in made.trials()] == ["succeeded"] * 2
    (attempt,) = made.attempts()
    assert (attempt.state, attempt.provenance["threads"]) == ("finished", 1)


def test_submit_to_start_takes_well_under_a_second(made: Stack, dispatcher: Dispatcher) -> None:
    made.submit(name="warm", estimators=["st"], seeds=1)
    run_until_idle(dispatcher, made)  # whichever test comes first: from here on the worker is warm
    made.submit(name="timed", estimators=["reinmax"], seeds=1)
    run_until_idle(dispatcher, made)
    last = made.attempts()[-1]
    assert (last.started_at - last.claimed_at).total_seconds() < 1.0


def test_failing_task_leaves_error_and_traceback_on_the_trial(made: Stack, dispatcher: Dispatcher) -> None:
    made.submit(name="broken data", task=VAE, estimators=["st"], seeds=[77])
    run_until_idle(dispatcher, made)
    (trial,) = [trial for trial in made.trials() if trial.seed == 77]
    assert trial.state == "failed"
    assert trial.error.startswith("WrongChecksum")
    assert "benchmarks/datasets/loading.py" in trial.traceback
    assert made.attempts()[-1].state == "finished", "the attempt did its duty; it is not lost"


def test_killed_worker_is_replaced_and_its_late_report_refused(made: Stack, dispatcher: Dispatcher) -> None:
    made.submit(name="killed", task=LONG, estimators=["reinmax"], seeds=[88])
    first = wait_for_start(made, dispatcher)
    os.kill(ray_worker(first), signal.SIGKILL)
    run_until_idle(dispatcher, made)
    (trial,) = [trial for trial in made.trials() if trial.seed == 88]
    assert trial.state == "succeeded"
    lost, good = [attempt for attempt in made.attempts() if attempt.cohort_id == first.cohort_id]
    assert (lost.number, lost.state, good.number, good.state) == (1, "lost", 2, "finished")
    late = HttpReporter(made.url, first.attempt_id, first.secret)
    with contextlib.closing(late), pytest.raises(Superseded):
        late.heartbeat(Heartbeat(steps_done=1, steps_total=2))


def test_worker_that_is_asked_to_end_does_so_wherever_it_is(made: Stack, dispatcher: Dispatcher) -> None:
    """Python's handler of Ray would raise something in the computation, which could pass for its failure."""
    made.submit(name="asked", task=LONG, estimators=["reinmax"], seeds=[66])
    first = wait_for_start(made, dispatcher)
    worker = ray_worker(first)
    assert not handles(worker, signal.SIGTERM)
    os.kill(worker, signal.SIGTERM)
    run_until_idle(dispatcher, made)
    (trial,) = [trial for trial in made.trials() if trial.seed == 66]
    assert trial.state == "succeeded"
    attempts = [attempt for attempt in made.attempts() if attempt.cohort_id == first.cohort_id]
    assert [attempt.state for attempt in attempts] == ["lost", "finished"]


def test_kill_ends_the_task(launcher: RayLauncher) -> None:
    claim = make_claim(10_000)  # the server does not know it: its worker ends by itself or by force
    launcher.submit(claim)
    launcher.kill(claim.attempt_id)
    (ended,) = launcher.poll(WAIT_SECONDS)
    assert ended.attempt_id == claim.attempt_id
    assert ended.error
    assert launcher.poll(WAIT_SECONDS) == [], "nothing runs: no waiting"


def test_prepare_has_torch_loaded_in_a_worker_that_attempts_then_use(
    made: Stack, dispatcher: Dispatcher, launcher: RayLauncher
) -> None:
    made.submit(name="fails", task=VAE, estimators=["reinmax"], seeds=[99])
    run_until_idle(dispatcher, made)  # after an attempt in which something was raised the worker ends

    def preparing() -> int:
        launcher.prepare()  # of free slots; Ray takes a moment to see that one is free again
        return launcher.preparing()

    until(preparing, "a slot is free")
    (prepared,) = until(loaded_torch, "a new worker has loaded torch")
    made.submit(name="prepared", task=LONG, estimators=["st"], seeds=[99])
    claim = wait_for_start(made, dispatcher)
    assert ray_worker(claim) == prepared
    run_until_idle(dispatcher, made)


def test_an_attempt_whose_node_died_is_told_from_one_whose_process_did(
    launcher: RayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes, an attempt on each that waits for an answer to its start: one loses its raylet."""
    with second_node() as raylet, socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(launcher, "_config", WorkerConfig(url=url))
        until(lambda: launcher.slots() == 2, "the second node is counted")
        claims = [make_claim(20_000), make_claim(20_001)]
        for claim in claims:
            launcher.submit(claim)
        until(lambda: all(workers_of(claim) for claim in claims), "both nodes have an attempt")
        (here,) = [claim for claim in claims if workers_of(claim)[0] in own_workers()]
        (away,) = [claim for claim in claims if claim is not here]
        with open(f"/proc/{workers_of(here)[0]}/fd/2", "w") as its_log:
            its_log.write("still here\n")
        until(lambda: ray_launcher._end_of_log_elsewhere(here.attempt_id), "the other node finds its log")
        os.kill(raylet, signal.SIGKILL)
        (ended,) = until(lambda: launcher.poll(1.0), "its attempt is lost")
        assert (ended.attempt_id, ended.infrastructure) == (away.attempt_id, True), ended.error
        os.kill(workers_of(here)[0], signal.SIGKILL)
        (ended,) = until(lambda: launcher.poll(1.0), "its attempt is lost")
        assert (ended.attempt_id, ended.infrastructure) == (here.attempt_id, False), ended.error


def test_the_end_of_its_log_is_told_of_a_process_that_died(
    launcher: RayLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(launcher, "_config", WorkerConfig(url=url))
        claim = make_claim(30_000)
        launcher.submit(claim)
        silent.settimeout(LIMIT_SECONDS)
        silent.accept()[0].close()  # it says that it begins, and is given no answer
        worker = ray_worker(claim)
        with open(f"/proc/{worker}/fd/2", "w") as its_log:
            its_log.write("last words\n")
        until(lambda: ray_launcher._end_of_log(claim.attempt_id) is not None, "its log has them")
        os.kill(worker, signal.SIGKILL)
        (ended,) = until(lambda: launcher.poll(1.0), "its attempt is lost")
    assert ended.attempt_id == claim.attempt_id
    assert str(ended.error).endswith("; its log ends:\nlast words")


# Ray kills what is left of its processes and does not wait until they are gone.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_a_local_ray_that_dies_is_replaced(
    made: Stack, dispatcher: Dispatcher, launcher: RayLauncher, victim: str
) -> None:
    """Without its head a driver waits for a minute and is ended; without its node it submits to nobody."""
    seeds = {"raylet": (110, 111), "gcs_server": (120, 121)}[victim]
    made.submit(name=victim, task=LONGER, estimators=["st"], seeds=seeds[:1])
    wait_for_start(made, dispatcher)
    began = time.monotonic()
    os.kill(part_of_ray(victim), signal.SIGKILL)
    until(lambda: dispatcher.tick(0.1) and not dispatcher.running, "its attempt has ended or is lost")
    made.submit(name=f"after {victim}", estimators=["st"], seeds=seeds[1:])
    run_until_idle(dispatcher, made)
    assert time.monotonic() - began < 45, "a minute and more before"
    assert {trial.state for trial in made.trials() if trial.seed in seeds} == {"succeeded"}


STARTS = """
from workers.ray_launcher import RayLauncher
from workers.orders import WorkerConfig
RayLauncher(WorkerConfig(url=""), slots=1, gpus=0)
print("started")
"""


@pytest.mark.parametrize("victim", ["raylet", "gcs_server"])
def test_a_local_ray_that_dies_while_it_starts_ends_its_process(victim: str) -> None:
    """Ray itself would wait for it for half a minute."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as starting:  # fmt: skip
        (part,) = until(lambda: children(starting.pid, victim), f"{victim} begins")
        os.kill(part, signal.SIGKILL)
        said, complained = starting.communicate(timeout=LIMIT_SECONDS)
    assert (starting.returncode, said) == (-signal.SIGKILL, "")
    assert f"{victim} died while it was waited for" in complained


@contextlib.contextmanager
def second_node() -> Iterator[int]:
    """A node with one CPU in this process's own cluster; the process id of its raylet."""
    address = ray.get_runtime_context().gcs_address
    options = ["--num-cpus=1", "--object-store-memory=80000000", "--block", f"--address={address}"]
    with subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as node:  # fmt: skip
        try:
            (raylet,) = until(lambda: children(node.pid, "raylet"), "the second node is up")
            yield raylet
        finally:
            os.killpg(node.pid, signal.SIGTERM)


def part_of_ray(name: str) -> int:
    """Process id of a part of this process's own Ray."""
    (pid,) = children(os.getpid(), name)
    return pid


def children(pid: int, name: str) -> list[int]:
    """Children of a process whose program's name begins like this."""
    return [child.pid for child in psutil.Process(pid).children() if program(child.pid).startswith(name)]


def test_folders_of_killed_dispatchers_go_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those of dispatchers that run, nor what is called so and is none."""
    monkeypatch.setattr(ray_launcher, "FOLDERS", str(tmp_path))
    for name in ("hb-killed", "hb-other"):
        (tmp_path / name / "ray").mkdir(parents=True)
    (tmp_path / "hb-killed" / "lock").touch()
    running = ray_launcher._Folder()
    ray_launcher._sweep_folders()
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "hb-other", running.path])
    running.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["hb-other"]


@pytest.mark.parametrize(("mode", "after"), [(0o644, 0o600), (0o640, 0o600), (0o600, 0o600), (0o400, 0o400)])
def test_only_its_owner_can_read_the_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, after: int
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(mode)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    ray_launcher._protect_token()
    assert token.stat().st_mode & 0o777 == after


def test_a_token_that_others_can_read_and_that_cannot_be_mended_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    token.chmod(0o644)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    monkeypatch.setattr(Path, "chmod", refuse)
    with pytest.raises(ray_launcher.InsecureCluster, match=r"0644.*Operation not permitted"):
        ray_launcher._protect_token()


def test_nodes_are_named_as_they_were_started_or_by_their_machine() -> None:
    def node(name: str, host: str, *, id: str = "0123456789", alive: bool = True) -> dict[str, Any]:
        return {
            "NodeName": name, "NodeManagerAddress": "10.0.0.1", "NodeManagerHostname": host,
            "NodeID": id, "Alive": alive,
        }  # fmt: skip

    nodes = [
        node("rack-7", "x"),
        node("10.0.0.1", "gpu-box"),
        node("10.0.0.1", "gone", alive=False),
        node("10.0.0.1", "twin", id="aaaaaaaa00"),
        node("10.0.0.1", "twin", id="bbbbbbbb00"),
    ]
    names = [name for name, _ in ray_launcher._named(nodes)]
    assert names == ["rack-7", "gpu-box", "twin-aaaaaaaa", "twin-bbbbbbbb"]


@pytest.mark.parametrize(
    ("needs", "fits"),
    [
        ({"CPU": 1}, 8),
        ({"CPU": 1, "GPU": 1}, 2),
        ({"CPU": 1, "GPU": 0.1}, 8),
        ({"CPU": 1, "GPU": 0.3}, 6),
        ({"CPU": 1, "GPU": 0.4}, 4),
        ({"CPU": 1, "GPU": 1, "big": 0.5}, 1),
        ({"CPU": 1, "other": 1}, 0),
    ],
)
def test_how_many_attempts_fit_on_a_node(needs: dict[str, float], fits: int) -> None:
    assert ray_launcher._fits({"CPU": 8.0, "GPU": 2.0, "big": 0.5}, needs) == fits


def test_what_is_free_is_what_fits_beside_the_attempts_that_run() -> None:
    has, needs = {"CPU": 8.0, "GPU": 2.0}, {"CPU": 1, "GPU": 0.4}
    assert ray_launcher._free(has, has, needs) == 4
    assert ray_launcher._free(has, {"CPU": 7.0, "GPU": 1.6}, needs) == 3
    assert ray_launcher._free(has, {"CPU": 4.0, "GPU": 0.4}, needs) == 0
    assert ray_launcher._free(has, {}, needs) == 0, "of what is used up Ray says nothing"


OPEN_CLUSTER = """
import ray, sys
ray.init(include_dashboard=False, num_cpus=0, object_store_memory=80_000_000, _temp_dir=sys.argv[1])
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""
JOIN = """
import sys
from workers.ray_launcher import InsecureCluster, RayLauncher
from workers.orders import WorkerConfig
try:
    RayLauncher(WorkerConfig(url=""), address=sys.argv[1], insecure_dev=len(sys.argv) > 2).close()
except InsecureCluster as error:
    print("refused:", error)
else:
    print("joined")
"""


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder near the root: paths of sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="heunboard-") as folder:
        yield Path(folder)


def test_cluster_without_a_token_is_refused(short_path: Path) -> None:
    opened = os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", OPEN_CLUSTER, str(short_path)]
    complaints = short_path / "stderr"
    with (
        complaints.open("wb") as stderr,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=opened
        ) as head,
    ):
        assert head.stdout is not None
        addresses = (line.split()[1].decode() for line in head.stdout if line.startswith(b"address"))
        address = next(addresses, None)
        assert address is not None, complaints.read_text()
        answers = [
            subprocess.run(
                [sys.executable, "-c", JOIN, address, *extra],
                env=opened, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
            ).stdout
            for extra in ([], ["insecure"])
        ]  # fmt: skip
        head.communicate(timeout=LIMIT_SECONDS)  # its input ends, and so does it
    assert "refused:" in answers[0]
    assert "RAY_AUTH_MODE=token" in answers[0]
    assert "joined" in answers[1]


def wait_for_start(made: Stack, dispatcher: Dispatcher) -> Claim:
    """Tick until the only attempt that runs has reported its start."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while made.attempts()[-1:] == [] or made.attempts()[-1].state != "running":
        assert time.monotonic() < deadline
        dispatcher.tick(0.02)
    (claim,) = dispatcher.running
    return claim


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler of a signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(mask, 16) >> (number - 1) & 1)


def loaded_torch() -> list[int]:
    """Workers under this process's own raylet that have loaded torch."""
    return [pid for pid in own_workers() if any("libtorch" in part.path for part in _mapped(pid))]


def ray_worker(claim: Claim) -> int:
    """Process id of the worker under this process's own raylet that carries the attempt's name."""
    (pid,) = [pid for pid in workers_of(claim) if pid in own_workers()]
    return pid


def workers_of(claim: Claim) -> list[int]:
    """Process ids of workers that carry the attempt's name, under whichever raylet."""
    name = f"ray::cohort-{claim.cohort_id}-a{claim.number}"
    return [pid for pid in psutil.pids() if program(pid).startswith(name)]


def own_workers() -> list[int]:
    """Process ids of the workers under this process's own raylet."""
    return [pid for raylet in children(os.getpid(), "raylet") for pid in children(raylet, "ray::")]


def _mapped(pid: int) -> list[Any]:
    """Files that a process has in its memory; none when it has ended."""
    try:
        return list(psutil.Process(pid).memory_maps())
    except psutil.NoSuchProcess:
        return []
