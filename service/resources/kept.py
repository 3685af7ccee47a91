"""Answers that are made once and kept until what they say changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Engine

Answer = TypeVar("Answer")


class _Place(Generic[Answer]):
    """Where one answer is kept; who makes it holds the lock, and others wait for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made: tuple[Hashable, Answer] | None = None


class Kept(Generic[Answer]):
    """The answers on each database that were asked for last.

    Args:
        most: how many are kept of a database.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._guard = threading.Lock()
        self._places: WeakKeyDictionary[Engine, OrderedDict[Hashable, _Place[Answer]]] = WeakKeyDictionary()

    def get(self, engine: Engine, key: Hashable, stamp: Hashable, make: Callable[[], Answer]) -> Answer:
        """The answer to ``key``, made anew where the one that is kept was made of another state.

        Args:
            engine: the database.
            key: what is asked.
            stamp: what the answer depends on: while it is equal, so is the answer.
            make: makes the answer.
        """
        place = self._place(engine, key)
        with place.lock:
            if place.made is None or place.made[0] != stamp:
                place.made = (stamp, make())
            return place.made[1]

    def _place(self, engine: Engine, key: Hashable) -> _Place[Answer]:
        with self._guard:
            places = self._places.setdefault(engine, OrderedDict())
            place = places.setdefault(key, _Place())
            places.move_to_end(key)
            if len(places) > self._most:
                places.popitem(last=False)
            return place
