"""The dispatcher: takes cohorts from the queue, gives them to a launcher, reports those that died."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from workers.ports import Claim, CohortQueue, Exit, Launcher


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatcherSettings:
    """How a dispatcher works.

    Attributes:
        owner: stable name of this dispatcher; a new one of the same name takes over what the old one left.
        max_lanes: most trials in one cohort.
        look_seconds: between two looks at the queue while a slot is free.
        longest_wait: seconds between two looks at the launcher while none is.
        expiry_seconds: seconds between two searches for leases that ran out.
    """

    owner: str
    max_lanes: int = 64
    look_seconds: float = 0.04
    longest_wait: float = 0.5
    expiry_seconds: float = 5.0


class Dispatcher:
    """A loop over :meth:`tick` that holds no truth of its own: the queue knows what is to be done.

    Args:
        queue: where cohorts come from.
        launcher: where attempts run.
        settings: see :class:`DispatcherSettings`.
        on_ready: called once, when the processes that the launcher has prepared are ready.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        queue: CohortQueue,
        launcher: Launcher,
        settings: DispatcherSettings,
        *,
        on_ready: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_ready: Callable[[], None] | None = on_ready
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

        Nothing is planned before a slot is free: what comes until then may share its cohorts.

        Args:
            timeout: seconds to wait for an attempt to end when nothing was submitted.
        """
        self._expire()
        self._tell_ready()
        submitted = self._fill() if self._free() > 0 else 0
        exits = self._launcher.poll(0.0 if submitted else timeout)
        for ended in exits:
            self._collect(ended)
        return bool(submitted or exits)

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set; then end all attempts and return their cohorts to the queue.

        Between two ticks it waits for the end of an attempt, and while a slot is free no longer than
        ``look_seconds``: a look is a short read, and what is submitted to an idle dispatcher begins at once.
        """
        try:
            self.take_over()
            while not stop.is_set():
                look = self._settings.look_seconds if self._free() > 0 else self._settings.longest_wait
                if not self.tick(look) and not self._running:
                    stop.wait(look)
        finally:
            self.shut_down()

    def shut_down(self) -> None:
        """End the running attempts, then return their cohorts to the queue."""
        self._launcher.close()
        self._running.clear()
        self._queue.release_owner(owner=self._settings.owner)

    def _tell_ready(self) -> None:
        if self._on_ready is not None and not self._launcher.preparing():
            self._on_ready()
            self._on_ready = None

    def _expire(self) -> None:
        if self._clock() >= self._next_expiry:
            self._queue.expire_leases()
            self._next_expiry = self._clock() + self._settings.expiry_seconds

    def _free(self) -> int:
        return self._launcher.slots() - len(self._running)

    def _fill(self) -> int:
        """Plan and claim what there is for the free slots; returns how many attempts were submitted."""
        backlog = self._queue.backlog()
        if backlog.unplanned:
            self._queue.plan(
                max_lanes=self._settings.max_lanes,
                slots=self._launcher.slots(),
                side_by_side=self._launcher.side_by_side(),
            )
        if not (backlog.unplanned or backlog.claimable):
            return 0
        claims = self._queue.claim(owner=self._settings.owner, limit=self._free())
        for claim in claims:
            self._running[claim.attempt_id] = claim
            self._launcher.submit(claim)
        return len(claims)

    def _collect(self, ended: Exit) -> None:
        self._running.pop(ended.attempt_id, None)
        if ended.error is not None:
            self._queue.lost(attempt_id=ended.attempt_id, reason=ended.error)
