"""The polynomial task."""

from __future__ import annotations

import pytest
import torch

import estimators
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.tasks.contract import LaneEstimator
from benchmarks.tasks.polynomial.task import Polynomial, targets
from estimators import NoiseSource
from estimators.info import Value
from tests.support.trials import SMALL_POLYNOMIAL

CPU = torch.device("cpu")


def task(**values: Value) -> Polynomial:
    return Polynomial(SMALL_POLYNOMIAL | {"p": 2.0, "setting": "A"} | values, device=CPU, dtype=torch.float64)


def bound(estimator: str, temperatures: list[float] | None = None) -> LaneEstimator:
    info = estimators.get(estimator)
    lane = {} if temperatures is None else {"temperature": torch.tensor(temperatures, dtype=torch.float64)}
    return LaneEstimator(function=estimators.bind(info), properties=info.properties, static={}, lane=lane)


def noise(*seeds: int) -> NoiseSource:
    return LaneNoise(seed_keys(seeds), Purpose.TRAINING, step=0)


def test_logits_start_uniform_within_a_hundredth() -> None:
    theta = task(latents=2000).init(noise(1, 2), 2)["theta"]
    assert theta.shape == (2, 2, 2000)
    assert theta.abs().max() < 0.01
    assert theta.abs().max() > 0.0099
    assert not torch.equal(theta[0], theta[1])


def test_targets_of_both_settings() -> None:
    assert targets("A", 3).tolist() == [0.45] * 3
    assert targets("B", 4).tolist() == [0.125, 0.375, 0.625, 0.875]


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("setting", ["A", "B"])
def test_exact_estimator_gives_the_gradient_of_the_expected_loss(p: float, setting: str) -> None:
    polynomial = task(p=p, setting=setting)
    theta = torch.randn(3, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theta.requires_grad_()
    result = polynomial.step({"theta": theta}, None, noise(1, 2, 3), bound("exact"))
    expected = polynomial.expected_loss(theta)
    torch.testing.assert_close(result.loss, expected)
    got, want = (torch.autograd.grad(loss.sum(), theta)[0] for loss in (result.loss, expected))
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-14)


def test_a_deterministic_estimator_sees_one_copy_and_others_the_batch() -> None:
    """Asked of the properties, not of the name."""
    polynomial = task(batch_size=16)
    shapes = []

    def spy(logits: torch.Tensor, *args: object, **kwargs: object) -> estimators.Estimate:
        shapes.append(tuple(logits.shape))
        value = logits.sum((-1, -2))
        return estimators.Estimate(surrogate=value, samples=None, values=value, evaluations=1)

    theta = torch.zeros(2, 2, 8, dtype=torch.float64)
    for name in ("exact", "st"):
        properties = estimators.get(name).properties
        polynomial.step(
            {"theta": theta},
            None,
            noise(1, 2),
            LaneEstimator(function=spy, properties=properties, static={}, lane={}),
        )
    assert shapes == [(2, 1, 8, 2), (2, 16, 8, 2)]


def test_sampled_loss_is_the_mean_over_copies_and_coordinates() -> None:
    """With certain outcomes: half the coordinates at 1, half at 0."""
    polynomial = task(p=2.0)
    theta = torch.zeros(1, 2, 8, dtype=torch.float64)
    theta[:, 0, ::2], theta[:, 1, 1::2] = 100.0, 100.0
    result = polynomial.step({"theta": theta}, None, noise(1), bound("st", [1.0]))
    assert result.loss.item() == pytest.approx((0.55**2 + 0.45**2) / 2, rel=1e-12)
    assert result.metrics["train_loss"].item() == result.loss.item()


def test_temperatures_act_lane_by_lane() -> None:
    polynomial = task()
    theta = torch.full((2, 2, 8), 0.3, dtype=torch.float64)
    theta[:, 0] = 0.1
    gradients = []
    for temperatures in ([1.0, 1.0], [1.0, 2.0]):
        leaf = theta.clone().requires_grad_()
        loss = polynomial.step({"theta": leaf}, None, noise(4, 4), bound("st", temperatures)).loss
        gradients.append(torch.autograd.grad(loss.sum(), leaf)[0])
    assert torch.equal(gradients[0][0], gradients[1][0])
    assert not torch.allclose(gradients[0][1], gradients[1][1])
