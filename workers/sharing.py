"""Whose cohorts are next: fair shares between owners. Arithmetic on what a queue knows, no database.

A slot that is free goes to the owner who has the fewest cohorts running; sweeps of nobody are one owner more.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """A queued cohort: the lower ``sweep_order`` goes first, then the lower ``id``."""

    sweep_order: int
    id: int


Lines = Mapping[str, Sequence[Waiting]]
"""Owner -> queued cohorts of one priority, those first that go first; of a long line the first are enough."""


def favoured(
    heads: Mapping[str, Waiting], running: Mapping[str, int], *, slots: int, most: int | None = None
) -> list[str]:
    """The owners who can get one of so many slots, those first who get theirs first.

    Of more owners than slots the later ones get none: each slot that goes to somebody else leaves them where
    they are.

    Args:
        heads: owner -> the first cohort in the owner's line.
        running: owner -> cohorts that run; nobody who is left out has any.
        slots: how many cohorts may begin.
        most: cohorts of one owner that may run at the same time; ``None`` for any number.
    """
    below = [owner for owner in heads if most is None or running.get(owner, 0) < most]
    return sorted(below, key=lambda owner: (running.get(owner, 0), heads[owner]))[:slots]


def allot(lines: Lines, running: Mapping[str, int], *, slots: int, most: int | None = None) -> dict[int, str]:
    """Which cohorts of equal priority begin, in order, with their owners.

    Slot by slot the owner with the fewest running cohorts, those just chosen included, gets it; among
    equals the one whose first cohort goes first. The arguments are those of :func:`favoured`.
    """
    heap = [(running.get(owner, 0), line[0], owner, 0) for owner, line in lines.items() if line]
    heapq.heapify(heap)
    chosen: dict[int, str] = {}
    while heap and len(chosen) < slots:
        count, first, owner, at = heapq.heappop(heap)
        if most is not None and count >= most:
            break  # and so has everybody else
        chosen[first.id] = owner
        if at + 1 < len(lines[owner]):
            heapq.heappush(heap, (count + 1, lines[owner][at + 1], owner, at + 1))
    return chosen
