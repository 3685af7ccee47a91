"""Products of one lane: both libraries agree, and which one is taken is a measurement that holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import products
from benchmarks.engine import Cohort
from benchmarks.spec import TrialSpec
from benchmarks.tasks.categorical_vae import CategoricalVAE
from tests.support.trials import made_up_images, trial

needs_onednn = pytest.mark.skipif(
    not products.is_onednn_here(), reason="this build of torch has no oneDNN operator"
)


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test chooses anew."""
    monkeypatch.delenv(products.VARIABLE, raising=False)
    products.library.cache_clear()
    yield
    products.library.cache_clear()


def cohort(*trials: TrialSpec, **options: Any) -> Cohort:
    """Of minibatches that are wide enough for oneDNN: two of 64 images, and a short one."""
    images = made_up_images(train=150)
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


@needs_onednn
@pytest.mark.parametrize(("batch", "inputs", "outputs"), [(100, 784, 512), (100, 512, 784), (64, 65, 67)])
def test_both_libraries_agree(monkeypatch: pytest.MonkeyPatch, batch: int, inputs: int, outputs: int) -> None:
    """Output and three gradients, to float32's rounding of sums of so many terms."""
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=generator, requires_grad=True)
        for shape in ((batch, inputs), (outputs, inputs), (outputs,))
    )
    exact = functional.linear(x.double(), weight.double(), bias.double())
    expected = (exact, *gradients(exact, x, weight, bias))
    for library in ("torch", "onednn"):
        monkeypatch.setenv(products.VARIABLE, library)
        products.library.cache_clear()
        layer = products.linear(x, weight, bias)
        for ours, right in zip((layer, *gradients(layer, x, weight, bias)), expected, strict=True):
            torch.testing.assert_close(ours.double(), right.double(), rtol=1e-4, atol=1e-3)
            assert (ours - right).norm() < 1e-5 * right.norm()


@needs_onednn
def test_layers_are_differentiable_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some estimators differentiate a gradient of f; f's layers are not linear in all of their inputs."""
    monkeypatch.setenv(products.VARIABLE, "onednn")
    generator = torch.Generator().manual_seed(0)
    x, first, second, bias = (
        torch.randn(shape, generator=generator, requires_grad=True)
        for shape in ((64, 64), (64, 64), (64, 64), (64,))
    )

    def of_gradients(linear: Callable[[Tensor, Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
        value = linear(linear(x / 8, first / 8, bias).tanh(), second / 8, bias).square().sum()
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), (x, first, second, bias))

    for ours, theirs in zip(of_gradients(products.linear), of_gradients(functional.linear), strict=True):
        assert (ours - theirs).norm() < 1e-4 * theirs.norm()


@needs_onednn
def test_a_trial_resumed_in_a_new_process_has_the_bits_of_one_that_was_not_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its first product would be recorded, and what is recorded cannot choose."""
    monkeypatch.setenv(products.VARIABLE, "onednn")
    spec = trial("categorical_vae", batch_size=64)
    lanes = cohort(spec, compiled=True)
    segments = lanes.segments()
    next(segments)
    state = lanes.lane_state(0)
    rest = [point.value for segment in segments for point in segment.points]
    assert rest
    products.library.cache_clear()
    resumed = cohort(spec, compiled=True, states={0: state})
    assert [point.value for segment in resumed.segments() for point in segment.points] == rest
    assert (resumed.execution.forms, resumed.execution.failures) == (("steps",), ())


@needs_onednn
def test_narrow_and_double_matrices_are_left_to_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(products.VARIABLE, "onednn")
    monkeypatch.setattr(products, "onednn", lambda *_: pytest.fail("oneDNN was asked"))
    for batch, inputs, outputs in ((64, 256, 32), (64, 32, 256), (8, 64, 64)):
        products.linear(torch.ones(batch, inputs), torch.ones(outputs, inputs), torch.ones(outputs))
    products.linear(torch.ones(64, 64).double(), torch.ones(64, 64).double(), torch.ones(64).double())
    with pytest.raises(pytest.fail.Exception, match="was asked"):
        products.linear(torch.ones(64, 64), torch.ones(64, 64), torch.ones(64))


@pytest.mark.parametrize(
    ("here", "advantage", "chosen"),
    [
        (True, 2.0, "onednn"),
        (True, 1.3, "onednn"),
        (True, 1.2, "torch"),
        (True, 0.9, "torch"),
        (False, 2.0, "torch"),
    ],
)
def test_onednn_is_taken_where_it_is_clearly_faster(
    monkeypatch: pytest.MonkeyPatch, here: bool, advantage: float, chosen: str
) -> None:
    monkeypatch.setattr(products, "is_onednn_here", lambda: here)
    monkeypatch.setattr(products, "advantage", lambda: advantage)
    assert products.chosen() is None
    assert products.library() == chosen
    monkeypatch.setattr(products, "advantage", lambda: 1 / advantage)
    assert products.library() == products.chosen() == chosen, "measured once"


@needs_onednn
def test_the_advantage_is_measured_on_one_thread_and_leaves_the_threads_alone() -> None:
    before = torch.get_num_threads()
    assert 0.1 < products.advantage() < 10
    assert torch.get_num_threads() == before


def test_the_environment_decides_and_its_mistakes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_onednn_here", lambda: False)
    monkeypatch.setenv(products.VARIABLE, "torch")
    assert products.library() == "torch"
    products.library.cache_clear()
    monkeypatch.setenv(products.VARIABLE, "mkl")
    with pytest.raises(ValueError, match="HEUNBOARD_PRODUCTS is 'mkl'; it is torch or onednn"):
        products.library()
    monkeypatch.setenv(products.VARIABLE, "onednn")
    with pytest.raises(ValueError, match="this build of torch does not have"):
        products.library()


@needs_onednn
def test_compiled_lanes_with_onednn_have_the_curves_of_eager_ones_and_bits_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The hidden layers of the VAE are wide enough whatever its code."""
    monkeypatch.setenv(products.VARIABLE, "onednn")
    trials = [trial("categorical_vae", seed=seed, lr=1e-3, batch_size=64) for seed in (0, 1)]
    lanes = cohort(*trials, compiled=True)
    compiled = curves(lanes)
    assert lanes.execution == dataclasses.replace(
        lanes.execution, forms=("steps",), failures=(), products="onednn"
    )
    assert curves(cohort(trials[1], compiled=True)) == compiled[1:]
    eager = curves(cohort(*trials, compiled=False))
    monkeypatch.setenv(products.VARIABLE, "torch")
    products.library.cache_clear()
    with_torch = curves(cohort(*trials, compiled=False))
    assert with_torch != eager
    for lane in (0, 1):
        for other in (eager, with_torch):
            assert [p[:2] for p in compiled[lane]] == [p[:2] for p in other[lane]]
            assert [p[2] for p in compiled[lane]] == pytest.approx([p[2] for p in other[lane]], rel=1e-4)
