"""Attempts in subprocesses of this machine: for tests, laptops and machines without Ray.

Processes (:mod:`workers.local_worker`) are started ahead of need, one for each slot, and are kept for the
next attempt, with the torch they have loaded and the programs they have compiled. They get their orders, with
the secret, through a socket and end when it closes, so none outlives the dispatcher. One that dies loses the
attempt it was at and is replaced; one that is at its last attempt already has its successor.
"""

from __future__ import annotations

import logging
import os
import queue
import socket
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from workers.local_process import LocalProcess
from workers.orders import ATTEMPTS_PER_PROCESS, WITHHELD, WorkerConfig, worker_environment
from workers.ports import Claim, Exit, NodeReport

_log = logging.getLogger(__name__)

LOG_BYTES = 1_000_000


class LocalLauncher:
    """Implements :class:`workers.ports.Launcher` with subprocesses on this machine.

    Args:
        config: what the workers need to know.
        slots: processes at the same time.
        log_dir: folder of the attempts' logs, ``<attempt>.log`` each.
        device: torch device of every worker.
        log_bytes: a log is cut off at this size.
        command: what is started instead of the worker, for tests; the device is its last argument.
    """

    def __init__(
        self,
        config: WorkerConfig,
        *,
        slots: int,
        log_dir: Path,
        device: str = "cpu",
        log_bytes: int = LOG_BYTES,
        command: Sequence[str] = (sys.executable, "-m", "workers.local_worker"),
    ) -> None:
        self._config = config
        self._slots = slots
        self._node, self._avoided = socket.gethostname(), False
        self._log_dir = log_dir
        self._device = device
        self._log_bytes = log_bytes
        self._command = (*command, device)
        self._running: dict[int, LocalProcess] = {}
        self._idle: list[LocalProcess] = []
        self._exits: queue.SimpleQueue[Exit] = queue.SimpleQueue()
        self._unbegun: list[Exit] = []

    def prepare(self) -> None:
        """Start the processes of all slots, which load what they need while there is nothing to do."""
        self._replenish()

    def preparing(self) -> int:
        """How many processes are still getting ready."""
        return sum(not process.warm for process in (*self._idle, *self._running.values()))

    def slots(self) -> int:
        """How many attempts can run at the same time; none while this machine is avoided."""
        return 0 if self._avoided else self._slots

    def nodes(self) -> Sequence[NodeReport]:
        """This machine."""
        free = max(0, self._slots - len(self._running))
        return [NodeReport(name=self._node, device=self._device, slots=self._slots, free=free)]

    def avoid(self, names: Collection[str]) -> None:
        """Let nothing begin while this machine is among these."""
        self._avoided = self._node in names

    def side_by_side(self) -> bool:
        """Whether the lanes of an attempt run at the same time."""
        return self._device != "cpu"

    def submit(self, claim: Claim) -> None:
        """Give the attempt's order to a process that waits for one, or to a new one.

        When the machine has no process or no file for it, ``poll`` tells.
        """
        try:
            self._running[claim.attempt_id] = self._begin(claim)
        except OSError as error:
            reason = f"its worker process could not be started: {error}"
            self._unbegun.append(Exit(attempt_id=claim.attempt_id, error=reason, infrastructure=True))
        self._replenish()

    def _begin(self, claim: Claim) -> LocalProcess:
        self._log_dir.mkdir(parents=True, exist_ok=True)
        order, log = self._config.order(claim, self._device), self._log_dir / f"{claim.attempt_id}.log"
        process = self._next_process()
        while not process.begin(order, log):
            process.close()
            process = self._next_process()
        return process

    def poll(self, timeout: float) -> Sequence[Exit]:
        """Attempts that ended since the last call; waits up to ``timeout`` seconds for the first."""
        exits, self._unbegun = self._unbegun, []
        while self._running:
            try:
                exit_ = self._exits.get(timeout=0 if exits else timeout)
            except queue.Empty:
                break
            self._idle.append(self._running.pop(exit_.attempt_id))
            exits.append(exit_)
        if exits:
            self._replenish()
        return exits

    def kill(self, attempt_id: int) -> None:
        """End the attempt's process without asking it; ``poll`` reports its end."""
        if process := self._running.get(attempt_id):
            process.kill()

    def pid(self, attempt_id: int) -> int:
        """Process id of a running attempt; KeyError when it is not running."""
        return self._running[attempt_id].pid

    def close(self) -> None:
        """End all attempts and wait for their processes."""
        processes = [*self._running.values(), *self._idle]
        self._running.clear()
        self._idle.clear()
        for process in processes:
            process.kill()
        for process in processes:
            process.close()

    def _next_process(self) -> LocalProcess:
        """The process that was used last of those that wait, or a new one."""
        return self._idle.pop() if self._idle else self._start()

    def _replenish(self) -> None:
        """Have a process for each slot that will take another order; what cannot be started is logged."""
        for process in [process for process in self._idle if process.gone]:
            self._idle.remove(process)
            process.close()
        lasting = len(self._idle) + sum(p.orders < ATTEMPTS_PER_PROCESS for p in self._running.values())
        try:
            for _ in range(self._slots - lasting):
                self._idle.insert(0, self._start())
        except OSError as error:
            _log.warning("a worker process could not be started ahead of need: %s", error)

    def _start(self) -> LocalProcess:
        return LocalProcess(
            self._command, environment=_environment(), log_bytes=self._log_bytes, ended=self._exits.put
        )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in WITHHELD}
    return kept | worker_environment(kept)
