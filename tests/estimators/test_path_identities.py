"""Relations between path estimators, draw by draw or by enumeration of the outcomes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import (
    decoupled_stgs,
    get,
    gst,
    gst_p,
    gumbel_softmax,
    reinmax_mean_baseline,
    reinmax_mean_baseline_released,
    st,
    st_uniform_baseline,
    stgs,
)
from estimators._ops import jacobian_product
from tests.estimators.problems import seeded
from tests.support.noise import FixedNoise
from tests.support.statistics import assert_frequencies

THETA = torch.tensor([0.4, -0.9, 0.2, -1.7], dtype=torch.float64)
G = torch.tensor([1.3, -0.7, 0.4, 2.1], dtype=torch.float64)
ORDERED = ["st", "reinmax", "zgr", "reinmax_mean_baseline", "st_uniform_baseline"]


def gradients(
    function: Callable[..., Tensor], theta: Tensor, g: Tensor, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    """Samples and the gradient of <g, z> with fixed g."""
    logits = theta.clone().requires_grad_()
    z = function(logits, generator=seeded(), **kwargs)
    (z * g).sum().backward()
    assert logits.grad is not None
    return z.detach(), logits.grad


def per_outcome(id: str, theta: Tensor, g: Tensor) -> Tensor:
    """The gradient for every outcome, row i for e_i; the estimators here depend on the outcome alone."""
    z, grad = gradients(get(id).load(), theta.expand(5000, -1), g)
    return torch.stack([grad[z[:, i] == 1][0] for i in range(len(theta))])


@pytest.mark.parametrize("id", ORDERED)
def test_mean_for_fixed_g_is_the_jacobian_product(id: str) -> None:
    """Identity of the first-order and second-order families at temperature 1, by enumeration."""
    p = THETA.softmax(-1)
    mean = (p.unsqueeze(-1) * per_outcome(id, THETA, G)).sum(0)
    torch.testing.assert_close(mean, jacobian_product(p, G), rtol=0, atol=1e-14)


def test_released_mean_baseline_has_another_mean() -> None:
    p = THETA.softmax(-1)
    mean = (p.unsqueeze(-1) * per_outcome("reinmax_mean_baseline_released", THETA, G)).sum(0)
    assert not torch.allclose(mean, jacobian_product(p, G), atol=1e-2)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_gst_is_st_where_the_sample_leads_by_the_gap(temperature: float) -> None:
    theta = torch.tensor([[5.0, 1.0, -2.0, 4.0]], dtype=torch.float64).expand(50, -1)
    z, gapped = gradients(gst, theta, G, gap=1.0, temperature=temperature)
    _, plain = gradients(st, theta, G, temperature=temperature)
    on_top = z[:, 0] == 1
    torch.testing.assert_close(gapped[on_top], plain[on_top], rtol=0, atol=1e-15)
    assert not torch.allclose(gapped[~on_top], plain[~on_top])


def test_an_integer_gap_is_a_gap() -> None:
    theta = THETA.expand(50, -1)
    _, one = gradients(gst, theta, G, gap=1)
    _, one_point_nought = gradients(gst, theta, G, gap=1.0)
    _, expected = gradients(gst_p, theta, G)
    assert torch.equal(one, one_point_nought)
    assert not torch.allclose(one, expected)


def pair_gradient(log_odds: float, u: float) -> float:
    """Size of the gradient of gst_p for logits (0, log_odds) and the sample that ``u`` draws."""
    logits = torch.tensor([[0.0, log_odds]], dtype=torch.float64, requires_grad=True)
    (gst_p(logits, generator=FixedNoise(u)) * G[:2]).sum().backward()
    assert logits.grad is not None
    return logits.grad[0, 1].abs().item()


def test_expected_gap_of_a_near_certain_sample() -> None:
    """pi_i = 1 - 1e-20 rounds to 1, and log(1 - pi_i) to -inf; the gap is 46.05 and lets 1e-20 through."""
    assert pair_gradient(math.log(1e-20), 0.5) == pytest.approx(2.0 * 1e-20, rel=1e-9, abs=0)


def test_expected_gap_of_a_rare_sample() -> None:
    """pi_i = 1e-12: 1 - pi_i loses its digits; the gap is 1."""
    y = torch.tensor([0.0, -1.0], dtype=torch.float64).softmax(-1).prod().item()
    assert pair_gradient(math.log(1e-12), 1 - 1e-13) == pytest.approx(2.0 * y, rel=1e-9, abs=0)


def test_decoupled_at_forward_temperature_one_is_stgs() -> None:
    theta = THETA.expand(50, -1)
    plain = gradients(stgs, theta, G, temperature=0.4)
    decoupled = gradients(decoupled_stgs, theta, G, temperature=0.4, forward_temperature=1.0)
    assert all(map(torch.equal, plain, decoupled))


def test_forward_temperature_tempers_the_samples_only() -> None:
    theta = THETA.expand(100_000, -1)
    z, grad = gradients(decoupled_stgs, theta, G, temperature=0.4, forward_temperature=2.5)
    assert_frequencies(z.sum(0), (THETA / 2.5).softmax(-1))
    assert torch.equal(grad, gradients(stgs, theta, G, temperature=0.4)[1])


def test_soft_and_straight_through_samples_share_their_noise() -> None:
    """Same draw, same Jacobian; f sees the relaxed sample in one case and its arg max in the other."""
    theta = THETA.expand(200, -1)
    soft, soft_gradient = gradients(gumbel_softmax, theta, G, temperature=0.4)
    hard, hard_gradient = gradients(stgs, theta, G, temperature=0.4)
    assert torch.equal(soft_gradient, hard_gradient)
    assert torch.equal(soft.argmax(-1), hard.argmax(-1))
    torch.testing.assert_close(soft.sum(-1), torch.ones(200, dtype=torch.float64))


@pytest.mark.parametrize(
    "function", [st_uniform_baseline, reinmax_mean_baseline, reinmax_mean_baseline_released]
)
def test_uniform_baselines_count_possible_categories_only(function: Callable[..., Tensor]) -> None:
    masked = torch.tensor([0.3, -torch.inf, -0.8, 0.1], dtype=torch.float64).expand(50, -1)
    keep = [0, 2, 3]
    z, with_mask = gradients(function, masked, G, temperature=1.3)
    without_z, without = gradients(function, masked[:, keep], G[keep], temperature=1.3)
    assert torch.equal(z[:, keep], without_z)
    torch.testing.assert_close(with_mask[:, keep], without, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("function", [st_uniform_baseline, reinmax_mean_baseline])
def test_divisions_by_rare_probabilities_keep_their_digits(function: Callable[..., Tensor]) -> None:
    """A sample of probability 1e-6 divides a difference that has cancelled: float32 against float64."""
    theta = torch.tensor([14.0, 0.0, -0.3], dtype=torch.float64)
    results = []
    for dtype in (torch.float32, torch.float64):
        logits = theta.to(dtype).requires_grad_()
        z = function(logits, generator=FixedNoise(1 - 2**-22))
        assert z.argmax() != 0
        (z * (G[:3] + 10).to(dtype)).sum().backward()
        assert logits.grad is not None
        results.append(logits.grad.double())
    torch.testing.assert_close(*results, rtol=2e-5, atol=1e-5)
