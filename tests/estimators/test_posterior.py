"""Estimators that average relaxed samples given the hard one: identities, noise, memory."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import estimators
from estimators import gumbel_rao, reinmax, reinmax_cv, reinmax_cv_released, reinmax_rao, zgr
from estimators._streams import draw_keys, keyed_uniform
from estimators.path import _posterior, _two_categories
from tests.estimators.goldens import cases, tensor
from tests.estimators.problems import seeded
from tests.support.noise import FixedNoise
from tests.support.statistics import assert_mean, assert_variance, assert_z

ROOT = Path(estimators.__file__).parent.parent
G = torch.tensor([1.3, -0.7, 0.4, 2.1], dtype=torch.float64)
LOGITS = torch.tensor([0.4, -0.9, 0.2, -0.3], dtype=torch.float64)
PAIR = torch.tensor([0.6, -0.4], dtype=torch.float64)


def gradients(z: Tensor, logits: Tensor) -> Tensor:
    """The gradient of <g, z> for a fixed g."""
    (grad,) = torch.autograd.grad((z * G[: z.shape[-1]].to(z)).sum(), logits, retain_graph=True)
    return grad


def rows(theta: Tensor, count: int) -> Tensor:
    return theta.expand(count, -1).clone().requires_grad_()


def exact_pair(theta: Tensor, temperature: float) -> Tensor:
    """K = infinity for both outcomes: row i belongs to outcome i."""
    logits = rows(theta, 1)
    draws = [
        gumbel_rao(logits, temperature=temperature, expectation="exact", generator=FixedNoise(u))
        for u in (1e-12, 1 - 1e-12)
    ]
    assert [z.argmax().item() for z in draws] == [0, 1]
    return torch.cat([gradients(z, logits) for z in draws])


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_exact_expectation_is_the_mean_of_many_draws(temperature: float) -> None:
    exact = exact_pair(PAIR, temperature)
    logits = rows(PAIR, 2000)
    z = gumbel_rao(logits, temperature=temperature, num_draws=200, generator=seeded(1))
    deviation = gradients(z, logits) - exact[z.argmax(-1)]
    assert_mean(deviation, torch.zeros(2, dtype=torch.float64), detects=0.1)


PAIR_CASES = [case for case in cases("path_cases") if case["n"] == 2]


@pytest.mark.parametrize("case", PAIR_CASES, ids=lambda case: case["id"])
def test_exact_expectation_against_golden_means(case: dict[str, Any]) -> None:
    theta, g = tensor(case["theta"]), tensor(case["g"])
    weight = exact_pair(theta, case["tau"]) / (G[0] - G[1]) * (g[0] - g[1])
    expected = tensor(case["estimators"]["stgs"]["cond_grad"])
    torch.testing.assert_close(weight, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("pi_j", [0.5, 1e-3, 1e-8, 1e-15])
def test_exact_expectation_in_closed_form_at_temperature_one(pi_j: float) -> None:
    """At tau = 1 and in q = y_j / y_i the integrand is rational: its integral by partial fractions."""
    p_j = torch.tensor(pi_j, dtype=torch.float64)
    c = (1 - p_j) / p_j  # pi_j q / ((1 + q)^2 (pi_j + pi_i q)^2) = (q / pi_j) / ((1 + q)^2 (1 + c q)^2)
    if pi_j == 0.5:
        expected = 2 * torch.tensor(1 / 8 - 1 / 24, dtype=torch.float64)  # integral of q / (1 + q)^4, times 2
    else:
        logs = (1 + c) * ((1 + c).log() - torch.tensor(2.0).log())
        rest = (c - 1) / 2 + (c - 1) * c / (1 + c)
        expected = (logs - rest) / (c - 1) ** 3 / p_j
    theta = torch.stack([torch.log1p(-p_j), p_j.log()])
    (weight,) = exact_pair_weight(theta)
    torch.testing.assert_close(weight, expected, rtol=1e-6 if pi_j > 1e-3 else 1e-9, atol=0)


@pytest.mark.parametrize("temperature", [0.05, 0.3, 0.9, 1.0, 1.1, 3.0, 10.0])
def test_exact_expectation_in_float32_is_that_of_float64(temperature: float) -> None:
    """Fewer nodes: 1e-5 is what rounding leaves of float32 anyway, for p_j from 1/2 down to 1e-18."""
    p_j = torch.logspace(-18, math.log10(0.5), 200, dtype=torch.float64)
    log_p = torch.stack([torch.log1p(-p_j), p_j.log()], dim=-1)
    double, single = (log_p.clone().requires_grad_(), log_p.float().requires_grad_())
    exact = functools.partial(gumbel_rao, temperature=temperature, expectation="exact")
    expected = gradients(exact(double, generator=FixedNoise(1e-30)), double)
    found = gradients(exact(single, generator=FixedNoise(1e-30)), single)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)


TAUS = torch.linspace(0.3, 1.4, 3 * 50, dtype=torch.float64).view(3, 50, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("tau", "copies", "integrals"),
    [
        (0.7, 50, 3 * 7 * 2),
        (TAUS[:, :1], 50, 3 * 7 * 2),  # of each lane
        (TAUS, 50, 3 * 7 * 50),  # of each copy: nothing is shared
        (0.7, 2, 3 * 7 * 2),  # as many outcomes as copies
    ],
)
def test_copies_that_share_logits_share_the_integrals(
    tau: float | Tensor, copies: int, integrals: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the last bit what copies with logits of their own have, for both outcomes, one of them masked."""
    theta = torch.randn(3, 1, 7, 2, generator=seeded(), dtype=dtype)
    theta[1, 0, 3, 0] = -math.inf
    shared = theta.expand(3, copies, 7, 2).requires_grad_()
    own = shared.detach().clone().requires_grad_()
    taken = integrals_taken(monkeypatch)
    found, expected = (
        gradients(gumbel_rao(x, temperature=tau, expectation="exact", generator=seeded()), x)
        for x in (shared, own)
    )
    assert torch.equal(found, expected)
    assert sum(taken) == integrals + 3 * 7 * copies


