"""What workers need from outside, as Protocols, and the plain records that cross the border.

``service.queue.cohorts`` implements :class:`CohortQueue` and :class:`AttemptReports` on SQL;
``workers.reporter`` implements :class:`AttemptReporter` over HTTP;
``workers.ray_launcher`` and ``workers.local_launcher`` implement :class:`Launcher`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from workers.messages import (
    CheckpointReport,
    Heartbeat,
    HeartbeatReply,
    MetricsBatch,
    News,
    Outcome,
    Resumption,
    Start,
    StartReply,
)

_FILE = re.compile(r"([0-9A-Za-z]+)-([0-9]+)-([0-9]+)\.pt(\.part)?", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One attempt handed to a launcher. The trials themselves are fetched by the attempt's ``start``.

    Attributes:
        attempt_id: primary key of the attempt.
        cohort_id: the cohort that is executed.
        number: attempt number of the cohort, the fencing token.
        secret: proves to the server that a report comes from this attempt; only its hash is stored.
        lanes: number of trials.
        label: short text for people, e.g. ``polynomial reinmax x5``.
    """

    attempt_id: int
    cohort_id: int
    number: int
    secret: str
    lanes: int
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exit:
    """How a launched attempt ended as its launcher saw it.

    Attributes:
        attempt_id: primary key of the attempt.
        error: ``None`` after a clean end.
        infrastructure: what ended it was not its own process: its node died, or no process could be had.
    """

    attempt_id: int
    error: str | None
    infrastructure: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What waits in the queue: trials for a cohort, cohorts for a claim."""

    unplanned: bool
    claimable: bool


class CheckpointName(NamedTuple):
    """Which checkpoint: of a trial, by its key, taken by an attempt after a step.

    No file is named but by these three, so a name leads nowhere else.
    """

    trial: str
    attempt: int
    step: int

    @property
    def file(self) -> str:
        """The name of its file.

        Raises:
            ValueError: the key holds more than letters and digits.
        """
        name = f"{self.trial}-{self.attempt}-{self.step}.pt"
        if _FILE.fullmatch(name) is None:
            raise ValueError(f"{self.trial!r} is not the key of a trial")
        return name

    @classmethod
    def of_file(cls, file: str) -> Self | None:
        """The checkpoint that a file holds, whole or as far as it was written; ``None`` for other files."""
        found = _FILE.fullmatch(file)
        return None if found is None else cls(found[1], int(found[2]), int(found[3]))


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeReport:
    """A place where a launcher runs attempts.

    Attributes:
        name: the same after it was away; attempts that run there call it so, too.
        device: torch device of its attempts.
        slots: attempts that can run there at the same time.
        free: those of them that the launcher could give away now.
    """

    name: str
    device: str
    slots: int
    free: int


class QueueUnavailable(Exception):
    """The queue cannot be reached or cannot be written to for now; what was asked for may be asked again."""


class CohortQueue(Protocol):
    """The dispatcher's view of the queue. Every method but ``plan`` is one transaction.

    All of them raise :class:`QueueUnavailable` while the queue is away.
    """

    def backlog(self) -> Backlog:
        """What waits; reads only, and can be asked often."""

    def plan(self, *, max_lanes: int, slots: int, side_by_side: bool) -> int:
        """Group queued trials that are in no cohort into cohorts; returns how many were made.

        Of very many the first; those left are for the next time.
        """

    def claim(self, *, owner: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` queued cohorts: attempt number raised, lease set, trials ``running``."""

    def lost(self, *, attempt_id: int, reason: str, blameless: bool = False) -> bool:
        """The launcher saw the attempt die without finishing: back to the queue, split, or failed at the cap.

        Args:
            attempt_id: primary key of the attempt.
            reason: what people are told.
            blameless: its trials had no part in it, as when its machine went.

        Returns:
            Whether no trial is to blame: so it was said, or it had not even begun.
        """

    def expire_leases(self) -> int:
        """Return cohorts whose lease ran out to the queue; returns how many."""

    def ended(self, attempt_ids: Sequence[int]) -> dict[int, bool]:
        """Those of the attempts that have ended in the queue's eyes, and whether they were lost: others
        may hold their cohorts now."""

    def overdue(self, attempt_ids: Sequence[int]) -> list[int]:
        """Those of the attempts that were asked to stop some time ago and have not."""

    def tidy(self) -> None:
        """Take away what has been kept long enough; for once in a while."""

    def see_nodes(self, nodes: Sequence[NodeReport]) -> frozenset[str]:
        """Note the launcher's nodes; returns the names of all where nothing is to begin now."""

    def ask_to_stop(self, *, owner: str) -> int:
        """Ask the running attempts of a dispatcher that is about to end to stop; returns how many.

        They keep a checkpoint, report what they have, and give their trials back.
        """

    def release_owner(self, *, owner: str) -> int:
        """Return all running cohorts claimed by a dispatcher that is known to be gone."""


