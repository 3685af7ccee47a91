"""Every update rule for lanes against torch.optim, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.engine.optimizers import registry
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.engine.optimizers.rmsprop import RMSprop
from benchmarks.engine.optimizers.sgd import SGD
from estimators.info import Value

STEPS = 60  # RAdam's rho_t passes 5 at step 6
LANES = 5
SHAPES = {"weight": (3, 4), "bias": (5,), "scale": ()}
RATES = (2.0**-10, 2.0**-9, 2.0**-7, 0.25, 0.5)
"""Exact in float32, as coefficients are."""

TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "radam": torch.optim.RAdam,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}


@dataclass(frozen=True)
class Case:
    """Optimizers of five lanes, their parameters, and the same in torch's words."""

    ids: tuple[str, ...]
    values: Mapping[str, Value]
    torch_values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.ids[0], *(f"{name}={value}" for name, value in self.values.items())])


def adam_cases() -> list[Case]:
    """Of a beta2 of 0.5, RAdam is never adaptive; of 0.9, it is from its eighth step on."""
    betas = [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99), (0.9, 0.5)]
    return [
        Case(
            ("adam", "radam", "radam", "adam", "radam"),
            {"beta1": b1, "beta2": b2, "eps": eps, "weight_decay": decay},
            {"betas": (b1, b2), "eps": eps, "weight_decay": decay},
        )
        for (b1, b2), eps, decay in itertools.product(betas, (1e-8, 1e-3), (0.0, 0.125))
    ]


def sgd_cases() -> list[Case]:
    return [
        Case(
            ("sgd",) * LANES,
            {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay},
            {"momentum": momentum, "nesterov": nesterov == "yes", "weight_decay": decay},
        )
        for (momentum, nesterov), decay in itertools.product(
            [(0.0, "no"), (0.9, "no"), (0.9, "yes"), (0.5, "yes")], (0.0, 0.125)
        )
    ]


def rmsprop_cases() -> list[Case]:
    settings = itertools.product((0.99, 0.5), (1e-8, 1e-3), (0.0, 0.9), (0.0, 0.125))
    names = ("alpha", "eps", "momentum", "weight_decay")
    values: list[dict[str, Value]] = [dict(zip(names, setting, strict=True)) for setting in settings]
    return [Case(("rmsprop",) * LANES, each, each) for each in values]


CASES = [*adam_cases(), *sgd_cases(), *rmsprop_cases()]


def gradients(step: int, dtype: torch.dtype) -> dict[str, Tensor]:
    """Rough ones, of all sizes from 1e-9 on: there eps counts."""
    generator = torch.Generator().manual_seed(step)
    found = {}
    for name, shape in SHAPES.items():
        rough = torch.randn(LANES, *shape, generator=generator, dtype=torch.float64).pow(3)
        sizes = torch.logspace(-9, 1, rough[0].numel(), dtype=torch.float64).view(shape)
        found[name] = (rough * sizes).to(dtype)
    return found


def start(dtype: torch.dtype) -> dict[str, Tensor]:
    counts = {name: torch.Size((LANES, *shape)) for name, shape in SHAPES.items()}
    return {name: torch.linspace(-1, 1, n.numel(), dtype=dtype).view(n) for name, n in counts.items()}


Path = list[dict[str, Tensor]]


def of_lane(case: Case, lane: int, dtype: torch.dtype) -> Path:
    """Parameters of a lane at the start and after each step of torch's optimizer."""
    parameters = {name: p[lane].clone().requires_grad_() for name, p in start(dtype).items()}
    optimizer = TORCH[case.ids[lane]]([*parameters.values()], lr=RATES[lane], **case.torch_values)
    path = [{name: p.detach().clone() for name, p in parameters.items()}]
    for step in range(1, STEPS + 1):
        for name, gradient in gradients(step, dtype).items():
            parameters[name].grad = gradient[lane].clone()
        optimizer.step()
        path.append({name: p.detach().clone() for name, p in parameters.items()})
    return path


def torch_path(case: Case, dtype: torch.dtype) -> Path:
    """Of all lanes."""
    paths = [of_lane(case, lane, dtype) for lane in range(LANES)]
    return [
        {name: torch.stack([lane[name] for lane in lanes]) for name in SHAPES}
        for lanes in zip(*paths, strict=True)
    ]


