"""The dispatcher: takes cohorts from the queue, gives them to a launcher, reports those that died."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from workers.ports import Claim, CohortQueue, Exit, Launcher

SHORTEST_WAIT = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatcherSettings:
    """How a dispatcher works.

    Attributes:
        owner: stable name of this dispatcher; a new one of the same name takes over what the old one left.
        max_lanes: most trials in one cohort.
        ahead: cohorts submitted beyond the free slots, so that a slot never waits for the next claim.
        longest_wait: seconds between two looks at the queue when nothing happens.
        expiry_seconds: seconds between two searches for leases that ran out.
    """

    owner: str
    max_lanes: int = 64
    ahead: int = 0
    longest_wait: float = 0.5
    expiry_seconds: float = 5.0


class Dispatcher:
    """A loop over :meth:`tick` that holds no truth of its own: the queue knows what is to be done.

    Args:
        queue: where cohorts come from.
        launcher: where attempts run.
        settings: see :class:`DispatcherSettings`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        queue: CohortQueue,
        launcher: Launcher,
        settings: DispatcherSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._queue = queue
        self._launcher = launcher
        self._settings = settings
        self._clock = clock
        self._running: dict[int, Claim] = {}
        self._next_expiry = clock()

    @property
    def running(self) -> tuple[Claim, ...]:
        """Attempts that were submitted and have not ended."""
        return tuple(self._running.values())

    def take_over(self) -> int:
        """Return to the queue what a dead dispatcher of the same name had claimed; returns how many."""
        return self._queue.release_owner(owner=self._settings.owner)

    def tick(self, timeout: float = 0.0) -> bool:
        """Expire, plan, claim and submit once, then collect what ended; ``True`` when something happened.

        Args:
            timeout: seconds to wait for an attempt to end when nothing was submitted.
        """
        self._expire()
        submitted = self._submit()
        exits = self._launcher.poll(0.0 if submitted else timeout)
        for ended in exits:
            self._collect(ended)
        return bool(submitted or exits)

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set; then end all attempts and return their cohorts to the queue.

        The wait between two ticks doubles from ``SHORTEST_WAIT`` to ``longest_wait`` while nothing happens;
        the end of an attempt cuts it short.
        """
        try:
            self.take_over()
            wait = 0.0
            while not stop.is_set():
                idle = not self._running
                happened = self.tick(wait)
                wait = 0.0 if happened else min(self._settings.longest_wait, max(2 * wait, SHORTEST_WAIT))
                if idle and not happened:
                    stop.wait(wait)
        finally:
            self.shut_down()

    def shut_down(self) -> None:
        """End the running attempts, then return their cohorts to the queue."""
        self._launcher.close()
        self._running.clear()
        self._queue.release_owner(owner=self._settings.owner)

    def _expire(self) -> None:
        if self._clock() >= self._next_expiry:
            self._queue.expire_leases()
            self._next_expiry = self._clock() + self._settings.expiry_seconds

    def _submit(self) -> int:
        slots = self._launcher.slots()
        self._queue.plan(max_lanes=self._settings.max_lanes, slots=slots)
        free = slots + self._settings.ahead - len(self._running)
        claims = self._queue.claim(owner=self._settings.owner, limit=free) if slots > 0 and free > 0 else []
        for claim in claims:
            self._running[claim.attempt_id] = claim
            self._launcher.submit(claim)
        return len(claims)

    def _collect(self, ended: Exit) -> None:
        self._running.pop(ended.attempt_id, None)
        if ended.error is not None:
            self._queue.lost(attempt_id=ended.attempt_id, reason=ended.error)
