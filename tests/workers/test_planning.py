"""Cohort planning: arithmetic with hand-made queues."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Sequence
from typing import Protocol

import pytest

from workers.planning import LONGEST, Plannable, Room, plan_cohorts


def queue(*groups: tuple[str, int, float]) -> list[Plannable[int]]:
    """Trials with ids 0, 1, ...; a group is (signature, number of trials, seconds of each)."""
    kinds = [(signature, seconds) for signature, count, seconds in groups for _ in range(count)]
    return [Plannable(id=i, signature=s, seconds=seconds) for i, (s, seconds) in enumerate(kinds)]


class MakeRoom(Protocol):
    """A kind of room of any size."""

    def __call__(self, slots: int, *, max_lanes: int = 64) -> Room: ...


def cpu(slots: int, *, max_lanes: int = 64) -> Room:
    return Room(slots=slots, max_lanes=max_lanes)


def gpu(slots: int, *, max_lanes: int = 64) -> Room:
    return Room(slots=slots, max_lanes=max_lanes, side_by_side=True)


def sizes(cohorts: Iterable[Sequence[int]]) -> list[int]:
    return [len(cohort) for cohort in cohorts]


def ends(trials: Sequence[Plannable[int]], cohorts: Iterable[Sequence[int]], slots: int) -> dict[int, float]:
    """When each trial ends if every slot takes the next cohort as soon as it is free, lanes in order."""
    free = [0.0] * slots
    found = {}
    for cohort in cohorts:
        now = heapq.heappop(free)
        for id in cohort:
            now += trials[id].seconds
            found[id] = now
        heapq.heappush(free, now)
    return found


@pytest.mark.parametrize("room", [cpu, gpu])
class TestBothKindsOfRoom:
    """What holds wherever cohorts run."""

    def test_one_cohort_where_one_slot_and_room(self, room: MakeRoom) -> None:
        assert plan_cohorts(queue(("a", 5, 1.0)), room(1, max_lanes=8)) == [[0, 1, 2, 3, 4]]

    def test_no_trials_no_cohorts(self, room: MakeRoom) -> None:
        assert plan_cohorts([], room(4)) == []

    def test_at_most_max_lanes_in_even_parts(self, room: MakeRoom) -> None:
        assert sizes(plan_cohorts(queue(("a", 9, 1.0)), room(1, max_lanes=4))) == [3, 3, 3]

    @pytest.mark.parametrize("seconds", [0.001, 1.0, 1000.0])
    def test_four_equal_trials_take_all_slots(self, room: MakeRoom, seconds: float) -> None:
        trials = queue(("a", 4, seconds))
        assert plan_cohorts(trials, room(4)) == [[0], [1], [2], [3]]
        if seconds < LONGEST:
            assert plan_cohorts(trials, room(2)) == [[0, 1], [2, 3]]

    def test_never_more_cohorts_than_trials(self, room: MakeRoom) -> None:
        assert plan_cohorts(queue(("a", 3, 1.0)), room(16)) == [[0], [1], [2]]

    def test_spare_slots_go_where_most_work_is(self, room: MakeRoom) -> None:
        # a: 4 x 2 s, b: 4 x 0.2 s; of four slots a gets three.
        cohorts = plan_cohorts(queue(("a", 4, 2.0), ("b", 4, 0.2)), room(4))
        assert sorted(cohorts) == [[0], [1], [2, 3], [4, 5, 6, 7]]

    def test_no_split_when_cohorts_already_fill_the_slots(self, room: MakeRoom) -> None:
        assert plan_cohorts(queue(("a", 2, 1.0), ("b", 2, 1.0)), room(2)) == [[0, 1], [2, 3]]

    def test_priorities_never_mix_and_higher_comes_first(self, room: MakeRoom) -> None:
        trials = [
            Plannable(id=i, signature="a", seconds=seconds, priority=p)
            for i, (p, seconds) in enumerate([(0, 4.0), (5, 1.0), (0, 4.0), (5, 1.0)])
        ]
        assert plan_cohorts(trials, room(1)) == [[1, 3], [0, 2]]

    def test_no_sweep_overtakes_another(self, room: MakeRoom) -> None:
        """Only among the trials of one sweep are long ones first."""
        trials = [
            Plannable(id=i, signature=signature, seconds=seconds, sweep=sweep)
            for i, (signature, seconds, sweep) in enumerate(
                [("a", 1.0, 1), ("b", 1.0, 1), ("c", 9.0, 1), ("d", 1.0, 2), ("e", 500.0, 2)]
            )
        ]
        assert plan_cohorts(trials, room(2)) == [[2], [0], [1], [4], [3]]

    @pytest.mark.parametrize(("max_lanes", "slots"), [(0, 1), (1, 0)])
    def test_refuses_nothing_to_run_on(self, room: MakeRoom, max_lanes: int, slots: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            room(slots, max_lanes=max_lanes)

    def test_invariants_on_random_queues(self, room: MakeRoom) -> None:
        """Every trial once, one signature and priority per cohort, at most max_lanes, all slots busy."""
        rng = random.Random(0)
        for _ in range(300):
            trials = random_queue(rng, priorities=2)
            one = room(rng.randint(1, 12), max_lanes=rng.randint(1, 10))
            cohorts = plan_cohorts(trials, one)
            assert sorted(i for cohort in cohorts for i in cohort) == list(range(len(trials)))
            for cohort in cohorts:
                assert len({(trials[i].signature, trials[i].priority) for i in cohort}) == 1
                assert len(cohort) <= one.max_lanes
                assert cohort == sorted(cohort)
            assert len(cohorts) >= min(one.slots, len(trials))
            assert cohorts == plan_cohorts(trials, one)


def random_queue(rng: random.Random, *, priorities: int = 1) -> list[Plannable[int]]:
    return [
        Plannable(
            id=i,
            signature=rng.choice("abc"),
            seconds=rng.choice([0.1, 1.0, 7.0, 40.0, 300.0]) * rng.random(),
            priority=rng.randrange(priorities),
        )
        for i in range(rng.randint(1, 60))
    ]


class TestSideBySide:
    """On a GPU a cohort is as wide as it can be."""

    def test_length_does_not_narrow_a_cohort(self) -> None:
        assert sizes(plan_cohorts(queue(("a", 128, 3600.0)), gpu(1))) == [64, 64]

    def test_similar_lengths_run_together_in_order_of_submission(self) -> None:
        trials = [
            Plannable(id=i, signature="a", seconds=seconds)
            for i, seconds in enumerate([900.0, 10.0, 800.0, 20.0])
        ]
        assert plan_cohorts(trials, gpu(1, max_lanes=2)) == [[0, 2], [1, 3]]

    def test_a_cohort_lasts_as_long_as_its_longest_lane(self) -> None:
        """Twenty lanes of 1 s take 1 s; that the single trial of 2 s takes longer decides the end."""
        trials = queue(("a", 20, 1.0), ("b", 1, 2.0), ("c", 1, 0.5))
        assert plan_cohorts(trials, gpu(2)) == [[20], list(range(20)), [21]]


class TestOneAfterTheOther:
    """On a CPU a cohort is as long as its lanes together."""

    def test_many_short_trials_share_cohorts_of_ten_seconds_at_least(self) -> None:
        """Fifty seconds for two slots: an eighth is 6.25 s, too short; five cohorts of ten trials."""
        assert sizes(plan_cohorts(queue(("a", 50, 1.0)), cpu(2))) == [10] * 5

    def test_cohorts_are_a_quarter_of_a_slots_work_between_the_limits(self) -> None:
        """240 s for two slots: 30 s each, thirty lanes."""
        assert sizes(plan_cohorts(queue(("a", 240, 1.0)), cpu(2))) == [30] * 8

    def test_long_queues_are_cut_into_minutes(self) -> None:
        assert sizes(plan_cohorts(queue(("a", 1000, 6.0)), cpu(2))) == [10] * 100

    def test_cohorts_are_of_trials_that_follow_each_other(self) -> None:
        """Four of 8 s, then sixteen of 2 s: 64 s, cohorts of 16 s, four of them."""
        trials = queue(("a", 4, 8.0), ("a", 16, 2.0))
        assert plan_cohorts(trials, cpu(1)) == [[0, 1], [2, 3], [*range(4, 12)], [*range(12, 20)]]

    def test_parts_are_nearly_equal_where_trials_are_not(self) -> None:
        """25 s in three parts of at most 10 s: 8 s for a share of 25/3, 9 for one of 17/2, and 8."""
        lengths = [5.0, 3.0, 1.0, 6.0, 2.0, 5.0, 3.0]
        trials = [Plannable(id=i, signature="a", seconds=seconds) for i, seconds in enumerate(lengths)]
        assert plan_cohorts(trials, cpu(1)) == [[0, 1], [2, 3, 4], [5, 6]]

    @pytest.mark.parametrize("long", [0, 25, 50])
    def test_a_long_trial_waits_for_no_cohort_of_short_ones(self, long: int) -> None:
        """Wherever it stands: 300 s beside fifty of 1 s. It begins at once, and so do the others."""
        lengths = [1.0] * 50
        lengths.insert(long, 300.0)
        trials = [Plannable(id=i, signature="a", seconds=seconds) for i, seconds in enumerate(lengths)]
        cohorts = plan_cohorts(trials, cpu(2))
        assert cohorts[0] == [long]
        assert sizes(cohorts) == [1, 25, 25]
        when = ends(trials, cohorts, 2)
        assert max(when.values()) == when[long] == 300.0
        assert min(when.values()) == 1.0

    def test_what_does_not_decide_the_end_stays_in_order(self) -> None:
        """On one slot nothing decides; on two, 40 s of 100 do not, 60 of 100 do."""
        trials = queue(("a", 1, 20.0), ("b", 1, 40.0), ("c", 1, 40.0))
        assert plan_cohorts(trials, cpu(2)) == [[0], [1], [2]]
        trials = queue(("a", 1, 20.0), ("b", 1, 20.0), ("c", 1, 60.0))
        assert plan_cohorts(trials, cpu(2)) == [[2], [0], [1]]
        assert plan_cohorts(trials, cpu(1)) == [[0], [1], [2]]

    def test_slots_that_begin_together_have_different_programs(self) -> None:
        """Two seeds of three estimators: a slot that waited for the other's program would do nothing."""
        trials = queue(("a", 2, 9.0), ("b", 2, 9.0), ("c", 2, 9.0))
        assert plan_cohorts(trials, cpu(2)) == [[0], [2], [4], [1], [3], [5]]

    def test_a_grid_fills_its_slots_and_shows_results_early(self) -> None:
        """200 trials of 1.5 s in two programs on two slots: 150 s is the least, the first ends at once."""
        trials = queue(("a", 100, 1.5), ("b", 100, 1.5))
        cohorts = plan_cohorts(trials, cpu(2))
        assert sizes(cohorts) == [25] * 8
        when = ends(trials, cohorts, 2)
        assert max(when.values()) == 150.0
        assert min(when.values()) == 1.5
        assert sum(end <= 75.0 for end in when.values()) == 100

    def test_ends_near_the_least_possible_on_random_queues(self) -> None:
        """No schedule ends before D, the longest trial or the work divided by the slots, whichever is longer.

        Longest first what is longer than a slot's share W/m, list scheduling ends at D or at (2 - 1/m) W/m at
        the latest: whatever ends last and is no longer than W/m began when all slots were busy, so
        before (W - its length)/m.
        """
        rng = random.Random(1)
        for _ in range(300):
            trials, slots = random_queue(rng), rng.randint(1, 8)
            when = ends(trials, plan_cohorts(trials, cpu(slots)), slots)
            share, longest = sum(t.seconds for t in trials) / slots, max(t.seconds for t in trials)
            assert max(when.values()) <= max(longest, (2 - 1 / slots) * max(share, longest)) + 1e-9
