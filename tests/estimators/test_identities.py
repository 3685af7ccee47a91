"""Relations between estimators that hold exactly, draw by draw or in the mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from estimators import available, get
from estimators._ops import jacobian_product
from tests.estimators.problems import LOGITS, WEIGHTS, degree, draws, gradient, lanes, seeded
from tests.support.statistics import assert_mean, assert_mean_differs

# All variables, with f affine: J(pi) g is the exact gradient.
AFFINE_MEAN = jacobian_product(LOGITS.softmax(-1), WEIGHTS)


def test_exact_is_the_jacobian_product_for_affine_objectives() -> None:
    exact, _ = gradient(get("exact"), LOGITS, degree(1), None)
    torch.testing.assert_close(exact, AFFINE_MEAN, rtol=0, atol=1e-14)


def test_st_at_temperature_one_is_exact_for_affine_objectives() -> None:
    """Not only in the mean: g is the same for every sample."""
    st = draws(get("st"), degree(1), 100)
    torch.testing.assert_close(st, AFFINE_MEAN.expand(100, 2, 3), rtol=0, atol=1e-14)


@pytest.mark.parametrize("id", [id for id in available() if get(id).properties.order is not None])
def test_estimators_with_an_order_share_the_mean_for_affine_objectives(id: str) -> None:
    assert_mean(draws(get(id), degree(1), 100_000), AFFINE_MEAN, detects=0.03)


def test_reinmax_is_exact_in_the_mean_for_quadratic_objectives() -> None:
    """By enumeration of the nine outcomes, to rounding."""
    exact, _ = gradient(get("exact"), LOGITS, degree(2), None)
    mean = mean_over_outcomes("reinmax", degree(2))
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-13)
    assert not torch.allclose(mean_over_outcomes("st", degree(2)), exact, atol=1e-2)


def mean_over_outcomes(id: str, objective: object) -> Tensor:
    """E over D of a gradient that depends on the sample alone, each outcome found among many rows."""
    assert callable(objective)
    grads, estimate = gradient(get(id), LOGITS.expand(5000, 2, 3).clone(), objective, seeded())
    assert estimate.samples is not None
    first, second = estimate.samples[0].argmax(-1).T
    p = LOGITS.softmax(-1)
    mean = torch.zeros_like(LOGITS)
    for i in range(3):
        for j in range(3):
            mean += p[0, i] * p[1, j] * grads[(first == i) & (second == j)][0]
    return mean


def test_reinmax_closed_form_at_temperature_one() -> None:
    """(1/2) [D_k (g_i - <pi, g>) + pi_k (g_k - g_i)] with i the sampled category."""
    logits = lanes(2)
    grads, estimate = gradient(get("reinmax"), logits, degree(1), seeded())
    assert estimate.samples is not None
    D, p = estimate.samples[0], logits.softmax(-1)
    g_i = (D * WEIGHTS).sum(-1, keepdim=True)
    expected = (D * (g_i - (p * WEIGHTS).sum(-1, keepdim=True)) + p * (WEIGHTS - g_i)) / 2
    torch.testing.assert_close(grads, expected, rtol=0, atol=1e-14)


def test_stgs_is_biased_even_for_affine_objectives() -> None:
    assert_mean_differs(draws(get("stgs"), degree(1), 100_000), AFFINE_MEAN)


def test_reinforce_draw_by_draw() -> None:
    """(1/K) sum_k f(D_k) (D_k - pi), by hand on the samples it drew."""
    logits, f = lanes(2), degree(3)
    grads, estimate = gradient(get("reinforce"), logits, f, seeded(), num_samples=4)
    assert estimate.samples is not None
    terms = [f(D)[..., None, None] * (D - logits.softmax(-1)) for D in estimate.samples]
    torch.testing.assert_close(grads, sum(terms, torch.zeros(())) / 4)
