"""The dispatcher: takes cohorts from the queue, gives them to a launcher, reports those that died."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from workers.caution import Caution
from workers.ports import Claim, CohortQueue, Courier, Exit, Launcher, QueueUnavailable

_log = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0
"""Seconds between two tries while the queue is away."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DispatcherSettings:
    """How a dispatcher works.

    Attributes:
        owner: stable name of this dispatcher; a new one of the same name takes over what the old one left.
        max_lanes: most trials in one cohort.
        look_seconds: between two looks at the queue while a slot is free.
        longest_wait: seconds between two looks at the launcher while none is.
        expiry_seconds: seconds between two searches for leases that ran out.
        tidy_seconds: seconds between two times of taking away what has been kept long enough.
        nodes_seconds: seconds between two reports of the launcher's nodes, whose answers say which are to be
            avoided.
        lease_seconds: what an attempt has to report within. So long after the queue or the server was away no
            lease runs out, since nobody could report meanwhile; so long the process of an attempt that has
            told its end may go on, and so long what a dead attempt has left may wait for the server.
        stop_seconds: what running attempts have for a last checkpoint when the dispatcher ends.
    """

    owner: str
    max_lanes: int = 64
    look_seconds: float = 0.04
    longest_wait: float = 0.5
    expiry_seconds: float = 5.0
    tidy_seconds: float = 3600.0
    nodes_seconds: float = 1.0
    lease_seconds: float = 30.0
    stop_seconds: float = 0.0


class _NoCourier:
    """The server is taken to answer, and nobody has left anything."""

    def answering_for(self) -> float:
        return float("inf")

    def holds(self, attempt_id: int) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class _Death:
    """An attempt that ended badly, and when that was seen."""

    exit: Exit
    at: float


