"""Agreement of orders: Kendall's tau by hand, and the share of draws that stand as published."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.scoring.orders import agreement, kendall_tau_b
from benchmarks.scoring.posterior import Cell, Metric

LOSS = Metric("loss")


def cells(values: dict[str, list[float]], metric: str = "loss") -> list[Cell]:
    return [
        Cell(estimator=name, parameters={}, values={metric: dict(enumerate(v))}) for name, v in values.items()
    ]


def test_tau_by_hand() -> None:
    assert kendall_tau_b([1, 2, 3], [10, 20, 30]) == 1.0
    assert kendall_tau_b([1, 2, 3], [3, 2, 1]) == -1.0
    assert kendall_tau_b([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(4 / 6)  # five of six pairs agree
    assert kendall_tau_b([1, 2, 2], [1, 2, 3]) == pytest.approx(2 / math.sqrt(2 * 3))
    assert kendall_tau_b([1, 2, 3], [1, math.inf, math.inf]) == pytest.approx(2 / math.sqrt(3 * 2))


def test_tau_is_that_of_scipy() -> None:
    x, y = np.random.default_rng(0).integers(0, 4, (2, 12)).tolist()
    assert kendall_tau_b(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, rel=1e-12)


def test_tau_that_is_undefined() -> None:
    assert kendall_tau_b([1, 1], [1, 2]) is None
    assert kendall_tau_b([1], [1]) is None
    with pytest.raises(ValueError, match="as many values"):
        kendall_tau_b([1, 2], [1])


CLEAR = {"a": [1.0, 1.1, 0.9], "b": [2.0, 2.1, 1.9], "c": [9.0, 9.2, 8.8]}


def test_the_same_order() -> None:
    result = agreement({"c": 30.0, "a": 10.0, "b": 20.0}, cells(CLEAR), select=LOSS, report=LOSS)
    assert result.published == result.measured == ("a", "b", "c")
    assert result.tau == 1.0
    assert result.share is not None
    assert result.share > 0.95
    assert [(pair.better, pair.worse, pair.separated) for pair in result.neighbours] == [
        ("a", "b", True),
        ("b", "c", True),
    ]


def test_another_order() -> None:
    result = agreement({"a": 20.0, "b": 10.0, "c": 30.0}, cells(CLEAR), select=LOSS, report=LOSS)
    assert (result.published, result.measured) == (("b", "a", "c"), ("a", "b", "c"))
    assert result.tau == pytest.approx(1 / 3)
    assert result.share is not None
    assert result.share < 0.05


def test_large_is_good_for_a_metric_to_maximise() -> None:
    metric = Metric("accuracy", "maximize")
    board = cells(CLEAR, "accuracy")
    result = agreement({"a": 1.0, "b": 2.0, "c": 3.0}, board, select=metric, report=metric)
    assert result.published == result.measured == ("c", "b", "a")
    assert result.tau == 1.0


def test_neighbours_that_are_not_separated_have_the_share_of_the_paired_t_test() -> None:
    a, b = [1.0, 2.0, 3.0], [1.1, 2.4, 3.1]
    result = agreement({"a": 1.0, "b": 2.0}, cells({"a": a, "b": b}), select=LOSS, report=LOSS)
    expected = 1 - stats.ttest_rel(a, b, alternative="less").pvalue
    (pair,) = result.neighbours
    assert not pair.separated
    assert pair.share == result.share == pytest.approx(expected, abs=4.89 * math.sqrt(0.1 * 0.9 / 20_000))


def test_published_ties_are_no_order() -> None:
    board = cells({"a": [1.0, 2.0, 3.0], "b": [1.1, 2.4, 3.1], "c": [90.0, 90.1, 89.9]})
    tied = agreement({"a": 1.0, "b": 1.0, "c": 2.0}, board, select=LOSS, report=LOSS)
    assert tied.share is not None
    assert tied.share > 0.99
    assert tied.tau == pytest.approx(2 / math.sqrt(2 * 3))


def test_what_one_side_lacks_is_left_out() -> None:
    board = [*cells(CLEAR), *cells({"x": [0.0, 0.1], "single": [5.0]})]
    result = agreement({"a": 1.0, "c": 3.0, "single": 2.0, "z": 4.0}, board, select=LOSS, report=LOSS)
    assert (result.measured, result.missing) == (("a", "c"), ("single", "z"))


def test_one_estimator_has_no_order() -> None:
    result = agreement({"a": 1.0}, cells(CLEAR), select=LOSS, report=LOSS)
    assert (result.tau, result.share, result.error, result.neighbours) == (None, None, None, ())


def test_an_estimator_that_failed_is_last() -> None:
    board = cells({"a": [1.0, 1.1], "b": [0.5, math.nan]})
    result = agreement({"a": 1.0, "b": 2.0}, board, select=LOSS, report=LOSS)
    assert (result.measured, result.tau, result.share) == (("a", "b"), 1.0, 1.0)


def test_a_published_number_is_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        agreement({"a": math.nan}, cells(CLEAR), select=LOSS, report=LOSS)
