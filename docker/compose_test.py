"""Proves the compose stack: build, start, compute on two Ray workers, kill one, restart all, look for leaks.

Run by ``make compose-test``; ends with a verdict, and with a status other than 0 at the first failure. Needs
a Docker engine; uses the CPU override. Works with the compose plugin and with the older ``docker-compose``.
What it starts has names, secrets, volumes and a port of its own, and is removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "heunboard-compose-test"
TAG = "compose-test"
TARGETS = ("web", "compute")
WORKERS = 2
FILES = ["-f", "docker-compose.yml", "-f", "docker-compose.cpu.yml"]

FIRST = """
name: first
task: {id: polynomial, p: 2, epochs: 3, steps_per_epoch: 50, latents: 32, batch_size: 64}
estimators: [reinmax, exact]
seeds: 3
"""
LONG = """
name: long
task: {id: polynomial, p: 1.5, epochs: 20, steps_per_epoch: 50, latents: 128, batch_size: 256}
estimators: [reinmax, st, stgs, exact]
seeds: 2
"""
START_LIMIT_S, SWEEP_LIMIT_S, POLL_S = 300.0, 300.0, 0.5

T = TypeVar("T")


class Failure(Exception):
    """Something is not as it must be."""


def say(text: str) -> None:
    """Print one line of progress with the time since the start."""
    sys.stdout.write(f"[{time.monotonic() - STARTED:6.1f} s] {text}\n")
    sys.stdout.flush()


def require(holds: bool, text: str) -> None:
    """Say that a check holds, or fail with its text."""
    if not holds:
        raise Failure(text)
    say(f"ok: {text}")


def wait_for(what: str, found: Callable[[], T | None], *, limit: float) -> T:
    """What ``found`` returns once it is something; it is asked twice a second."""
    limit *= OPTIONS.patience
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
        time.sleep(POLL_S)
    raise Failure(f"{what}: not after {limit:g} s")


def output(*command: str) -> str:
    """What a command prints, errors included; Failure when it fails."""
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        raise Failure(f"`{' '.join(command)}` ended with {result.returncode}:\n{result.stdout[-4000:]}")
    return result.stdout


def compose_command() -> list[str]:
    """``docker compose`` where the plugin is installed, else ``docker-compose``."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise Failure("needs Docker with its compose plugin, or docker-compose; neither was found")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def image(target: str) -> str:
    """The name under which this test builds it."""
    return f"heunboard-{target}:{TAG}"


def build() -> None:
    """Build both images; the classic builder with the host's network also works behind a local proxy."""
    for target in TARGETS:
        command = ["docker", "build", "--network", "host", "--target", target, "-t", image(target)]
        built = subprocess.run(
            [*command, "-f", "docker/Dockerfile", "."],
            cwd=ROOT,
            env=os.environ | {"DOCKER_BUILDKIT": "0"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if built.returncode:
            raise Failure(f"{image(target)} cannot be built:\n{built.stdout[-4000:]}")
        say_sizes(image(target))


def say_sizes(name: str) -> None:
    """The size of an image, and of its layers from a megabyte on."""
    say(f"built {name}: {output('docker', 'images', '--format', '{{.Size}}', name).strip()}")
    for layer in output("docker", "history", "--format", "{{.Size}}\t{{.CreatedBy}}", name).splitlines():
        size, _, by = layer.partition("\t")
        if size.endswith(("MB", "GB")):
            say(f"  {size:>7}  {by[:90] or 'the base image'}")


class Stack:
    """The compose project of this test with secrets and a port of its own.

    Args:
        secrets: a folder for its secrets.
    """

    def __init__(self, secrets: Path) -> None:
        self.port = free_port()
        self._secrets = secrets
        self._command = [*compose_command(), "-p", PROJECT, *FILES]
        self._environment = os.environ | {
            "COMPOSE_PROJECT_NAME": PROJECT,
            "HEUNBOARD_SECRETS": str(secrets),
            "HEUNBOARD_TAG": TAG,
            "HEUNBOARD_PORT": str(self.port),
            "HEUNBOARD_CPUS": "1",
            "HEUNBOARD_WORKER_MEMORY": "2g",
        }
        self.run("docker/secrets.sh", str(secrets))

    def run(self, *command: str) -> None:
        """Run a command with the stack's settings; Failure when it fails."""
        if subprocess.run(command, cwd=ROOT, env=self._environment, check=False).returncode:
            raise Failure(f"`{' '.join(command)}` failed")

    def compose(self, *arguments: str) -> None:
        """Run one compose command; Failure when it fails."""
        self.run(*self._command, *arguments)

    def up(self) -> None:
        """Start everything, and wait until the web service answers that its database is current.

        Ray gives its head half a minute to start. On a machine that is too busy for that the engine starts it
        again, but `up` has given up at the sight of it.
        """
        for last in (False, False, True):
            try:
                self.compose("up", "-d", "--scale", f"ray-worker-cpu={WORKERS}")
                break
            except Failure:
                if last:
                    raise
                say("`up` is repeated")
        wait_for("the web service is ready", self._ready, limit=START_LIMIT_S)

    def _ready(self) -> bool | None:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=3).is_success or None
        except httpx.TransportError:
            return None  # not listening yet

    def make_tokens(self) -> None:
        """Make the first tokens, as the documentation says."""
        self.run("docker/first-tokens.sh", *FILES)

    def secrets(self) -> dict[str, str]:
        """Name -> secret, of all files."""
        return {file.name: file.read_text().strip() for file in sorted(self._secrets.iterdir())}

    def client(self) -> httpx.Client:
        """Asks the API with the administrator's token."""
        token = self.secrets()["admin_token"]
        url = f"http://127.0.0.1:{self.port}"
        return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30)

    def containers(self) -> list[dict[str, Any]]:
        """What the engine knows of every container, ended ones too."""
        label = f"label=com.docker.compose.project={PROJECT}"
        ids = output("docker", "ps", "-aq", "--no-trunc", "--filter", label).split()
        found: list[dict[str, Any]] = json.loads(output("docker", "inspect", *ids))
        return found

    def workers(self) -> dict[str, str]:
        """Host name -> container of every Ray worker."""
        found = [one for one in self.containers() if service(one) == "ray-worker-cpu"]
        return {one["Config"]["Hostname"]: one["Id"] for one in found}


