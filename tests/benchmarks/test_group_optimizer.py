"""An optimizer in many lanes: each its own, whatever the others do; recorded and compiled as run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.optim import lr_scheduler

from benchmarks.engine.optimizers import fused, registry
from benchmarks.engine.optimizers.fixed import Plateau
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.engine.optimizers.schedules import start as no_evaluation
from benchmarks.kernels.layers import WeightGradients
from benchmarks.kernels.operators import Factors
from estimators.info import Value

SETTINGS: dict[str, tuple[tuple[str, ...], dict[str, Value]]] = {
    "adam": (("adam", "radam", "adam"), {}),
    "adam with everything": (
        ("radam", "adam", "radam"),
        {"beta1": 0.8, "weight_decay": 0.1, "clip_norm": 1.0, "schedule": "linear"},
    ),
    "sgd": (("sgd",) * 3, {}),
    "nesterov": (
        ("sgd",) * 3,
        {"momentum": 0.9, "nesterov": "yes", "weight_decay": 3e-4, "clip_norm": 5.0, "schedule": "cosine"},
    ),
    "rmsprop": (("rmsprop",) * 3, {"momentum": 0.9, "weight_decay": 0.1, "clip_norm": 2.0}),
}
RATES, TOTALS = (1e-3, 0.05, 0.3), (20, 12, 15)
ALL_MOVE = torch.tensor([True, True, True])


def of_lanes(name: str, lanes: tuple[int, ...] = (0, 1, 2)) -> GroupOptimizer:
    ids, values = SETTINGS[name]
    return GroupOptimizer(
        [(ids[lane], values) for lane in lanes],
        rates=[RATES[lane] for lane in lanes],
        total_steps=[TOTALS[lane] for lane in lanes],
    )


def numbers(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"weight": (3, 7, 9), "bias": (3, 7), "scale": (3,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


State = tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]


def trained(
    optimizer: GroupOptimizer,
    lanes: slice = slice(None),
    *,
    steps: int = 15,
    moving: Tensor = ALL_MOVE,
    spoilt: tuple[int, ...] = (),
) -> State:
    """State after some steps; the gradients of spoilt lanes are not finite."""
    parameters = {name: value[lanes] for name, value in numbers(0).items()}
    slots = optimizer.initial(parameters)
    for step, row in enumerate(optimizer.coefficients(1, steps), start=1):
        gradients = numbers(step)
        for lane in spoilt:
            gradients["bias"][lane, 3] = math.nan
            gradients["weight"][lane, 2] = math.inf
        own = {name: value[lanes] for name, value in gradients.items()}
        parameters, slots = optimizer.step(parameters, slots, own, row, moving[lanes])
    return parameters, slots


@pytest.mark.parametrize("name", SETTINGS)
def test_a_lane_has_the_bits_that_it_has_alone(name: str) -> None:
    """Beside lanes of other rates, optimizers, lengths, one of them not finite."""
    parameters, slots = trained(of_lanes(name), spoilt=(1,))
    for lane in (0, 2):
        alone, own = trained(of_lanes(name, (lane,)), slice(lane, lane + 1))
        for key, value in alone.items():
            assert torch.equal(parameters[key][lane], value[0])
            for slot in own:
                assert torch.equal(slots[slot][key][lane], own[slot][key][0])
    assert parameters["bias"][1].isnan().any()


@pytest.mark.parametrize("name", SETTINGS)
def test_a_frozen_lane_keeps_its_parameters(name: str) -> None:
    """Even with gradients that are not finite."""
    parameters, _ = trained(of_lanes(name), moving=torch.tensor([True, False, True]), spoilt=(1,))
    for key, before in numbers(0).items():
        assert torch.equal(parameters[key][1], before[1])
        assert (parameters[key] != before).flatten(1 if before.dim() > 1 else 0).any()
        assert not torch.equal(parameters[key][0], before[0])


@pytest.mark.parametrize("name", SETTINGS)
def test_a_step_leaves_what_it_is_given(name: str) -> None:
    optimizer = of_lanes(name)
    parameters, gradients = numbers(0), numbers(1)
    slots = optimizer.initial(parameters)
    optimizer.step(parameters, slots, gradients, optimizer.coefficients(1, 1)[0], ALL_MOVE)
    assert all(torch.equal(parameters[key], value) for key, value in numbers(0).items())
    assert all(torch.equal(gradients[key], value) for key, value in numbers(1).items())
    assert not any(value.any() for tensors in slots.values() for value in tensors.values())


def one_step(optimizer: GroupOptimizer) -> Callable[..., list[Tensor]]:
    """Of tensors in a row, as the engine records it: the row of the coefficients is chosen on the device."""
    keys = [*numbers(0)]

    def step(position: Tensor, table: Tensor, moving: Tensor, *tensors: Tensor) -> list[Tensor]:
        parts = [dict(zip(keys, tensors[i : i + 3], strict=True)) for i in range(0, len(tensors), 3)]
        slots = dict(zip(optimizer.slots, parts[2:], strict=True))
        row = table.index_select(0, position).squeeze(0)
        parameters, slots = optimizer.step(parts[0], slots, parts[1], row, moving)
        return [value for part in (parameters, *slots.values()) for value in part.values()]

    return step


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("how", ["recorded", "compiled"])
def test_recorded_or_compiled_is_as_run(name: str, how: str) -> None:
    """Recorded at one step, run at others; frozen lanes in between."""
    optimizer = of_lanes(name)
    step, table = one_step(optimizer), optimizer.coefficients(1, 6)
    parameters = numbers(0)
    state = [*parameters.values()]
    slots = [v.abs() for seed, _ in enumerate(optimizer.slots) for v in numbers(90 + seed).values()]

    def arguments(at: int, moving: Tensor) -> tuple[Tensor, ...]:
        return (torch.tensor([at]), table, moving, *state, *numbers(at + 1).values(), *slots)

    program: Any
    if how == "recorded":
        program = make_fx(step)(*arguments(0, ALL_MOVE))
    else:
        program = torch.compile(step, backend="aot_eager", fullgraph=True)
    for at in range(6):
        given = arguments(at, torch.tensor([True, at < 3, True]))
        expected = step(*given)
        assert all(torch.equal(a, b) for a, b in zip(program(*given), expected, strict=True))
        state, slots = expected[:3], expected[3:]
    assert not torch.equal(state[0], parameters["weight"])


def test_coefficients_do_not_depend_on_where_a_segment_starts() -> None:
    for name in SETTINGS:
        optimizer = of_lanes(name)
        parts = torch.cat([optimizer.coefficients(1, 4), optimizer.coefficients(5, 6)])
        assert torch.equal(optimizer.coefficients(1, 10), parts)
        assert parts.shape == (10, optimizer.rows, 3)
        assert parts.dtype == torch.float32


def test_schedule_clipping_and_rule_together_are_those_of_torch() -> None:
    """Nesterov momentum, weight decay, clipped, cosine to a tenth: in lanes of different length."""
    ids, values = SETTINGS["nesterov"]
    values = values | {"final_lr": 0.1}
    optimizer = GroupOptimizer([(id, values) for id in ids], rates=RATES, total_steps=TOTALS)
    for lane, total in enumerate(TOTALS):
        parameters, slots = numbers(0), optimizer.initial(numbers(0))
        theirs = {name: value[lane].clone().requires_grad_() for name, value in numbers(0).items()}
        sgd = torch.optim.SGD(
            [*theirs.values()], lr=RATES[lane], momentum=0.9, nesterov=True, weight_decay=3e-4
        )
        scheduler = lr_scheduler.CosineAnnealingLR(sgd, T_max=total, eta_min=0.1 * RATES[lane])
        for step, row in enumerate(optimizer.coefficients(1, total), start=1):
            parameters, slots = optimizer.step(parameters, slots, numbers(step), row, ALL_MOVE)
            for name, gradient in numbers(step).items():
                theirs[name].grad = gradient[lane].clone()
            torch.nn.utils.clip_grad_norm_([*theirs.values()], 5.0)
            sgd.step()
            scheduler.step()
            for name, value in theirs.items():
                torch.testing.assert_close(parameters[name][lane], value.detach(), rtol=1e-5, atol=1e-5)


def test_the_scale_of_a_plateau_multiplies_the_rates_of_its_lane() -> None:
    optimizer = of_lanes("nesterov")
    plain, scaled = optimizer.coefficients(3, 5), optimizer.coefficients(3, 5, [1.0, 0.5, 0.25])
    assert torch.equal(scaled, plain * torch.tensor([1.0, 0.5, 0.25]))
    adam = of_lanes("adam")
    plain, scaled = adam.coefficients(3, 5), adam.coefficients(3, 5, [1.0, 0.5, 0.25])
    assert torch.equal(scaled, plain * torch.tensor([1.0, 2.0, 4.0]))


def test_a_lane_follows_the_metric_with_its_own_rate() -> None:
    plateau = Plateau(metric="loss", maximize=False, factor=0.5, patience=0)
    optimizer = GroupOptimizer([("sgd", {})] * 2, rates=[1.0, 1e-8], total_steps=[5, 5], plateau=plateau)
    states = [no_evaluation(), no_evaluation()]
    for value in (1.0, 1.0):
        states = [optimizer.evaluated(lane, state, value) for lane, state in enumerate(states)]
    assert [state["scale"] for state in states] == [0.5, 1.0]  # 1e-8 does not fall
    with pytest.raises(ValueError, match="follows no metric"):
        of_lanes("sgd").evaluated(0, no_evaluation(), 1.0)


@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([("adam", {}), ("sgd", {})], "of one family, not of adam, sgd"),
        ([("adam", {}), ("radam", {"eps": 1e-3})], "differ in eps: 1e-08 and 0.001"),
        ([("sgd", {"momentum": 0.5}), ("sgd", {})], "differ in momentum: 0.5 and 0.0"),
        ([("sgd", {"beta1": 0.5})] * 2, "optimizer 'sgd' has no parameter 'beta1'"),
        ([("sgd", {"nesterov": "yes"})] * 2, "needs a momentum"),
        ([("sgd", {})] * 3, "not 3 optimizers, 2 rates, 2 lengths"),
    ],
)
def test_lanes_that_do_not_go_together_are_refused(
    components: list[tuple[str, Mapping[str, Value]]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        GroupOptimizer(components, rates=[0.1, 0.2], total_steps=[5, 5])


def test_an_unknown_optimizer_is_refused() -> None:
    with pytest.raises(KeyError, match="no optimizer 'adagrad'; there are adam, radam, sgd, rmsprop"):
        GroupOptimizer([("adagrad", {})], rates=[0.1], total_steps=[5])


def test_a_default_that_is_written_out_is_the_same() -> None:
    GroupOptimizer([("adam", {"beta1": 0.9}), ("radam", {})], rates=[0.1, 0.2], total_steps=[5, 5])


@pytest.mark.parametrize(
    ("id", "values", "plain"),
    [
        ("adam", {}, True),
        ("radam", {"schedule": "cosine", "eps": 1e-3, "final_lr": 0.5}, True),
        ("adam", {"beta1": 0.8}, False),
        ("adam", {"beta2": 0.99}, False),
        ("adam", {"weight_decay": 0.1}, False),
        ("radam", {"clip_norm": 1.0}, False),
        ("sgd", {}, False),
        ("rmsprop", {}, False),
    ],
)
def test_which_optimizers_are_plain_adam(id: str, values: dict[str, Value], plain: bool) -> None:
    assert GroupOptimizer([(id, values)], rates=[0.1], total_steps=[5]).is_plain_adam == plain


def test_programs_are_shared_by_what_a_step_depends_on() -> None:
    """Not by rates, lengths and kinds within a family."""
    keys = {
        GroupOptimizer([(id, values)], rates=[rate], total_steps=[5]).key
        for rate in (0.1, 0.2)
        for id, values in (("adam", {}), ("radam", {"eps": 1e-8}), ("adam", {"beta1": 0.8}), ("sgd", {}))
    }
    assert len(keys) == 3


def test_every_registered_rule_has_what_a_family_shares() -> None:
    by_family: dict[str, set[tuple[tuple[str, ...], int]]] = {}
    for id in registry.available():
        rule = GroupOptimizer([(id, {})], rates=[0.1], total_steps=[5])
        by_family.setdefault(registry.get(id).family, set()).add((rule.slots, rule.rows))
    assert all(len(shapes) == 1 for shapes in by_family.values())


class TestInPlace:
    """One lane's weights, whose gradients are products."""

    @staticmethod
    def gradients(step: int) -> tuple[dict[str, Tensor], WeightGradients]:
        """Of a weight, a product, and of a bias, which is none."""
        generator = torch.Generator().manual_seed(step)
        x, g = torch.randn(20, 33, generator=generator), torch.randn(20, 40, generator=generator)
        weight, known = (g.T @ x).unsqueeze(0), WeightGradients()
        known.add(weight, Factors(x, g, False))
        return {"weight": weight, "bias": g.sum(0, keepdim=True)}, known

    @staticmethod
    def start() -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(0)
        return {
            "weight": torch.randn(1, 40, 33, generator=generator),
            "bias": torch.randn(1, 40, generator=generator),
        }

    @pytest.mark.parametrize("id", ["adam", "radam"])
    @pytest.mark.parametrize("eps", [1e-8, 1e-2])
    def test_it_is_the_step_that_it_replaces(self, id: str, eps: float) -> None:
        """Of the weight alone, over ten steps of a cosine; the bias is left."""
        values: dict[str, Value] = {"eps": eps, "schedule": "cosine"}
        optimizer = GroupOptimizer([(id, values)], rates=[0.01], total_steps=[10])
        changed, expected = self.start(), self.start()
        slots, expected_slots = optimizer.initial(changed), optimizer.initial(expected)
        moving = torch.tensor([True])
        for step, row in enumerate(optimizer.coefficients(1, 10), start=1):
            gradients, known = self.gradients(step)
            names, total = fused.updated_in_place(
                optimizer, known, changed, slots, gradients, coefficients=row, moving=moving
            )
            expected, expected_slots = optimizer.step(expected, expected_slots, gradients, row, moving)
            assert names == {"weight"}
            assert total is not None
            size = gradients["weight"].abs().sum().item()
            assert total.item() == pytest.approx(gradients["weight"].sum().item(), abs=1e-6 * size)
            torch.testing.assert_close(changed["weight"], expected["weight"], rtol=1e-5, atol=1e-5)
        for slot in optimizer.slots:
            torch.testing.assert_close(slots[slot]["weight"], expected_slots[slot]["weight"])
            assert not slots[slot]["bias"].any()
        assert torch.equal(changed["bias"], self.start()["bias"])

    @pytest.mark.parametrize(("id", "values"), [("sgd", {}), ("adam", {"weight_decay": 0.1})])
    def test_other_optimizers_change_nothing(self, id: str, values: dict[str, Value]) -> None:
        optimizer = GroupOptimizer([(id, values)], rates=[0.01], total_steps=[10])
        parameters, (gradients, known) = self.start(), self.gradients(1)
        row, moving = optimizer.coefficients(1, 1)[0], torch.tensor([True])
        done = fused.updated_in_place(
            optimizer, known, parameters, {}, gradients, coefficients=row, moving=moving
        )
        assert done == (frozenset(), None)
        assert torch.equal(parameters["weight"], self.start()["weight"])

    def test_without_known_factors_nothing_changes(self) -> None:
        optimizer = GroupOptimizer([("adam", {})], rates=[0.01], total_steps=[10])
        parameters, (gradients, _) = self.start(), self.gradients(1)
        slots, row = optimizer.initial(parameters), optimizer.coefficients(1, 1)[0]
        with fused.weight_gradients() as known:
            pass
        done = fused.updated_in_place(
            optimizer, known, parameters, slots, gradients, coefficients=row, moving=torch.tensor([True])
        )
        assert done == (frozenset(), None)
        assert torch.equal(parameters["weight"], self.start()["weight"])
