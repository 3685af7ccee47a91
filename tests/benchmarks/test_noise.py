"""Counter-based noise: addressed by seed, purpose, step and draw; uniform in the open interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.noise import LaneNoise, Purpose, Stream, shuffled

CPU = torch.device("cpu")
FALSE_ALARM_Z = 4.9  # two-sided 1e-6


def draws(
    seeds: list[int], purpose: Purpose = Purpose.TRAINING, *, step: int = 1, count: int = 7
) -> torch.Tensor:
    noise = LaneNoise(seeds, purpose)
    noise.seek(step)
    return noise.uniform((len(seeds), count), dtype=torch.float32, device=CPU)


def test_a_lane_draws_the_same_alone_and_beside_others() -> None:
    together = draws([3, 5, 9])
    assert torch.equal(together[1:2], draws([5]))


def test_every_address_has_its_own_numbers() -> None:
    """Seed, purpose, step and draw all matter: no two of these rows share a number."""
    rows = [draws([seed], purpose, step=step) for seed in (0, 1) for purpose in Purpose for step in (0, 1, 2)]
    noise = LaneNoise([0], Purpose.TRAINING)
    noise.seek(1)
    pair = [noise.uniform((1, 7), dtype=torch.float32, device=CPU) for _ in range(2)]
    assert torch.equal(pair[0], draws([0]))
    numbers = torch.cat([*rows, pair[1]]).flatten()
    assert len(numbers.unique()) > numbers.numel() - 3  # 175 of 2^23 values: one accidental tie in 550 suites


def test_seek_goes_back_to_the_first_draw() -> None:
    noise = LaneNoise([1], Purpose.TRAINING)
    noise.seek(4)
    first = noise.uniform((1, 5), dtype=torch.float64, device=CPU)
    noise.seek(5)
    noise.seek(4)
    assert torch.equal(noise.uniform((1, 5), dtype=torch.float64, device=CPU), first)


def test_the_stream_is_the_published_philox() -> None:
    """Golden words: the stream behind every stored result, and numpy's promise that it never changes."""
    words = Stream(7, Purpose.TRAINING).words(2, step=3, draw=1)
    assert [hex(word) for word in words.tolist()] == ["0x5cc7fc57423f3861", "0x5e8c652b88c43aeb"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_moments_and_interval(dtype: torch.dtype) -> None:
    """Mean 1/2 and mean square 1/3, false alarm 1e-6 each; never 0 or 1."""
    count = 400_000
    u = LaneNoise([11], Purpose.TRAINING).uniform((1, count), dtype=dtype, device=CPU)
    assert u.dtype == dtype
    assert u.min() > 0
    assert u.max() < 1
    mean, square = u.double().mean().item(), u.double().square().mean().item()
    assert abs(mean - 1 / 2) < FALSE_ALARM_Z * math.sqrt(1 / 12 / count)
    assert abs(square - 1 / 3) < FALSE_ALARM_Z * math.sqrt(4 / 45 / count)


@pytest.mark.parametrize(("dtype", "tiny"), [(torch.float32, 2.0**-24), (torch.float64, 2.0**-53)])
def test_extreme_words_stay_inside_the_open_interval(
    dtype: torch.dtype, tiny: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    extremes = np.array([0, 2**64 - 1], dtype=np.uint64)
    monkeypatch.setattr(Stream, "words", lambda *_, **__: extremes)
    u = LaneNoise([0], Purpose.TRAINING).uniform(
        (1, 2 if dtype == torch.float64 else 4), dtype=dtype, device=CPU
    )
    assert u.min().item() == tiny
    assert u.max().item() == 1 - tiny
    assert torch.isfinite(u.log()).all()
    assert (-u.log() > 0).all()


def test_wrong_requests_are_refused() -> None:
    noise = LaneNoise([1, 2], Purpose.TRAINING)
    with pytest.raises(ValueError, match="noise for 2 lanes was asked for shape"):
        noise.uniform((3, 2), dtype=torch.float32, device=CPU)
    with pytest.raises(TypeError, match="float32 or float64"):
        noise.uniform((2, 2), dtype=torch.float16, device=CPU)
    with pytest.raises(ValueError, match="a seed is a number"):
        LaneNoise([-1], Purpose.TRAINING)


def test_the_order_is_a_permutation_of_its_own_for_each_seed_and_epoch() -> None:
    orders = [shuffled(seed, epoch, 100) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(100)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    assert np.array_equal(orders[0], shuffled(0, 0, 100))


def test_every_example_is_equally_likely_in_first_place() -> None:
    """Chi-square over 5 examples and 5000 epochs; the bound is the 1 - 1e-6 quantile with 4 degrees."""
    counts = np.bincount([shuffled(1, epoch, 5)[0] for epoch in range(5000)], minlength=5)
    assert ((counts - 1000) ** 2 / 1000).sum() < 33.4
