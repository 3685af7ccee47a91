"""Proves the compose stack once: build, start, submit over HTTP, compute on the Ray worker, read, stop.

Run by ``make compose-test``. Needs a Docker engine; uses the CPU override. Works with the compose plugin and
with the older ``docker-compose``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from service.client import Client

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "heunboard-compose-test"
IMAGE = "heunboard:compose-test"
SWEEP = """
name: compose-test
task: {id: polynomial, p: 2, epochs: 3, steps_per_epoch: 50, latents: 32, batch_size: 64}
estimators: [reinmax, exact]
seeds: 3
"""
START_LIMIT_S = 180
SWEEP_LIMIT_S = 300


def say(text: str) -> None:
    """Print one line of progress with the time since the start."""
    sys.stdout.write(f"[{time.monotonic() - STARTED:6.1f} s] {text}\n")
    sys.stdout.flush()


def compose_command() -> list[str]:
    """``docker compose`` where the plugin is installed, else ``docker-compose``."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise SystemExit(
        "compose-test needs Docker with its compose plugin, or docker-compose; neither was found"
    )


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stack:
    """The compose project of this test with secrets and a port of its own."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        files = ["-f", "docker-compose.yml", "-f", "docker-compose.cpu.yml"]
        self._command = [*compose_command(), "-p", PROJECT, *files]
        self._environment = os.environ | {
            "POSTGRES_PASSWORD": secrets.token_hex(16),
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "HEUNBOARD_IMAGE": IMAGE,
            "HEUNBOARD_PORT": str(self.port),
        }

    def compose(self, *arguments: str, capture: bool = False) -> str:
        """Run one compose command; raises CalledProcessError when it fails."""
        result = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE if capture else None,
        )
        return result.stdout or ""

    def wait_until_ready(self) -> None:
        """Wait for the web service to answer that its database is current."""
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=3).is_success:
                    return
            except httpx.TransportError:
                pass  # not listening yet
            time.sleep(1)  # a poll of a server that is starting, bounded by the deadline
        raise SystemExit(f"the web service was not ready after {START_LIMIT_S} s")

    def worker_hosts(self) -> set[str]:
        """Host names (container ids) of the Ray workers."""
        return {line[:12] for line in self.compose("ps", "-q", "ray-worker-cpu", capture=True).split()}


def build() -> None:
    """Build the image; the classic builder with the host's network also works behind a local proxy."""
    command = ["docker", "build", "--network", "host", "-t", IMAGE, "-f", "docker/Dockerfile", "."]
    subprocess.run(command, cwd=ROOT, env=os.environ | {"DOCKER_BUILDKIT": "0"}, check=True)


def compute(stack: Stack) -> None:
    """Submit a small sweep from outside, wait for it, check where it ran and what its board says."""
    with Client(stack.url) as client:
        sweep = client.submit(SWEEP)
        say(f"submitted sweep {sweep['id']} with {sweep['trials']} trials")
        final = client.wait(sweep["id"], timeout=SWEEP_LIMIT_S)
        if final["state"] != "succeeded":
            raise SystemExit(f"the sweep ended {final['state']}: {final}")
        trials = client.trials(sweep["id"])
        attempts = [a for t in trials for a in client.attempts(t["key"])]
        hosts = {a["provenance"]["host"] for a in attempts}
        if not hosts or not hosts <= stack.worker_hosts():
            raise SystemExit(f"computed on {hosts}, expected the Ray workers {stack.worker_hosts()}")
        say(f"computed on the Ray worker {', '.join(hosts)}")
        board = client.board(final["boards"][0]["id"])
        rows = {row["estimator"]: row for row in board["rows"]}
        if set(rows) != {"reinmax", "exact"} or any(row["n"] != 3 for row in rows.values()):
            raise SystemExit(f"the board should have reinmax and exact with 3 seeds each, got {rows}")
        for name, row in rows.items():
            say(f"board: {name} expected loss {row['metrics']['expected_loss']['mean']:.6f}, n = {row['n']}")


def main() -> None:
    """Build, start, compute, stop; exits non-zero with the reason at the first failure."""
    build()
    say("image built")
    stack = Stack()
    try:
        stack.compose("up", "-d")
        stack.wait_until_ready()
        say(f"stack is up at {stack.url}")
        compute(stack)
    except BaseException:
        stack.compose("ps")
        stack.compose("logs", "--tail", "60")
        raise
    finally:
        stack.compose("down", "--volumes", "--remove-orphans")
        say("stack is down")
    say("compose-test passed")


STARTED = time.monotonic()

if __name__ == "__main__":
    main()
