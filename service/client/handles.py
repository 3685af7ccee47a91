"""A sweep at hand: what the server said of it last, and what can be done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast

from service.client.board import Board
from service.client.boards import board_of, boards_of
from service.client.errors import ClientError
from service.client.flows import Asynchronous, Flow, Item, Pause, Stream, Synchronous, method, stream
from service.client.sweeps import Progress, SweepMethods, pause_after
from service.resources import schemas
from service.resources.schemas import Plan, SweepDetail, SweepLine, Trial
from service.states import FINAL

if TYPE_CHECKING:
    from service.client.clients import AsyncClient, Client

H = TypeVar("H")


class SweepHandle(Generic[H]):
    """What :class:`Sweep` and :class:`AsyncSweep` have in common.

    Attributes:
        answer: what the server said last: trials by state, boards, failures.
        plan: what there was to compute when it was submitted; ``None`` of one that was looked up.
    """

    _client: SweepMethods[H]

    def __init__(self, answer: SweepDetail, plan: Plan | None) -> None:
        self.answer = answer
        self.plan = plan

    @property
    def id(self) -> str:
        """Its id."""
        return self.answer.id

    @property
    def name(self) -> str:
        """Its name."""
        return self.answer.name

    @property
    def state(self) -> str:
        """What has become of it, when the server was asked last."""
        return self.answer.state

    @property
    def progress(self) -> schemas.Progress:
        """Steps done and to do, trials by state, and the seconds that remain, likewise."""
        return self.answer.progress

    @property
    def url(self) -> str:
        """Its page."""
        return f"{self._client.url}/sweeps/{self.id}"

    def __repr__(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in self.progress.counts.items() if n)
        return f"<sweep {self.id} {self.name!r}: {self.state}; {counts or 'no trials'}>"

    @method
    def refresh(self) -> Flow[H]:
        """Ask the server again. Returns this handle, as do all that change it."""
        self.answer = yield from self._client._detail(self.id)
        return self._self

    @method
    def wait(
        self,
        callback: Progress | None = None,
        *,
        timeout: float | None = None,
        interval: float = 0.5,
    ) -> Flow[H]:
        """Wait until it is done, whatever its outcome; see :meth:`Client.wait`."""
        self.answer = yield from self._client._waited(self.id, callback, timeout=timeout, interval=interval)
        return self._self

    @stream
    def watch(self, *, interval: float = 0.5) -> Stream[SweepDetail]:
        """Look at it again and again until it is done; the last look has the outcome."""
        clock = self._client._retry.clock
        began = clock()
        while True:
            self.answer = yield from self._client._detail_patiently(self.id, interval)
            yield Item(self.answer)
            if self.state in FINAL:
                return
            yield Pause(pause_after(clock() - began, interval))

    @method
    def board(self, id: str | None = None) -> Flow[Board]:
        """Its board, or of several the one whose id begins with ``id``.

        Raises:
            ClientError: there is none, or more than one.
        """
        links = yield from self._client._links(self.id)
        found = [link for link in links if link.id.startswith(id or "")]
        if len(found) != 1:
            there = ", ".join(f"{link.id[:8]} ({link.title})" for link in links) or "none"
            wanted = "one board" if id is None else f"one board whose id begins with {id!r}"
            raise ClientError(
                f"expected {wanted} of sweep {self.id}, found {len(found)}; name one by the beginning of its "
                f"id, or take all with boards(). Its boards: {there}"
            )
        return (yield from board_of(self._client, self.answer, found[0].id))

    @method
    def boards(self) -> Flow[list[Board]]:
        """All its boards, chosen and reported as it says itself."""
        return boards_of(self._client, self.answer)

    @method
    def trials(self) -> Flow[list[Trial]]:
        """All its trials."""
        return self._client._trials(self.id)

    @method
    def pause(self) -> Flow[H]:
        """Compute nothing more of it for now; what runs stops at its next segment and keeps its place."""
        return self._change("pause")

    @method
    def resume(self) -> Flow[H]:
        """Go on, after a pause or after it was cancelled."""
        return self._change("resume")

    @method
    def cancel(self) -> Flow[H]:
        """Give up its trials that have no outcome; those that other sweeps want go on."""
        return self._change("cancel")

    @method
    def retry(self) -> Flow[H]:
        """Queue its trials again that failed or were cancelled."""
        return self._change("retry")

    @method
    def restore(self) -> Flow[H]:
        """Take it out of the bin again."""
        return self._change("restore")

    @method
    def delete(self, *, forever: bool = False) -> Flow[None]:
        """Put it into the bin, cancelled; with ``forever`` it goes at once."""
        return self._client._delete(self.id, forever)

    def _change(self, what: str) -> Flow[H]:
        line = yield from self._client._control(self.id, what)
        said = {name: getattr(line, name) for name in SweepLine.model_fields}
        self.answer = self.answer.model_copy(update=said)
        return self._self

    @property
    def _self(self) -> H:
        return cast(H, self)


class Sweep(SweepHandle["Sweep"], Synchronous):
    """A sweep at hand: ``client.submit(file).wait().board().to_pandas()``."""

    def __init__(self, client: Client, answer: SweepDetail, plan: Plan | None = None) -> None:
        super().__init__(answer, plan)
        self._client = client
        self._sender = client._sender


class AsyncSweep(SweepHandle["AsyncSweep"], Asynchronous):
    """A sweep at hand of an :class:`AsyncClient`: its methods are awaited."""

    def __init__(self, client: AsyncClient, answer: SweepDetail, plan: Plan | None = None) -> None:
        super().__init__(answer, plan)
        self._client = client
        self._sender = client._sender