class Dispatcher:
    """A loop over :meth:`tick` that holds no truth of its own: the queue knows what is to be done.

    Args:
        queue: where cohorts come from.
        launcher: where attempts run.
        settings: see :class:`DispatcherSettings`.
        courier: delivers what dead attempts have left; default: there is nothing.
        on_ready: called once, when the processes that the launcher has prepared are ready.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        queue: CohortQueue,
        launcher: Launcher,
        settings: DispatcherSettings,
        *,
        courier: Courier | None = None,
        on_ready: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_ready: Callable[[], None] | None = on_ready
        self._queue = queue
        self._launcher = launcher
        self._courier = courier or _NoCourier()
        self._settings = settings
        self._clock = clock
        self._running: dict[int, Claim] = {}
        self._deaths: list[_Death] = []
        self._told_end: dict[int, float] = {}
        self._next_expiry = self._next_nodes = clock()
        self._next_tidying = clock() + settings.tidy_seconds
        self._caution = Caution(clock)

    @property
    def running(self) -> tuple[Claim, ...]:
        """Attempts that were submitted and have not ended."""
        return tuple(self._running.values())

    def take_over(self) -> int:
        """Return to the queue what a dead dispatcher of the same name had claimed; returns how many."""
        return self._queue.release_owner(owner=self._settings.owner)

    def tick(self, timeout: float = 0.0) -> bool:
        """Expire, plan, claim and submit once, then collect what ended; ``True`` when something happened.

        Nothing is planned before a slot is free: what comes until then may share its cohorts. Nothing is
        claimed for a while after the infrastructure has lost an attempt (see :class:`Caution`).

        Args:
            timeout: seconds to wait for an attempt to end when nothing was submitted.

        Raises:
            QueueUnavailable: the queue is away. Nothing is forgotten: the next tick goes on.
        """
        self._report_deaths()
        self._expire()
        self._tidy()
        self._report_nodes()
        self._tell_ready()
        submitted = self._fill() if self._free() > 0 and not self._caution.pausing else 0
        exits = self._launcher.poll(0.0 if submitted else timeout)
        for ended in exits:
            self._collect(ended)
        self._report_deaths()
        return bool(submitted or exits)

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set; then :meth:`shut_down`.

        Between two ticks it waits for the end of an attempt, and while a slot is free no longer than
        ``look_seconds``: a look is a short read, and what is submitted to an idle dispatcher begins at once.
        While the queue is away it waits and its attempts go on.
        """
        try:
            self._patiently(self.take_over, stop)
            while not stop.is_set():
                look = self._settings.look_seconds if self._free() > 0 else self._settings.longest_wait
                if not self._patiently(functools.partial(self.tick, look), stop) and not self._running:
                    stop.wait(look)
        finally:
            self.shut_down()

    def shut_down(self) -> None:
        """Let the running attempts keep what they have, end those that go on, and return to the queue what is
        left. If that is away, its leases end instead.
        """
        try:
            self._let_attempts_stop()
        finally:
            self._launcher.close()
        self._running.clear()
        try:
            self._queue.release_owner(owner=self._settings.owner)
        except QueueUnavailable as error:
            _log.warning("cohorts could not be returned to the queue, their leases will end: %s", error)

    def _let_attempts_stop(self) -> None:
        """Ask all attempts to stop, and wait for that, no longer than ``stop_seconds``."""
        deadline = self._clock() + self._settings.stop_seconds
        if not self._running or not self._settings.stop_seconds:
            return
        try:
            self._queue.ask_to_stop(owner=self._settings.owner)
        except QueueUnavailable as error:
            _log.warning("running attempts could not be asked to stop: %s", error)
            return
        _log.info("%d running attempts are asked to stop", len(self._running))
        while self._running and (left := deadline - self._clock()) > 0:
            for ended in self._launcher.poll(min(left, self._settings.longest_wait)):
                self._running.pop(ended.attempt_id, None)
        if self._running:
            late = ", ".join(str(id) for id in self._running)
            _log.warning("attempts that have not stopped in time are ended by force: %s", late)

    def _patiently(self, act: Callable[[], int], stop: threading.Event) -> int:
        """What ``act`` returns, again and again while the queue is away; 0 when that is told to stop."""
        pause, away = 0.1, False
        while not stop.is_set():
            try:
                done = act()
            except QueueUnavailable as error:
                if not away:
                    _log.warning("the queue is away, running attempts go on: %s", error)
                away = True
                stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if away:
                    _log.warning("the queue is back")
                    self._next_expiry = self._clock() + self._settings.lease_seconds
                return done
        return 0

    def _tell_ready(self) -> None:
        if self._on_ready is not None and not self._launcher.preparing():
            self._on_ready()
            self._on_ready = None

    def _expire(self) -> None:
        if self._clock() >= self._next_expiry:
            if self._courier.answering_for() >= self._settings.lease_seconds:
                self._queue.expire_leases()
            self._end_what_hangs()
            self._next_expiry = self._clock() + self._settings.expiry_seconds

    def _tidy(self) -> None:
        if self._clock() >= self._next_tidying:
            self._queue.tidy()
            self._next_tidying = self._clock() + self._settings.tidy_seconds

    def _report_nodes(self) -> None:
        if self._clock() >= self._next_nodes:
            self._launcher.avoid(self._queue.see_nodes(self._launcher.nodes()))
            self._next_nodes = self._clock() + self._settings.nodes_seconds

    def _end_what_hangs(self) -> None:
        """End by force what holds a slot for nothing: a process whose attempt was lost, at once, one that has
        told its end a lease ago and does not go, and one that was asked to stop and goes on."""
        if not self._running:
            return
        now = self._clock()
        ended = self._queue.ended(list(self._running))
        self._told_end = {id: self._told_end.get(id, now) for id, lost in ended.items() if not lost}
        longest = self._settings.lease_seconds
        lingering = [id for id, since in self._told_end.items() if now - since >= longest]
        for attempt_id in [id for id, lost in ended.items() if lost] + lingering:
            _log.warning(
                "attempt %d (%s) has ended for the queue, but its process holds a slot; it is ended by force",
                attempt_id,
                self._running[attempt_id].label,
                extra={"attempt": attempt_id},
            )
            self._launcher.kill(attempt_id)
        for attempt_id in self._queue.overdue([id for id in self._running if id not in ended]):
            _log.warning(
                "attempt %d was asked to stop and has not; it is ended by force",
                attempt_id,
                extra={"attempt": attempt_id},
            )
            self._launcher.kill(attempt_id)

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
            belongs = {"attempt": claim.attempt_id, "cohort": claim.cohort_id}
            _log.info("attempt %d begins: %s", claim.attempt_id, claim.label, extra=belongs)
            self._launcher.submit(claim)
        return len(claims)

    def _collect(self, ended: Exit) -> None:
        self._running.pop(ended.attempt_id, None)
        if ended.error is None:
            self._caution.went_well()
        else:
            self._deaths.append(_Death(ended, self._clock()))

    def _report_deaths(self) -> None:
        """Tell the queue; what it cannot be told now is told later, as is the death of an attempt that has
        left something: once it was told, nothing of it is taken any more."""
        for death in list(self._deaths):
            held = self._clock() - death.at < self._settings.lease_seconds
            if held and self._courier.holds(death.exit.attempt_id):
                continue
            self._report(death.exit)
            self._deaths.remove(death)

    def _report(self, death: Exit) -> None:
        _log.warning(
            "attempt %d ended badly: %s", death.attempt_id, death.error, extra={"attempt": death.attempt_id}
        )
        blameless = self._queue.lost(
            attempt_id=death.attempt_id, reason=str(death.error), blameless=death.infrastructure
        )
        if blameless or death.infrastructure:
            pause = self._caution.lost()
            _log.warning(
                "attempt %d was lost by no fault of its own; nothing is claimed for %.0f s: %s",
                death.attempt_id,
                pause,
                death.error,
                extra={"attempt": death.attempt_id},
            )
