"""The polynomial task."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import estimators
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.tasks.contract import Draw, Loss, Phase, Variables
from benchmarks.tasks.polynomial.task import Polynomial, targets
from estimators import NoiseSource, Objective, Properties
from estimators.info import Value
from tests.support.draws import training
from tests.support.trials import SMALL_POLYNOMIAL, run, trial

CPU = torch.device("cpu")


def task(**values: Value) -> Polynomial:
    given = SMALL_POLYNOMIAL | {"p": 2.0, "setting": "A", "target": 0.45} | values
    return Polynomial(given, device=CPU, dtype=torch.float64)


def step(polynomial: Polynomial, theta: Tensor, draw: Draw) -> Loss:
    return polynomial.loss(Phase(), Variables(groups={"model": {"theta": theta}}), None, draw)


def doubles(estimator: str, seeds: list[int], temperatures: list[float]) -> Draw:
    return training(estimator, seeds=seeds, temperatures=temperatures, dtype=torch.float64)


def noise(*seeds: int) -> NoiseSource:
    return LaneNoise(seed_keys(seeds), Purpose.TRAINING, step=0)


def test_logits_start_uniform_within_a_hundredth() -> None:
    theta = task(latents=2000).init(noise(1, 2), 2).groups["model"]["theta"]
    assert theta.shape == (2, 2, 2000)
    assert theta.abs().max() < 0.01
    assert theta.abs().max() > 0.0099
    assert not torch.equal(theta[0], theta[1])


def test_targets_of_both_settings() -> None:
    assert targets("A", 3).tolist() == [0.45] * 3
    assert targets("B", 4).tolist() == [0.125, 0.375, 0.625, 0.875]
    assert targets("A", 2, 0.499).tolist() == [0.499] * 2


@pytest.mark.parametrize("c", [0.49, 0.499, 0.51])
def test_bit_flip_is_the_expected_square_and_its_gradient(c: float) -> None:
    """E[(b - c)^2] = q (1 - c)^2 + (1 - q) c^2, with the slope q (1 - q) (1 - 2c) in the logit of b = 1."""
    flip = task(target=c, latents=1)
    q = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    theta = torch.stack([q.logit(), torch.zeros_like(q)], 1).unsqueeze(-1).requires_grad_()
    loss = step(flip, theta, training("exact", seeds=[1, 2, 3])).loss
    torch.testing.assert_close(loss, q * (1 - c) ** 2 + (1 - q) * c**2)
    torch.testing.assert_close(flip.expected_loss(theta), loss)
    (slope,) = torch.autograd.grad(loss.sum(), theta)
    torch.testing.assert_close(slope[:, 0, 0], q * (1 - q) * (1 - 2 * c), rtol=1e-9, atol=1e-14)


def test_bit_flip_by_rmsprop_is_what_torch_computes() -> None:
    """Fifty steps of one logit pair with exact gradients, c = 0.499, from where the seed puts it."""
    spec = trial(
        estimator="exact", optimizer="rmsprop", lr=1e-2, target=0.499, latents=1, steps_per_epoch=25, epochs=2
    )
    _, ends = run(spec)
    start = Polynomial(spec.task.values, device=CPU).init(
        LaneNoise(seed_keys([spec.seed]), Purpose.INITIALISATION, step=0), 1
    )
    pair = start.groups["model"]["theta"][0, :, 0].clone().requires_grad_()
    rule = torch.optim.RMSprop([pair], lr=1e-2)
    for _ in range(50):
        rule.zero_grad()
        q = (pair[0] - pair[1]).sigmoid()
        (q * (1 - 0.499) ** 2 + (1 - q) * 0.499**2).backward()
        rule.step()
    q = (pair[0] - pair[1]).detach().double().sigmoid()
    expected = q * (1 - 0.499) ** 2 + (1 - q) * 0.499**2
    assert q < 0.3  # it has learnt
    assert ends[0].metrics["expected_loss"] == pytest.approx(expected.item(), abs=1e-8)


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("setting", ["A", "B"])
def test_exact_estimator_gives_the_gradient_of_the_expected_loss(p: float, setting: str) -> None:
    polynomial = task(p=p, setting=setting)
    theta = torch.randn(3, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theta.requires_grad_()
    result = step(polynomial, theta, training("exact", seeds=[1, 2, 3]))
    expected = polynomial.expected_loss(theta)
    torch.testing.assert_close(result.loss, expected)
    got, want = (torch.autograd.grad(loss.sum(), theta)[0] for loss in (result.loss, expected))
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-14)


class Spy:
    """Notes the shapes of the logits that it is given."""

    training = True

    def __init__(self, properties: Properties) -> None:
        self.properties = properties
        self.shapes: list[tuple[int, ...]] = []

    def expect(self, name: str, logits: Tensor, f: Objective, *, passes: int = 1) -> Tensor:
        """No estimate: a number for each element."""
        self.shapes.append(tuple(logits.shape))
        return logits.sum((-1, -2))

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """Not asked."""
        raise AssertionError("the task has one variable, and an expectation")

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Not asked."""
        raise AssertionError("the task draws nothing of its own")


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 2.5, 3.0, 3.7])
def test_terms_are_powers_with_their_slopes_at_the_target_too(p: float) -> None:
    """|x - c|^p and p |x - c|^(p-1) sign(x - c), however computed; 0 where x is c and p > 1."""
    polynomial, c = task(p=p, latents=4), targets("A", 4)
    away = torch.tensor([-0.3, 0.2, 0.0, 1e-3], dtype=torch.float64)
    samples = torch.stack([c + away, 1 - c - away], -1).requires_grad_()
    terms = polynomial._terms(samples)
    (slopes,) = torch.autograd.grad(terms.sum(), samples)
    torch.testing.assert_close(terms * 4, away.abs() ** p, rtol=1e-10, atol=1e-12)
    expected = p * away.abs() ** (p - 1) * away.sign()
    torch.testing.assert_close(slopes[:, 0] * 4, expected, rtol=1e-10, atol=1e-12)


def test_a_deterministic_estimator_sees_one_copy_and_others_the_batch() -> None:
    """Asked of the properties, not of the name."""
    polynomial = task(batch_size=16)
    spies = [Spy(estimators.get(name).properties) for name in ("exact", "st")]
    for spy in spies:
        step(polynomial, torch.zeros(2, 2, 8, dtype=torch.float64), spy)
    assert [spy.shapes for spy in spies] == [[(2, 1, 8, 2)], [(2, 16, 8, 2)]]


def test_sampled_loss_is_the_mean_over_copies_and_coordinates() -> None:
    """With certain outcomes: half the coordinates at 1, half at 0."""
    polynomial = task(p=2.0)
    theta = torch.zeros(1, 2, 8, dtype=torch.float64)
    theta[:, 0, ::2], theta[:, 1, 1::2] = 100.0, 100.0
    result = step(polynomial, theta, doubles("st", [1], [1.0]))
    assert result.loss.item() == pytest.approx((0.55**2 + 0.45**2) / 2, rel=1e-12)
    assert result.metrics["train_loss"].item() == result.loss.item()


def test_temperatures_act_lane_by_lane() -> None:
    polynomial = task()
    theta = torch.full((2, 2, 8), 0.3, dtype=torch.float64)
    theta[:, 0] = 0.1
    gradients = []
    for temperatures in ([1.0, 1.0], [1.0, 2.0]):
        leaf = theta.clone().requires_grad_()
        loss = step(polynomial, leaf, doubles("st", [4, 4], temperatures)).loss
        gradients.append(torch.autograd.grad(loss.sum(), leaf)[0])
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not torch.allclose(gradients[0][1], gradients[1][1])