def service(container: dict[str, Any]) -> str:
    """Name of the service that a container belongs to."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def get(http: httpx.Client, path: str) -> Any:
    """The JSON of a successful answer."""
    answer = http.get(path)
    if not answer.is_success:
        raise Failure(f"GET {path} answered {answer.status_code}: {answer.text[:500]}")
    return answer.json()


def submit(http: httpx.Client, sweep: str) -> str:
    """Submit a sweep file; its id."""
    answer = http.post("/api/v1/sweeps", content=sweep, headers={"Content-Type": "application/yaml"})
    if answer.status_code != 201:
        raise Failure(f"submitting answered {answer.status_code}: {answer.text[:500]}")
    return str(answer.json()["id"])


def finished(http: httpx.Client, id: str) -> dict[str, Any]:
    """The sweep once it has succeeded."""

    def ended() -> dict[str, Any] | None:
        sweep: dict[str, Any] = get(http, f"/api/v1/sweeps/{id}")
        if sweep["state"] in ("failed", "cancelled"):
            raise Failure(f"sweep {id} is {sweep['state']}: {sweep}")
        return sweep if sweep["state"] == "succeeded" else None

    return wait_for(f"sweep {id} has succeeded", ended, limit=SWEEP_LIMIT_S)


def rows(http: httpx.Client, sweep: dict[str, Any]) -> dict[str, tuple[int, float]]:
    """Estimator -> seeds and mean of the first board's metric."""
    board = get(http, f"/api/v1/boards/{sweep['boards'][0]['id']}")
    return {row["estimator"]: (row["n"], row["metrics"]["expected_loss"]["mean"]) for row in board["rows"]}


def attempts_of(http: httpx.Client, id: str) -> list[dict[str, Any]]:
    """All attempts of a sweep's trials."""
    found: list[dict[str, Any]] = get(http, f"/api/v1/attempts?sweep={id}&limit=200")["attempts"]
    return found


