"""Counter-based noise: addressed by seed, purpose, step and draw; uniform in the open interval."""

from __future__ import annotations

import logging
import math
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.engine import noise as noise_module
from benchmarks.engine.noise import LaneNoise, Purpose, in_operations, philox, seed_keys, shuffled
from benchmarks.kernels import build
from benchmarks.kernels import noise as kernel
from benchmarks.kernels.noise import Kind
from estimators.building_blocks import traced

CPU = torch.device("cpu")
FALSE_ALARM_Z = 4.9  # two-sided 1e-6
LOW = 2**32 - 1


def nothing(*_: Any, **__: Any) -> None:
    """In place of the kernel, where there is none."""


def lane_noise(seeds: list[int], purpose: Purpose = Purpose.TRAINING, *, step: int | Tensor = 1) -> LaneNoise:
    return LaneNoise(seed_keys(seeds), purpose, step=step)


def draws(
    seeds: list[int], purpose: Purpose = Purpose.TRAINING, *, step: int | Tensor = 1, count: int = 7
) -> Tensor:
    return lane_noise(seeds, purpose, step=step).uniform((len(seeds), count), dtype=torch.float32, device=CPU)


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "5f6fb709 0d893f64 4f121f81 4f730a48"),
        ((LOW, LOW, LOW, LOW), (LOW, LOW), "5207ddc2 45165e59 4d8ee751 8c52f662"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "4dfccaba 190a87f0 c47362ba b6b5242a",
        ),
    ],
)
def test_known_answers_of_philox_4x32_7(counter: tuple[int, ...], key: tuple[int, ...], words: str) -> None:
    """Those that the authors' library Random123 publishes."""
    c_0, c_1, c_2, c_3 = (torch.tensor([c]) for c in counter)
    k_0, k_1 = (torch.tensor([k]) for k in key)
    got = [f"{int(word) & LOW:08x}" for word in philox((c_0, c_1, c_2, c_3), (k_0, k_1))]
    assert " ".join(got) == words


def test_numbers_of_an_address_never_change() -> None:
    """Golden numbers: the stream behind every stored result."""
    keys, zero = seed_keys([2**32 + 7]), torch.tensor([0])
    assert keys.tolist() == [[7, 1]]
    words = philox((zero, zero + 1, zero + 3, zero + Purpose.TRAINING), (keys[:, 0], keys[:, 1]))
    source = lane_noise([2**32 + 7], step=3)
    source.uniform((1, 9), dtype=torch.float64, device=CPU)
    u = source.uniform((1, 16), dtype=torch.float32, device=CPU)[0]
    assert u[0].item() == (((int(words[0]) & LOW) >> 9) + 0.5) / 2**23
    assert u[4].item() == (((int(words[1]) & LOW) >> 9) + 0.5) / 2**23


def test_a_lane_draws_the_same_alone_and_beside_others() -> None:
    together = draws([3, 5, 9])
    assert torch.equal(together[1:2], draws([5]))


def test_a_step_may_be_a_tensor() -> None:
    assert torch.equal(draws([3, 5], step=torch.tensor([4])), draws([3, 5], step=4))


def test_every_address_has_its_own_numbers() -> None:
    """Seed, purpose, step and draw all matter: no two of these rows share a number."""
    rows = [draws([seed], purpose, step=step) for seed in (0, 1) for purpose in Purpose for step in (0, 1, 2)]
    source = lane_noise([0])
    pair = [source.uniform((1, 7), dtype=torch.float32, device=CPU) for _ in range(2)]
    assert torch.equal(pair[0], draws([0]))
    numbers = torch.cat([*rows, pair[1]]).flatten()
    assert len(numbers.unique()) > numbers.numel() - 3  # 175 of 2^23 values: one accidental tie in 550 suites


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_moments_and_interval(dtype: torch.dtype) -> None:
    """Mean 1/2 and mean square 1/3, false alarm 1e-6 each; never 0 or 1."""
    count = 400_000
    u = lane_noise([11]).uniform((1, count), dtype=dtype, device=CPU)
    assert u.dtype == dtype
    assert u.min() > 0
    assert u.max() < 1
    mean, square = u.double().mean().item(), u.double().square().mean().item()
    assert abs(mean - 1 / 2) < FALSE_ALARM_Z * math.sqrt(1 / 12 / count)
    assert abs(square - 1 / 3) < FALSE_ALARM_Z * math.sqrt(4 / 45 / count)


def test_neighbours_are_not_correlated() -> None:
    """Between indices, lanes of successive seeds and steps; false alarm 1e-6 each."""
    count = 200_000
    a = draws([1, 2], count=count) - 0.5
    b = draws([1, 2], step=2, count=count) - 0.5
    for x, y in ((a[0, :-1], a[0, 1:]), (a[0], a[1]), (a[0], b[0])):
        assert abs((x * y).mean().item() * 12) < FALSE_ALARM_Z / math.sqrt(len(x))


