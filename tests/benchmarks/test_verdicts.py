"""Verdicts on published numbers: hand-computed intervals, and error rates by simulation."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from benchmarks.scoring.verdicts import Centre, Comparison, Interval, Published, Verdict, compare, median_rank

SIGMAS = 4.89  # of a binomial: false alarm 1e-6

STUDENT_2 = {level: (2 * p - 1) / math.sqrt(2 * p * (1 - p)) for level, p in ((0.95, 0.975), (0.90, 0.95))}
"""Quantiles of Student's distribution with two degrees of freedom, in closed form."""


def interval(result: Comparison) -> tuple[float, float]:
    assert result.interval is not None
    return result.interval.low, result.interval.high


def test_an_exact_published_mean_by_hand() -> None:
    # 2, 4, 6 against 3: difference 1, standard error 2 / sqrt(3), two degrees of freedom.
    result = compare([2.0, 4.0, 6.0], Published(mean=3.0), margin=10.0)
    half = STUDENT_2[0.95] * 2 / math.sqrt(3)
    assert (result.measured, result.difference, result.n) == (4.0, 1.0, 3)
    assert interval(result) == pytest.approx((1 - half, 1 + half), rel=1e-9)
    assert result.published_exact
    narrow = result.equivalence_interval
    assert narrow is not None
    assert narrow.high == pytest.approx(1 + STUDENT_2[0.90] * 2 / math.sqrt(3), rel=1e-9)


def test_welch_by_hand() -> None:
    # Two of two, sd sqrt(2): squared standard error 1 + 1, by Satterthwaite (1 + 1)^2 / (1/1 + 1/1)
    # = 2 degrees of freedom.
    result = compare([1.0, 3.0], Published(mean=0.0, sd=math.sqrt(2), n=2), margin=1.0)
    half = STUDENT_2[0.95] * math.sqrt(2)
    assert interval(result) == pytest.approx((2 - half, 2 + half), rel=1e-9)
    assert not result.published_exact


def test_welch_is_that_of_scipy() -> None:
    from scipy import stats

    measured, printed = [1.0, 2.0, 4.0, 4.5, 7.0], [0.5, 0.7, 1.1]
    published = Published(mean=float(np.mean(printed)), sd=float(np.std(printed, ddof=1)), n=3)
    expected = stats.ttest_ind(measured, printed, equal_var=False).confidence_interval(0.95)
    assert interval(compare(measured, published, margin=1.0)) == pytest.approx(tuple(expected), rel=1e-9)


@pytest.mark.parametrize("missing", [{"sd": 1.0}, {"n": 10}, {}])
def test_a_published_mean_without_spread_or_runs_is_exact_and_says_so(missing: dict[str, float]) -> None:
    published = Published(mean=3.0, sd=missing.get("sd"), n=10 if "n" in missing else None)
    result = compare([2.0, 4.0, 6.0], published, margin=10.0)
    assert result.published_exact
    assert interval(result) == interval(compare([2.0, 4.0, 6.0], Published(mean=3.0), margin=10.0))


def around(difference: float, half_95: float) -> list[float]:
    """Three values of which the 95 % interval against 0 is difference -/+ half_95."""
    step = half_95 * math.sqrt(3) / STUDENT_2[0.95]
    return [difference - step, difference, difference + step]


@pytest.mark.parametrize(
    ("difference", "half", "verdict"),
    [
        (0.0, 0.5, Verdict.REPRODUCED),
        (0.5, 0.4, Verdict.REPRODUCED),  # significant, and too small to matter
        (0.5, 0.6, Verdict.REPRODUCED),  # the 90 % interval, of half width 0.41, is what counts
        (0.5, 0.8, Verdict.WITHIN_NOISE),
        (-0.5, 0.8, Verdict.WITHIN_NOISE),
        (1.5, 0.6, Verdict.WITHIN_NOISE),  # significant, but not sure to matter
        (1.5, 0.4, Verdict.NOT_REPRODUCED),
        (-1.5, 0.4, Verdict.NOT_REPRODUCED),
        (1.5, 3.0, Verdict.WITHIN_NOISE),
    ],
)
def test_verdicts_by_where_the_intervals_lie(difference: float, half: float, verdict: Verdict) -> None:
    result = compare(around(difference, half), Published(mean=0.0), margin=1.0)
    assert interval(result) == pytest.approx((difference - half, difference + half), rel=1e-9)
    assert result.verdict == verdict


def test_not_reproduced_takes_the_95_interval() -> None:
    # The 90 % interval of half width 0.41 lies beyond the margin, that of 95 % does not.
    result = compare(around(1.5, 0.6), Published(mean=0.0), margin=1.0)
    assert result.equivalence_interval is not None
    assert result.equivalence_interval.beyond(1.0)
    assert result.verdict == Verdict.WITHIN_NOISE


