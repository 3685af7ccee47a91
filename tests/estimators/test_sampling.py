"""Uniform noise in the open interval, and inversion of the cumulative distribution at its edges."""

from __future__ import annotations

import pytest
import torch

from estimators import get
from estimators._noise import uniform
from estimators._ops import draw_one_hot, log_probabilities, monotone
from estimators.path.gumbel_softmax import gumbel
from tests.estimators.problems import seeded
from tests.support.noise import FixedNoise, LaneNoise
from tests.support.statistics import assert_frequencies, assert_mean

CPU = torch.device("cpu")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def ends(dtype: torch.dtype) -> tuple[float, float]:
    """The smallest and the largest uniform number of ``torch.rand`` that estimators can meet."""
    step = torch.finfo(dtype).eps / 2
    return step / 2, 1 - step


@DTYPES
def test_zero_is_moved_into_the_interval(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    smallest, _ = ends(dtype)
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.zeros(shape, dtype=dtype))
    assert uniform((3,), None, dtype=dtype, device=CPU).tolist() == [smallest] * 3


def test_float32_noise_stays_inside_over_many_draws() -> None:
    """2^24 draws of 24-bit numbers: a zero is expected once, so that an unguarded interval would show."""
    noise = uniform((2**24,), seeded(), dtype=torch.float32, device=CPU)
    assert noise.min() > 0
    assert noise.max() < 1
    assert_mean(noise.double()[:, None], torch.tensor([0.5], dtype=torch.float64), detects=1e-3)


def test_noise_sources_are_asked_with_shape_dtype_and_device() -> None:
    noise = LaneNoise((4, 5))
    numbers = uniform((2, 3, 7), noise, dtype=torch.float64, device=CPU)
    assert (numbers.shape, numbers.dtype, noise.shapes) == ((2, 3, 7), torch.float64, [(2, 3, 7)])


def test_other_generators_are_refused() -> None:
    with pytest.raises(TypeError, match="generator is 0; pass a"):
        uniform((3,), 0, dtype=torch.float32, device=CPU)  # type: ignore[arg-type]  # what a user may try


@DTYPES
@pytest.mark.parametrize("n", [1, 2, 3, 1000])
def test_impossible_categories_are_not_drawn_at_either_end(dtype: torch.dtype, n: int) -> None:
    """Masks at both ends, logits whose probabilities sum to more or less than one by rounding."""
    logits = torch.randn(500, n + 2, generator=seeded(), dtype=dtype)
    logits[:, [0, -1]] = -torch.inf
    p = log_probabilities(logits).exp()
    for u in ends(dtype):
        z = draw_one_hot(p, torch.full((500,), u, dtype=dtype))
        assert (z.sum(-1) == 1).all()
        assert (p[z.bool()] > 0).all()


@DTYPES
def test_gumbel_noise_is_finite_at_both_ends(dtype: torch.dtype) -> None:
    log_p = log_probabilities(torch.zeros(4, 3, dtype=dtype))
    for u in ends(dtype):
        assert gumbel(log_p, FixedNoise(u)).isfinite().all()
        grad = torch.zeros(4, 3, dtype=dtype, requires_grad=True)
        get("stgs").load()(grad, temperature=0.01, generator=FixedNoise(u)).sum().backward()


def test_samples_follow_the_probabilities() -> None:
    p = torch.tensor([0.0, 0.5, 0.2, 0.0, 0.2999, 0.0001], dtype=torch.float64)
    uniforms = uniform((1_000_000,), seeded(), dtype=torch.float64, device=CPU)
    assert_frequencies(draw_one_hot(p, uniforms).sum(0), p)


def test_a_rough_cumulative_sum_is_repaired() -> None:
    """Falling by an ulp, and rising where the probability is zero: both happen on accelerators."""
    p = torch.tensor([0.0, 0.4, 0.0, 0.6, 0.0])
    rough = torch.tensor([1e-8, 0.4, 0.40000004, 0.39999998, 1.0000001])
    level = torch.tensor(0.4)
    assert torch.equal(monotone(rough, p), torch.stack([torch.tensor(0.0), *[level] * 4]))


def test_ten_thousand_categories() -> None:
    """Uniform over n = 10 000 in float32: the index over n - 1 has mean 1/2 and variance 1/12."""
    n = 10_000
    p = log_probabilities(torch.zeros(n)).exp()
    index = draw_one_hot(p, torch.rand(3000, generator=seeded())).argmax(-1, keepdim=True).double()
    half = torch.tensor([0.5], dtype=torch.float64)
    fraction = index / (n - 1)
    assert_mean(fraction, half, detects=0.05)
    assert_mean((fraction - 0.5).square(), half / 6, detects=0.02)
