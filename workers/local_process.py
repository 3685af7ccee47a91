"""A worker process as its launcher sees it: orders go in, its output goes to the log of the attempt."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, BinaryIO

from workers.marked_logs import TAIL_CHARACTERS
from workers.orders import Order
from workers.ports import Exit

CHUNK = 65_536
WARM = b"w"
"""What a process says when it has got ready; anything else is the end of an attempt."""


class LocalProcess:
    """A process that carries out one order at a time, and the thread that listens to it.

    Args:
        command: what to start; it speaks as :mod:`workers.local_worker` does.
        environment: all variables of the process.
        log_bytes: logs are cut off at this size.
        ended: called from the thread when an attempt has ended, with the process or without.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log_bytes: int,
        ended: Callable[[Exit], None],
    ) -> None:
        self._log_bytes = log_bytes
        self._ended = ended
        self._lock = threading.Lock()  # of the three that follow
        self._attempt: int | None = None
        self._log: _Log | None = None
        self._early = b""
        self._gone = self._warm = False
        self._orders = 0
        self._line, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as on_error:
            on_error.callback(self._line.close)
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                # Ctrl-C goes to the dispatcher, which ends its workers itself, each as a group of its own.
                start_new_session=True,
            )
            on_error.pop_all()
        self._thread = threading.Thread(target=self._listen, name=f"worker-{self._process.pid}")
        self._thread.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether the process has ended."""
        with self._lock:
            return self._gone

    @property
    def warm(self) -> bool:
        """Whether it has got ready for its first attempt, or has ended."""
        with self._lock:
            return self._warm or self._gone

    @property
    def orders(self) -> int:
        """How many orders it was given."""
        return self._orders

    def begin(self, order: Order, log: Path) -> bool:
        """Hand over an order; ``False`` when the process has ended and can take none.

        When it ends from now on, that is the end of this attempt.
        """
        with self._lock:
            if self._gone:
                return False
            self._close_log()
            self._attempt, self._log = order.attempt_id, _Log(log, self._log_bytes)
            self._log.write(self._early)
            self._early = b""
            self._orders += 1
        with contextlib.suppress(OSError):  # it has just died; the thread reports how
            self._line.sendall(order.to_json().encode() + b"\n")
        return True

    def kill(self) -> None:
        """End it without asking, and the compilers it has started: they would hold its output open."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it and wait until it is gone."""
        self.kill()
        self._thread.join()
        self._line.close()
        self._close_log()

    def _listen(self) -> None:
        """Copy output and pass on the ends of attempts until the process closes both."""
        output = _stream(self._process.stdout)
        with output, selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            selector.register(self._line, selectors.EVENT_READ)
            while selector.get_map():
                ready = {key.fileobj for key, _ in selector.select()}
                if output in ready:  # before the line: what it wrote belongs to the attempt that it ended
                    self._read(selector, output)
                elif self._line in ready:
                    self._hear(selector)
        self._bury()

    def _read(self, selector: selectors.BaseSelector, output: IO[bytes]) -> None:
        chunk = os.read(output.fileno(), CHUNK)
        if not chunk:
            selector.unregister(output)
        with self._lock:
            if self._log is not None:
                self._log.write(chunk)
            else:  # it speaks before it has an order: that belongs to the first one
                self._early = (self._early + chunk)[: self._log_bytes]

    def _hear(self, selector: selectors.BaseSelector) -> None:
        try:
            said = self._line.recv(1)
        except ConnectionResetError:  # it died with an order unread
            said = b""
        if said == WARM:
            with self._lock:
                self._warm = True
        elif said:
            self._end_attempt(None)
        else:
            selector.unregister(self._line)

    def _bury(self) -> None:
        """The process has ended: so has its attempt, if it had one."""
        status = self._process.wait()
        with self._lock:
            self._gone = True
            log = self._log
        self._end_attempt(log.describe_end(status) if log is not None else None)

    def _end_attempt(self, error: str | None) -> None:
        with self._lock:
            attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._ended(Exit(attempt_id=attempt, error=error))

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()


class _Log:
    """The log of one attempt; what exceeds ``limit`` bytes is dropped, with a note."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit, self._left = path, limit, limit
        self._file: BinaryIO = path.open("wb")

    def write(self, chunk: bytes) -> None:
        """Append, as far as there is room."""
        if self._left <= 0:
            return
        self._file.write(chunk[: self._left])
        if len(chunk) >= self._left:
            self._file.write(f"\n[cut off at {self._limit} bytes]\n".encode())
        self._file.flush()
        self._left -= len(chunk)

    def close(self) -> None:
        """Nothing is written from now on."""
        self._file.close()

    def describe_end(self, status: int) -> str | None:
        """An exit status as a sentence with the end of the log; ``None`` for a clean end."""
        if status == 0:
            return None
        if status < 0:
            how = f"was ended by signal {-status} ({signal.Signals(-status).name})"
        else:
            how = f"exited with status {status}"
        tail = self._path.read_text(errors="replace")[-TAIL_CHARACTERS:].strip()
        return f"the worker process {how}" + (f"; its log ends:\n{tail}" if tail else "; it wrote no log")


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # the process is started with a pipe
    return stream
