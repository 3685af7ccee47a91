"""What workers need from outside, as Protocols, and the plain records that cross the border.

``service.queue`` implements :class:`CohortQueue` on SQL; ``workers.reporter`` implements
:class:`AttemptReporter` over HTTP; ``workers.ray_launcher`` and ``workers.local_launcher`` implement
:class:`Launcher`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workers.messages import Heartbeat, HeartbeatReply, MetricsBatch, Outcome, StartReply


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
    """How a launched attempt ended as its launcher saw it; ``error`` is ``None`` after a clean end."""

    attempt_id: int
    error: str | None


class CohortQueue(Protocol):
    """The dispatcher's view of the queue. Every method is one transaction."""

    def plan(self, *, max_lanes: int, slots: int) -> int:
        """Group queued trials that are in no cohort into cohorts; returns how many were made."""

    def claim(self, *, owner: str, limit: int) -> list[Claim]:
        """Take up to ``limit`` queued cohorts: attempt number raised, lease set, trials ``running``."""

    def lost(self, *, attempt_id: int, reason: str) -> None:
        """The launcher saw the attempt die without finishing: back to the queue, or failed at the cap."""

    def expire_leases(self) -> int:
        """Return cohorts whose lease ran out to the queue; returns how many."""

    def release_owner(self, *, owner: str) -> int:
        """Return all running cohorts claimed by a dispatcher that is known to be gone."""


class AttemptReporter(Protocol):
    """The running attempt's line to the server. Every call may be repeated without effect."""

    def start(self) -> StartReply | None:
        """Announce the attempt; ``None`` when it was superseded and must not compute."""

    def heartbeat(self, message: Heartbeat) -> HeartbeatReply:
        """Extend the lease, report progress, learn of a cancel."""

    def metrics(self, message: MetricsBatch) -> None:
        """Send curve points."""

    def finish(self, message: Outcome) -> None:
        """Report the end of the attempt."""


class Launcher(Protocol):
    """Runs attempts somewhere: on Ray, or as local subprocesses."""

    def slots(self) -> int:
        """How many attempts can run at the same time."""

    def submit(self, claim: Claim) -> None:
        """Start the attempt."""

    def poll(self, timeout: float) -> Sequence[Exit]:
        """Attempts that ended since the last call; waits up to ``timeout`` seconds for the first."""

    def kill(self, attempt_id: int) -> None:
        """End the attempt's process without asking it."""

    def close(self) -> None:
        """End all attempts and release resources."""
