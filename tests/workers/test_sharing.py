"""Fair shares between owners: arithmetic with hand-made lines."""

from __future__ import annotations

from collections import Counter

from workers.sharing import Waiting, allot, favoured


def line(*ids: int, sweep: int) -> list[Waiting]:
    return [Waiting(sweep, id) for id in ids]


def test_of_two_owners_the_one_with_ten_cohorts_does_not_wait_for_the_one_with_ten_thousand() -> None:
    """Four slots that become free one by one, the cohort that began first ends first."""
    lines = {"many": line(*range(10_000), sweep=1), "few": line(*range(10_000, 10_010), sweep=2)}
    running: list[str] = []
    began: list[str] = []
    for _ in range(24):
        slots = 4 - len(running)
        chosen = allot(lines, Counter(running), slots=slots)
        for id, owner in chosen.items():
            assert lines[owner][0].id == id
            lines[owner] = lines[owner][1:]
        running += chosen.values()
        began += chosen.values()
        running.pop(0)
    assert began[:20] == ["many", "few"] * 10, "every second slot, until its line is empty"
    assert set(began[20:]) == {"many"}


def test_who_has_the_fewest_running_goes_first_and_catches_up() -> None:
    lines = {"a": line(1, 2, 3, sweep=1), "b": line(4, 5, 6, sweep=2)}
    assert allot(lines, {"a": 2}, slots=4) == {4: "b", 5: "b", 1: "a", 6: "b"}


def test_among_equals_the_earlier_sweep_goes_first_whoever_it_belongs_to() -> None:
    lines = {"a": line(7, sweep=3), "": line(8, sweep=2), "b": line(2, sweep=4)}
    assert list(allot(lines, {}, slots=3)) == [8, 7, 2]


def test_one_owner_alone_has_all_slots_in_order() -> None:
    assert list(allot({"": line(4, 5, 6, sweep=1)}, {"": 3, "other": 0}, slots=2)) == [4, 5]


def test_no_owner_has_more_than_the_limit() -> None:
    lines = {"a": line(1, 2, 3, sweep=1), "b": line(4, 5, 6, sweep=2), "c": line(9, sweep=3)}
    running = {"a": 1, "c": 2}
    assert allot(lines, running, slots=9, most=2) == {4: "b", 1: "a", 5: "b"}
    heads = {owner: waiting[0] for owner, waiting in lines.items()}
    assert favoured(heads, running, slots=9, most=2) == ["b", "a"]


def test_owners_who_are_not_favoured_would_get_nothing() -> None:
    lines = {name: line(i, i + 100, sweep=i) for i, name in enumerate("edcba")}
    running = {"e": 1, "c": 3, "b": 1}
    heads = {owner: waiting[0] for owner, waiting in lines.items()}
    for slots in range(1, 8):
        some = favoured(heads, running, slots=slots)
        assert len(some) == min(slots, 5)
        assert allot({one: lines[one] for one in some}, running, slots=slots) == allot(
            lines, running, slots=slots
        )
