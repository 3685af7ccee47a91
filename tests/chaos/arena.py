"""What is put through chaos: a database, a web service and dispatchers, which start again when they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from service.client import Client, ClientError
from service.storage import migrations
from service.storage.engine import read
from service.storage.models import Attempt, Trial
from tests.chaos.process import UNFENCED
from tests.support.databases import engine_of
from tests.support.postgresql import Server, postgresql
from tests.support.processes import alive, command_line, end, family, program, until

RESTART_SECONDS = 0.5
LOOK_SECONDS = 0.1
READY_SECONDS = 120.0
LAST_ATTEMPTS = 50
BACKLOG = 16
"""Trials that wait or run, at the least, while there are faults: no slot is idle for want of work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How an arena is set up.

    Attributes:
        launchers: of the dispatchers.
        slots: of each of them.
        lease_seconds: silence after which an attempt is given up.
        fenced: whether reports of attempts that were given up are refused.
    """

    launchers: Sequence[str] = ("local", "ray")
    slots: int = 1
    lease_seconds: float = 15.0
    fenced: bool = True


class Progress(NamedTuple):
    """How far an attempt is."""

    owner: str
    attempt: int
    steps: int
    finished: bool


class Service:
    """A command in a process of its own, started again half a second after it has ended."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self._command, self._environment, self._log = name, command, environment, log
        self._ending = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name=name, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def close(self) -> None:
        """End it and what it has started."""
        self._ending.set()
        self._thread.join()
        pids = family(self._process.pid)
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        end(pids)
        self._process.wait()
        self._close_pipe()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*self._command, "--end-with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self._environment),
                start_new_session=True,
            )

    def _watch(self) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            if self._process.poll() is not None and not self._ending.wait(RESTART_SECONDS):
                self._close_pipe()
                self._process = self._start()

    def _close_pipe(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()


class Arena:
    """The processes of a running Heunboard and how to get hold of them.

    Args:
        folder: of data, logs and the clock.
        url: of the database.
        rules: see :class:`Rules`.
        server: the PostgreSQL behind ``url``, if it is one.
    """

    def __init__(self, folder: Path, url: str, rules: Rules, server: Server | None) -> None:
        self.folder, self.database, self.rules, self.server = folder, url, rules, server
        self._clock = folder / "clock"
        self.shift = 0.0
        self.step_clock(0.0)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.engine = sa.create_engine("sqlite://")  # replaced before anything is asked
        self._services: dict[str, Service] = {}
        self._port = port
        self._sweeps = 0

    def start(self) -> None:
        """Start everything and wait until it answers."""
        self._services["web"] = self._service("web", "serve", f"--port={self._port}")
        for launcher in self.rules.launchers:
            options = (f"--launcher={launcher}", f"--owner={launcher}", f"--slots={self.rules.slots}")
            self._services[launcher] = self._service(
                launcher, "dispatch", f"--worker-url={self.url}", *options
            )
        with Client(self.url) as client:
            until(lambda: _answers(client), "the web service answers", limit=READY_SECONDS)

    def close(self) -> None:
        """End everything."""
        for service in reversed(self._services.values()):
            service.close()

    def pid(self, service: str) -> int:
        """Process id of ``web`` or of the dispatcher with this launcher."""
        return self._services[service].pid

    def node(self, launcher: str) -> list[int]:
        """Process ids of a dispatcher and everything it has started."""
        return family(self.pid(launcher))

    def workers(self, launcher: str) -> list[int]:
        """Process ids of a dispatcher's workers; with Ray those that compute."""
        mark = {"local": "workers.local_worker", "ray": "ray::cohort"}[launcher]
        return [pid for pid in self.node(launcher)[1:] if mark in command_line(pid)]

    def part(self, name: str) -> list[int]:
        """Process ids of a part of Ray, ``raylet`` or ``gcs_server``."""
        found = self.node("ray") if "ray" in self._services else []
        return [pid for pid in found if program(pid) == name]

    def step_clock(self, seconds: float) -> None:
        """Set the clock that all processes go by forward, or back."""
        self.shift += seconds
        new = self._clock.with_suffix(".new")
        new.write_text(str(self.shift))
        new.replace(self._clock)

    def progress(self) -> list[Progress] | None:
        """How far the last attempts are that were not lost; ``None`` while the database is away."""
        with suppress(SQLAlchemyError), read(self.engine) as connection:
            rows = connection.execute(
                sa.select(Attempt.owner, Attempt.id, Attempt.steps_done, Attempt.state == "finished")
                .where(Attempt.state != "lost")
                .order_by(Attempt.id.desc())
                .limit(LAST_ATTEMPTS)
            )
            return [Progress(*row) for row in rows]
        return None

    def unfinished(self) -> int:
        """Trials that wait or run."""
        with read(self.engine) as connection:
            waiting = sa.select(sa.func.count()).where(Trial.state.in_(("queued", "running")))
            return int(connection.execute(waiting).scalar_one())

    def submit_next(self, sweeps: Sequence[dict[str, Any]]) -> int:
        """Submit the next sweep if there is no backlog; returns how many were submitted so far."""
        with suppress(ClientError, SQLAlchemyError), Client(self.url) as client:
            if self._sweeps < len(sweeps) and self.unfinished() < BACKLOG:
                # With a key of its own: a repetition of what was stored, but not answered, changes nothing.
                client.submit(sweeps[self._sweeps], idempotency_key=f"chaos-{self._sweeps}")
                self._sweeps += 1
        return self._sweeps

    def _service(self, name: str, *arguments: str) -> Service:
        fence = "fenced" if self.rules.fenced else UNFENCED
        command = [sys.executable, "-m", "tests.chaos.process", str(self._clock), fence, *arguments]
        return Service(name, command, self._environment(), self.folder / f"{name}.log")

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "HEUNBOARD_DATA_HOME": str(self.folder),
            "HEUNBOARD_DATABASE_URL": self.database,
            "HEUNBOARD_LEASE_SECONDS": str(self.rules.lease_seconds),
            "HEUNBOARD_MAX_ATTEMPTS": "1000",  # faults are many here, and no trial is to blame for them
            "HEUNBOARD_BACKOFF_SECONDS": "0.2",
            "HEUNBOARD_MAX_LANES": "4",
            "RAY_worker_niceness": "0",  # by default 15: beside other programs they would starve
            "OMP_NUM_THREADS": "1",
        }


