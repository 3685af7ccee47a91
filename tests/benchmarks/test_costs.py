"""Measured time and memory beside published: ratios, words, orders and claims, by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.suites import costs, reading
from benchmarks.suites.costs import Case, Costs, Word, half_unit, report
from benchmarks.suites.reading import Exhibit
from benchmarks.sweep import SpecError
from tests.support.suites import COSTS, COSTS_TABLE, tiny_suite

TABLE3 = "reinmax-2023/table3"


def case(
    name: str, epochs: Sequence[float], megabytes: float, problem: str = "quadratic", draws: int | None = None
) -> Case:
    added = round(megabytes * 1e6)
    return Case(problem=problem, estimator=name, draws=draws, epochs=tuple(epochs), added_bytes=added)


@pytest.fixture
def exhibit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exhibit:
    """A table with printed numbers: st 0.2 s, 5.0 MB; ReinMax 0.2 s, 10 MB; Gumbel-Rao 4.0 s, 300 MB."""
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path))
    tiny_suite(tmp_path, table3=COSTS_TABLE, costs=COSTS)
    return reading.exhibit("tiny/table3")


MEASURED = (
    case("reinmax", [1.9, 2.0, 2.2], 20.0),
    case("st", [0.9, 1.0, 1.1], 10.0),
    case("gumbel_rao", [19.0, 20.0, 21.0], 40.0, draws=100),
)


def cost(found: Costs, name: str, metric: str) -> costs.Cost:
    (line,) = [one for board in found.boards for one in board.lines if one.case.name == name]
    return line.costs[metric]


@pytest.mark.parametrize(
    ("text", "half"),
    [("5.0", 0.05), ("0.25", 0.005), ("13", 0.5), ("300", 50.0), ("1000", 500.0), ("0", 0.5)],
)
def test_a_printed_number_leaves_half_a_unit_of_its_last_digit_open(text: str, half: float) -> None:
    assert half_unit(text) == pytest.approx(half)


def test_ratios_are_to_reinmax_on_both_sides(exhibit: Exhibit) -> None:
    found = report(exhibit, "full", MEASURED)
    seconds, megabytes = cost(found, "st", "seconds"), cost(found, "st", "megabytes")
    assert (seconds.value, seconds.low, seconds.high) == (1.0, 0.9, 1.1)
    assert (seconds.ratio.measured, seconds.ratio.published) == (0.5, 1.0)
    assert (megabytes.value, megabytes.low, megabytes.high) == (10.0, 10.0, 10.0)
    assert (megabytes.ratio.measured, megabytes.ratio.published) == (0.5, 0.5)
    assert seconds.published is not None
    assert (seconds.published.text, seconds.published.source) == ("0.2", "Example, another device")
    base = cost(found, "reinmax", "seconds").ratio
    assert (base.measured, base.published, base.interval, base.word) == (1.0, 1.0, None, None)


def test_printed_digits_leave_a_range_of_ratios_open(exhibit: Exhibit) -> None:
    """0.15 / 0.25 to 0.25 / 0.15 of times; 4.95 / 15 to 5.05 / 5 of memory, for 10 may be rounded to tens."""
    found = report(exhibit, "full", MEASURED)
    assert cost(found, "st", "seconds").ratio.rounding == pytest.approx((0.6, 5 / 3))
    assert cost(found, "st", "megabytes").ratio.rounding == pytest.approx((4.95 / 15, 5.05 / 5))


def test_the_interval_of_a_ratio_is_that_of_two_independent_means(exhibit: Exhibit) -> None:
    """With a base without noise the ratio has Student's distribution: mean ± t_{2, 0.975} sd / sqrt(3)."""
    still = (case("reinmax", [2.0, 2.0, 2.0], 20.0), case("st", [0.9, 1.0, 1.1], 10.0))
    low, high = cost(report(exhibit, "full", still), "st", "seconds").ratio.interval or (math.nan, math.nan)
    half = 4.302653 * 0.1 / 3**0.5 / 2
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.015)


