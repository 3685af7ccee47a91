"""Temperatures that fall from epoch to epoch, as a task's protocol may ask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from benchmarks.engine.group import LaneGroup
from benchmarks.engine.lane_state import LaneState
from benchmarks.engine.resolved import annealed
from benchmarks.spec import TrialSpec
from benchmarks.tasks import registry
from benchmarks.tasks.polynomial.task import Polynomial
from tests.support.groups import advanced, group, settings
from tests.support.trials import trial

STEPS = 5


class Falling(Polynomial):
    """The polynomial with a temperature that ends at a quarter."""

    final_temperature = 0.25


def task_of(spec: TrialSpec, kind: type[Polynomial] = Polynomial) -> Polynomial:
    return kind(spec.task.values, device=torch.device("cpu"))


def spec(temperature: float | None, *, epochs: int = 3, estimator: str = "stgs") -> TrialSpec:
    return trial(estimator=estimator, temperature=temperature, epochs=epochs, steps_per_epoch=STEPS)


def test_gdas_goes_from_10_to_a_tenth_and_its_lanes_have_their_own_ends() -> None:
    start = torch.tensor([10.0, 10.0, 2.0])
    found = [annealed(start, 0.01, epoch=epoch, epochs=[100, 2, 1]).tolist() for epoch in (0, 1, 50, 99)]
    assert found[0] == [10, 10, 2]
    assert found[1] == pytest.approx([9.9, 0.1, 2])
    assert found[2] == pytest.approx([10 - 9.9 * 50 / 99, 0.1, 2])
    assert found[3] == pytest.approx([0.1, 0.1, 2])


def parameters(lanes: LaneGroup) -> Tensor:
    """All numbers of the first lane's parameters."""
    groups = lanes.state(0)["parameters"].values()
    return torch.cat([tensor.flatten() for group in groups for tensor in group.values()])


def test_an_epoch_of_a_falling_temperature_is_one_of_a_constant_one() -> None:
    """Temperature 1, then 0.625, then 0.25: each epoch continued by hand, with the same bits."""
    falling = group([spec(1.0)], task_of(spec(1.0), Falling), settings())
    states: list[LaneState] = []
    for epoch, temperature in enumerate((1.0, 0.625, 0.25)):
        one = spec(temperature)
        constant = group([one], task_of(one), settings(), states=states)
        for lanes in (falling, constant):
            advanced(lanes, (epoch + 1) * STEPS)
        assert torch.equal(parameters(falling), parameters(constant))
        if epoch < 2:
            states = [falling.state(0)]
    resumed = group([spec(1.0)], task_of(spec(1.0), Falling), settings(), states=states)
    always = group([spec(1.0)], task_of(spec(1.0)), settings())
    for lanes in (resumed, always):
        advanced(lanes, 3 * STEPS)
    assert torch.equal(parameters(resumed), parameters(falling))
    assert not torch.equal(parameters(always), parameters(falling))


def test_compiled_steps_have_the_epochs_temperature() -> None:
    one, other = (
        group([spec(1.0)], task_of(spec(1.0), Falling), settings(compiled=compiled))
        for compiled in (True, False)
    )
    for lanes in (one, other):
        advanced(lanes)
    assert one.forms == {"loop"}
    torch.testing.assert_close(parameters(one), parameters(other), rtol=1e-5, atol=1e-6)


def test_an_estimator_without_temperature_has_none_that_falls() -> None:
    one = spec(None, estimator="rloo")
    falling, constant = (group([one], task_of(one, kind), settings()) for kind in (Falling, Polynomial))
    for lanes in (falling, constant):
        advanced(lanes)
    assert torch.equal(parameters(falling), parameters(constant))


def test_gdas_declares_it() -> None:
    info = registry.get("gdas")
    parameter = info.parameter("final_temperature")
    assert parameter is not None
    assert parameter.default == 1.0
    task = info.load()(
        info.values({"final_temperature": 0.01}),
        device=torch.device("cpu"),
        made_up={"train": 4, "valid": 4},
    )
    assert task.final_temperature == 0.01
