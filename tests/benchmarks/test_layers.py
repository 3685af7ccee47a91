"""Layers of one lane: both libraries agree, and which one is taken is a measurement that holds."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.engine.cohort import Cohort
from benchmarks.engine.step import LaneStep
from benchmarks.kernels import build, layers, operators
from benchmarks.spec import TrialSpec
from benchmarks.tasks.categorical_vae.task import CategoricalVAE
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Variables
from estimators import NoiseSource
from tests.support.trials import made_up_images, trial


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test chooses anew."""
    monkeypatch.delenv(layers.VARIABLE, raising=False)
    layers._note_use.cache_clear()
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
    assert layers.library() == "native"
    assert layers.chosen() is None, "nothing has been multiplied"
    layers.linear(torch.ones(1, 5, 4), torch.ones(1, 3, 4), torch.ones(1, 3))
    assert layers.chosen() == "native"


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
    """One for six layers: in the program, which is run once and recorded once, and in either epoch's short
    last step.
    """
    monkeypatch.setenv(layers.VARIABLE, "native")
    updated: list[int] = []
    update = operators.update

    def counted(weights: Sequence[Tensor], *rest: Any, **options: Any) -> Tensor:
        updated.append(len(weights))
        return update(weights, *rest, **options)

    monkeypatch.setattr(operators, "update", counted)
    curves(cohort(trial("categorical_vae", estimator, batch_size=64), compiled=True))
    assert updated == [6, 6, 6, 6]


@pytest.mark.parametrize("compiled", [True, False])
def test_weights_stay_input_major_and_states_leave_in_the_order_of_torch(
    monkeypatch: pytest.MonkeyPatch, compiled: bool
) -> None:
    """Without that order the kernels cannot skip zeros, and nothing else would tell."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    updates: set[tuple[int, int, bool]] = set()
    kernel = operators.library().heunboard_update

    def seen(batch: int, rows: int, columns: int, left: int, right: int, skips: bool, *rest: Any) -> Any:
        updates.add((rows, columns, skips))
        return kernel(batch, rows, columns, left, right, skips, *rest)

    monkeypatch.setattr(operators.library(), "heunboard_update", seen)
    lanes = cohort(trial("categorical_vae", batch_size=64), compiled=compiled)
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


Reads = Callable[[Tensor, Tensor], Tensor]


def layer(x: Tensor, weight: Tensor) -> Tensor:
    """Without a bias, of one lane."""
    return layers.linear(x, weight, torch.zeros(1, weight.shape[1]))


def penalised(x: Tensor, weight: Tensor) -> Tensor:
    """With the gradient of the layer by its input in the loss."""
    x = x.detach().requires_grad_()
    value = layer(x, weight).square().sum()
    (of_x,) = torch.autograd.grad(value, x, create_graph=True)
    return value + of_x.square().sum()


READ_TWICE: dict[str, Reads] = {
    "by two layers": lambda x, w: layer(layer(x, w).tanh(), w),
    "by a layer and a penalty": lambda x, w: layer(x, w).sum() + w.square().sum(),
    "through a view, too": lambda x, w: layer(x, w).sum() + layer(x, w.mT).square().sum(),
    "as input and weight of a layer": lambda x, w: layer(w, w) + layer(x, torch.ones(1, 3, 3)).sum(),
    "by the gradient of its layer": penalised,
}
READ_ONCE: dict[str, Reads] = {
    "as the input of a layer": lambda x, w: layer(w, torch.arange(9.0).view(1, 3, 3)),
    "by no layer": lambda x, w: (x @ w).tanh(),
}


@pytest.mark.parametrize("reads", [*READ_TWICE.values(), *READ_ONCE.values()], ids=[*READ_TWICE, *READ_ONCE])
def test_a_gradient_that_is_not_one_layers_is_not_left_out(
    monkeypatch: pytest.MonkeyPatch, reads: Reads
) -> None:
    """It is, to the last bit, what it is where nothing may be left out."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(1, 3, 3, generator=generator), torch.randn(1, 3, 3, generator=generator)
    weight.requires_grad_()
    (expected,) = torch.autograd.grad(reads(x, weight).sum(), weight)
    loss = reads(x, weight).sum()
    with layers.weight_gradients() as known:
        known.leave_out(loss, [weight])
        (found,) = torch.autograd.grad(loss, weight)
    known.check([found])
    assert torch.equal(found, expected)
    assert not found.isnan().any()


def test_a_gradient_that_is_left_out_has_its_factors_and_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two layers: the gradients are those products of factors, and the other leaves have theirs."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    generator = torch.Generator().manual_seed(0)
    x, first, second = (torch.randn(1, 4, 4, generator=generator, requires_grad=True) for _ in range(3))

    def loss() -> Tensor:
        return layer(layer(x, first).tanh(), second).square().sum()

    expected = torch.autograd.grad(loss(), (first, second, x))
    total = loss()
    with layers.weight_gradients() as known:
        known.leave_out(total, [first, second])
        found = torch.autograd.grad(total, (first, second, x))
    known.check(found)
    for gradient, right in zip(found[:2], expected[:2], strict=True):
        factors = known.factors(gradient)
        assert factors is not None
        assert torch.equal((factors.outputs.T @ factors.inputs).unsqueeze(0), right)
        assert gradient.isnan().all()
        assert gradient.shape == right.shape
    assert torch.equal(found[2], expected[2])


def test_only_gradients_that_are_named_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(layers.VARIABLE, "native")
    x, first, second = (torch.ones(1, 2, 2, requires_grad=True) for _ in range(3))
    total = layer(layer(x, first), second).sum()
    with layers.weight_gradients() as known:
        known.leave_out(total, [second])
        found = torch.autograd.grad(total, (first, second))
    assert [bool(gradient.isnan().any()) for gradient in found] == [False, True]