def test_epochs_of_two_cases_are_not_paired(exhibit: Exhibit) -> None:
    """Equal numbers in the same order would have a ratio of exactly 1 if they were."""
    same = (case("reinmax", [1.0, 2.0, 3.0], 20.0), case("st", [1.0, 2.0, 3.0], 10.0))
    low, high = cost(report(exhibit, "full", same), "st", "seconds").ratio.interval or (1.0, 1.0)
    assert low < 0.5 < 2.0 < high


@pytest.mark.parametrize(
    ("epochs", "word"),
    [
        ([2.0, 2.01, 2.02], Word.COMPATIBLE),
        ([1.0, 1.01, 1.02], Word.LOWER),
        ([4.0, 4.01, 4.02], Word.HIGHER),
        ([4.0], Word.UNDECIDED),
    ],
)
def test_a_ratio_is_compared_with_what_the_digits_leave_open(
    exhibit: Exhibit, epochs: list[float], word: Word
) -> None:
    found = report(exhibit, "full", (case("reinmax", [2.0, 2.01, 2.02], 20.0), case("st", epochs, 10.0)))
    assert cost(found, "st", "seconds").ratio.word is word


def test_nothing_is_compared_without_a_published_number_or_without_reinmax(exhibit: Exhibit) -> None:
    found = report(exhibit, "full", (*MEASURED, case("gst", [1.0, 2.0], 3.0)))
    other = cost(found, "gst", "seconds")
    assert (other.published, other.ratio.published, other.ratio.word) == (None, None, None)
    assert other.ratio.measured == 0.75
    alone = cost(report(exhibit, "full", MEASURED[1:]), "st", "seconds").ratio
    assert (alone.measured, alone.interval, alone.published, alone.word) == (None, None, 1.0, None)


def test_memory_that_did_not_grow_has_no_ratio(exhibit: Exhibit) -> None:
    found = report(exhibit, "full", (case("reinmax", [1.0, 2.0], 0.0), case("st", [1.0, 2.0], -1.0)))
    st = cost(found, "st", "megabytes")
    assert (st.value, st.ratio.measured, st.ratio.word) == (-1.0, None, None)
    assert found.boards[0].orders["megabytes"].missing == ("st", "reinmax", "gumbel_rao-100")
    assert [one.result.verdict for one in found.claims] == ["undecided", "not tried"]


def test_orders_take_published_ties_as_ties(exhibit: Exhibit) -> None:
    """Of three pairs two differ in print, and all three as measured: at most 2 / sqrt(2 * 3)."""
    order = report(exhibit, "full", MEASURED).boards[0].orders["seconds"]
    assert order.published == (("reinmax", "st"), ("gumbel_rao-100",))
    assert order.measured == ("st", "reinmax", "gumbel_rao-100")
    assert order.tau == pytest.approx(2 / 6**0.5)
    assert order.most == pytest.approx(2 / 6**0.5)
    assert order.share is not None
    assert order.share > 0.95
    assert order.not_separated == ()


def test_an_order_that_is_turned_round_has_the_opposite_tau(exhibit: Exhibit) -> None:
    """Memory is one number without noise: of three pairs all stand otherwise."""
    turned = (
        case("reinmax", [1.0], 20.0),
        case("st", [1.0], 30.0),
        case("gumbel_rao", [1.0], 10.0, draws=100),
    )
    order = report(exhibit, "full", turned).boards[0].orders["megabytes"]
    assert (order.tau, order.most, order.share) == (-1.0, 1.0, 0.0)


def test_epochs_that_overlap_separate_nothing(exhibit: Exhibit) -> None:
    close = (case("reinmax", [1.0, 2.0, 3.0], 20.0), case("st", [1.1, 2.0, 3.0], 10.0), MEASURED[2])
    (pair,) = report(exhibit, "full", close).boards[0].orders["seconds"].not_separated
    assert {pair.better, pair.worse} == {"reinmax", "st"}


def test_a_single_epoch_has_an_order_but_no_probability(exhibit: Exhibit) -> None:
    single = (case("reinmax", [2.0, 2.1], 20.0), case("st", [1.0], 10.0))
    order = report(exhibit, "full", single).boards[0].orders["seconds"]
    assert (order.measured, order.share, order.not_separated) == (("st", "reinmax"), None, ())
    assert order.missing == ("gumbel_rao-100",)


