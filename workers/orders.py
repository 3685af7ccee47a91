"""What a launcher hands to a worker process, and the process side that carries it out."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

# Workers report over HTTP: the database's address and password stay in the dispatcher.
from benchmarks.process import allocator, compile_cache
from workers.checkpoints import LEAST_SECONDS
from workers.ports import Claim
from workers.version import VersionMismatch, package_version

# Workers report over HTTP: the database's address and password stay in the dispatcher.
WITHHELD = frozenset({"HEUNBOARD_DATABASE_URL", "HEUNBOARD_DATABASE_PASSWORD_FILE"})

FAILED = "failed"
"""How an attempt ends in which something was raised: the process may be the worse for it and is replaced."""

ATTEMPTS_PER_PROCESS = 100
"""Then a worker process is replaced. It keeps all programs it compiled and the memory of its largest attempt,
and torch stops compiling in a process after a number of programs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """What all attempts of a launcher have in common.

    Attributes:
        url: address of the web service as the workers reach it.
        data_dir: where data sets lie on the workers; ``None`` for the default there.
        checkpoints: address of the store of checkpoints as the workers reach it (see
            :mod:`workers.checkpoint_store`); ``None``: none are kept.
        checkpoint_seconds: of work that may be lost (see :class:`workers.checkpoints.Interval`).
    """

    url: str
    data_dir: str | None = None
    checkpoints: str | None = None
    checkpoint_seconds: float = LEAST_SECONDS

    def order(self, claim: Claim, device: str) -> Order:
        """What a worker process on a device is told of a claim."""
        return Order(
            heunboard=package_version(),
            url=self.url,
            attempt_id=claim.attempt_id,
            secret=claim.secret,
            device=device,
            data_dir=self.data_dir,
            checkpoints=self.checkpoints,
            checkpoint_seconds=self.checkpoint_seconds,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """One attempt for one worker process, from a dispatcher of the version ``heunboard``."""

    heunboard: str
    url: str
    attempt_id: int
    secret: str
    device: str
    data_dir: str | None
    checkpoints: str | None = None
    checkpoint_seconds: float = LEAST_SECONDS

    def to_json(self) -> str:
        """One line of JSON, the inverse of :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Order:
        """Read what :meth:`to_json` wrote.

        Raises:
            VersionMismatch: a dispatcher of another version did, whose results could be others.
        """
        data = json.loads(line)
        theirs, mine = data.get("heunboard", "an unknown version"), package_version()
        if theirs != mine:
            host = socket.gethostname()
            raise VersionMismatch(
                f"the worker on {host} has Heunboard {mine}, its dispatcher {theirs}: nothing is computed, "
                f"since results belong to a version. Install heunboard=={theirs} on {host}, or restart the "
                f"dispatcher with {mine}"
            )
        return cls(**data)


def worker_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Variables to set for a process that computes: one thread, memory that stays with it, programs that stay
    with the machine.

    Args:
        given: the environment it would have otherwise.
    """
    return {"OMP_NUM_THREADS": "1", **allocator.environment(given), **compile_cache.environment(given)}


def execute(order: Order, *, node: str | None = None) -> str:
    """Run the attempt in this process; returns how it ended (see :func:`workers.runner.run_attempt`).

    Args:
        order: the attempt.
        node: what the launcher calls this place; ``None`` where that is the machine's name.
    """
    # Imported here: a dispatcher describes orders without loading what carries them out.
    from workers.checkpoint_store import opened
    from workers.log_tail import LogTail
    from workers.logs import bound
    from workers.provenance import introduce
    from workers.reporter import HttpReporter
    from workers.runner import run_attempt
    from workers.spool import Sender, Spool, default_folder

    sender = Sender(url=order.url, attempt_id=order.attempt_id, secret=order.secret)
    spool = Spool(default_folder(), sender)
    introduction = introduce(order.device, node=node)
    reporter = HttpReporter(order.url, order.attempt_id, order.secret, introduction=introduction, spool=spool)
    try:
        with bound(attempt=order.attempt_id), LogTail() as log:
            return run_attempt(
                reporter,
                device=order.device,
                data_dir=Path(order.data_dir) if order.data_dir else None,
                store=opened(order.checkpoints),
                checkpoint_seconds=order.checkpoint_seconds,
                log=log.text,
            )
    finally:
        reporter.close()