def test_wider_margins_never_take_reproduced_away() -> None:
    order = [Verdict.NOT_REPRODUCED, Verdict.WITHIN_NOISE, Verdict.REPRODUCED]
    values = around(1.0, 0.3)
    found = [compare(values, Published(mean=0.0), margin=m).verdict for m in np.linspace(0.1, 2, 39).tolist()]
    places = [order.index(verdict) for verdict in found]
    assert places == sorted(places)
    assert set(places) == {0, 1, 2}


def test_one_seed_has_no_interval_and_decides_nothing() -> None:
    result = compare([3.0], Published(mean=3.0, sd=0.1, n=10), margin=1.0)
    assert (result.interval, result.equivalence_interval, result.difference) == (None, None, 0.0)
    assert result.verdict == Verdict.WITHIN_NOISE
    assert "one seed" in result.reason


def test_equal_seeds_have_an_interval_of_one_point() -> None:
    result = compare([3.0, 3.0], Published(mean=2.0), margin=0.5)
    assert result.interval == Interval(1.0, 1.0)
    assert result.verdict == Verdict.NOT_REPRODUCED


def test_what_is_not_comparable_keeps_its_numbers() -> None:
    values = around(0.0, 0.5)
    result = compare(values, Published(mean=0.0), margin=1.0, not_comparable="20 epochs in place of 160")
    assert (result.verdict, result.reason) == (Verdict.NOT_COMPARABLE, "20 epochs in place of 160")
    assert result.interval is not None


@pytest.mark.parametrize("failure", [math.nan, math.inf, -math.inf])
def test_a_mean_decides_nothing_when_seeds_failed(failure: float) -> None:
    result = compare([0.0, 0.01, 0.02, failure], Published(mean=0.01), margin=1.0)
    assert (result.n, result.failed) == (4, 1)
    assert result.measured == pytest.approx(0.01)
    assert result.verdict == Verdict.WITHIN_NOISE
    assert "1 of 4 seeds failed" in result.reason


def test_no_finite_seed() -> None:
    result = compare([math.nan, math.nan], Published(mean=0.0), margin=1.0)
    assert (result.measured, result.difference, result.interval) == (None, None, None)


@pytest.mark.parametrize("failure", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_the_median_has_failed_seeds_at_the_bad_end(goal: str, failure: float) -> None:
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, failure]
    result = compare(
        values,
        Published(mean=0.0),
        margin=100.0,
        goal="maximize" if goal == "maximize" else "minimize",
        centre=Centre.MEDIAN,
    )
    # Order statistics 2 and 9 of ten: with the failure last they are 2 and 9, with it first 1 and 8.
    expected = (5.5, 2.0, 9.0) if goal == "minimize" else (4.5, 1.0, 8.0)
    assert (result.measured, *interval(result)) == expected
    assert (result.failed, result.verdict) == (1, Verdict.REPRODUCED)


def test_a_cell_of_which_most_seeds_failed_is_not_reproduced() -> None:
    values = [1.0, *[math.nan] * 9]
    result = compare(values, Published(mean=1.0, sd=0.5, n=10), margin=1.0, centre=Centre.MEDIAN)
    assert (result.measured, result.failed) == (math.inf, 9)
    assert interval(result) == (math.inf, math.inf)
    assert result.verdict == Verdict.NOT_REPRODUCED


def test_a_median_at_infinity_has_a_finite_lower_end_moved_by_the_published_error() -> None:
    values = [1.0, 2.0, 3.0, *[math.inf] * 7]
    result = compare(values, Published(mean=0.0, sd=math.sqrt(3), n=3), margin=1.0, centre=Centre.MEDIAN)
    low, high = interval(result)
    assert low == pytest.approx(2.0 - STUDENT_2[0.95], rel=1e-9)
    assert high == math.inf


def test_ranks_of_the_median_by_hand() -> None:
    # Six heads in a row on either side: 2 / 64 = 3.1 %; five: 2 / 32 = 6.3 %; (1 + 10) / 1024 * 2 = 2.1 %.
    assert [median_rank(n, 0.95) for n in (1, 5, 6, 8, 9, 10)] == [0, 0, 1, 1, 2, 2]
    assert [median_rank(n, 0.90) for n in (1, 4, 5, 7, 8, 10)] == [0, 0, 1, 1, 2, 2]


def test_few_seeds_have_no_interval_of_the_median() -> None:
    result = compare([1.0, 2.0, 3.0], Published(mean=2.0), margin=9.0, centre=Centre.MEDIAN)
    assert (result.difference, result.interval) == (0.0, None)
    assert (result.verdict, result.reason) == (Verdict.WITHIN_NOISE, "3 seeds are too few to decide")


def test_the_published_error_widens_the_median_in_squares() -> None:
    # Six values, ends 1 and 6, median 3.5; half width of the published mean: t_2 * 1 (sd sqrt(3) of 3).
    values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    result = compare(values, Published(mean=3.5, sd=math.sqrt(3), n=3), margin=1.0, centre=Centre.MEDIAN)
    half = math.hypot(2.5, STUDENT_2[0.95])
    assert interval(result) == pytest.approx((-half, half), rel=1e-9)


