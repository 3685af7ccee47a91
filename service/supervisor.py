"""``heunboard up``: web and dispatcher as child processes on one machine, one data directory, one end.

The children hold a pipe from this process; when it closes, in whatever way this process ended, they end too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from service.client import ADDRESS_FILE
from service.db import open_engine
from service.errors import HeunboardError, InvalidSettings
from service.migrations import prepare
from service.settings import PREFIX, Settings

READY_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
POLL_S = 0.1
LOG_TAIL_CHARACTERS = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class UpOptions:
    """What ``heunboard up`` can be told.

    Attributes:
        port: loopback port of the web service; 0 takes a free one.
        launcher: ``auto``, ``ray`` or ``local``.
        slots: attempts at the same time; ``None``: one per CPU, or per GPU.
    """

    port: int = 8000
    launcher: str = "auto"
    slots: int | None = None


def up(settings: Settings, options: UpOptions, *, on_ready: Callable[[str], None]) -> None:
    """Start everything, call ``on_ready`` with the address, run until SIGINT or SIGTERM, end everything.

    Raises:
        InvalidSettings: the data directory is in use, or the port is.
        HeunboardError: a child process ended by itself; the message has the end of its log.
    """
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        stack.enter_context(sole_owner(settings.data_home))
        listener = stack.enter_context(listen("127.0.0.1", options.port))
        prepare(open_engine(settings.database))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        web = stack.enter_context(_web(settings, listener))
        _wait_until_ready(url, web, stop)
        dispatcher = stack.enter_context(_dispatcher(settings, options, url))
        stack.enter_context(_published(settings.data_home / ADDRESS_FILE, url))
        if not stop.is_set():
            on_ready(url)
        while not stop.wait(POLL_S):
            web.require_running()
            dispatcher.require_running()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        InvalidSettings: the address cannot be had; the message says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise InvalidSettings(
            f"cannot listen on {host}:{port} ({error.strerror}); another server may be using it: choose "
            "another with --port, or --port 0 for a free one"
        ) from None
    return listener


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; the handlers before it return at the end."""
    stop = threading.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sole_owner(data_home: Path) -> Iterator[None]:
    """Hold the data directory's lock; the system releases it even when this process is killed.

    Raises:
        InvalidSettings: another process holds it.
    """
    data_home.mkdir(parents=True, exist_ok=True)
    with (data_home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InvalidSettings(
                f"the data directory {data_home} is in use by process {lock.read().strip() or 'unknown'} "
                "(another `heunboard up`); stop it, or choose another directory with --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def end_with_parent() -> None:
    """End this process politely when standard input closes, that is when the process that started it ends."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


class Child:
    """A ``heunboard`` command as a child process, with its output in a log file."""

    def __init__(self, arguments: list[str], *, settings: Settings, pass_fds: tuple[int, ...] = ()) -> None:
        self._name = arguments[0]
        self._log = settings.data_home / "logs" / f"{self._name}.log"
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", *arguments, "--end-with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | _environment(settings),
                pass_fds=pass_fds,
                start_new_session=True,  # Ctrl-C goes to the parent, which ends its children in order
            )

    def require_running(self) -> None:
        """Raise HeunboardError, with the end of the log, when the process has ended."""
        status = self._process.poll()
        if status is not None:
            tail = self._log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()
            raise HeunboardError(
                f"`heunboard {self._name}` ended with status {status}; {self._log} ends:\n{tail}"
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the process to end; after ``STOP_LIMIT_S`` seconds end it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()


def _web(settings: Settings, listener: socket.socket) -> Child:
    fd = listener.fileno()
    return Child(["serve", "--fd", str(fd)], settings=settings, pass_fds=(fd,))


def _dispatcher(settings: Settings, options: UpOptions, url: str) -> Child:
    slots = [] if options.slots is None else ["--slots", str(options.slots)]
    arguments = ["dispatch", "--worker-url", url, "--launcher", options.launcher, *slots]
    return Child(arguments, settings=settings)


def _environment(settings: Settings) -> dict[str, str]:
    return {f"{PREFIX}DATA_HOME": str(settings.data_home), f"{PREFIX}DATABASE_URL": settings.database}


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
