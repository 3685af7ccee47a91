"""Adam and RAdam for lanes against torch.optim, step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.engine.optimizers.adam import LaneOptimizers, updated

STEPS = 40  # RAdam's rho_t passes 5 at step 6
TOLERANCE = {torch.float64: 1e-6, torch.float32: 2e-6}
"""Coefficients are float32, so float64 parameters are as exact as these."""
TORCH = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam}
LANES = (("adam", 1e-3), ("radam", 1e-3), ("radam", 7e-4), ("adam", 0.3), ("radam", 0.3))
ALIVE = torch.ones(len(LANES), dtype=torch.bool)


def lane_optimizers() -> LaneOptimizers:
    return LaneOptimizers([kind for kind, _ in LANES], [lr for _, lr in LANES])


def gradients(step: int, dtype: torch.dtype) -> Tensor:
    """Rough ones, of all sizes, for five lanes of 3 x 4."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(len(LANES), 3, 4, generator=generator, dtype=torch.float64).pow(3).to(dtype)


def start(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Parameter and moments."""
    parameter = torch.linspace(-1, 1, len(LANES) * 12, dtype=dtype).view(-1, 3, 4)
    return parameter, torch.zeros_like(parameter), torch.zeros_like(parameter)


def reference(lane: int, dtype: torch.dtype) -> list[Tensor]:
    kind, lr = LANES[lane]
    parameter = start(dtype)[0][lane].clone().requires_grad_()
    optimizer = TORCH[kind]([parameter], lr=lr)
    path = []
    for step in range(1, STEPS + 1):
        parameter.grad = gradients(step, dtype)[lane]
        optimizer.step()
        path.append(parameter.detach().clone())
    return path


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_step_of_every_lane_equals_torch(dtype: torch.dtype) -> None:
    """Largest difference per step against the largest parameter."""
    state = start(dtype)
    expected = [reference(lane, dtype) for lane in range(len(LANES))]
    coefficients = lane_optimizers().coefficients(1, STEPS)
    for step in range(1, STEPS + 1):
        state = updated(*state, gradients(step, dtype), coefficients[step - 1], ALIVE)
        torch_now = torch.stack([path[step - 1] for path in expected])
        torch.testing.assert_close(state[0], torch_now, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_coefficients_do_not_depend_on_where_a_segment_starts() -> None:
    optimizers = lane_optimizers()
    parts = torch.cat([optimizers.coefficients(1, 4), optimizers.coefficients(5, 6)])
    assert torch.equal(optimizers.coefficients(1, 10), parts)


def test_a_frozen_lane_keeps_its_parameters_even_with_nan_gradients() -> None:
    alive = torch.tensor([True, False, True, True, True])
    gradient = gradients(1, torch.float32)
    gradient[1] = torch.nan
    before, first, second = start(torch.float32)
    after, *_ = updated(before, first, second, gradient, lane_optimizers().coefficients(1, 1)[0], alive)
    assert (after != before).flatten(1).all(1).tolist() == alive.tolist()
    assert torch.equal(after[1], before[1])


def test_an_update_leaves_what_it_is_given() -> None:
    state = start(torch.float32)
    updated(*state, gradients(1, torch.float32), lane_optimizers().coefficients(1, 1)[0], ALIVE)
    assert all(torch.equal(a, b) for a, b in zip(state, start(torch.float32), strict=True))


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'sgd'; there are adam, radam"):
        LaneOptimizers(["adam", "sgd"], [1.0] * 2)
