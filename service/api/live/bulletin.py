"""The last event of every subject, numbered, so that who has seen some gets the rest.

Nothing is kept of what a later event of the same subject has replaced: a listener that was away or is slow
gets how things stand, not how they came to. Memory grows with what goes on, not with time or listeners.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from fastapi.sse import format_sse_event

from service.resources.live import News
from service.resources.live_schemas import Kind, SweepEvent

TOLD_AGAIN_S = 10.0
"""After which an event is told again whose estimates alone are different."""
KEPT_S = 600.0
"""For how long it stays known how a sweep ended that nobody asked for by name."""

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Topics:
    """What a listener wants to hear of.

    Attributes:
        sweeps, boards: those alone; without either, all sweeps that go on, and no board.
        kinds: kinds of events; ``None`` for all.
    """

    sweeps: frozenset[int] = frozenset()
    boards: frozenset[str] = frozenset()
    kinds: frozenset[Kind] | None = None

    @property
    def named(self) -> bool:
        """Whether it is certain sweeps and boards."""
        return bool(self.sweeps or self.boards)

    def want(self, kind: Kind, subject: str) -> bool:
        """Whether an event is one of them."""
        if self.kinds is not None and kind not in self.kinds:
            return False
        if kind == "running":
            return True
        if kind == "board":
            return subject in self.boards
        return int(subject) in self.sweeps if self.named else True


class Event(NamedTuple):
    """News with its number, as it travels, and when it was told first."""

    number: int
    id: str
    news: News
    wire: bytes
    told: float


class Bulletin:
    """What every listener could be told now."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._session = secrets.token_hex(4)  # another process counts for itself
        self._number = 0
        self._latest: dict[tuple[Kind, str], Event] = {}

    def update(self, found: Iterable[News]) -> bool:
        """Take over what was read; returns whether anything of it is to be told."""
        now, before, read = self._clock(), self._number, set()
        for news in found:
            self._tell(news, now)
            read.add((news.kind, news.subject))
        for key in [key for key, event in self._latest.items() if now - event.told > KEPT_S]:
            if key not in read:
                del self._latest[key]
        return self._number > before

    def since(self, number: int, topics: Topics) -> list[Event]:
        """Events after this number, as they were told."""
        later = [event for event in self._latest.values() if event.number > number]
        wanted = [event for event in later if topics.want(event.news.kind, event.news.subject)]
        return sorted(wanted, key=lambda event: event.number)

    def number_of(self, id: str | None) -> int:
        """The number of an event that a listener says it has seen; 0 when it is from another process."""
        session, _, number = (id or "").partition("-")
        known = session == self._session and number.isascii() and number.isdigit() and len(number) < 20
        return int(number) if known else 0

    @property
    def empty(self) -> bool:
        """Whether nothing was read yet."""
        return not self._latest

    def going_on(self) -> set[int]:
        """Sweeps that had not finished when they were last read."""
        told = (event.news.data for event in self._latest.values())
        return {int(data.sweep) for data in told if isinstance(data, SweepEvent) and not data.finished}

    def clear(self) -> None:
        """Forget what was read; the numbers go on."""
        self._latest.clear()

    def _tell(self, news: News, now: float) -> None:
        key = (news.kind, news.subject)
        last = self._latest.get(key)
        known = last is not None and last.news.essence == news.essence
        if last and known and (last.news.data == news.data or now - last.told < TOLD_AGAIN_S):
            return
        self._number += 1
        id = f"{self._session}-{self._number}"
        data = news.data.model_dump_json()
        self._latest[key] = Event(
            self._number, id, news, format_sse_event(data_str=data, event=news.kind, id=id), now
        )
