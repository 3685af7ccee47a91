"""Named points at which a process may die: wrappers around the ports, which production knows nothing of.

A point is ``before`` or ``after`` something: before a call of the queue, after its commit and before its
answer; before a report is received, after it was stored and before the worker knows; before and after the
file of a checkpoint is written, of which ``amid write`` leaves half.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import httpx

from workers.ports import CheckpointName, CheckpointStore, Claim, Exit, NodeReport

QUEUE = ("release_owner", "expire_leases", "backlog", "plan", "claim")
REPORTS = ("start", "metrics", "checkpoint", "finish")
"""And ``resume``, where an attempt before has left checkpoints."""
FILES = ("write", "remove")
POINTS = (
    *(f"{when} {what}" for what in (*QUEUE, "submit", *REPORTS, *FILES) for when in ("before", "after")),
    "amid write",
)


class Killed(BaseException):
    """The process that was there is no more: nothing of it is cleaned up, nobody catches this."""


class FaultPoints:
    """Kills whoever reaches one of the named points, once each."""

    def __init__(self, *names: str) -> None:
        self._left = set(names)

    @property
    def left(self) -> frozenset[str]:
        """Those that nobody has reached."""
        return frozenset(self._left)

    def reach(self, name: str) -> None:
        """Go past a point, or die there."""
        if name in self._left:
            self._left.remove(name)
            raise Killed(name)

    def around(self, what: str, call: Callable[[], Any]) -> Any:
        """The call with a point on either side."""
        self.reach(f"before {what}")
        answer = call()
        self.reach(f"after {what}")
        return answer


class ProbedQueue:
    """A queue with fault points around every call."""

    def __init__(self, queue: object, points: FaultPoints) -> None:
        self._queue, self._points = queue, points

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._queue, name)
        return lambda *given, **named: self._points.around(name, lambda: method(*given, **named))


class ProbedTransport(httpx.BaseTransport):
    """A worker's line with fault points around every report."""

    def __init__(self, line: httpx.BaseTransport, points: FaultPoints) -> None:
        self._line, self._points = line, points

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it, or die before, or after."""
        name = request.url.path.rsplit("/", 1)[-1]
        answer: httpx.Response = self._points.around(name, lambda: self._line.handle_request(request))
        return answer


class ProbedStore:
    """A store of checkpoints with fault points around every change of its files."""

    def __init__(self, store: CheckpointStore, points: FaultPoints) -> None:
        self._store, self._points = store, points

    def write(self, name: CheckpointName, content: bytes) -> None:
        """Keep it, or die before, after, or when half of it is there."""
        try:
            self._points.reach("amid write")
        except Killed:
            self._store.write(name, content[: len(content) // 2])
            raise
        self._points.around("write", lambda: self._store.write(name, content))

    def read(self, name: CheckpointName) -> bytes:
        """As it is there."""
        return self._store.read(name)

    def remove(self, names: Iterable[CheckpointName]) -> None:
        """Forget them, or die before or after."""
        self._points.around("remove", lambda: self._store.remove(names))

    def names(self) -> Sequence[CheckpointName]:
        """All that there is."""
        return self._store.names()


class InlineLauncher:
    """Runs attempts in the thread that asks how they ended; a killed one is reported as its launcher would.

    Args:
        execute: carries out an attempt.
        points: around ``submit``.
    """

    def __init__(self, execute: Callable[[Claim], object], points: FaultPoints) -> None:
        self._execute, self._points = execute, points
        self._submitted: list[Claim] = []

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def preparing(self) -> int:
        """Nothing."""
        return 0

    def slots(self) -> int:
        """One attempt after the other."""
        return 1

    def nodes(self) -> Sequence[NodeReport]:
        """None that anybody could drain."""
        return []

    def avoid(self, names: Collection[str]) -> None:
        """There is nothing to avoid."""

    def side_by_side(self) -> bool:
        """No."""
        return False

    def submit(self, claim: Claim) -> None:
        """It is run by the next ``poll``."""
        self._points.around("submit", lambda: self._submitted.append(claim))

    def poll(self, timeout: float) -> Sequence[Exit]:
        """Run what was submitted."""
        submitted, self._submitted = self._submitted, []
        return [Exit(attempt_id=claim.attempt_id, error=self._run(claim)) for claim in submitted]

    def kill(self, attempt_id: int) -> None:
        """Nothing runs between two calls."""

    def close(self) -> None:
        """Nothing runs between two calls."""

    def _run(self, claim: Claim) -> str | None:
        try:
            self._execute(claim)
        except Killed as death:
            return f"killed {death}"
        return None
