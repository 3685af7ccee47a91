"""Which trials run together, and in which order: arithmetic on what a queue knows, no device, no database.

A cohort is trials of one signature (see :func:`benchmarks.spec.cohort_signature`) that run as lanes of one
program. On a GPU its lanes run side by side: it lasts as long as its longest trial, and wide ones use the
device well. On a CPU they run one after the other: it lasts as long as all of them together, and all that a
long one saves is the start of others. Enough cohorts use all devices.

Lengths are compared in seconds of a model, of one CPU (see :meth:`benchmarks.cost.table.Table.pace`). They
decide what runs where and when, and no result.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Id = TypeVar("Id")
Item = TypeVar("Item")

LONGEST = 60.0
"""Seconds of a cohort of several trials, about, where they run one after the other: what waits for a slot
waits no longer, and a lost attempt loses no more."""
SHORTEST = 10.0
"""Below this the start of a cohort, under a second, would be a good part of it."""
COHORTS_A_SLOT = 4
"""Of the work that is there, where that makes cohorts of a length between the two: slots end together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plannable(Generic[Id]):
    """What planning needs of a trial.

    Attributes:
        id: what the caller knows it by.
        signature: trials of equal signature may share a cohort.
        seconds: how long it takes, by a model that is the same for all of them.
        priority: higher runs first; trials of different priority never share a cohort, so that nothing
            urgent waits for something that is not.
        sweep: who asked for it; lower runs first among equal priorities.
        lanes_at_most: of a cohort that it may stand in; ``None`` for as many as there is room for. Trials
            that differ in this never share a cohort.
        owner: whose share of the slots it takes; trials of different owners never share a cohort.
    """

    id: Id
    signature: str
    seconds: float
    priority: int = 0
    sweep: int = 0
    lanes_at_most: int | None = None
    owner: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """Where cohorts will run.

    Attributes:
        slots: cohorts that can run at the same time.
        max_lanes: most lanes of a cohort.
        side_by_side: whether the lanes of a cohort run at the same time, as on a GPU.
    """

    slots: int
    max_lanes: int
    side_by_side: bool = False

    def __post_init__(self) -> None:
        """Refuse room for nothing."""
        if min(self.max_lanes, self.slots) < 1:
            raise ValueError(f"lanes and slots must be at least 1, got {self.max_lanes} and {self.slots}")


Member = tuple[int, Plannable[Id]]
"""A trial with its position in the queue."""


@dataclass(slots=True)
class _Group(Generic[Id]):
    """Trials that may share cohorts, in the order in which they are cut, and into how many."""

    members: list[Member[Id]]
    max_lanes: int
    cohorts: int

    def work(self) -> float:
        """Seconds of one cohort, all lanes together."""
        return _work(self.members) / self.cohorts


def plan_cohorts(trials: Sequence[Plannable[Id]], room: Room) -> list[list[Id]]:
    """Group trials into cohorts.

    Every group of equal signature, priority and owner is cut into as few cohorts as ``room`` and the length
    of a cohort allow, or into more while there are fewer cohorts than slots, always the group with the most
    work per cohort first. Where lanes run side by side, cohorts of a group are equally wide, give or take
    one, and trials of similar length run together, so that few lanes idle at a cohort's end. Where they run
    one after the other, a trial longer than a cohort stands alone, and cohorts of the others are about
    equally long, of trials that follow each other.

    Args:
        trials: in order of submission.
        room: where they will run.

    Returns:
        Ids, cohort by cohort, in the order in which they are to begin: higher priority first, then the lower
        ``sweep`` of their earliest trial; of one sweep first those that would be the last to end wherever
        they began, longer than all work divided by the slots, the longest first. There are fewer of these
        than slots, so something else begins at once, too. Then in rounds, a cohort of every signature in
        each, in order of the earliest trial: slots that begin together compile different programs instead of
        waiting for the same one, and what is compared has results early. Every trial stands in exactly one
        cohort, in order of submission. The result depends on the arguments alone.
    """
    groups = _groups(trials, room)
    _fill_slots(groups, room.slots)
    cohorts = [sorted(part) for group in groups for part in _cut(group, room)]
    return [[trial.id for _, trial in cohort] for cohort in _in_order(cohorts, room)]


def _groups(trials: Sequence[Plannable[Id]], room: Room) -> list[_Group[Id]]:
    """Trials by priority, owner and signature, each group in the fewest cohorts."""
    queue = list(enumerate(trials))
    together = _by(queue, lambda m: (m[1].priority, m[1].owner, m[1].signature, m[1].lanes_at_most))
    if room.side_by_side:
        by_length = [sorted(members, key=lambda member: member[1].seconds) for members in together]
        return [_side_by_side(members, _width(members, room)) for members in by_length]
    longest = _longest(_work(queue), room.slots)
    return [group for members in together for group in _sequences(members, longest, _width(members, room))]


def _width(members: Sequence[Member[Id]], room: Room) -> int:
    """Most lanes of a cohort of these trials."""
    return min(room.max_lanes, members[0][1].lanes_at_most or room.max_lanes)


