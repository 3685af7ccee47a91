"""Clipping by norm against torch, a lane at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from benchmarks.engine.optimizers.clipping import clipped, norms

SHAPES = {"weight": (7, 9), "bias": (7,), "scale": ()}
SIZES = torch.tensor([1e-6, 0.05, 1.0, 30.0, 0.0], dtype=torch.float64)
"""One per lane: some are clipped, some are not, one has no gradient at all."""


def gradients(dtype: torch.dtype) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: (
            torch.randn(len(SIZES), *shape, generator=generator, dtype=torch.float64)
            * SIZES.view(-1, *[1] * len(shape))
        ).to(dtype)
        for name, shape in SHAPES.items()
    }


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("max_norm", [0.25, 5.0, 1e9])
def test_every_lane_equals_torch(max_norm: float, dtype: torch.dtype, rtol: float) -> None:
    given = gradients(dtype)
    ours = clipped(given, max_norm)
    for lane in range(len(SIZES)):
        parameters = {name: torch.zeros(shape, dtype=dtype) for name, shape in SHAPES.items()}
        for name, parameter in parameters.items():
            parameter.grad = given[name][lane].clone()
        norm = torch.nn.utils.clip_grad_norm_([*parameters.values()], max_norm)
        torch.testing.assert_close(norms(given)[lane], norm, rtol=rtol, atol=0)
        for name, parameter in parameters.items():
            torch.testing.assert_close(ours[name][lane], parameter.grad, rtol=rtol, atol=0)


def test_a_norm_by_hand() -> None:
    given = {"a": torch.tensor([[3.0, 0.0], [0.3, 0.0]]), "b": torch.tensor([4.0, 0.4])}
    assert norms(given).tolist() == pytest.approx([5.0, 0.5])
    ours = clipped(given, 1.0)
    assert ours["a"][0].tolist() == pytest.approx([0.6, 0.0])
    assert ours["b"][0].item() == pytest.approx(0.8)
    assert torch.equal(ours["a"][1], given["a"][1])
    assert torch.equal(ours["b"][1], given["b"][1])


def test_what_is_given_stays() -> None:
    given = gradients(torch.float32)
    clipped(given, 0.1)
    assert all(
        torch.equal(a, b) for a, b in zip(given.values(), gradients(torch.float32).values(), strict=True)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_lanes_do_not_see_each_other(bad: float) -> None:
    """Bit by bit: alone, or beside a lane that is not finite."""
    given = gradients(torch.float32)
    alone = [clipped({name: g[lane : lane + 1] for name, g in given.items()}, 0.25) for lane in range(5)]
    given["bias"][1, 3] = bad
    ours = clipped(given, 0.25)
    for lane in (0, 2, 3, 4):
        assert all(torch.equal(ours[name][lane], alone[lane][name][0]) for name in SHAPES)
    assert ours["bias"][1, 3].isnan()


@pytest.mark.parametrize("count", [1, 7, 8, 31, 512, 4097, 65536])
def test_a_norm_has_the_same_bits_among_any_number_of_lanes(count: int) -> None:
    """And in any order of memory."""
    numbers = {"w": torch.randn(4, 2, count, generator=torch.Generator().manual_seed(count))}
    together = norms(numbers)
    for lane in range(4):
        assert torch.equal(norms({"w": numbers["w"][lane : lane + 1].clone()})[0], together[lane])
    assert torch.equal(norms({"w": numbers["w"].mT.contiguous().mT}), together)
