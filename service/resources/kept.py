"""Answers that are made once and kept until what they say changes.

One that takes long to make is made anew beside the requests that ask for it, and not all the time: for some
seconds they get the one that is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from service.storage.engine import read

Answer = TypeVar("Answer")

OLD_S = 30.0
"""How old an answer may be that takes long to make, after something has happened."""

AGAIN_S = 5.0
"""How long such an answer stays at least: one that is made again and again would slow down all others."""

_LOG = logging.getLogger(__name__)


Make = Callable[[Connection, Answer | None], Answer]
"""Makes an answer from one state of the database; given the last one, which it may find to be right still."""


@dataclass(frozen=True, slots=True)
class _Made(Generic[Answer]):
    """An answer, and the state that it was made of."""

    answer: Answer
    stamp: Hashable


class _Place(Generic[Answer]):
    """Where one answer is kept; who makes it holds the lock, and others wait for it.

    Attributes:
        right_at: when it was last known to be right.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: _Made[Answer] | None = None
        self.right_at = 0.0
        self.maker: threading.Thread | None = None

    def put(self, connection: Connection, stamp: Hashable, make: Make[Answer]) -> Answer:
        """Make the answer; the lock is held."""
        answer = make(connection, None if self.made is None else self.made.answer)
        self.made = _Made(answer, stamp)
        self.right_at = time.monotonic()
        return answer


class Kept(Generic[Answer]):
    """The answers on each database that were asked for last.

    Args:
        stamp: what answers depend on: while it is equal, so are they.
        most: how many are kept of a database.
        slow: whether it takes long to make an answer like this one.
    """

    def __init__(
        self,
        stamp: Callable[[Connection], Hashable],
        most: int,
        *,
        slow: Callable[[Answer], bool] = lambda _: False,
    ) -> None:
        self._stamp = stamp
        self._most = most
        self._slow = slow
        self._guard = threading.Lock()
        self._places: WeakKeyDictionary[Engine, OrderedDict[Hashable, _Place[Answer]]] = WeakKeyDictionary()

    def get(self, engine: Engine, key: Hashable, make: Make[Answer]) -> Answer:
        """The answer to ``key``; made anew where something has happened since.

        Args:
            engine: the database.
            key: what is asked.
            make: makes the answer.
        """
        place = self._place(engine, key)
        with read(
            engine
        ) as connection:  # before the lock, here and below: who holds that never waits for one
            stamp, made = self._stamp(connection), place.made
            if made is not None and made.stamp == stamp:
                place.right_at = time.monotonic()
                return made.answer
            age = time.monotonic() - place.right_at
            if made is not None and age < OLD_S and self._slow(made.answer):
                if age >= AGAIN_S:
                    self._make_beside(engine, place, make)
                return made.answer
            with place.lock:
                if place.made is not None and place.made.stamp == stamp:
                    return place.made.answer
                return place.put(connection, stamp, make)

    def _make_beside(self, engine: Engine, place: _Place[Answer], make: Make[Answer]) -> None:
        """Let a thread make the answer, unless one does."""
        with self._guard:
            if place.maker is None or not place.maker.is_alive():
                place.maker = threading.Thread(
                    target=self._remake, args=(engine, place, make), daemon=True, name="kept-answers"
                )
                place.maker.start()

    def _remake(self, engine: Engine, place: _Place[Answer], make: Make[Answer]) -> None:
        try:
            with read(engine) as connection, place.lock:
                place.put(connection, self._stamp(connection), make)
        except Exception:
            _LOG.warning("an answer could not be made beside the requests for it", exc_info=True)
            place.made = None  # the next request meets what is wrong

    def _place(self, engine: Engine, key: Hashable) -> _Place[Answer]:
        with self._guard:
            places = self._places.setdefault(engine, OrderedDict())
            place = places.setdefault(key, _Place())
            places.move_to_end(key)
            if len(places) > self._most:
                places.popitem(last=False)
            return place