def integrals_taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list to which every call of the quadrature from now on adds how many integrals it takes."""
    taken: list[int] = []
    integral = _two_categories._integral

    def counted(log_p_j: Tensor, p_i: Tensor, tau: Tensor) -> Tensor:
        taken.append(int(p_i.numel()))
        return integral(log_p_j, p_i, tau)

    monkeypatch.setattr(_two_categories, "_integral", counted)
    return taken


def exact_pair_weight(log_p: Tensor) -> Tensor:
    """E[y_i y_j] given that the first category was drawn, at tau = 1."""
    logits = log_p.unsqueeze(0).requires_grad_()
    z = gumbel_rao(logits, expectation="exact", generator=FixedNoise(1e-9))
    assert z[0, 0] == 1
    return gradients(z, logits)[:, 0] / (G[0] - G[1])


def test_zero_temperature_limit_is_zgr_and_reinmax() -> None:
    """Exact for pairs; sample by sample for ReinMax at temperature 1."""
    logits = rows(PAIR, 200)
    cold = gradients(gumbel_rao(logits, temperature=1e-7, expectation="exact", generator=seeded()), logits)
    limit = gradients(zgr(logits, generator=seeded()), logits)
    torch.testing.assert_close(cold, limit, rtol=1e-6, atol=0)
    many = rows(LOGITS, 200)
    torch.testing.assert_close(
        gradients(zgr(many, generator=seeded()), many),
        gradients(reinmax(many, generator=seeded()), many),
        rtol=0,
        atol=1e-15,
    )


def test_cold_draws_average_to_zgr() -> None:
    logits = rows(LOGITS, 2000)
    z = gumbel_rao(logits, temperature=0.02, num_draws=500, generator=seeded())
    limit = gradients(zgr(logits, generator=seeded()), logits)
    assert_mean(gradients(z, logits) - limit, torch.zeros_like(LOGITS), detects=0.05)


def test_variance_given_the_sample_falls_like_one_over_k() -> None:
    """Sample and draws have separate noise, so the same first uniform fixes the sample."""
    variances = []
    for num_draws in (1, 16):
        logits = rows(LOGITS, 60_000)
        z = gumbel_rao(logits, temperature=0.7, num_draws=num_draws, generator=seeded(2))
        variances.append(gradients(z, logits)[z[:, 0] == 1])
    one, sixteen = variances
    centred = (one - one.mean(0)).square()
    expected, stderr = centred.mean(0) / 16, centred.std(0) / 16 / len(one) ** 0.5
    assert_variance(sixteen, expected, stderr)


def test_control_variate_has_mean_zero_given_the_sample() -> None:
    """Whatever eta, temperature and K: the mean is that of ReinMax at temperature 1."""
    logits = rows(LOGITS, 100_000)
    target = gradients(reinmax(logits, generator=seeded()), logits)
    z = reinmax_cv(logits, temperature=0.5, eta=1.5, num_draws=2, generator=seeded())
    assert_mean(gradients(z, logits) - target, torch.zeros_like(LOGITS), detects=0.05)
    off = gradients(reinmax_cv(logits, eta=0.0, num_draws=1, generator=seeded()), logits)
    torch.testing.assert_close(off, target, rtol=0, atol=1e-15)


def test_control_variate_pairs_independent_draws() -> None:
    """With K = 1 its variance given the sample is eta^2 times that of the difference of two draws."""
    logits = rows(LOGITS, 100_000)
    z = reinmax_cv(logits, eta=0.7, num_draws=1, generator=seeded())
    first = gradients(z, logits)[z[:, 0] == 1]
    z = reinmax_rao(logits, num_draws=1, generator=seeded(1))
    twice_one_draw = gradients(z, logits)[z[:, 0] == 1]
    centred = (twice_one_draw - twice_one_draw.mean(0)).square() * (2 * 0.7**2 / 4)
    assert_variance(first, centred.mean(0), centred.std(0) / len(centred) ** 0.5)


def test_backward_passes_over_one_graph_see_the_same_draws() -> None:
    for function in (gumbel_rao, reinmax_rao, reinmax_cv, reinmax_cv_released):
        logits = rows(LOGITS, 50)
        z = function(logits, num_draws=3, generator=seeded())
        assert torch.equal(gradients(z, logits), gradients(z, logits))


def test_draws_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    for theta in (LOGITS, PAIR):
        results = []
        for size in (7, 64):
            monkeypatch.setattr(_posterior, "DRAWS_PER_BLOCK", size)
            logits = rows(theta, 50)
            results.append(gradients(gumbel_rao(logits, num_draws=100, generator=seeded()), logits))
        torch.testing.assert_close(*results, rtol=0, atol=1e-14)


def test_variables_do_not_depend_on_their_mates() -> None:
    """Bit by bit, for numbers of variables that leave a remainder in every vector register."""
    generator = seeded()
    for n in (2, 3, 40):
        log_p = torch.randn(1100, n, generator=generator).log_softmax(-1)
        g, z = torch.randn(1100, n, generator=generator), torch.eye(n)[torch.arange(1100) % n]
        key, tau = draw_keys((1100,), generator, device=log_p.device), torch.tensor(0.7)
        every = _posterior.mean_jacobian_product(log_p, z, g, tau, key, range(70))
        for part in (slice(0, 1), slice(3, 10), slice(17, 1100)):
            alone = _posterior.mean_jacobian_product(log_p[part], z[part], g[part], tau, key[part], range(70))
            assert torch.equal(alone, every[part])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_keyed_numbers_are_uniform_and_independent(dtype: torch.dtype) -> None:
    key = draw_keys((500, 1), seeded(), device=torch.device("cpu"))
    u = keyed_uniform(key, torch.arange(1000), dtype)
    assert u.min() > 0
    assert u.max() < 1
    counts = torch.histc(u.double(), bins=100, min=0, max=1)
    assert_z((counts - 5000) / 5000**0.5, "frequency")
    centred = (u.double() - 0.5) * 12**0.5
    across, along = centred[1:] * centred[:-1], centred[:, 1:] * centred[:, :-1]
    assert_z(torch.stack([x.mean() * x.numel() ** 0.5 for x in (centred, across, along)]), "correlation")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("n", [1, 2, 3, 10_000])
def test_any_number_of_categories(n: int, dtype: torch.dtype) -> None:
    for function in (gumbel_rao, reinmax_rao, reinmax_cv):
        logits = (torch.randn(3, n, generator=seeded(), dtype=dtype) * 1e4).requires_grad_()
        z = function(logits, num_draws=7, generator=seeded())
        z.square().sum().backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert logits.grad.sum(-1).abs().max() < 1e-5


def test_refusals() -> None:
    with pytest.raises(ValueError, match="num_draws must be an integer from 1 to 100,000, got 0"):
        gumbel_rao(LOGITS, num_draws=0)
    with pytest.raises(ValueError, match="known for 2 categories, these variables have 4"):
        gumbel_rao(LOGITS, expectation="exact")
    with pytest.raises(ValueError, match="expectation must be one of draws, exact, got 'exat'"):
        gumbel_rao(PAIR, expectation="exat")
    with pytest.raises(ValueError, match=r"eta must be a number from 0 to 10, got -0\.1"):
        reinmax_cv(LOGITS, eta=-0.1)


PEAK = """
import resource, sys, torch
from estimators import gumbel_rao
logits = torch.zeros(512, 128, 2, requires_grad=True)
gumbel_rao(logits, num_draws=1).sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
gumbel_rao(logits, num_draws=1000).sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_memory_does_not_grow_with_the_number_of_draws() -> None:
    """Peak resident memory of 1000 draws above that of one, 128 binary variables, batch 512: under 64 MiB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PEAK], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    assert float(done.stdout) < 64