class CheckpointRecords(Protocol):
    """The dispatcher's view of which checkpoints there should be."""

    def unneeded(self, names: Iterable[CheckpointName]) -> list[CheckpointName]:
        """Those that no attempt will go on from; raises :class:`QueueUnavailable` while the queue is away."""


class CheckpointStore(Protocol):
    """Where checkpoints lie. Every method may raise whatever the library behind it does."""

    def write(self, name: CheckpointName, content: bytes) -> None:
        """Keep the content under the name: all of it or, as far as the place can promise that, nothing."""

    def read(self, name: CheckpointName) -> bytes:
        """What was kept under the name; FileNotFoundError when there is nothing."""

    def remove(self, names: Iterable[CheckpointName]) -> None:
        """Forget what was kept under the names; those there is nothing of are passed by."""

    def names(self) -> Sequence[CheckpointName]:
        """All that there is."""


class AttemptReports(Protocol):
    """The server's side of a running attempt, one method per route of ``/internal/v1/attempts/{id}``.

    Every method is one transaction, checks the secret first and may be repeated without effect. A wrong
    secret and a superseded attempt are two different exceptions of the implementation (401 and 409).
    """

    def start(self, attempt_id: int, secret: str, message: Start | None = None) -> StartReply:
        """The attempt begins: what it is to compute. Older workers do not say where they are."""

    def resume(self, attempt_id: int, secret: str, message: Resumption) -> None:
        """Where trials go on that had checkpoints: what earlier attempts reported beyond goes."""

    def heartbeat(self, attempt_id: int, secret: str, message: Heartbeat) -> HeartbeatReply:
        """Extend the lease, store progress, tell of a cancel."""

    def metrics(self, attempt_id: int, secret: str, message: MetricsBatch) -> None:
        """Store curve points; a sequence number that is not above the last one changes nothing."""

    def checkpoint(self, attempt_id: int, secret: str, message: CheckpointReport) -> None:
        """Note checkpoints, after the curves up to them."""

    def finish(self, attempt_id: int, secret: str, message: Outcome) -> None:
        """Store results, end the trials and the attempt."""


class ReportError(Exception):
    """The server does not take what the attempt reports; the attempt cannot go on."""


class Superseded(ReportError):
    """Another attempt holds the cohort, or this one has ended: stop and report nothing."""


class AttemptReporter(Protocol):
    """The running attempt's line to the server.

    Every method but ``start`` raises :class:`Superseded` when the attempt no longer holds its cohort, and all
    raise :class:`ReportError` when the server cannot be reached for too long or refuses the message.
    """

    def start(self) -> StartReply | None:
        """Announce the attempt; ``None`` when it was superseded and must not compute."""

    def resume(self, message: Resumption) -> None:
        """Say where trials go on, before anything is said of them; waits for the server."""

    def heartbeat(self, message: Heartbeat) -> HeartbeatReply:
        """Extend the lease, report progress, learn of a cancel."""

    def metrics(self, news: News) -> None:
        """Have curve points sent; training does not wait for that."""

    def checkpoint(self, message: CheckpointReport, told: Callable[[], None]) -> None:
        """Have checkpoints told of after all news before; ``told`` is called when the server knows."""

    def finish(self, message: Outcome) -> None:
        """Report the end of the attempt, after all news; waits for the server."""

    def close(self) -> None:
        """Give up the call under way and release the connection."""


class Courier(Protocol):
    """Delivers what dead workers of this host have left for the server, and knows whether it answers."""

    def answering_for(self) -> float:
        """Seconds for which the server has answered whenever it was asked; 0 while it does not."""

    def holds(self, attempt_id: int) -> bool:
        """Whether something waits on this host that the attempt has told and the server does not know."""


class Launcher(Protocol):
    """Runs attempts somewhere: on Ray, or as local subprocesses."""

    def prepare(self) -> None:
        """Get processes ready for the first attempts; does not wait for them, and raises nothing."""

    def preparing(self) -> int:
        """How many processes are still getting ready."""

    def slots(self) -> int:
        """How many attempts can run at the same time."""

    def nodes(self) -> Sequence[NodeReport]:
        """The places where attempts can run, those that are avoided among them."""

    def avoid(self, names: Collection[str]) -> None:
        """Let nothing begin on nodes of these names from now on; ``slots`` does not count theirs."""

    def side_by_side(self) -> bool:
        """Whether the lanes of an attempt run at the same time, as on a GPU, or one after the other."""

    def submit(self, claim: Claim) -> None:
        """Start the attempt; ``poll`` tells when that was not possible."""

    def poll(self, timeout: float) -> Sequence[Exit]:
        """Attempts that ended since the last call; waits up to ``timeout`` seconds for the first.

        Returns at once when no attempt is under way.
        """

    def kill(self, attempt_id: int) -> None:
        """End the attempt's process without asking it."""

    def close(self) -> None:
        """End all attempts and release resources."""