def check_access(stack: Stack) -> None:
    """Nobody does anything without a token."""
    url = f"http://127.0.0.1:{stack.port}/api/v1/sweeps"
    yaml = {"Content-Type": "application/yaml"}
    without = httpx.post(url, content=FIRST, headers=yaml)
    require(without.status_code == 401, f"submitting without a token answers {without.status_code}")
    wrong = httpx.post(url, content=FIRST, headers=yaml | {"Authorization": "Bearer hb_none"})
    require(wrong.status_code == 401, f"submitting with a wrong token answers {wrong.status_code}")
    for path in ("/api/v1/sweeps", "/boards", "/metrics"):
        answer = httpx.get(f"http://127.0.0.1:{stack.port}{path}")
        require(answer.status_code in (303, 401), f"{path} without a token answers {answer.status_code}")
    token = {"Authorization": f"Bearer {stack.secrets()['metrics_token']}"}
    scraped = httpx.get(f"http://127.0.0.1:{stack.port}/metrics", headers=token)
    require("heunboard_cohorts{" in scraped.text, "Prometheus' token reads /metrics")
    refused = httpx.post(url, content=FIRST, headers=yaml | token)
    require(refused.status_code == 403, f"submitting with Prometheus' token answers {refused.status_code}")


def compute_while_one_dies(stack: Stack, http: httpx.Client) -> dict[str, tuple[int, float]]:
    """Compute a sweep on two workers, kill one of them on the way; the board's rows."""
    id = submit(http, LONG)

    def both_busy() -> set[str] | None:
        hosts = {str(one["host"]) for one in attempts_of(http, id) if one["state"] == "running"}
        return hosts if len(hosts) == WORKERS else None

    hosts = wait_for(f"{WORKERS} workers compute", both_busy, limit=SWEEP_LIMIT_S)
    workers = stack.workers()
    require(hosts == set(workers), f"both workers compute at the same time: {', '.join(sorted(hosts))}")
    victim = min(hosts)
    output("docker", "kill", "--signal", "KILL", workers[victim])
    say(f"killed the worker {victim} with SIGKILL")
    sweep = finished(http, id)
    say("the sweep has finished all the same")
    attempts = attempts_of(http, id)
    # The launcher may have sent another one to it before Ray noticed: that was never heard of.
    lost = [one["host"] for one in attempts if one["state"] == "lost"]
    require(victim in lost and set(lost) <= {victim, None}, f"{len(lost)} attempts were lost, all of its")
    check_counted_once(http, id)
    return rows(http, sweep)


def check_counted_once(http: httpx.Client, id: str) -> None:
    """Every trial of the long sweep has one result."""
    counts = [len(ends) for ends in ends_of_trials(http, id)]
    require(counts == [1] * 8, "8 trials have one result each")


def ends_of_trials(http: httpx.Client, id: str) -> list[list[dict[str, Any]]]:
    """Of every trial of a sweep the attempts that ended with results: what they told of themselves."""
    trials = get(http, f"/api/v1/sweeps/{id}/trials?limit=200")["trials"]
    attempts = [get(http, f"/api/v1/trials/{trial['key']}/attempts")["attempts"] for trial in trials]
    return [[one["provenance"] for one in of_trial if one["provenance"]] for of_trial in attempts]


def compute_on_both(stack: Stack, http: httpx.Client) -> None:
    """A sweep of a few cohorts is computed on both workers, as the provenance of its results says."""
    id = submit(http, FIRST.replace("p: 2", "p: 2.5"))
    finished(http, id)
    hosts = {end["host"] for ends in ends_of_trials(http, id) for end in ends}
    require(hosts == set(stack.workers()), f"results come from both workers: {', '.join(sorted(hosts))}")


