"""Every record of the golden problems of estimators from values of f.

Where the estimate depends on finitely many outcomes, mean and variance are enumerated and compared to 1e-9.
Elsewhere statistics of 200,000 draws decide, with the rate of false alarms of ``tests.support.statistics``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from estimators import surrogate
from tests.estimators.enumeration import Cells, antithetic, by_inversion, down_the_tree, enumerated
from tests.estimators.goldens import Golden, tensor
from tests.estimators.score_goldens import (
    arguments,
    as_table,
    multilinear,
    registered_id,
    score_goldens,
    score_logits,
)
from tests.support.statistics import assert_mean, assert_variance

Count = Callable[[str], None]

DRAWS = 200_000
MOST_COMBINATIONS = 70_000


ENUMERABLE = {
    "reinforce": by_inversion,
    "reinforce_ema": by_inversion,
    "rloo": by_inversion,
    "muprop": by_inversion,
    "double_cv": by_inversion,
    "rodeo": by_inversion,
    "disarm": antithetic,
    "disarm_tree": down_the_tree,
}


def numbers(golden: Golden) -> list[list[Cells]]:
    """Cells of all uniform numbers of one estimate, by variable; empty where they cannot be enumerated."""
    id = registered_id(golden)
    if id not in ENUMERABLE:
        return []
    table = ENUMERABLE[id](score_logits(golden.case).softmax(-1), golden.record["K"])
    combinations = torch.tensor(
        [len(middle) for row in table for middle, _ in row], dtype=torch.float64
    ).prod()
    return table if combinations <= MOST_COMBINATIONS else []


EXACTLY = [golden for golden in score_goldens() if numbers(golden)]
STATISTICALLY = [golden for golden in score_goldens() if not numbers(golden)]


@pytest.mark.parametrize("golden", EXACTLY, ids=str)
def test_mean_and_variance_by_enumeration(golden: Golden, count_golden: Count) -> None:
    case, table = golden.case, numbers(golden)
    samples = golden.record["K"]
    shape = {"disarm": (samples // 2,), "disarm_tree": (len(table[0]) // samples, 2, samples // 2)}
    mean, variance = enumerated(
        registered_id(golden),
        score_logits(case),
        multilinear(case),
        [cell for row in table for cell in row],
        (len(table), *shape.get(registered_id(golden), (samples,))),
        **arguments(golden),
    )
    torch.testing.assert_close(mean, as_table(case, case["exact_grad"]), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(
        variance, as_table(case, golden.record["variance"]).abs(), rtol=1e-9, atol=1e-10
    )
    count_golden(registered_id(golden))


@pytest.mark.parametrize("golden", STATISTICALLY, ids=str)
def test_mean_and_variance_by_statistics(golden: Golden, count_golden: Count) -> None:
    check_statistics(registered_id(golden), golden, **arguments(golden))
    count_golden(registered_id(golden))


def check_statistics(id: str, golden: Golden, **call: object) -> None:
    """Mean and variance of the record, from draws in one lane."""
    case, record = golden.case, golden.record
    logits = score_logits(case)
    rows = logits.expand(1, DRAWS, *logits.shape).clone().requires_grad_()
    estimate = surrogate(id, rows, multilinear(case), generator=torch.Generator().manual_seed(1), **call)
    estimate.surrogate.sum().backward()
    assert rows.grad is not None
    gradient, variance = rows.grad.squeeze(0), as_table(case, record["variance"]).abs()
    error = as_table(case, record["variance_se"]).abs() if "variance_se" in record else tensor(0.0)
    detects = 0.02 * max(1.0, variance.max().sqrt().item())
    assert_mean(gradient, as_table(case, case["exact_grad"]), detects=detects)
    assert_variance(gradient, variance, error)


@pytest.mark.parametrize("golden", [g for g in score_goldens() if g.name == "arm"], ids=str)
def test_arsm_of_two_categories_is_arm(golden: Golden, count_golden: Count) -> None:
    check_statistics("arsm", golden)
    count_golden("arsm")


def test_records_that_are_enumerated() -> None:
    """Nearly all; the others have continuous noise, or more outcomes than are worth the time."""
    continuous = {"arm", "arms", "rebar", "relax"}
    too_many = {golden.name for golden in STATISTICALLY if registered_id(golden) not in continuous}
    assert too_many <= {"rloo@4", "rloo@8", "disarm_tree@4"}
    assert {registered_id(golden) for golden in EXACTLY} == set(ENUMERABLE)
