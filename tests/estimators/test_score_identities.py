"""Relations between the estimators from values of f, and what their masks, couplings and pairs promise."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, SeparableObjective, bernoulli_pair, get, surrogate
from estimators._relaxed import draw_relaxed
from estimators.score.arms import decorrelation
from tests.estimators.battery import ALL
from tests.estimators.enumeration import antithetic, combinations, down_the_tree, enumerated
from tests.estimators.problems import LOGITS, degree, gradient, lanes, lanes_for, problem, seeded
from tests.support.noise import GivenNoise
from tests.support.statistics import assert_mean

BINARY = [info for info in ALL if info.properties.binary_only]
every_binary = pytest.mark.parametrize("info", BINARY, ids=lambda info: info.id)
F = degree(3)
PAIR = LOGITS[:, :2]


def rows(logits: Tensor, count: int) -> Tensor:
    """Copies as the rows of one lane."""
    return logits.expand(1, count, *logits.shape).clone()


def uniforms(*shape: int) -> Tensor:
    return torch.rand(shape, generator=seeded(), dtype=torch.float64)


def test_arms_of_two_samples_is_disarm_draw_by_draw() -> None:
    """u_1 = 1 - d_1 = d_2 = 1 - u_2: the Dirichlet copula of two is the antithetic pair.

    ARMS uses u_1 for the less likely outcome, DisARM 1 - u for category 1.
    """
    v = uniforms(1, 1000, 2, 2)
    e = -v.log()
    u_1 = e[..., 1] / e.sum(-1)
    for logits in (PAIR, -PAIR, torch.zeros(2, 2, dtype=torch.float64)):
        u = torch.where(logits[:, 1] >= logits[:, 0], u_1, 1 - u_1).unsqueeze(-1)
        arms, _ = gradient(get("arms"), rows(logits, 1000), F, GivenNoise(v), num_samples=2)
        disarm, _ = gradient(get("disarm"), rows(logits, 1000), F, GivenNoise(u))
        torch.testing.assert_close(arms, disarm, rtol=0, atol=1e-12)


def test_rloo_of_two_samples_is_symmetric_reinforce() -> None:
    """(1/2) (f_1 - f_2) (D_1 - D_2)."""
    grad, estimate = gradient(get("rloo"), lanes(2), F, seeded(), num_samples=2)
    assert estimate.samples is not None
    difference = (estimate.values[0] - estimate.values[1]) / 2
    expected = difference[..., None, None] * (estimate.samples[0] - estimate.samples[1])
    torch.testing.assert_close(grad, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [-2.0, 0.0, 1.0, 4.0])
def test_disarm_is_the_mean_of_arm_given_the_samples(scale: float) -> None:
    """ARM is linear in u, so its mean over a cell is its value at the midpoint; hence less variance."""
    logits = scale * PAIR
    numbers = [cell for row in antithetic(logits.softmax(-1), 2) for cell in row]
    midpoints, _ = combinations(numbers)
    u = midpoints.reshape(1, -1, 2, 1)
    arm, disarm = (
        gradient(get(id), rows(logits, len(midpoints)), F, GivenNoise(u))[0] for id in ("arm", "disarm")
    )
    torch.testing.assert_close(arm, disarm, rtol=0, atol=1e-12)


def test_disarm_has_less_variance_than_arm() -> None:
    arm, disarm = (gradient(get(id), rows(PAIR, 50_000), F, seeded())[0] for id in ("arm", "disarm"))
    assert (disarm.var(1) < arm.var(1)).all()


def test_disarm_tree_of_two_categories_is_disarm() -> None:
    u = uniforms(1, 1000, 2, 1, 2, 1)
    tree, _ = gradient(get("disarm_tree"), rows(PAIR, 1000), F, GivenNoise(u))
    plain, _ = gradient(get("disarm"), rows(PAIR, 1000), F, GivenNoise(u[..., 0, 0, :]))
    torch.testing.assert_close(tree, plain, rtol=0, atol=1e-12)


def any_f(samples: Tensor) -> Tensor:
    """A table of values for one variable of any number of categories."""
    return (samples * torch.arange(samples.shape[-1]).to(samples).sin()).sum((-1, -2)) * 3 + 1


TREES = [
    (n, masked)
    for n in (2, 3, 5, 6, 7)
    for masked in ((), (0,), (2,), (1, 2), (0, 3, 4))
    if max(masked, default=0) < n and len(masked) < n
]


@pytest.mark.parametrize(("n", "masked"), TREES, ids=str)
def test_disarm_tree_is_exact_in_the_mean_for_any_tree(n: int, masked: tuple[int, ...]) -> None:
    """By enumeration, with any categories masked."""
    logits = torch.linspace(-1.0, 1.3, n, dtype=torch.float64).cos().unsqueeze(0) * 2
    logits[:, list(masked)] = -torch.inf
    numbers = [cell for row in down_the_tree(logits.softmax(-1), 2) for cell in row]
    mean, variance = enumerated("disarm_tree", logits, any_f, numbers, (1, (n - 1).bit_length(), 2, 1))
    exact, _ = gradient(get("exact"), logits, any_f, None)
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-12)
    assert (variance[:, list(masked)] == 0).all()


@pytest.mark.parametrize("id", ["disarm_tree", "arsm", "rebar", "relax", "rloo"])
def test_variables_of_one_category_have_no_gradient(id: str) -> None:
    grad, _ = gradient(get(id), torch.zeros(4, 3, 1), any_f, seeded())
    assert (grad == 0).all()


@pytest.mark.parametrize("id", ["arsm", "rebar", "relax", "rloo", "muprop", "disarm_tree"])
def test_masks_that_differ_between_variables_leave_it_unbiased(id: str) -> None:
    logits = torch.tensor(
        [[0.4, -0.9, 0.2, 0.7], [-0.3, -torch.inf, -1.1, 0.5], [-torch.inf, 0.1, -torch.inf, -0.6]]
    ).double()
    weights = torch.tensor([[1.3, -0.7, 0.4, 0.1], [-1.1, 0.6, 1.7, 0.3], [0.5, 0.9, -0.2, -0.8]]).double()

    def f(samples: Tensor) -> Tensor:
        return (samples * weights).sum((-1, -2)) ** 2

    exact, _ = gradient(get("exact"), logits, f, None)
    draws = gradient(get(id), rows(logits, 100_000), f, seeded())[0].squeeze(0)
    assert_mean(draws, exact, detects=0.1)
    assert (draws[:, logits.isneginf()] == 0).all()


@pytest.mark.parametrize("K", [2, 3, 4, 10, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_factor_of_arms_at_any_probability(K: int, dtype: torch.dtype) -> None:
    """(1 - r) / (1 - J/r), from r = 1/2 to far below the smallest float."""
    for log_r in (-math.log(2), -0.7, -1.0, -5.0, -50.0, -1e4):
        root = math.exp(log_r / (K - 1))
        joint = max(0.0, 2 - 1 / root) ** (K - 1) if root > 0.5 else 0.0
        factor = decorrelation(torch.tensor(log_r, dtype=dtype), K)
        expected = (1 - math.exp(log_r)) / (1 - joint)
        assert factor.item() == pytest.approx(expected, rel=2e3 * torch.finfo(dtype).eps)


@pytest.mark.parametrize("eta", [-7.0, 7.0])
@pytest.mark.parametrize("id", ["arms", "disarm", "rloo"])
def test_peaked_probabilities_are_not_biased(id: str, eta: float) -> None:
    """E of the estimate for f = b is p (1 - p), about 1e-3, in float32."""
    logits = bernoulli_pair(torch.tensor([eta]))
    draws, _ = gradient(get(id), rows(logits, 400_000), lambda b: b[..., 1].sum(-1), seeded(), num_samples=4)
    p = logits.double().softmax(-1)
    expected = p.prod() * torch.tensor([[-1.0, 1.0]], dtype=torch.float64)
    assert_mean(draws.squeeze(0).double(), expected, detects=5e-4)


@pytest.mark.parametrize("id", ["muprop", "double_cv"])
def test_control_variates_are_exact_for_affine_objectives(id: str) -> None:
    """Without variance: the control variate is all of f."""
    info = get(id)
    exact, _ = gradient(get("exact"), problem(info), degree(1), None)
    draws, _ = gradient(info, rows(problem(info), 100), degree(1), seeded())
    torch.testing.assert_close(draws, exact.expand_as(draws), rtol=0, atol=1e-14)


def test_relaxed_samples_given_the_outcome_agree_with_it() -> None:
    """x and x~ have their largest entry at D, the same mean, and mask what is masked."""
    logits = rows(torch.cat([LOGITS, torch.full((2, 1), -torch.inf)], -1).double(), 100_000)
    draws = draw_relaxed(logits, torch.tensor(0.7, dtype=torch.float64), 1, seeded())
    x, x_given = draws.relaxed.detach()
    outcome = draws.samples[0].argmax(-1)
    assert torch.equal(x.argmax(-1), outcome)
    assert torch.equal(x_given.argmax(-1), outcome)
    assert_mean((x - x_given).squeeze(0), torch.zeros(2, 4, dtype=torch.float64), detects=0.02)
    assert (draws.relaxed[..., 3] == 0).all()


@pytest.mark.parametrize("info", ALL, ids=lambda info: info.id)
def test_a_bernoulli_logit_gets_the_gradient_of_its_pair(info: EstimatorInfo) -> None:
    """What arrives at eta is the second entry of the pair, and minus the first."""
    eta = torch.tensor([[[0.3, -1.2], [2.0, 0.0]]], dtype=torch.float64, requires_grad=True)
    surrogate(info, bernoulli_pair(eta), F, generator=seeded()).surrogate.sum().backward()
    pair, _ = gradient(info, bernoulli_pair(eta.detach()), F, seeded())
    assert eta.grad is not None
    torch.testing.assert_close(eta.grad, pair[..., 1], rtol=0, atol=0)
    if info.id != "reinmax_mean_baseline_released":  # whose entries do not sum to zero
        torch.testing.assert_close(eta.grad, -pair[..., 0], rtol=0, atol=1e-14)


def test_gradient_of_a_single_bernoulli_logit_in_closed_form() -> None:
    """p (1 - p) (f(1) - f(0))."""
    eta = torch.tensor([0.8, -2.5], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[1.0, 4.0], [2.0, -3.0]], dtype=torch.float64)
    objective = SeparableObjective(lambda samples: (samples * weights).sum(-1))
    surrogate("exact", bernoulli_pair(eta), objective).surrogate.backward()
    p = eta.detach().sigmoid()
    assert eta.grad is not None
    torch.testing.assert_close(eta.grad, p * (1 - p) * (weights[:, 1] - weights[:, 0]))


@every_binary
@pytest.mark.parametrize("n", [1, 3])
def test_binary_estimators_refuse_other_variables(info: EstimatorInfo, n: int) -> None:
    message = rf"{info.id} takes binary variables.*shape \(2, {n}\).*use `.*` or `rloo`"
    with pytest.raises(ValueError, match=message):
        surrogate(info, torch.zeros(2, n), F)


@pytest.mark.parametrize("id", ["disarm", "disarm_tree", "arm"])
@pytest.mark.parametrize("num_samples", [0, 1, 3])
def test_pairs_need_an_even_number_of_samples(id: str, num_samples: int) -> None:
    message = f"{id}: num_samples must be .* a multiple of 2, got {num_samples}.*in pairs"
    with pytest.raises(ValueError, match=message):
        surrogate(id, lanes_for(get(id), 1), F, num_samples=num_samples)


@pytest.mark.parametrize("info", [i for i in ALL if i.parameter("num_samples")], ids=lambda info: info.id)
def test_too_few_samples_are_refused(info: EstimatorInfo) -> None:
    parameter = info.parameter("num_samples")
    assert parameter is not None
    few = int(parameter.minimum) - 1
    message = f"{info.id}: num_samples must be an integer from {few + 1} .*got {few}"
    with pytest.raises(ValueError, match=message):
        surrogate(info, lanes_for(info, 1), F, num_samples=few)


@pytest.mark.parametrize("info", [i for i in ALL if i.properties.kind == "score+grad"], ids=lambda i: i.id)
@pytest.mark.parametrize("weight", [1.0, torch.ones((), requires_grad=True)], ids=["constant", "parameter"])
def test_objectives_without_a_gradient_are_refused(info: EstimatorInfo, weight: Any) -> None:
    with pytest.raises(ValueError, match="needs the gradient of the objective"):
        surrogate(info, lanes_for(info, 1), lambda D: weight * D.detach().sum((-1, -2)))


def test_arsm_refuses_more_evaluations_than_are_sensible() -> None:
    with pytest.raises(ValueError, match="arsm on 200 categories needs 19901 evaluations"):
        surrogate("arsm", torch.zeros(1, 200), any_f)