@pytest.mark.parametrize(("dtype", "tiny"), [(torch.float32, 2.0**-24), (torch.float64, 2.0**-53)])
@pytest.mark.parametrize("word", [0, LOW])
def test_extreme_words_stay_inside_the_open_interval(
    dtype: torch.dtype, tiny: float, word: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    extreme = tuple(torch.full((1, 2), word) for _ in range(4))
    monkeypatch.setattr(kernel, "numbers", nothing)
    monkeypatch.setattr(noise_module, "_words", lambda *_: extreme)
    u = lane_noise([0]).uniform((1, 4), dtype=dtype, device=CPU)
    assert u.unique().tolist() == [1 - tiny if word else tiny]
    assert torch.isfinite(u.log()).all()
    assert (-u.log() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_centred_numbers_are_those_of_uniform(dtype: torch.dtype) -> None:
    """Up to the precision of float32 numbers near 1, which is what they are for."""
    u = lane_noise([5, 6]).uniform((2, 1001), dtype=dtype, device=CPU).double()
    x = lane_noise([5, 6]).centred((2, 1001), dtype=dtype, device=CPU).double()
    assert ((x < 0) == (u > 0.5)).all()
    assert (torch.where(x < 0, x + 1, x) - u).abs().max() <= 2.0**-23


def test_centred_numbers_have_forty_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words made small, great and middling: a signed number, and the last bits of another word below it."""
    words = [0x00000000, 0xFFFFFFFF, 0x00000001, 0x80000123, 0x7FFFFFFF, 0x000000FF, 0xDEADBEEF, 0x80000000]
    given = tuple(torch.tensor([words[i::4]]) for i in range(4))
    monkeypatch.setattr(kernel, "numbers", nothing)
    monkeypatch.setattr(noise_module, "_words", lambda *_: given)
    x = lane_noise([0]).centred((1, 8), dtype=torch.float32, device=CPU)
    expected = []
    for i, columns in enumerate(given):
        for column in range(2):
            whole = int(columns[0, column]) << 8 | int(given[i - 1][0, column]) & 255
            expected.append((whole - (whole >> 39 << 40) + 0.5) / 2**40)
    torch.testing.assert_close(x.double(), torch.tensor([expected], dtype=torch.float64), rtol=1e-7, atol=0)
    assert (x != 0).all()
    assert (x.abs() <= 0.5).all()


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 64, 127, 128, 129, 4099])
@pytest.mark.parametrize("seeds", [[0], [2**64 - 1, 5, 2**32 + 7]])
def test_the_kernel_makes_the_same_bits(seeds: list[int], count: int, kind: Kind) -> None:
    """At ordinary places of the counter and at its ends."""
    keys = seed_keys(seeds)
    for purpose, step, draw in (
        (Purpose.TRAINING, 1, 0),
        (Purpose.INITIALISATION, 0, 2**32 - 1),
        (Purpose.ORDER_OF_LENGTHS, 2**32 - 1, 2**31),
        (Purpose.EVALUATION, 7, 2**33 + 2**20 + 3),
    ):
        ours = kernel.numbers(kind, keys, purpose=purpose, step=step, draw=draw, count=count)
        right = in_operations(kind, keys, purpose, step, draw, count)
        assert ours is not None
        assert ours.dtype == right.dtype
        assert torch.equal(ours, right)


def test_keys_may_be_a_view() -> None:
    keys = seed_keys([1, 2, 3, 4])[::2]
    assert torch.equal(
        LaneNoise(keys, Purpose.DATA, step=1).uniform((2, 9), dtype=torch.float64, device=CPU),
        LaneNoise(seed_keys([1, 3]), Purpose.DATA, step=1).uniform((2, 9), dtype=torch.float64, device=CPU),
    )


def test_steps_that_are_run_take_the_kernel_and_programs_the_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def noted(*_: Any, step: int, **__: Any) -> None:
        asked.append(step)

    monkeypatch.setattr(kernel, "numbers", noted)
    draws([3], step=torch.tensor([4]))
    assert asked == [4]
    with traced():
        draws([3], step=torch.tensor([5]))
    assert asked == [4]


def test_without_a_compiler_the_numbers_are_the_same_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(**_: Any) -> None:
        raise build.BuildError("no compiler")

    by_kernel = draws([3, 5])
    kernel.library.cache_clear()
    monkeypatch.setattr(build, "load", fails)
    with caplog.at_level(logging.WARNING):
        assert torch.equal(draws([3, 5]), by_kernel)
    kernel.library.cache_clear()
    assert "Random numbers are left to torch: no compiler" in caplog.text


def test_wrong_requests_are_refused() -> None:
    source = lane_noise([1, 2])
    with pytest.raises(ValueError, match="noise for 2 lanes was asked for shape"):
        source.uniform((3, 2), dtype=torch.float32, device=CPU)
    with pytest.raises(TypeError, match="float32 or float64"):
        source.uniform((2, 2), dtype=torch.float16, device=CPU)
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match="a seed is a number"):
            seed_keys([seed])


def test_the_order_is_a_permutation_of_its_own_for_each_seed_and_epoch() -> None:
    keys = seed_keys([0, 1])
    orders = torch.cat([shuffled(keys, epoch, 100) for epoch in (0, 1)])
    assert torch.equal(orders.sort(1).values, torch.arange(100).expand(4, 100))
    assert len({tuple(order) for order in orders.tolist()}) == 4
    assert torch.equal(orders[1:2], shuffled(seed_keys([1]), 0, 100))


def test_every_example_is_equally_likely_in_first_place() -> None:
    """Chi-square over 5 examples and 5000 seeds; the bound is the 1 - 1e-6 quantile with 4 degrees."""
    first = shuffled(seed_keys(range(5000)), 0, 5)[:, 0].numpy()
    assert ((np.bincount(first, minlength=5) - 1000) ** 2 / 1000).sum() < 33.4
