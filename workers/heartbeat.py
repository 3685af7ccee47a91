"""The side thread that says every few seconds that an attempt is alive, and learns when it should stop."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

from workers.messages import Heartbeat
from workers.ports import AttemptReporter, ReportError, Superseded

StopReason = Literal["asked", "superseded"]

FIRST_SECONDS = 1.0  # people who watch see at once that something moves
JOIN_SECONDS = 5.0  # a heartbeat in flight at the end gets this long; the thread is a daemon, so no longer


class HeartbeatLost(ReportError):
    """The heartbeat thread ended by itself: the server will give the attempt up, so it stops."""


class Heart:
    """Sends ``progress()`` soon, then every ``interval`` seconds, from its own thread; a context manager.

    A thread that dies must not leave an attempt computing that the server believes dead: :meth:`stop_reason`
    is asked after every segment and raises what the thread died of.

    Args:
        reporter: where heartbeats go.
        interval: seconds between heartbeats, at most a third of the lease.
        progress: the current progress; called from the thread.
    """

    def __init__(
        self, reporter: AttemptReporter, *, interval: float, progress: Callable[[], Heartbeat]
    ) -> None:
        self._reporter = reporter
        self._interval = interval
        self._progress = progress
        self._ending = threading.Event()
        self._stop: StopReason | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._run,), name="heartbeat", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(JOIN_SECONDS)

    def stop_reason(self) -> StopReason | None:
        """Why the attempt should stop now, or ``None`` to go on.

        Raises:
            HeartbeatLost: the thread is dead; its exception is the cause.
        """
        if self._stop is None and not self._thread.is_alive():
            raise HeartbeatLost(f"the heartbeat thread ended: {self._failure!r}") from self._failure
        return self._stop

    def _run(self) -> None:
        pause = min(FIRST_SECONDS, self._interval)
        try:
            while self._stop is None and not self._ending.wait(pause):
                self._stop = self._reporter.heartbeat(self._progress()).stop
                pause = self._interval
        except Superseded:
            self._stop = "superseded"
        except BaseException as error:  # whatever it died of is raised again in the attempt's own thread
            self._failure = error
