"""Layers of one lane: both libraries agree, and which one is taken is a measurement that holds."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.engine.cohort import Cohort
from benchmarks.kernels import build, layers, operators
from benchmarks.spec import TrialSpec
from benchmarks.tasks.categorical_vae.task import CategoricalVAE
from tests.support.trials import made_up_images, trial


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test chooses anew."""
    monkeypatch.delenv(layers.VARIABLE, raising=False)
    layers.library.cache_clear()
    yield
    layers.library.cache_clear()


def cohort(*trials: TrialSpec, **options: Any) -> Cohort:
    """Of two minibatches of 64 images, mostly black, and a short one."""
    images = made_up_images(train=150)
    for part in (images.train, images.test):
        part[:, torch.arange(784) % 5 > 0] = 0
    task = CategoricalVAE(trials[0].task.values, device=torch.device("cpu"), images=images)
    return Cohort(trials, task=task, **options)


def curves(lanes: Cohort) -> list[list[tuple[str, int, float]]]:
    found: dict[int, list[tuple[str, int, float]]] = {}
    for segment in lanes.segments():
        for point in segment.points:
            found.setdefault(point.lane, []).append((point.metric, point.epoch, point.value))
    return [found[lane] for lane in sorted(found)]


def gradients(layer: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, layer.numel()).view(layer.shape)
    return torch.autograd.grad((layer * weights).sum(), inputs)


@pytest.mark.parametrize("mostly_zero", [False, True])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(100, 784, 512), (100, 512, 784), (3, 65, 67)])
def test_both_libraries_agree(
    monkeypatch: pytest.MonkeyPatch, batch: int, inputs: int, outputs: int, mostly_zero: bool
) -> None:
    """Output and three gradients, to float32's rounding of sums of so many terms."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=generator)
        for shape in ((1, batch, inputs), (1, outputs, inputs), (1, outputs))
    )
    if mostly_zero:
        x *= torch.rand(x.shape, generator=generator) < 0.2
    for tensor in (x, weight, bias):
        tensor.requires_grad_()
    exact = functional.linear(x[0].double(), weight[0].double(), bias[0].double()).unsqueeze(0)
    expected = (exact, *gradients(exact, x, weight, bias))
    for library in ("torch", "native"):
        monkeypatch.setenv(layers.VARIABLE, library)
        layers.library.cache_clear()
        layer = layers.linear(x, weight, bias, mostly_zero=mostly_zero)
        for ours, right in zip((layer, *gradients(layer, x, weight, bias)), expected, strict=True):
            assert ours.shape == right.shape
            torch.testing.assert_close(ours.double(), right.double(), rtol=1e-4, atol=1e-3)
            assert (ours - right).norm() < 1e-5 * right.norm()


def test_layers_are_differentiable_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some estimators differentiate a gradient of f; f's layers are not linear in all of their inputs."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    generator = torch.Generator().manual_seed(0)
    x, first, second, bias = (
        torch.randn(shape, generator=generator, requires_grad=True)
        for shape in ((1, 64, 64), (1, 64, 64), (1, 64, 64), (1, 64))
    )

    def of_gradients(linear: Callable[[Tensor, Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
        value = linear(linear(x / 8, first / 8, bias).tanh(), second / 8, bias).square().sum()
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), (x, first, second, bias))

    def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional.linear(x[0], weight[0], bias[0]).unsqueeze(0)

    for ours, theirs in zip(of_gradients(layers.linear), of_gradients(plain), strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


def test_a_trial_resumed_in_a_new_process_has_the_bits_of_one_that_was_not_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first product would be recorded, and what is recorded cannot choose."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    spec = trial("categorical_vae", batch_size=64)
    lanes = cohort(spec, compiled=True)
    segments = lanes.segments()
    next(segments)
    state = lanes.lane_state(0)
    rest = [point.value for segment in segments for point in segment.points]
    assert rest
    layers.library.cache_clear()
    resumed = cohort(spec, compiled=True, states={0: state})
    assert [point.value for segment in resumed.segments() for point in segment.points] == rest
    assert (resumed.execution.forms, resumed.execution.failures) == (("steps",), ())


def test_double_matrices_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(layers.VARIABLE, "native")
    monkeypatch.setattr(operators, "linear", lambda *_, **__: pytest.fail("the kernels were asked"))
    tensors = torch.ones(1, 5, 4), torch.ones(1, 3, 4), torch.ones(1, 3)
    x, weight, bias = (tensor.double() for tensor in tensors)
    assert torch.equal(layers.linear(x, weight, bias), torch.full((1, 5, 3), 5.0).double())
    with pytest.raises(pytest.fail.Exception, match="were asked"):
        layers.linear(*tensors)


def test_the_kernels_are_taken_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is measured: two machines of one configuration agree."""
    monkeypatch.delenv(layers.VARIABLE, raising=False)
    assert layers.chosen() is None
    assert layers.library() == layers.chosen() == "native"