def freeze(pids: Sequence[int]) -> None:
    """Stop processes until :func:`thaw`."""
    _signal(pids, signal.SIGSTOP)


def thaw(pids: Sequence[int]) -> None:
    """Let frozen processes go on."""
    _signal(pids, signal.SIGCONT)


def kill(pids: Sequence[int]) -> None:
    """SIGKILL; returns when they are gone."""
    end(pids)
    until(lambda: not any(map(alive, pids)), "they are gone")


def terminate(pid: int) -> None:
    """SIGTERM; returns when it is gone."""
    _signal([pid], signal.SIGTERM)
    until(lambda: not alive(pid), "it is gone")


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


@contextmanager
def arena(folder: Path, backend: str, rules: Rules) -> Iterator[Arena]:
    """A running arena on a database of its own."""
    home = folder / "home"  # which becomes private, while PostgreSQL may run as a user of its own
    home.mkdir()
    with ExitStack() as stack:
        server, url = None, f"sqlite:///{home / 'heunboard.sqlite'}"
        if backend == "postgresql":
            server = stack.enter_context(postgresql(folder / "pg"))
            url = server.url
        made = Arena(home, url, rules, server)
        made.engine = stack.enter_context(engine_of(url))
        migrations.upgrade(made.engine)
        stack.callback(made.close)
        made.start()
        yield made


def _answers(client: Client) -> bool:
    with suppress(ClientError):
        return client.newest_sweeps(1) is not None
    return False