def test_claims_are_judged_by_epochs(exhibit: Exhibit) -> None:
    """ReinMax takes at most 1.5 times as long as st: 2.0 here, so not; and at least its memory: 2.0."""
    time, memory = report(exhibit, "full", MEASURED).claims
    assert (time.result.verdict, memory.result.verdict) == ("contradicted", "supported")
    assert (time.boards, time.published_boards, memory.result.by_board) == (1, 1, {"quadratic": 1.0})
    even = (case("reinmax", [1.0, 1.01, 1.02], 20.0), MEASURED[1])
    assert report(exhibit, "full", even).claims[0].result.verdict == "supported"


def test_one_epoch_does_not_decide_a_claim_on_time_but_one_on_memory(exhibit: Exhibit) -> None:
    time, memory = report(exhibit, "full", (case("reinmax", [1.0], 20.0), case("st", [1.0], 10.0))).claims
    assert (time.result.verdict, time.result.share) == ("undecided", None)
    assert time.result.reason == "a single epoch has no spread to judge by"
    assert (memory.result.verdict, memory.result.share) == ("supported", 1.0)


def test_resident_memory_has_the_spread_that_is_known(exhibit: Exhibit) -> None:
    """20 less 18 MB at 2 MB each: one standard error is sqrt(8), so 1 is exceeded with probability 0.76."""
    noisy = [
        dataclasses.replace(case(name, [1.0], megabytes), memory_spread=2.0)
        for name, megabytes in (("reinmax", 20.0), ("st", 18.0))
    ]
    _, memory = report(exhibit, "full", noisy).claims
    assert memory.result.verdict == "undecided"
    assert memory.result.share == pytest.approx(0.7602, abs=0.01)


def test_a_problem_that_was_not_measured_is_not_tried(exhibit: Exhibit) -> None:
    other = report(exhibit, "full", (case("reinmax", [1.0, 2.0], 20.0, problem="vae"),))
    time, memory = other.claims
    assert time.result.reason == "none of the problems that it speaks of was measured"
    assert memory.result.reason == "not measured: st on vae"
    assert {one.result.verdict for one in report(exhibit, "full", ()).claims} == {"not tried"}


def test_a_claim_on_two_metrics_is_told_to_its_author(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path))
    both = "{kind: ratio, metric: seconds, estimator: reinmax, than: [st], high: 9}, {kind: ratio"
    mixed = COSTS_TABLE.replace("{kind: ratio, metric: megabytes", f"{both}, metric: megabytes")
    tiny_suite(tmp_path, table3=mixed, costs=COSTS)
    with pytest.raises(SpecError, match="all tests of a claim read one metric"):
        report(reading.exhibit("tiny/table3"), "full", MEASURED)


def test_published_numbers_need_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reading.FOLDERS, str(tmp_path))
    table = COSTS_TABLE.replace("where: {problem: quadratic}", "where: {}")
    tiny_suite(tmp_path, table3=table, costs=COSTS.replace("problem", "place"))
    with pytest.raises(SpecError) as told:
        reading.exhibit("tiny/table3")
    assert "unknown column of costs.csv 'problem'" in str(told.value)


def test_the_shipped_table_has_every_number_and_supports_its_own_claims() -> None:
    """Measured as printed, with epochs that hardly differ: every ratio compatible, every claim supported."""
    shipped = reading.exhibit(TABLE3)
    printed = costs.published(shipped)
    as_printed = [
        Case(
            problem=problem,
            estimator=name.partition("-")[0],
            draws=int(name.partition("-")[2]) if "-" in name else None,
            epochs=tuple(numbers["seconds"].value * factor for factor in (0.9999, 1.0, 1.0001)),
            added_bytes=round(numbers["megabytes"].value * 1e6),
        )
        for problem, own in printed.items()
        for name, numbers in own.items()
    ]
    found = report(shipped, "full", as_printed)
    assert [len(board.lines) for board in found.boards] == [7, 7]
    words = [one.ratio.word for board in found.boards for line in board.lines for one in line.costs.values()]
    assert words.count(Word.COMPATIBLE) == 24
    assert [one.result.verdict for one in found.claims] == ["supported"] * len(shipped.file.claims)