def test_the_environment_decides_and_its_mistakes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "native"):
        monkeypatch.setenv(layers.VARIABLE, name)
        assert layers.library() == name
        layers.library.cache_clear()
    monkeypatch.setenv(layers.VARIABLE, "mkl")
    with pytest.raises(ValueError, match="HEUNBOARD_MATMUL is 'mkl'; it is torch or native"):
        layers.library()


def test_without_a_compiler_torch_remains_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise build.BuildError("no compiler")

    monkeypatch.setattr(operators, "library", fails)
    with caplog.at_level(logging.WARNING):
        assert layers.library() == "torch"
    assert "Linear layers are left to torch: no compiler" in caplog.text
    layers.library.cache_clear()
    monkeypatch.setenv(layers.VARIABLE, "native")
    with pytest.raises(ValueError, match="HEUNBOARD_MATMUL is 'native', but no compiler"):
        layers.library()


@pytest.mark.parametrize("estimator", ["reinmax", "stgs", "rloo"])
def test_steps_update_all_weights_without_their_gradients(
    monkeypatch: pytest.MonkeyPatch, estimator: str
) -> None:
    """What is compiled holds one update of six layers, and no product is left over."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    updated: list[int] = []
    update = operators.update

    def counted(weights: Sequence[Tensor], *rest: Any, **options: Any) -> Tensor:
        updated.append(len(weights))
        return update(weights, *rest, **options)

    monkeypatch.setattr(operators, "update", counted)
    curves(cohort(trial("categorical_vae", estimator, batch_size=64), compiled=True))
    assert updated == [6], "recorded once; other steps run what is compiled"


def test_programs_keep_weights_input_major_and_states_leave_in_the_order_of_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without that order the kernels cannot skip zeros, and nothing else would tell."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    updates: set[tuple[int, int, bool]] = set()
    kernel = operators.library().heunboard_update

    def seen(batch: int, rows: int, columns: int, left: int, right: int, skips: bool, *rest: Any) -> Any:
        updates.add((rows, columns, skips))
        return kernel(batch, rows, columns, left, right, skips, *rest)

    monkeypatch.setattr(operators.library(), "heunboard_update", seen)
    lanes = cohort(trial("categorical_vae", batch_size=64), compiled=True)
    list(lanes.segments())
    skipping = {(784, 512, True), (15, 256, True)}  # (inputs, outputs): of images, and of codes
    others = {(256, 512, False), (15, 256, False), (512, 256, False), (784, 512, False)}  # (outputs, inputs)
    assert updates == skipping | others
    state = lanes.lane_state(0)
    slots = state["optimizer"]["train"]
    assert set(slots) == {"first_moment", "second_moment"}
    for tensors in (state["parameters"]["model"], slots["first_moment"], slots["second_moment"]):
        assert len(tensors) == 12
        assert all(tensor.is_contiguous() for tensor in tensors.values())


def test_a_lane_diverges_when_the_gradient_of_a_weight_is_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing sees that gradient but the update, which says what it adds up to."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    update = operators.update
    monkeypatch.setattr(operators, "update", lambda *given, **named: update(*given, **named) * float("inf"))
    lanes = cohort(trial("categorical_vae", batch_size=64), compiled=True)
    (end,) = [end for segment in lanes.segments() for end in segment.ended]
    assert end.diverged_at == 2, "the first compiled step"


def test_a_weight_that_is_used_twice_has_the_sum_of_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(layers.VARIABLE, "native")
    x, weight = torch.ones(1, 2, 3), torch.ones(1, 3, 3, requires_grad=True)
    bias = torch.zeros(1, 3)
    with layers.weight_gradients() as known:
        once = layers.linear(x, weight, bias)
        (of_once,) = torch.autograd.grad(once.sum(), weight)
        twice = layers.linear(layers.linear(x, weight, bias), weight, bias)
        (of_twice,) = torch.autograd.grad(twice.sum(), weight)
    found = known.factors(of_once)
    assert found is not None
    assert torch.equal(found.outputs.T @ found.inputs, of_once[0])
    assert known.factors(of_twice) is None
    assert torch.equal(of_twice, torch.full((1, 3, 3), 12.0))


def test_compiled_lanes_with_kernels_have_the_curves_of_eager_ones_and_bits_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(layers.VARIABLE, "native")
    trials = [trial("categorical_vae", seed=seed, lr=1e-3, batch_size=64) for seed in (0, 1)]
    lanes = cohort(*trials, compiled=True)
    compiled = curves(lanes)
    assert lanes.execution == dataclasses.replace(
        lanes.execution, forms=("steps",), failures=(), matmul="native"
    )
    assert curves(cohort(trials[1], compiled=True)) == compiled[1:]
    eager = curves(cohort(*trials, compiled=False))
    monkeypatch.setenv(layers.VARIABLE, "torch")
    layers.library.cache_clear()
    with_torch = curves(cohort(*trials, compiled=False))
    assert with_torch != eager
    for lane in (0, 1):
        for other in (eager, with_torch):
            assert [p[:2] for p in compiled[lane]] == [p[:2] for p in other[lane]]
            assert [p[2] for p in compiled[lane]] == pytest.approx([p[2] for p in other[lane]], rel=1e-4)
