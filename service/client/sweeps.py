"""Sweeps: submit, follow, steer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar
from urllib.parse import quote

from service.client.core import Body, Core
from service.client.errors import ApiError, ServerUnreachable, WaitTimeout
from service.client.flows import Call, Flow, Item, Pause, Stream, drained, method, stream
from service.resources.schemas import (
    PREFIX,
    CellList,
    CellProgress,
    Plan,
    SubmittedSweep,
    SweepBoard,
    SweepBoardList,
    SweepDetail,
    SweepLine,
    SweepList,
    Trial,
    TrialList,
)
from service.states import FINAL

PATIENCE_S = 120.0
"""How long a server may be away while a sweep is waited for; it may be starting again."""
SUBMIT_TIMEOUT_S = 600.0
"""Of a grid of many thousand trials, which are stored in one transaction."""
UNAVAILABLE = 503
FIRST_PAUSE_S = 0.05

H = TypeVar("H")
Id = int | str
Progress = Callable[[SweepDetail], None]


class SweepMethods(Core, Generic[H]):
    """Methods of clients about sweeps; ``H`` is the handle of one."""

    def _handle(self, answer: SweepDetail, plan: Plan | None = None) -> H:
        raise NotImplementedError

    @method
    def submit(self, sweep: Body, *, idempotency_key: str | None = None) -> Flow[H]:
        """Submit a sweep: the text of a sweep file, or a mapping. Returns its handle.

        ``plan`` of the handle is what :meth:`plan` said a moment before; its ``warning`` is not ``None`` when
        that is more than a day of device time.

        Raises:
            ApiError: the sweep is not valid; ``problem.errors`` lists every mistake with its JSON pointer.
        """
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}  # with it a repetition is harmless
        how = {"headers": key, "repeatable": True, "timeout": SUBMIT_TIMEOUT_S}
        found = yield from self._send(SubmittedSweep, "POST", "/sweeps", sweep, **how)
        return self._handle(found, found.plan)

    @method
    def plan(self, sweep: Body) -> Flow[Plan]:
        """What submitting would do: trials, known ones, those to compute, device time. Stores nothing.

        ``device_seconds`` of the answer, and of each of its ``estimators``, has ``low``, ``expected`` and
        ``high``: seconds of one device.
        """
        return self._send(Plan, "POST", "/sweeps/plan", sweep, repeatable=True)

    @method
    def sweep(self, id: Id) -> Flow[H]:
        """The handle of a sweep: its progress, its first boards and failures, what can be done with it."""
        return self._handle((yield from self._detail(id)))

    @method
    def sweeps(
        self, *, owner: str = "", state: str = "", tag: str = "", q: str = ""
    ) -> Flow[list[SweepLine]]:
        """Sweeps, newest first: all, or those of an owner, in a state, with a tag, with all words of q."""
        chosen = {"owner": owner, "state": state, "tag": tag, "q": q}
        return self._all(SweepList, "/sweeps", lambda page: list(page.sweeps), **chosen)

    @method
    def newest_sweeps(self, limit: int) -> Flow[SweepList]:
        """The first page of the sweeps; it has a ``next_page_token`` when there are more."""
        return self._get(SweepList, "/sweeps", {"limit": limit})

    @method
    def pause(self, id: Id) -> Flow[SweepLine]:
        """Compute nothing more of a sweep for now; what runs stops at its next segment and keeps its place.

        Raises:
            ApiError: 409, it is not active, or all its trials have ended.
        """
        return self._control(id, "pause")

    @method
    def resume(self, id: Id) -> Flow[SweepLine]:
        """Go on with a sweep that is paused or cancelled; 409 when it is active."""
        return self._control(id, "resume")

    @method
    def cancel(self, id: Id) -> Flow[SweepLine]:
        """Give up the trials of a sweep that have no outcome; those that other sweeps want go on."""
        return self._control(id, "cancel")

    @method
    def retry(self, id: Id) -> Flow[SweepLine]:
        """Queue the trials of a sweep again that failed or were cancelled; 409 when there are none."""
        return self._control(id, "retry")

    @method
    def restore(self, id: Id) -> Flow[SweepLine]:
        """Take a deleted sweep out of the bin."""
        return self._control(id, "restore")

    @method
    def delete(self, id: Id, *, forever: bool = False) -> Flow[None]:
        """Put a sweep into the bin, cancelled; :meth:`restore` takes it out again.

        With ``forever`` it goes at once, with the trials that no other sweep wants.
        """
        return self._delete(id, forever)

    @method
    def deleted_sweeps(self) -> Flow[list[SweepLine]]:
        """The sweeps in the bin, newest first."""
        return self._all(SweepList, "/sweeps", lambda page: list(page.sweeps), deleted=True)

    @method
    def set_priority(self, id: Id, priority: int) -> Flow[SweepLine]:
        """Let a sweep go before those of lower priority; what runs is not disturbed."""
        return self._send(SweepLine, "PATCH", sweep_path(id), {"priority": priority})

    @method
    def describe(
        self,
        id: Id,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> Flow[SweepLine]:
        """Change what a sweep says of itself; what is ``None`` stays."""
        given = {"name": name, "description": description, "tags": None if tags is None else list(tags)}
        body = {key: value for key, value in given.items() if value is not None}
        return self._send(SweepLine, "PATCH", sweep_path(id), body)

    @method
    def wait(
        self,
        id: Id,
        callback: Progress | None = None,
        *,
        timeout: float | None = None,
        interval: float = 0.5,
    ) -> Flow[H]:
        """Wait until a sweep is done; returns its handle whatever its outcome.

        Args:
            id: the sweep.
            callback: called with the sweep after every look.
            timeout: seconds.
            interval: seconds between two looks, fewer in the first seconds.

        Raises:
            WaitTimeout: it was not done in time; it goes on.
        """
        return self._handle((yield from self._waited(id, callback, timeout=timeout, interval=interval)))

    @stream
    def follow(self, ids: Sequence[Id], *, interval: float = 0.5) -> Stream[list[SweepDetail]]:
        """Look at sweeps again and again until all are done; the last look has the outcomes.

        The first looks follow each other faster than ``interval``: short sweeps are seen to end when they do.

        Raises:
            ServerUnreachable: the server was away for more than ``PATIENCE_S`` seconds.
        """
        return self._looks(ids, interval)

    @method
    def trials(self, sweep: Id) -> Flow[list[Trial]]:
        """All trials of a sweep."""
        return self._trials(sweep)

    @method
    def cells(self, sweep: Id) -> Flow[list[CellProgress]]:
        """All cells of a sweep, with the states of their seeds."""
        return self._all(CellList, f"{sweep_path(sweep)}/cells", lambda page: list(page.cells))

    def _detail(self, id: Id) -> Flow[SweepDetail]:
        return self._get(SweepDetail, sweep_path(id))

    def _trials(self, sweep: Id) -> Flow[list[Trial]]:
        return self._all(TrialList, f"{sweep_path(sweep)}/trials", lambda page: list(page.trials))

    def _links(self, sweep: Id) -> Flow[list[SweepBoard]]:
        """All boards of a sweep, of which the answer on it has the first."""
        return self._all(SweepBoardList, f"{sweep_path(sweep)}/boards", lambda page: list(page.boards))

    def _control(self, id: Id, what: str) -> Flow[SweepLine]:
        return self._send(SweepLine, "POST", f"{sweep_path(id)}/{what}", {})

    def _delete(self, id: Id, forever: bool) -> Flow[None]:
        path = f"{PREFIX}{sweep_path(id)}"
        yield from self._answer(Call(method="DELETE", path=path, params={"forever": forever}))

    def _looks(self, ids: Sequence[Id], interval: float) -> Stream[list[SweepDetail]]:
        began = self._retry.clock()
        ended: dict[Id, SweepDetail] = {}
        while True:
            sweeps = []
            for id in ids:
                sweeps.append(ended.get(id) or (yield from self._detail_patiently(id, interval)))
            ended |= {id: one for id, one in zip(ids, sweeps, strict=True) if one.state in FINAL}
            yield Item(sweeps)
            if all(sweep.state in FINAL for sweep in sweeps):
                return
            yield Pause(pause_after(self._retry.clock() - began, interval))

    def _waited(
        self, id: Id, callback: Progress | None, *, timeout: float | None, interval: float
    ) -> Flow[SweepDetail]:
        began = self._retry.clock()
        last: list[SweepDetail] = []

        def look(sweeps: list[SweepDetail]) -> None:
            last[:] = sweeps
            if callback is not None:
                callback(sweeps[0])
            if (
                timeout is not None
                and sweeps[0].state not in FINAL
                and self._retry.clock() - began >= timeout
            ):
                raise WaitTimeout(f"sweep {id} is {sweeps[0].state} after {timeout:g} s; it goes on")

        yield from drained(self._looks([id], interval), look)
        return last[0]

    def _detail_patiently(self, id: Id, interval: float) -> Flow[SweepDetail]:
        """A sweep of a server that may be starting again meanwhile."""
        clock = self._retry.clock
        heard = clock()
        while True:
            try:
                return (yield from self._detail(id))
            except ServerUnreachable:
                if clock() - heard > PATIENCE_S:
                    raise
            except ApiError as error:
                if error.status != UNAVAILABLE:
                    raise
                heard = clock()  # it is there, only its database is away
            yield Pause(interval)


def pause_after(waited: float, longest: float) -> float:
    """Seconds until the next look at what was ``waited`` for: whoever waits loses a twentieth more."""
    return min(longest, FIRST_PAUSE_S + waited / 20)


def sweep_path(id: Id) -> str:
    """The path of a sweep."""
    return f"/sweeps/{quote(str(id), safe='')}"
