"""Statistics of seeds against hand-computed examples, and the outlier rule by simulation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.scoring.seeds import Moments, interquartile_mean, median, outliers, summary


def test_summary_by_hand() -> None:
    # 2, 4, 6: mean 4, sd 2, sem 2/sqrt(3); for two degrees of freedom t_p = (2p - 1) / sqrt(2p(1 - p)).
    result = summary([2.0, 4.0, 6.0])
    assert (result.n, result.mean, result.sd) == (3, 4.0, 2.0)
    assert result.sem == pytest.approx(1.1547005383792515, rel=1e-15)
    half = 0.95 / math.sqrt(2 * 0.975 * 0.025) * 2 / math.sqrt(3)
    assert result.low == pytest.approx(4 - half, rel=1e-9)
    assert result.high == pytest.approx(4 + half, rel=1e-9)


def test_one_seed_has_no_interval() -> None:
    result = summary([3.5])
    assert (result.n, result.mean) == (1, 3.5)
    assert (result.sd, result.sem, result.low, result.high) == (None, None, None, None)


def test_nothing_to_summarise_is_refused() -> None:
    for function in (summary, median):
        with pytest.raises(ValueError, match="at least one value"):
            function([])


def test_median() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.5


def test_interval_covers_at_its_rate() -> None:
    """95 % of intervals over 5 normal seeds hold the mean; false alarm 1e-6 (4.89 sigma of a binomial)."""
    draws, rng = 20_000, np.random.default_rng(0)
    x = rng.standard_normal((draws, 5))
    results = [summary(row) for row in x.tolist()]
    covered = sum(r.low < 0 < r.high for r in results if r.low is not None and r.high is not None)
    assert abs(covered / draws - 0.95) < 4.89 * math.sqrt(0.95 * 0.05 / draws)


def test_moments_grow_and_merge_to_the_same_numbers() -> None:
    values = [1e9 + x for x in (4.0, 7.0, 13.0, 16.0)]  # sd sqrt(30), lost when squares are summed
    added = Moments()
    for value in values:
        added = added.add(value)
    merged = Moments.of(values[:1]).merge(Moments.of(values[1:]))
    for moments in (added, merged, Moments.of(values)):
        assert moments.count == 4
        assert moments.mean == 1e9 + 10
        assert moments.sd == pytest.approx(math.sqrt(30), rel=1e-9)
        assert moments.summary().sem == pytest.approx(math.sqrt(30) / 2, rel=1e-9)


def test_empty_moments_are_neutral() -> None:
    some = Moments.of([1.0, 2.0])
    assert Moments().merge(some) == some == some.merge(Moments())
    assert Moments().merge(Moments()) == Moments() == Moments.of([])
    assert Moments().sd is None


def test_a_collapsed_seed_is_found() -> None:
    board = [[149.0, 152.0, 206.0], [137.1, 138.0, 136.2], [141.0, 140.2, 142.5]]
    assert outliers(board) == [[False, False, True], [False] * 3, [False] * 3]


def test_the_scale_by_hand() -> None:
    # Deviations 1, 0, 1 and 1, 0, x: medians 1; pooled without each cell's smallest: 1. 9 * 1.4826 = 13.34.
    assert outliers([[9.0, 10.0, 11.0], [9.0, 10.0, 23.3]])[1] == [False, False, False]
    assert outliers([[9.0, 10.0, 11.0], [9.0, 10.0, 23.4]])[1] == [False, False, True]


def test_no_verdict_on_two_seeds() -> None:
    assert outliers([[1.0, 100.0], [5.0, 5.1, 5.2]]) == [[False, False], [False, False, False]]
    assert outliers([]) == []
    assert outliers([[]]) == [[]]


def test_rounding_is_no_collapse_but_a_jump_among_equals_is() -> None:
    assert outliers([[0.3, 0.3, 0.3 + 1e-8]]) == [[False, False, False]]
    assert outliers([[0.3, 0.3, 0.3, 0.3, 0.4]])[0] == [False] * 4 + [True]


def test_what_does_not_matter_is_no_outlier() -> None:
    """Five seeds agree to 3e-5, the sixth is 8e-5 away: 0.03 % of the median. At 1 % of it, it is one."""
    close = [0.25213, 0.25214, 0.25215, 0.25216, 0.25215]
    assert outliers([[*close, 0.25223]]) == [[False] * 6]
    assert outliers([[*close, 0.25215 * 1.0101]]) == [[False] * 5 + [True]]


def test_what_is_small_between_the_cells_is_no_outlier() -> None:
    """Medians 0 and 1000: 9 of 1000 is less than 1 %, 11 is more, whatever the median of its own cell."""
    far = [1000.0, 1000.1, 1000.2]
    assert outliers([[0.0, 0.1, -0.1, 9.0], far])[0] == [False] * 4
    assert outliers([[0.0, 0.1, -0.1, 11.0], far])[0] == [False] * 3 + [True]


def test_interquartile_mean_by_hand() -> None:
    """Of eight the middle four, of five the middle three, of three all."""
    assert interquartile_mean([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0]) == pytest.approx(3.5)
    assert interquartile_mean([9.0, 1.0, 2.0, 3.0, 90.0]) == pytest.approx(14 / 3)
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0
    with pytest.raises(ValueError, match="at least one value"):
        interquartile_mean([])


def test_the_interval_of_a_mean_covers_it() -> None:
    """5,000 cells of 5 normal seeds: 95 %, within 4 standard errors (1.2 %)."""
    draws = np.random.default_rng(2).normal(3.0, 2.0, (5000, 5))
    found = [summary(row.tolist()) for row in draws]
    covered = np.mean([one.low <= 3.0 <= one.high for one in found if one.low is not None and one.high])
    assert covered == pytest.approx(0.95, abs=0.012)


def test_values_that_are_not_finite_are_outliers_and_hide_none() -> None:
    board = [[149.0, 152.0, 206.0, math.nan], [137.0, math.inf, 138.0], [137.1, 138.0, 136.2]]
    assert outliers(board) == [[False, False, True, True], [False, True, False], [False] * 3]


@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
@pytest.mark.parametrize("cells", [1, 3])
def test_false_alarms_of_the_outlier_rule(cells: int, seeds: int) -> None:
    """Normal seeds: fewer than one in a thousand is flagged. The draws are fixed."""
    boards = np.random.default_rng(1).standard_normal((10_000 // cells, cells, seeds))
    flagged = sum(np.sum(outliers(board)) for board in boards)
    assert flagged / boards.size < 1e-3


def test_imports_neither_torch_nor_scipy_stats() -> None:
    program = (
        "import sys, benchmarks.scoring.seeds; "
        "print([m for m in ('torch', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_bootstrap_interval_covers_as_stated() -> None:
    """94 % of normal cells of 30 seeds; fewer than 200 of 223 are 4 standard errors below."""
    draws = np.random.default_rng(5).normal(size=(223, 30))
    covered = 0
    for cell in draws:
        found = summary(cell.tolist(), "bootstrap")
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    assert 196 <= covered <= 222


def test_the_bootstrap_interval_follows_a_skewed_cell() -> None:
    """One of ten seeds collapsed: Student's t reaches as far down as up, the bootstrap does not."""
    values = [1.0, 1.1, 0.9, 1.05, 0.95, 1.02, 0.98, 1.01, 0.99, 9.0]
    found, symmetric = summary(values, "bootstrap"), summary(values)
    assert found.low is not None
    assert found.high is not None
    assert symmetric.low is not None
    assert symmetric.low < 0.9 <= found.low
    assert found.high - found.mean > 2 * (found.mean - found.low)
    assert summary(values, "bootstrap") == found  # resamples have a fixed seed


def test_equal_seeds_have_a_bootstrap_interval_of_no_width() -> None:
    found = summary([2.0, 2.0, 2.0], "bootstrap")
    assert (found.low, found.high) == (2.0, 2.0)