def check_isolation(stack: Stack) -> None:
    """What is published, who runs, what can be written, what is limited."""
    containers = stack.containers()
    published = {
        (service(one), binding["HostIp"], binding["HostPort"])
        for one in containers
        for bindings in (one["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or ()
    }
    require(
        published == {("web", "127.0.0.1", str(stack.port))}, f"only the web port is published: {published}"
    )
    on = {one: set(item["NetworkSettings"]["Networks"]) for item in containers if (one := service(item))}
    require(on["db"] == {f"{PROJECT}_private"}, "the database is on the private network alone")
    private = json.loads(output("docker", "network", "inspect", f"{PROJECT}_private"))[0]
    require(private["Internal"], "the private network has no way out")
    for one in containers:
        check_hardened(one)
    say(f"ok: {len(containers)} containers: root read-only, no capabilities, limits, not as root, healthy")


def check_hardened(container: dict[str, Any]) -> None:
    """One container: its limits, and the users of its processes."""
    name, host = container["Name"], container["HostConfig"]
    wrong = [
        what
        for what, holds in {
            "its root file system can be written": host["ReadonlyRootfs"],
            "it keeps capabilities": host["CapDrop"] == ["ALL"],
            "it may gain privileges": "no-new-privileges:true" in (host["SecurityOpt"] or ()),
            "its memory has no limit": host["Memory"] > 0,
            "its CPUs have no limit": host["NanoCpus"] > 0,
            "its processes have no limit": (host["PidsLimit"] or 0) > 0,
            "its log has no limit": host["LogConfig"]["Config"].get("max-size"),
        }.items()
        if not holds
    ]
    if container["State"]["Running"]:
        processes = output("docker", "top", container["Id"], "-eo", "pid,uid").splitlines()[1:]
        wrong += ["a process runs as root"] if any(line.split()[1] == "0" for line in processes) else []
        if container["State"].get("Health", {}).get("Status") != "healthy":
            wrong.append("it is not healthy")
    if wrong:
        raise Failure(f"{name}: {', '.join(wrong)}")


def check_secrets(stack: Stack) -> None:
    """No secret stands in a container's configuration, in command lines, in logs or in images."""
    places = {"images": output("docker", "inspect", *map(image, TARGETS))}
    for one in stack.containers():
        name = one["Name"]
        places[f"configuration of {name}"] = json.dumps(one)
        places[f"log of {name}"] = output("docker", "logs", one["Id"])
        if one["State"]["Running"]:
            places[f"processes of {name}"] = output("docker", "top", one["Id"], "-eo", "pid,args")
    secrets = stack.secrets()
    leaks = [
        f"{name} in {place}"
        for name, secret in secrets.items()
        for place, text in places.items()
        if secret in text
    ]
    require(
        not leaks,
        f"no secret of {', '.join(secrets)} in {len(places)} places{': ' if leaks else ''}{leaks or ''}",
    )


def check_everything(stack: Stack) -> None:
    """The whole story, from ``up`` to data that outlive a restart."""
    began = time.monotonic()
    stack.up()
    say(f"from `up` to ready: {time.monotonic() - began:.1f} s")
    stack.make_tokens()
    check_access(stack)
    with stack.client() as http:
        first = finished(http, submit(http, FIRST))
        say(f"from `up` to the first result: {time.monotonic() - began:.1f} s; board: {rows(http, first)}")
        wait_for("all containers are healthy", lambda: all_healthy(stack), limit=START_LIMIT_S)
        check_isolation(stack)
        compute_on_both(stack, http)
        before = compute_while_one_dies(stack, http)
        require(
            {name: n for name, (n, _) in before.items()} == dict.fromkeys(before, 2),
            "each row has its 2 seeds",
        )
        check_secrets(stack)
        stack.compose("down")
        say("everything is stopped; volumes stay")
        stack.up()
        sweeps = {one["name"]: one["id"] for one in get(http, "/api/v1/sweeps")["sweeps"]}
        after = rows(http, get(http, f"/api/v1/sweeps/{sweeps['long']}"))
        require(after == before, f"after the restart the board is the same: {after}")
        again = finished(http, submit(http, FIRST.replace("p: 2", "p: 3")))
        require(set(rows(http, again)) == {"reinmax", "exact"}, "and a new sweep is computed")


def all_healthy(stack: Stack) -> bool | None:
    """``True`` once every container that runs is healthy."""
    running = [one["State"] for one in stack.containers() if one["State"]["Running"]]
    return all(one.get("Health", {}).get("Status") == "healthy" for one in running) or None


@contextmanager
def stack_of_its_own() -> Iterator[Stack]:
    """The stack, not yet started; it is removed in any case, after an error with state and logs."""
    with tempfile.TemporaryDirectory(prefix="heunboard-compose-") as folder:
        stack = Stack(Path(folder) / "secrets")
        try:
            yield stack
        except BaseException:
            stack.compose("ps")
            stack.compose("logs", "--tail", "60")
            raise
        finally:
            stack.compose("down", "--volumes", "--remove-orphans")
            say("the stack is removed")


def main() -> None:
    """Everything; ends the process with 1 and the reason at the first failure."""
    try:
        build()
        with stack_of_its_own() as stack:
            check_everything(stack)
    except (Failure, httpx.HTTPError, subprocess.CalledProcessError) as error:
        sys.exit(f"compose-test FAILED after {time.monotonic() - STARTED:.0f} s: {error}")
    say("compose-test passed")


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="wait longer, on a busy machine (default 1)",
    )
    return parser.parse_args()


STARTED = time.monotonic()
OPTIONS = argparse.Namespace(patience=1.0)

if __name__ == "__main__":
    OPTIONS = options()
    main()