def test_a_collapsed_seed_moves_the_mean_and_not_the_median() -> None:
    seeds = [101.0, 100.0, 99.5, 100.5, 100.2, 99.8, 100.1, 99.9, 99.7, 206.0]
    published = Published(mean=100.0, sd=0.5, n=10)
    assert compare(seeds, published, margin=1.5).verdict == Verdict.WITHIN_NOISE
    assert compare(seeds, published, margin=1.5, centre=Centre.MEDIAN).verdict == Verdict.REPRODUCED


def simulated(
    difference: float,
    *,
    margin: float,
    n: int,
    published_n: int | None,
    centre: Centre = Centre.MEAN,
    draws: int = 4000,
) -> tuple[Counter[Verdict], int]:
    """Verdicts on normal cells, measured sd 1 and published sd 2, and how many 95 % intervals cover."""
    rng = np.random.default_rng(3)
    verdicts: Counter[Verdict] = Counter()
    covered = 0
    for _ in range(draws):
        measured = rng.standard_normal(n) + difference
        printed = 2 * rng.standard_normal(published_n) if published_n else np.zeros(1)
        sd = float(printed.std(ddof=1)) if published_n else None
        published = Published(mean=float(printed.mean()), sd=sd, n=published_n)
        result = compare(measured.tolist(), published, margin=margin, centre=centre)
        verdicts[result.verdict] += 1
        low, high = interval(result)
        covered += low <= difference <= high
    return verdicts, covered


def allowed(rate: float, draws: int = 4000) -> float:
    return draws * rate + SIGMAS * math.sqrt(draws * rate * (1 - rate))


def test_the_interval_of_an_exact_mean_covers_at_its_rate() -> None:
    """False alarm 1e-6."""
    _, covered = simulated(0.7, margin=1.0, n=5, published_n=None)
    assert abs(covered - 3800) < SIGMAS * math.sqrt(4000 * 0.95 * 0.05)


def test_the_interval_of_welch_covers_nearly_at_its_rate() -> None:
    """Welch's is an approximation: within one percent, and 1e-6 on top."""
    _, covered = simulated(0.7, margin=1.0, n=10, published_n=5)
    assert abs(covered - 3800) < 40 + SIGMAS * math.sqrt(4000 * 0.95 * 0.05)


@pytest.mark.parametrize("published_n", [None, 10])
def test_the_interval_of_the_median_covers_at_least_at_its_rate(published_n: int | None) -> None:
    _, covered = simulated(0.7, margin=1.0, n=10, published_n=published_n, centre=Centre.MEDIAN)
    assert 4000 - covered < allowed(0.05)


@pytest.mark.parametrize(("margin", "published_n"), [(0.1, None), (1.0, None), (2.5, None), (2.5, 10)])
def test_at_the_margin_either_error_is_at_most_one_in_twenty(margin: float, published_n: int | None) -> None:
    """A difference equal to the margin is neither inside nor outside; false alarm 1e-6."""
    verdicts, _ = simulated(margin, margin=margin, n=5, published_n=published_n)
    assert verdicts[Verdict.REPRODUCED] < allowed(0.05)
    assert verdicts[Verdict.NOT_REPRODUCED] < allowed(0.05)


def test_the_test_of_equivalence_uses_its_level() -> None:
    """Where the margin is wide, five percent at the margin are reproduced, no fewer; half of them outside."""
    verdicts, _ = simulated(5.0, margin=5.0, n=5, published_n=None)
    assert verdicts[Verdict.REPRODUCED] > 200 - SIGMAS * math.sqrt(4000 * 0.05 * 0.95)
    assert verdicts[Verdict.NOT_REPRODUCED] < allowed(0.025)


def test_what_differs_widely_and_what_is_equal_are_told_apart() -> None:
    equal, _ = simulated(0.0, margin=5.0, n=10, published_n=10)
    apart, _ = simulated(10.0, margin=5.0, n=10, published_n=10)
    assert equal[Verdict.REPRODUCED] > 3900
    assert apart[Verdict.NOT_REPRODUCED] > 3900


def test_bad_input_is_refused() -> None:
    for margin in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="margin"):
            compare([1.0], Published(mean=0.0), margin=margin)
    with pytest.raises(ValueError, match="at least one value"):
        compare([], Published(mean=0.0), margin=1.0)
    with pytest.raises(ValueError, match="finite"):
        Published(mean=math.nan)
    for sd in (-1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="standard deviation"):
            Published(mean=0.0, sd=sd, n=5)
    with pytest.raises(ValueError, match="at least 2 runs"):
        Published(mean=0.0, sd=1.0, n=1)
    with pytest.raises(ValueError, match="a mean 1"):
        Published(mean=0.0, n=0)