def _side_by_side(members: list[Member[Id]], max_lanes: int) -> _Group[Id]:
    return _Group(members, max_lanes, -(-len(members) // max_lanes))


def _sequences(members: Sequence[Member[Id]], longest: float, max_lanes: int) -> list[_Group[Id]]:
    """Trials that run one after the other: those that are too long to share a cohort stand alone."""
    alone = [_Group([member], 1, 1) for member in members if member[1].seconds > longest]
    shared = [member for member in members if member[1].seconds <= longest]
    if not shared:
        return alone
    return [*alone, _Group(shared, max_lanes, _fewest(shared, longest, max_lanes))]


def _longest(work: float, slots: int) -> float:
    """Seconds of a cohort whose lanes run one after the other."""
    return min(LONGEST, max(SHORTEST, work / (COHORTS_A_SLOT * slots)))


def _fewest(members: Iterable[Member[Id]], longest: float, max_lanes: int) -> int:
    """Cohorts of trials that follow each other, none longer than ``longest``."""
    cohorts, lanes, seconds = 0, max_lanes, 0.0
    for _, trial in members:
        if lanes == max_lanes or seconds + trial.seconds > longest:
            cohorts, lanes, seconds = cohorts + 1, 0, 0.0
        lanes, seconds = lanes + 1, seconds + trial.seconds
    return cohorts


def _fill_slots(groups: Sequence[_Group[Id]], slots: int) -> None:
    """Cut the group with the most work per cohort once more until every slot has a cohort."""
    heap = [(-g.work(), i) for i, g in enumerate(groups) if g.cohorts < len(g.members)]
    heapq.heapify(heap)
    for _ in range(slots - sum(group.cohorts for group in groups)):
        if not heap:
            return
        _, i = heapq.heappop(heap)
        groups[i].cohorts += 1
        if groups[i].cohorts < len(groups[i].members):
            heapq.heappush(heap, (-groups[i].work(), i))


def _cut(group: _Group[Id], room: Room) -> list[list[Member[Id]]]:
    if room.side_by_side:
        return _equally_wide(group.members, group.cohorts)
    return _equally_long(group.members, group.cohorts, group.max_lanes)


def _equally_wide(members: Sequence[Member[Id]], parts: int) -> list[list[Member[Id]]]:
    ends = [len(members) * i // parts for i in range(parts + 1)]
    return [list(members[start:end]) for start, end in itertools.pairwise(ends)]


def _equally_long(members: Sequence[Member[Id]], parts: int, max_lanes: int) -> list[list[Member[Id]]]:
    """Each part ends where it has come nearest to its share of the work that is left."""
    cut: list[list[Member[Id]]] = []
    start, left = 0, _work(members)
    for later in reversed(range(parts)):
        fewest = max(start + 1, len(members) - later * max_lanes)  # else the later parts cannot hold the rest
        most = min(start + max_lanes, len(members) - later)  # else they cannot have a trial each
        share, end, work = left / (later + 1), start, 0.0
        while end < most and (end < fewest or work + members[end][1].seconds / 2 < share):
            work += members[end][1].seconds
            end += 1
        cut.append(list(members[start:end]))
        start, left = end, left - work
    return cut


def _in_order(cohorts: Sequence[list[Member[Id]]], room: Room) -> list[list[Member[Id]]]:
    """By priority, then sweep by sweep; of each first what decides when it ends, then round by round."""
    ordered = []
    by_sweep = _by(cohorts, lambda cohort: (-cohort[0][1].priority, cohort[0][1].sweep))
    for mine in sorted(by_sweep, key=lambda mine: (-mine[0][0][1].priority, mine[0][0][1].sweep)):
        seconds = {cohort[0][0]: _seconds(cohort, room) for cohort in mine}
        share = sum(seconds.values()) / room.slots
        critical = {at: length if length > share else 0.0 for at, length in seconds.items()}
        rounds = _rounds(mine)
        ordered += sorted(mine, key=lambda c: (-critical[c[0][0]], rounds[c[0][0]], c[0][0]))
    return ordered


def _rounds(cohorts: Sequence[list[Member[Id]]]) -> dict[int, int]:
    """How many cohorts of its signature come before each, by the position of its earliest trial."""
    alike = _by(sorted(cohort[0] for cohort in cohorts), lambda first: first[1].signature)
    return {at: before for firsts in alike for before, (at, _) in enumerate(firsts)}


def _seconds(cohort: Sequence[Member[Id]], room: Room) -> float:
    lengths = [trial.seconds for _, trial in cohort]
    return max(lengths) if room.side_by_side else sum(lengths)


def _work(members: Iterable[Member[Id]]) -> float:
    return sum(trial.seconds for _, trial in members)


def _by(items: Iterable[Item], key: Callable[[Item], Hashable]) -> list[list[Item]]:
    """Items of equal key together, in order of the first of each."""
    groups: dict[Hashable, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())
