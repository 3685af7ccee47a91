"""What a running attempt has told and the server has not taken yet: training goes on, a thread sends."""

from __future__ import annotations

import contextvars
import threading
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from workers.messages import CheckpointReport, CurveSegment, Heartbeat, News, TrialOutcome
from workers.spool import Entry, Spool

VALUES_A_BATCH = 100_000
"""Curve points of one message, about 2 MB."""
BYTES_A_VALUE = 8
NOTHING_DONE = Heartbeat(steps_done=0, steps_total=0)


@dataclass(slots=True)
class _Run:
    """Values of consecutive epochs of one metric of one trial."""

    trial: str
    metric: str
    first: int
    values: array[float] = field(default_factory=lambda: array("d"))

    def next(self) -> int:
        """The epoch after the last one."""
        return self.first + len(self.values)

    def segment(self, most: int | None = None) -> CurveSegment:
        """The first ``most`` values."""
        values = tuple(self.values[:most])
        return CurveSegment(trial=self.trial, metric=self.metric, first=self.first, values=values)

    def split(self, most: int) -> CurveSegment:
        """Take the first ``most`` values off."""
        taken = self.segment(most)
        del self.values[:most]
        self.first += len(taken.values)
        return taken


@dataclass(frozen=True, slots=True)
class _Checkpoints:
    """What is told of checkpoints, and what to do then."""

    report: CheckpointReport
    told: Callable[[], None]


@dataclass(slots=True)
class Pile:
    """News put together: segments that follow each other are one, of the progress the last stays."""

    runs: dict[tuple[str, str], list[_Run]] = field(default_factory=dict)
    outcomes: list[TrialOutcome] = field(default_factory=list)
    progress: Heartbeat = NOTHING_DONE
    values: int = 0
    checkpoints: list[_Checkpoints] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.values or self.outcomes or self.checkpoints)

    def add(self, news: News) -> None:
        """Put news on it."""
        for segment in news.segments:
            runs = self.runs.setdefault((segment.trial, segment.metric), [])
            if not runs or runs[-1].next() != segment.first:
                runs.append(_Run(segment.trial, segment.metric, segment.first))
            runs[-1].values.extend(segment.values)
            self.values += len(segment.values)
        self.outcomes += news.outcomes
        self.progress = news.progress

    def entries(self) -> list[Entry]:
        """Everything, as a spool keeps it; nothing is taken off."""
        found = [Entry("checkpoint", one.report.model_dump_json()) for one in self.checkpoints]
        if self.values or self.outcomes:
            segments = tuple(run.segment() for runs in self.runs.values() for run in runs)
            news = News(progress=self.progress, segments=segments, outcomes=tuple(self.outcomes))
            found.insert(0, Entry("news", news.model_dump_json()))
        return found

    def batches(self) -> Iterator[News]:
        """Take all news off, in messages that the server takes."""
        while self.values or self.outcomes:
            yield self._news()

    def take(self) -> News | _Checkpoints:
        """The next message. An outcome goes with the last points: nothing is said of its trial afterwards.

        Checkpoints come when there is nothing else: curves up to theirs are told before.
        """
        return self._news() if self.values or self.outcomes else self.checkpoints.pop(0)

    def _news(self) -> News:
        segments: list[CurveSegment] = []
        room = VALUES_A_BATCH
        while room and self.runs:
            series, runs = next(iter(self.runs.items()))
            segments.append(runs[0].split(room))
            room -= len(segments[-1].values)
            if not runs[0].values:
                del runs[0]
            if not runs:
                del self.runs[series]
        self.values -= VALUES_A_BATCH - room
        outcomes, self.outcomes = ([], self.outcomes) if self.runs else (self.outcomes, [])
        return News(progress=self.progress, segments=tuple(segments), outcomes=tuple(outcomes))


class Outbox:
    """Takes news without waiting and has a thread of its own send them, one message after the other.

    While the server is away news are merged: they take 8 bytes a curve point. Only when ``most_bytes`` of
    them wait, hours of points of a common trial, is whoever brings more kept waiting.

    Args:
        send: delivers one message, however long that takes; what it raises ends the sending for good and is
            raised again by the other methods.
        most_bytes: see above.
        spool: the attempt's file; ``None``: what waits is in memory only.
    """

    def __init__(
        self,
        send: Callable[[News | CheckpointReport], None],
        *,
        most_bytes: int,
        spool: Spool | None = None,
    ) -> None:
        self._send = send
        self._spool = spool
        self._end: str | None = None
        self._most = most_bytes // BYTES_A_VALUE
        self._changed = threading.Condition()  # guards all that follows
        self._pile = Pile()
        self._sending = self._closed = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def put(self, news: News) -> None:
        """Have it sent after what was put before."""
        with self._changed:
            self._wait_for(lambda: self._pile.values < self._most)
            self._pile.add(news)
            if self._spool is not None and self._spool.kept:
                self._spool.append(Entry("news", news.model_dump_json()))
            self._wake()

    def put_checkpoints(self, report: CheckpointReport, told: Callable[[], None]) -> None:
        """Have it sent after what was put before; ``told`` is called from the thread when that is done."""
        with self._changed:
            self._wait_for(lambda: True)
            self._pile.checkpoints.append(_Checkpoints(report, told))
            if self._spool is not None and self._spool.kept:
                self._spool.append(Entry("checkpoint", report.model_dump_json()))
            self._wake()

    def end(self, body: str) -> None:
        """Note the attempt's last message, which its sender sends after :meth:`flush`."""
        with self._changed:
            self._end = body
            if self._spool is not None and self._spool.kept:
                self._spool.append(Entry("finish", body))

    def keep(self, seq: int, under_way: Entry | None = None) -> None:
        """The server is away: have the spool hold what is under way and all that waits.

        Args:
            seq: number of the last batch of metrics that was made.
            under_way: a message of which nobody knows whether it was received.
        """
        if self._spool is None:
            return
        with self._changed:
            entries = [Entry("seq", str(seq))] + ([under_way] if under_way else []) + self._pile.entries()
            entries += [] if self._end is None else [Entry("finish", self._end)]
            self._spool.write(entries)

    @property
    def keeping(self) -> bool:
        """Whether what waits is in the spool, too."""
        return self._spool is not None and self._spool.kept

    def flush(self) -> None:
        """Wait until everything was sent."""
        with self._changed:
            self._wait_for(lambda: not self._pile and not self._sending)

    def close(self) -> None:
        """Send nothing more, and let nobody wait."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=contextvars.copy_context().run, args=(self._run,), name="reports", daemon=True
            )
            self._thread.start()
        self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        self._changed.wait_for(lambda: condition() or self._closed or self._failure is not None)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                if isinstance(item, News):
                    self._send(item)
                else:
                    self._send(item.report)
                    item.told()
        except BaseException as error:  # raised again in the attempt's own thread
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self) -> News | _Checkpoints | None:
        """Wait for something to send; ``None`` when there will be nothing more."""
        with self._changed:
            self._sending = False
            if self._spool is not None and not self._pile and self._end is None:
                self._spool.remove()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._pile or self._closed)
            if self._closed:
                return None
            self._sending = True
            return self._pile.take()
