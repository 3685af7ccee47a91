"""``heunboard up``: web and dispatcher as child processes on one machine, one data directory, one end."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.client import ADDRESS_FILE
from service.errors import HeunboardError, InvalidSettings
from service.processes.children import STOP_LIMIT_S, Child, sole_owner, stop_on_signals
from service.processes.dispatch import name_of_its_own
from service.settings import PREFIX, Settings
from service.storage.engine import open_engine
from service.storage.migrations import prepare

READY_LIMIT_S = 60.0
POLL_S = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class UpOptions:
    """Options of ``heunboard up``.

    Attributes:
        port: loopback port of the web service; 0 takes a free one.
        launcher: ``auto``, ``ray`` or ``local``.
        slots: attempts at the same time; ``None``: one per CPU, or per GPU.
    """

    port: int = 8000
    launcher: str = "auto"
    slots: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tell:
    """Whom ``heunboard up`` tells what happens.

    Attributes:
        ready: called once, with the address, when the pages answer.
        workers_ready: called once after that, when the workers' processes have loaded what they need. Sweeps
            may be submitted before; their first trials then wait for that.
        warning: called with one line for each child that is started again.
        ending: called when everything is about to end, which takes as long as attempts need to stop.
    """

    ready: Callable[[str], None]
    workers_ready: Callable[[], None]
    warning: Callable[[str], None]
    ending: Callable[[], None]


def up(settings: Settings, options: UpOptions, tell: Tell) -> None:
    """Start everything, run until SIGINT or SIGTERM, end everything.

    A child that ends by itself is started again: all truth is in the database, so nothing is lost with it.

    Args:
        settings: data directory and database.
        options: see :class:`UpOptions`.
        tell: what to call meanwhile.

    Raises:
        InvalidSettings: the data directory is in use, or the port is, or a child cannot use its arguments.
        HeunboardError: a child ended at its start, or again and again; the message has the end of its log.
    """
    stop = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(stop_on_signals(stop))
        stack.enter_context(sole_owner(settings.data_home))
        (settings.data_home / ADDRESS_FILE).unlink(missing_ok=True)  # of one that was killed
        listener = stack.enter_context(listen("127.0.0.1", options.port))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        web = stack.enter_context(_web(settings, listener))
        workers = stack.enter_context(_Signal())
        dispatcher = stack.enter_context(_dispatcher(settings, options, url, workers))
        prepare(open_engine(settings.database))  # while they start; whoever comes first does it for all
        _wait_until_ready(url, web, stop)
        stack.enter_context(_published(settings.data_home / ADDRESS_FILE, url))
        if not stop.is_set():
            tell.ready(url)
        while not stop.wait(POLL_S):
            if workers.came():
                tell.workers_ready()
            web.revive(tell.warning, stop)
            dispatcher.revive(tell.warning, stop)
        tell.ending()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InvalidSettings: the address cannot be had; the message says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol: else answers on kept connections wait 40 ms for the acknowledgement of their head,
    # since only sockets of a known protocol are told not to (TCP_NODELAY).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InvalidSettings(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another port with --port, or "
            "--port 0 for a free one"
        ) from None
    return listener


def _web(settings: Settings, listener: socket.socket) -> Child:
    fd = listener.fileno()
    return _child(settings, ["serve", "--fd", str(fd)], pass_fds=(fd,))


def _dispatcher(settings: Settings, options: UpOptions, url: str, workers: _Signal) -> Child:
    slots = [] if options.slots is None else ["--slots", str(options.slots)]
    ready = ["--ready-fd", str(workers.fd)]
    owner = ["--owner", _identity(settings.data_home)]
    arguments = ["dispatch", "--worker-url", url, "--launcher", options.launcher, *owner, *ready, *slots]
    return _child(settings, arguments, pass_fds=(workers.fd,))


def _identity(data_home: Path) -> str:
    """What this directory's dispatcher is called, today and after a restart; nobody else's is called so.

    A new dispatcher takes over what one of its name has left. The caller holds the directory's lock.
    """
    file = data_home / "dispatcher"
    if not file.exists():
        file.write_text(f"{name_of_its_own()}\n")
    return file.read_text().strip()


class _Signal:
    """A line that a child writes once, through a pipe whose end ``fd`` it inherits."""

    def __init__(self) -> None:
        self._reading, self.fd = os.pipe()
        os.set_blocking(self._reading, False)
        self._came = False

    def came(self) -> bool:
        """Whether it has come since this was asked last; ``True`` at most once."""
        if not self._came:
            with contextlib.suppress(BlockingIOError):
                self._came = bool(os.read(self._reading, select.PIPE_BUF))
                return self._came
        return False

    def __enter__(self) -> _Signal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._reading)
        os.close(self.fd)


def _child(settings: Settings, arguments: list[str], *, pass_fds: tuple[int, ...] = ()) -> Child:
    environment = {
        f"{PREFIX}DATA_HOME": str(settings.data_home),
        f"{PREFIX}DATABASE_URL": settings.database,
        f"{PREFIX}DATABASE_PASSWORD_FILE": "",  # it is in the URL now
        f"{PREFIX}CHECKPOINTS": settings.checkpoints,
        f"{PREFIX}LOG_FORMAT": settings.log_format or "text",  # people read these files
    }
    log = settings.data_home / "logs" / f"{arguments[0]}.log"
    limit = STOP_LIMIT_S + settings.stop_seconds + settings.drain_seconds
    return Child(arguments, log=log, environment=environment, pass_fds=pass_fds, stop_limit=limit)


def _wait_until_ready(url: str, web: Child, stop: threading.Event) -> None:
    deadline = time.monotonic() + READY_LIMIT_S
    while time.monotonic() < deadline:
        web.require_running()
        # The socket listens already, so a request waits for the server instead of being refused.
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return
        if stop.wait(POLL_S):
            return
    raise HeunboardError(f"the web service at {url} was not ready after {READY_LIMIT_S:g} s")


@contextmanager
def _published(file: Path, url: str) -> Iterator[None]:
    """Leave the address where the command line finds it, as long as the server runs."""
    file.write_text(url + "\n")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
