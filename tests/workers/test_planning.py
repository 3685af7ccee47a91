"""Cohort planning: arithmetic with hand-made queues."""

from __future__ import annotations

import random

import pytest

from workers.planning import Plannable, plan_cohorts


def queue(*groups: tuple[str, int, int]) -> list[Plannable[int]]:
    """Trials with ids 0, 1, ...; a group is (signature, number of trials, steps)."""
    kinds = [(signature, steps) for signature, count, steps in groups for _ in range(count)]
    return [Plannable(id=i, signature=s, steps=steps) for i, (s, steps) in enumerate(kinds)]


def test_one_cohort_where_one_slot_and_room() -> None:
    assert plan_cohorts(queue(("a", 5, 10)), max_lanes=8, slots=1) == [[0, 1, 2, 3, 4]]


def test_no_trials_no_cohorts() -> None:
    assert plan_cohorts([], max_lanes=8, slots=4) == []


def test_at_most_max_lanes_in_even_parts() -> None:
    sizes = [len(c) for c in plan_cohorts(queue(("a", 9, 10)), max_lanes=4, slots=1)]
    assert sizes == [3, 3, 3]


def test_split_to_fill_all_slots() -> None:
    assert plan_cohorts(queue(("a", 8, 10)), max_lanes=8, slots=4) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_never_more_cohorts_than_trials() -> None:
    assert plan_cohorts(queue(("a", 3, 10)), max_lanes=8, slots=16) == [[0], [1], [2]]


def test_spare_slots_go_where_most_work_is() -> None:
    # a: 4 x 100 steps, b: 4 x 10 steps; of four slots a gets three.
    assert plan_cohorts(queue(("a", 4, 100), ("b", 4, 10)), max_lanes=8, slots=4) == [
        [0],
        [1],
        [2, 3],
        [4, 5, 6, 7],
    ]


def test_no_split_when_cohorts_already_fill_the_slots() -> None:
    assert plan_cohorts(queue(("a", 2, 1), ("b", 2, 1)), max_lanes=8, slots=2) == [[0, 1], [2, 3]]


def test_similar_steps_run_together_in_order_of_submission() -> None:
    trials = [Plannable(id=i, signature="a", steps=steps) for i, steps in enumerate([900, 10, 800, 20])]
    assert plan_cohorts(trials, max_lanes=2, slots=1) == [[0, 2], [1, 3]]


def test_priorities_never_mix_and_higher_comes_first() -> None:
    trials = [Plannable(id=i, signature="a", steps=1, priority=p) for i, p in enumerate([0, 5, 0, 5])]
    assert plan_cohorts(trials, max_lanes=8, slots=1) == [[1, 3], [0, 2]]


@pytest.mark.parametrize(("max_lanes", "slots"), [(0, 1), (1, 0)])
def test_refuses_nothing_to_run_on(max_lanes: int, slots: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_cohorts(queue(("a", 1, 1)), max_lanes=max_lanes, slots=slots)


def test_invariants_on_random_queues() -> None:
    """Every trial once, one signature and priority per cohort, at most max_lanes, all slots busy."""
    rng = random.Random(0)
    for _ in range(300):
        trials = [
            Plannable(id=i, signature=rng.choice("abc"), steps=rng.randint(1, 9), priority=rng.randint(0, 1))
            for i in range(rng.randint(1, 40))
        ]
        max_lanes, slots = rng.randint(1, 10), rng.randint(1, 12)
        cohorts = plan_cohorts(trials, max_lanes=max_lanes, slots=slots)
        assert sorted(i for cohort in cohorts for i in cohort) == list(range(len(trials)))
        for cohort in cohorts:
            assert len({(trials[i].signature, trials[i].priority) for i in cohort}) == 1
            assert len(cohort) <= max_lanes
            assert cohort == sorted(cohort)
        assert len(cohorts) >= min(slots, len(trials))
        assert cohorts == plan_cohorts(trials, max_lanes=max_lanes, slots=slots)
