"""Adam and RAdam for lanes against torch.optim, step by step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.optimizers import LaneOptimizer

STEPS = 40  # RAdam's rho_t passes 5 at step 6
TOLERANCE = {torch.float64: 1e-13, torch.float32: 2e-6}
TORCH = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam}
LANES = (("adam", 1e-3), ("radam", 1e-3), ("radam", 7e-4), ("adam", 0.3), ("radam", 0.3))


def gradients(step: int, dtype: torch.dtype) -> Tensor:
    """Rough ones, of all sizes, for five lanes of 3 x 4."""
    generator = torch.Generator().manual_seed(step)
    return torch.randn(len(LANES), 3, 4, generator=generator, dtype=torch.float64).pow(3).to(dtype)


def start(dtype: torch.dtype) -> Tensor:
    return torch.linspace(-1, 1, len(LANES) * 12, dtype=dtype).view(-1, 3, 4)


def reference(lane: int, dtype: torch.dtype) -> list[Tensor]:
    kind, lr = LANES[lane]
    parameter = start(dtype)[lane].clone().requires_grad_()
    optimizer = TORCH[kind]([parameter], lr=lr)
    path = []
    for step in range(1, STEPS + 1):
        parameter.grad = gradients(step, dtype)[lane]
        optimizer.step()
        path.append(parameter.detach().clone())
    return path


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_every_step_of_every_lane_equals_torch(dtype: torch.dtype) -> None:
    """Largest difference per step against the largest parameter, 1e-13 in float64 and 2e-6 in float32."""
    parameters = {"p": start(dtype)}
    optimizer = LaneOptimizer(parameters, [kind for kind, _ in LANES], [lr for _, lr in LANES])
    expected = [reference(lane, dtype) for lane in range(len(LANES))]
    coefficients = optimizer.coefficients(1, STEPS)
    alive = torch.ones(len(LANES), dtype=torch.bool)
    for step in range(1, STEPS + 1):
        optimizer.update([gradients(step, dtype)], coefficients[step - 1], alive)
        torch_now = torch.stack([path[step - 1] for path in expected])
        torch.testing.assert_close(parameters["p"], torch_now, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def test_coefficients_do_not_depend_on_where_a_segment_starts() -> None:
    optimizer = LaneOptimizer({"p": start(torch.float32)}, [k for k, _ in LANES], [lr for _, lr in LANES])
    whole = optimizer.coefficients(1, 10)
    parts = torch.cat([optimizer.coefficients(1, 4), optimizer.coefficients(5, 6)])
    assert torch.equal(whole, parts)


def test_a_frozen_lane_keeps_its_parameters_even_with_nan_gradients() -> None:
    parameters = {"p": start(torch.float32)}
    optimizer = LaneOptimizer(parameters, ["adam"] * 5, [0.1] * 5)
    alive = torch.tensor([True, False, True, True, True])
    gradient = gradients(1, torch.float32)
    gradient[1] = torch.nan
    optimizer.update([gradient], optimizer.coefficients(1, 1)[0], alive)
    moved = (parameters["p"] != start(torch.float32)).flatten(1).all(1)
    assert moved.tolist() == alive.tolist()
    assert torch.equal(parameters["p"][1], start(torch.float32)[1])


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown optimizer 'sgd'; there are adam, radam"):
        LaneOptimizer({"p": start(torch.float32)}, ["adam", "sgd", "adam", "adam", "adam"], [1.0] * 5)