def our_steps(case: Case, dtype: torch.dtype, path: Path) -> Path:
    """Each step from where torch stands before it: with a weight decay, rounding errors would grow."""
    optimizer = GroupOptimizer(
        [(id, case.values) for id in case.ids], rates=RATES, total_steps=[STEPS] * LANES
    )
    slots, moving = optimizer.initial(path[0]), torch.ones(LANES, dtype=torch.bool)
    found = []
    for step, row in enumerate(optimizer.coefficients(1, STEPS), start=1):
        parameters, slots = optimizer.step(path[step - 1], slots, gradients(step, dtype), row, moving)
        found.append(parameters)
    return found


def tolerance(case: Case, dtype: torch.dtype) -> float:
    """Relative, of changes: Adam's coefficients are no float32 numbers, those of the others are."""
    if dtype == torch.float32:
        return 1e-6
    return 2e-7 if case.ids[0] in ("adam", "radam") else 1e-13


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_step_of_every_lane_equals_torch(case: Case, dtype: torch.dtype) -> None:
    """Number by number, against the largest change of it so far."""
    path = torch_path(case, dtype)
    ours = our_steps(case, dtype, path)
    for name, first in path[0].items():
        largest = torch.zeros_like(first)
        for step in range(STEPS):
            before, expected = path[step][name], path[step + 1][name]
            largest = largest.maximum((expected - before).abs())
            assert expected.isfinite().all()
            allowed = tolerance(case, dtype) * largest + 2 * torch.finfo(dtype).eps * expected.abs()
            assert ((ours[step][name] - expected).abs() <= allowed).all(), (name, step)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_parameter_of_a_case_is_declared(case: Case) -> None:
    declared = {p.name for p in registry.get(case.ids[0]).parameters}
    assert set(case.values) == declared - {"clip_norm", "schedule", "final_lr"}


@pytest.mark.parametrize("id", registry.available())
def test_the_defaults_are_those_of_torch(id: str) -> None:
    case = Case((id,) * LANES, {})
    path = torch_path(case, torch.float64)
    for ours, expected in zip(our_steps(case, torch.float64, path), path[1:], strict=True):
        for name in SHAPES:
            torch.testing.assert_close(ours[name], expected[name], rtol=1e-6, atol=1e-6)


def test_plain_adam_is_the_written_formula_to_the_bit() -> None:
    """The order of operations, on which stored results depend."""
    optimizer = GroupOptimizer([("adam", {}), ("radam", {})], rates=[0.01, 0.02], total_steps=[9, 9])
    generator = torch.Generator().manual_seed(0)
    p, m, g = (torch.randn(2, 50, generator=generator) for _ in range(3))
    v = torch.rand(2, 50, generator=generator)
    row = optimizer.coefficients(7, 1)[0]
    scale, offset = row[0].view(2, 1), row[1].view(2, 1)
    m_next = m.lerp(g, 1 - 0.9)
    v_next = v * 0.999 + g * g * (1 - 0.999)
    p_next = p - m_next / (v_next.sqrt() * scale + offset)
    slots = {"first_moment": {"w": m}, "second_moment": {"w": v}}
    parameters, slots = optimizer.step({"w": p}, slots, {"w": g}, row, torch.tensor([True, True]))
    assert torch.equal(parameters["w"], p_next)
    assert torch.equal(slots["first_moment"]["w"], m_next)
    assert torch.equal(slots["second_moment"]["w"], v_next)


def test_a_rate_of_zero_moves_nothing() -> None:
    """Its inverse, which Adam's coefficients hold, is no number."""
    for id in registry.available():
        optimizer = GroupOptimizer([(id, {})] * 2, rates=[0.1, 0.2], total_steps=[9, 9])
        before = {"w": torch.tensor([[1.0, 2.0, 3.0]] * 2)}
        gradient = {"w": torch.tensor([[0.0, 1e-9, 1e9]] * 2)}
        row = optimizer.coefficients(1, 1, [0.0, 1.0])[0]
        after, _ = optimizer.step(
            before, optimizer.initial(before), gradient, row, torch.tensor([True, True])
        )
        assert torch.equal(after["w"][0], before["w"][0])
        assert not torch.equal(after["w"][1], before["w"][1])


def test_what_is_not_needed_is_not_kept() -> None:
    assert SGD().slots == ()
    assert SGD(momentum=0.5).slots == ("momentum_buffer",)
    assert RMSprop().slots == ("square_average",)
    assert RMSprop(momentum=0.5).slots == ("square_average", "momentum_buffer")


def test_nesterov_without_momentum_is_refused() -> None:
    with pytest.raises(ValueError, match="Nesterov's momentum needs a momentum above 0"):
        SGD(nesterov="yes")
