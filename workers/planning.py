"""Which trials run together: arithmetic on what a queue knows, no device and no database.

A cohort is trials of one signature (see :func:`benchmarks.spec.cohort_signature`) that run as lanes of one
program. Wide cohorts use a device well; enough cohorts use all devices.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

Id = TypeVar("Id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plannable(Generic[Id]):
    """What planning needs of a trial.

    Attributes:
        id: what the caller knows it by.
        signature: trials of equal signature may share a cohort.
        steps: optimizer updates, the measure of its cost within a signature.
        priority: higher runs first; trials of different priority never share a cohort, so that nothing
            urgent waits for something that is not.
    """

    id: Id
    signature: str
    steps: int
    priority: int = 0


@dataclass(slots=True)
class _Group(Generic[Id]):
    """Trials that may share cohorts, with their positions in the queue, and into how many they are cut."""

    trials: list[tuple[int, Plannable[Id]]]
    cohorts: int

    def work(self) -> float:
        """Steps of one cohort, all lanes together."""
        return sum(trial.steps for _, trial in self.trials) / self.cohorts


def plan_cohorts(trials: Sequence[Plannable[Id]], *, max_lanes: int, slots: int) -> list[list[Id]]:
    """Group trials into cohorts.

    Every group of equal signature and priority is cut into as few cohorts as ``max_lanes`` allows, or
    into more while there are fewer cohorts than slots, always the group with the most work per cohort first.
    Cohorts of a group have equal numbers of lanes, give or take one, and trials with similar
    numbers of steps run together, so that few lanes idle at a cohort's end.

    Args:
        trials: in order of submission.
        max_lanes: most lanes of a cohort.
        slots: cohorts that can run at the same time.

    Returns:
        Ids, cohort by cohort: higher priority first, then by the earliest trial. Every trial stands in
        exactly one cohort, in order of submission. The result depends on the arguments alone.

    Raises:
        ValueError: a number of lanes or slots below one.
    """
    if min(max_lanes, slots) < 1:
        raise ValueError(f"lanes and slots must be at least 1, got {max_lanes=}, {slots=}")
    groups = _groups(trials, max_lanes)
    _fill_slots(groups, slots)
    cohorts = [cohort for group in groups for cohort in _cut(group)]
    cohorts.sort(key=lambda cohort: (-cohort[0][1].priority, cohort[0][0]))
    return [[trial.id for _, trial in cohort] for cohort in cohorts]


def _groups(trials: Sequence[Plannable[Id]], max_lanes: int) -> list[_Group[Id]]:
    """Trials by priority and signature, each group in the fewest cohorts."""
    members: dict[tuple[int, str], list[tuple[int, Plannable[Id]]]] = {}
    for position, trial in enumerate(trials):
        members.setdefault((trial.priority, trial.signature), []).append((position, trial))
    return [_Group(group, -(-len(group) // max_lanes)) for group in members.values()]


def _fill_slots(groups: Sequence[_Group[Id]], slots: int) -> None:
    """Cut the group with the most work per cohort once more until every slot has a cohort."""
    heap = [(-g.work(), i) for i, g in enumerate(groups) if g.cohorts < len(g.trials)]
    heapq.heapify(heap)
    for _ in range(slots - sum(group.cohorts for group in groups)):
        if not heap:
            return
        _, i = heapq.heappop(heap)
        groups[i].cohorts += 1
        if groups[i].cohorts < len(groups[i].trials):
            heapq.heappush(heap, (-groups[i].work(), i))


def _cut(group: _Group[Id]) -> list[list[tuple[int, Plannable[Id]]]]:
    """Even parts of the trials sorted by steps, each back in order of submission."""
    by_steps = sorted(group.trials, key=lambda member: member[1].steps)
    ends = [len(by_steps) * i // group.cohorts for i in range(group.cohorts + 1)]
    parts = [by_steps[start:end] for start, end in pairwise(ends)]
    return [sorted(part, key=lambda member: member[0]) for part in parts]