def test_what_was_left_out_and_is_read_all_the_same_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a hook on the weight, which no look at the graph can see."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    x, weight = torch.ones(1, 2, 2), torch.ones(1, 2, 2, requires_grad=True)
    total = layer(x, weight).sum()
    weight.register_hook(lambda gradient: gradient * 2)
    with layers.weight_gradients() as known:
        known.leave_out(total, [weight])
        found = torch.autograd.grad(total, weight)
    with pytest.raises(RuntimeError, match="something else has read it"):
        known.check(found)


def changed_in_place(monkeypatch: pytest.MonkeyPatch, allowed: bool, **options: Any) -> tuple[Any, int]:
    """Curves of eager steps, in place or not, and how many gradients were left out."""
    left_out: list[Tensor] = []
    void, step = layers._void, LaneStep.__call__

    def noted(weight: Tensor) -> Tensor:
        left_out.append(weight)
        return void(weight)

    def asked(self: LaneStep, *given: Any, in_place: bool, **named: Any) -> Any:
        return step(self, *given, in_place=in_place and allowed, **named)

    with monkeypatch.context() as patched:
        patched.setattr(layers, "_void", noted)
        patched.setattr(LaneStep, "__call__", asked)
        return curves(cohort(trial("categorical_vae", batch_size=64, **options), compiled=False)), len(
            left_out
        )


@pytest.mark.parametrize("estimator", ["reinmax", "stgs", "rloo", "muprop", "rebar", "exact"])
@pytest.mark.parametrize("optimizer", ["adam", "radam"])
def test_eager_steps_in_place_are_the_steps_that_they_replace(
    monkeypatch: pytest.MonkeyPatch, estimator: str, optimizer: str
) -> None:
    """Whatever estimators do with the layers: evaluate them often, differentiate them twice."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    options = {"estimator": estimator, "optimizer": optimizer, "categories": 2, "latents": 3, "lr": 1e-3}
    ours, left_out = changed_in_place(monkeypatch, True, **options)
    theirs, none = changed_in_place(monkeypatch, False, **options)
    assert none == 0 < left_out
    for one, other in zip(ours, theirs, strict=True):
        assert [p[:2] for p in one] == [p[:2] for p in other]
        assert [p[2] for p in one] == pytest.approx([p[2] for p in other], rel=1e-5)


@pytest.mark.parametrize(
    ("id", "parameters"),
    [
        ("sgd", {}),
        ("sgd", {"momentum": 0.9}),
        ("rmsprop", {}),
        ("adam", {"clip_norm": 1.0}),
        ("adam", {"weight_decay": 0.1}),
        ("adam", {"beta1": 0.5}),
    ],
)
def test_optimizers_that_need_gradients_get_them(
    monkeypatch: pytest.MonkeyPatch, id: str, parameters: dict[str, float]
) -> None:
    """With the bits of steps that change nothing in place."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    optimizer = {"id": id, "version": 1, "parameters": parameters}
    ours, left_out = changed_in_place(monkeypatch, True, optimizer=optimizer, lr=1e-3)
    theirs, _ = changed_in_place(monkeypatch, False, optimizer=optimizer, lr=1e-3)
    assert left_out == 0
    assert ours == theirs


class WithItsLastWeights(CategoricalVAE):
    """A task whose buffer is a parameter as the loss found it."""

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """With a buffer."""
        start = super().init(noise, lanes)
        return Variables(groups=start.groups, buffers={"last": start.groups["model"]["encoder.1.weight"]})

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """With the buffer's next value."""
        loss = super().loss(phase, variables, batch, draw)
        last = variables.groups["model"]["encoder.1.weight"].detach()
        return dataclasses.replace(loss, buffers={"last": last})


def test_an_update_in_place_changes_no_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step, the buffer is the weight of the state before."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    spec = trial("categorical_vae", batch_size=64)
    images = made_up_images(train=150)
    task = WithItsLastWeights(spec.task.values, device=torch.device("cpu"), images=images)
    clock = itertools.count(step=2).__next__  # every segment is a step, as each takes longer than it may
    lanes = Cohort([spec], task=task, compiled=False, clock=clock)
    states = [lanes.lane_state(0) for segment in lanes.segments() if not segment.ended]
    assert [state["step"] for state in states][1:] == list(range(states[0]["step"] + 1, 6))
    for before, after in itertools.pairwise(states):
        weight = before["parameters"]["model"]["encoder.1.weight"]
        assert torch.equal(after["buffers"]["last"], weight)
        assert not torch.equal(after["parameters"]["model"]["encoder.1.weight"], weight)


def test_a_state_that_was_taken_is_not_changed_by_later_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the state that a lane was resumed from, by which another goes on to the same numbers."""
    monkeypatch.setenv(layers.VARIABLE, "native")
    spec = trial("categorical_vae", batch_size=64)
    lanes = cohort(spec, compiled=False)
    segments = lanes.segments()
    next(segments)
    state = lanes.lane_state(0)
    kept = copy.deepcopy(state)
    rest = [point.value for segment in segments for point in segment.points]
    for _ in range(2):
        again = cohort(spec, compiled=False, states={0: state})
        assert [point.value for segment in again.segments() for point in segment.points] == rest
    assert tensors_of(state) == tensors_of(kept)


def tensors_of(tree: Any) -> Any:
    """Nested dictionaries with lists for tensors, to compare."""
    if isinstance(tree, Tensor):
        return tree.tolist()
    return {name: tensors_of(part) for name, part in tree.items()} if isinstance(tree, dict) else tree


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
