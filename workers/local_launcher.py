"""Attempts as local subprocesses: for tests, laptops and machines without Ray.

Every attempt is a process of its own, ``python -m workers.local_launcher``, that reads its order (with the
secret) from standard input and ends when that pipe closes, so none outlives the dispatcher.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

from workers.ports import Claim, Exit
from workers.worker import WITHHELD, Order, WorkerConfig, execute, worker_environment

LOG_BYTES = 1_000_000
TAIL_CHARACTERS = 2_000
CHUNK = 65_536
ORPHANED = 3  # exit status of a worker whose dispatcher is gone


@dataclass(frozen=True, slots=True)
class _Worker:
    """A running process and the thread that copies its output and waits for its end."""

    process: subprocess.Popen[bytes]
    log: Path
    watcher: threading.Thread = field(repr=False)


class LocalLauncher:
    """Implements :class:`workers.ports.Launcher` with subprocesses on this machine.

    Args:
        config: what the workers need to know.
        slots: processes at the same time.
        log_dir: folder of the attempts' logs, ``<attempt>.log`` each.
        device: torch device of every worker.
        log_bytes: a log is cut off at this size.
        command: what is started instead of the worker, for tests.
    """

    def __init__(
        self,
        config: WorkerConfig,
        *,
        slots: int,
        log_dir: Path,
        device: str = "cpu",
        log_bytes: int = LOG_BYTES,
        command: Sequence[str] = (sys.executable, "-m", "workers.local_launcher"),
    ) -> None:
        self._config = config
        self._slots = slots
        self._log_dir = log_dir
        self._device = device
        self._log_bytes = log_bytes
        self._command = tuple(command)
        self._running: dict[int, _Worker] = {}
        self._exits: queue.SimpleQueue[Exit] = queue.SimpleQueue()

    def slots(self) -> int:
        """How many attempts can run at the same time."""
        return self._slots

    def submit(self, claim: Claim) -> None:
        """Start the attempt's process and give it its order."""
        log = self._log_dir / f"{claim.attempt_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            start_new_session=True,  # Ctrl-C goes to the dispatcher, which ends its workers itself
        )
        watcher = threading.Thread(
            target=self._watch, args=(claim.attempt_id, process, log), name=f"attempt-{claim.attempt_id}"
        )
        self._running[claim.attempt_id] = _Worker(process, log, watcher)
        watcher.start()
        self._send_order(process, claim)

    def poll(self, timeout: float) -> Sequence[Exit]:
        """Attempts that ended since the last call; waits up to ``timeout`` seconds for the first."""
        exits: list[Exit] = []
        while self._running:
            try:
                exit_ = self._exits.get(timeout=0 if exits else timeout)
            except queue.Empty:
                break
            self._forget(exit_.attempt_id)
            exits.append(exit_)
        return exits

    def kill(self, attempt_id: int) -> None:
        """End the attempt's process without asking it; ``poll`` reports its end."""
        if worker := self._running.get(attempt_id):
            worker.process.kill()

    def pid(self, attempt_id: int) -> int:
        """Process id of a running attempt; KeyError when it is not running."""
        return self._running[attempt_id].process.pid

    def close(self) -> None:
        """End all attempts and wait for their processes."""
        for attempt_id in self._running:
            self.kill(attempt_id)
        for attempt_id in list(self._running):
            self._forget(attempt_id)

    def _order(self, claim: Claim) -> Order:
        return Order(
            url=self._config.url,
            attempt_id=claim.attempt_id,
            secret=claim.secret,
            device=self._device,
            data_dir=self._config.data_dir,
        )

    def _send_order(self, process: subprocess.Popen[bytes], claim: Claim) -> None:
        stdin = _pipe(process.stdin)
        with contextlib.suppress(BrokenPipeError):  # it died at once; the watcher reports how
            stdin.write(self._order(claim).to_json().encode() + b"\n")
            stdin.flush()  # and stays open: its end tells the worker that the dispatcher is gone

    def _watch(self, attempt_id: int, process: subprocess.Popen[bytes], log: Path) -> None:
        _copy(_pipe(process.stdout), log, self._log_bytes)
        error = _describe_end(process.wait(), log)
        self._exits.put(Exit(attempt_id=attempt_id, error=error))

    def _forget(self, attempt_id: int) -> None:
        worker = self._running.pop(attempt_id)
        worker.watcher.join()
        _close_quietly(_pipe(worker.process.stdin))
        _pipe(worker.process.stdout).close()


def main() -> int:
    """The worker process: read one order from standard input, carry it out, exit 0."""
    order = Order.from_json(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, name="parent-watch", daemon=True).start()
    execute(order)
    return 0


def _exit_with_parent() -> None:
    """Block until standard input closes, which happens when the dispatcher ends in whatever way."""
    # Not sys.stdin.read(): a daemon thread that holds its lock at exit makes the interpreter abort.
    while os.read(0, CHUNK):
        pass
    os._exit(ORPHANED)


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    return kept | worker_environment(kept)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # every process is started with pipes
    return stream


def _close_quietly(stream: IO[bytes]) -> None:
    with contextlib.suppress(BrokenPipeError):  # an order that a dead process never read
        stream.close()


def _copy(source: IO[bytes], log: Path, limit: int) -> None:
    """Copy until the end of ``source``; what exceeds ``limit`` bytes is read and dropped, with a note."""
    with log.open("wb") as target:
        left = limit
        while chunk := os.read(source.fileno(), CHUNK):
            left = _write_limited(target, chunk, left, limit)


def _write_limited(target: BinaryIO, chunk: bytes, left: int, limit: int) -> int:
    if left <= 0:
        return left
    target.write(chunk[:left])
    if len(chunk) >= left:
        target.write(f"\n[cut off at {limit} bytes]\n".encode())
    target.flush()
    return left - len(chunk)


def _describe_end(status: int, log: Path) -> str | None:
    """Exit status as a sentence with the end of the log; ``None`` for a clean end."""
    if status == 0:
        return None
    if status < 0:
        how = f"was ended by signal {-status} ({signal.Signals(-status).name})"
    else:
        how = f"exited with status {status}"
    tail = log.read_text(errors="replace")[-TAIL_CHARACTERS:].strip()
    return f"the worker process {how}" + (f"; its log ends:\n{tail}" if tail else "; it wrote no log")


if __name__ == "__main__":
    sys.exit(main())
