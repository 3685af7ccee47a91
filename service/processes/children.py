"""Processes of ``heunboard`` on one machine: how they start, follow each other, start again and end.

A child holds a pipe from its parent as standard input; when it closes, in whatever way the parent ended, the
child ends too.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from service.errors import HeunboardError, InvalidSettings
from service.exit_status import ExitStatus

STOP_LIMIT_S = 20.0
"""What a process has to end that is asked to, besides what its settings give it."""
MAX_RESTARTS = 5
RESTART_WINDOW_S = 600.0
FIRST_PAUSE_S = 0.5
LOG_TAIL_CHARACTERS = 2_000
LOG_BYTES = 20_000_000
"""Of a child's log; beyond that it becomes the log before, ``NAME.log.1``."""
COLLECT_AFTER = 50_000
"""Objects more than before that cycles are looked for among; Python's default is 700."""
SWITCH_S = 0.0005
"""After which a thread that computes lets others go on that wait to; Python's default is ten times that."""


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM set ``stop``, however often they come; the handlers before return at the end.

    Only the main thread of a process may call it.
    """
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def collect_garbage_rarely() -> None:
    """Of a server that has started: what is loaded stays, and a wide sweep makes hundreds of thousands of
    objects at once, which looking for cycles among them makes a third slower."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)


def take_turns_quickly() -> None:
    """Of a server whose threads wait for a network or a database many times a request, and after each time
    for the thread that computes: keys of a wide sweep, or a board."""
    sys.setswitchinterval(SWITCH_S)


def keep_private(data_home: Path) -> None:
    """Let nobody but this user read what this process and its children write, nor look into the data
    directory: logs hold tracebacks, the database all results.
    """
    os.umask(0o077)
    with suppress(OSError):  # it does not exist yet, or belongs to somebody else, who decides
        data_home.chmod(0o700)


@contextmanager
def sole_owner(data_home: Path) -> Iterator[None]:
    """Hold the data directory's lock; the system releases it even when this process is killed.

    Raises:
        InvalidSettings: the directory cannot be written to, or another process holds it.
    """
    with _open_lock(data_home) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise InvalidSettings(
                f"the data directory {data_home} is in use by process {lock.read().strip() or 'unknown'}, "
                "another `heunboard up`: end that one, or choose another directory with --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def end_with_parent() -> None:
    """End this process politely when standard input closes, that is when the process that started it ends."""

    def watch() -> None:
        # Not sys.stdin.read: Python aborts at its end when a thread holds the lock of a buffered file.
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()


class Child:
    """A ``heunboard`` command as a child process with a log file, ended at the end of a ``with`` block.

    Args:
        arguments: the command and its arguments.
        log: where its output goes; what was there before is replaced.
        environment: variables besides those of this process.
        pass_fds: open files that it inherits.
        stop_limit: seconds that it has to end when it is asked to.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        pass_fds: tuple[int, ...] = (),
        stop_limit: float = STOP_LIMIT_S,
    ) -> None:
        self._arguments = tuple(arguments)
        self._log = log
        self._environment = environment
        self._pass_fds = pass_fds
        self._stop_limit = stop_limit
        self._ends: list[float] = []
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._process = self._start()

    def require_running(self) -> None:
        """Raise HeunboardError, with the end of the log, when the process has ended."""
        if self._process.poll() is not None:
            raise self._error(how_it_ended(self._process.returncode))

    def revive(self, notify: Callable[[str], None], stop: threading.Event) -> None:
        """Start the process again when it has ended by itself, after a pause that doubles each time.

        Args:
            notify: called with one line about what happened.
            stop: ends the pause, and then nothing is started.

        Raises:
            InvalidSettings: it ended because of what it was given.
            HeunboardError: it ended more than ``MAX_RESTARTS`` times in ``RESTART_WINDOW_S`` seconds.
        """
        turn_over(self._log)
        if self._process.poll() is None:
            return
        how = how_it_ended(self._process.returncode)
        if self._process.returncode == ExitStatus.WRONG_INPUT:
            raise InvalidSettings(str(self._error(how)))
        now = time.monotonic()
        self._ends = [at for at in self._ends if now - at < RESTART_WINDOW_S] + [now]
        if len(self._ends) > MAX_RESTARTS:
            raise self._error(f"{how}, {len(self._ends)} times in {RESTART_WINDOW_S / 60:g} minutes")
        notify(f"`heunboard {self._arguments[0]}` {how}; starting it again. Its log: {self._log}")
        if not stop.wait(FIRST_PAUSE_S * 2 ** (len(self._ends) - 1)):
            self._close_pipe()
            self._process = self._start()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask the process to end; after ``stop_limit`` seconds end it."""
        self._process.terminate()
        try:
            self._process.wait(self._stop_limit)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close_pipe()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "service.cli", *self._arguments, "--end-with-parent"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment},
                pass_fds=self._pass_fds,
                start_new_session=True,  # Ctrl-C goes to the parent, which ends its children in order
            )

    def _close_pipe(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()

    def _error(self, how: str) -> HeunboardError:
        return HeunboardError(f"`heunboard {self._arguments[0]}` {how}; {tail(self._log)}")


def turn_over(log: Path, most: int = LOG_BYTES) -> None:
    """Begin a log anew that has grown too long, and keep what it holds beside it.

    Who writes has it open for appending, and so goes on at its new beginning.
    """
    if log.stat().st_size > most:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def how_it_ended(status: int) -> str:
    """A return code of ``subprocess`` in words."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def tail(log: Path) -> str:
    """The end of a log, introduced by its name."""
    text = log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:].strip()
    return f"{log} ends:\n{text}" if text else f"{log} is empty"


def _open_lock(data_home: Path) -> TextIO:
    try:
        data_home.mkdir(parents=True, exist_ok=True)
        return (data_home / "lock").open("a+")
    except OSError as error:
        raise InvalidSettings(
            f"cannot write to the data directory {data_home} ({error.strerror}); choose another with --data "
            "or HEUNBOARD_DATA_HOME"
        ) from None
