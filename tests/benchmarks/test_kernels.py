"""The kernels beside the same in float64, and what becomes of a machine that cannot compile them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.engine.optimizers.adam import FIRST, SECOND, Adam
from benchmarks.engine.optimizers.group import GroupOptimizer
from benchmarks.kernels import build, operators
from benchmarks.kernels.operators import Factors
from benchmarks.process import compile_cache

SHAPES = [
    (1, 1, 1),
    (5, 3, 2),
    (6, 16, 64),
    (7, 33, 45),
    (12, 65, 130),
    (13, 64, 300),
    (100, 256, 512),
    (100, 300, 256),
]
"""(batch, inputs, outputs): whole vectors and tiles, parts of them, several blocks."""
DENSITIES = [None, 0.0, 0.2, 0.8]
"""Of inputs that are said to be mostly zeros; the last is not, and ``None`` is not said to be."""


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def images(batch: int, inputs: int, density: float | None) -> Tensor:
    x = numbers(batch, inputs, seed=1)
    if density is None:
        return x
    return x * (torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < density)


def close(ours: Tensor, exact: Tensor, terms: int) -> None:
    """Equal up to the rounding of a sum of so many products of normal numbers."""
    assert (ours.double() - exact).abs().max() < 2e-6 * max(terms, 4) ** 0.5 * 4


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("order", ["output-major", "input-major"])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), SHAPES)
def test_linear_is_x_times_the_transpose_plus_bias(
    batch: int, inputs: int, outputs: int, order: str, density: float | None
) -> None:
    x, weight, bias = (
        images(batch, inputs, density),
        numbers(outputs, inputs, seed=3),
        numbers(outputs, seed=4),
    )
    given = operators.input_major(weight) if order == "input-major" else weight
    y = operators.linear(x, given, bias, mostly_zero=density is not None)
    close(y, x.double() @ weight.double().T + bias.double(), inputs)
    assert y.is_contiguous()
    close(operators.linear(x, given, None), x.double() @ weight.double().T, inputs)


@pytest.mark.parametrize("density", [0.0, 0.2])
def test_skipping_zeros_changes_no_bit(density: float) -> None:
    x, weight, bias = images(20, 100, density), numbers(300, 100, seed=3), numbers(300, seed=4)
    weight = operators.input_major(weight)
    dense, sparse = (operators.linear(x, weight, bias, mostly_zero=skips) for skips in (False, True))
    assert torch.equal(dense, sparse)


def test_zeros_are_really_skipped() -> None:
    """A weight that no input meets is not read; one that is told not to skip does read it."""
    x, weight = torch.zeros(2, 40), numbers(64, 40, seed=1)
    x[:, 3] = 1
    weight[:, 5] = float("nan")
    weight = operators.input_major(weight)
    assert torch.equal(operators.linear(x, weight, None, mostly_zero=True), weight[:, 3].expand(2, 64))
    assert operators.linear(x, weight, None).isnan().all()


def test_rows_do_not_depend_on_their_neighbours() -> None:
    x, weight, bias = numbers(100, 50, seed=1), numbers(70, 50, seed=2), numbers(70, seed=3)
    together = operators.linear(x, weight, bias)
    for count in (1, 2, 3, 4, 5, 6, 7):
        assert torch.equal(operators.linear(x[:count], weight, bias), together[:count])


def test_operands_may_be_views() -> None:
    x, weight, bias = numbers(50, 20, seed=1).T, numbers(30, 100, seed=2)[:, ::2], numbers(60, seed=3)[::2]
    close(operators.linear(x, weight, bias), x.double() @ weight.double().T + bias.double(), 50)


def adam_step(tensors: list[Tensor], gradient: Tensor, coefficients: Tensor) -> list[Tensor]:
    """Weight and moments after the rule's own update."""
    weight, first, second = tensors
    slots = {FIRST: first, SECOND: second}
    weight, slots = Adam().updated(weight, slots, gradient, coefficients)
    return [weight, slots[FIRST], slots[SECOND]]


@pytest.mark.parametrize("kind", ["adam", "radam"])
@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("order", ["output-major", "input-major"])
@pytest.mark.parametrize(("batch", "inputs", "outputs"), SHAPES)
def test_updates_are_those_of_the_optimizer_for_the_product(
    batch: int, inputs: int, outputs: int, order: str, density: float | None, kind: str
) -> None:
    """Three steps of two layers, against float64; RAdam's first steps have no second moment."""
    table = GroupOptimizer([(kind, {})], rates=[1e-2], total_steps=[7]).coefficients(5, 3)
    exact, ours = [], []
    for layer in (0, 1):
        weight = numbers(1, outputs, inputs, seed=layer)
        tensors = [
            weight,
            0.1 * numbers(1, outputs, inputs, seed=7),
            numbers(1, outputs, inputs, seed=8) ** 2,
        ]
        exact.append([t.double() for t in tensors])
        ours.append([operators.input_major(t) if order == "input-major" else t.clone() for t in tensors])
    for step, row in enumerate(table):
        factors = [
            Factors(
                images(batch, inputs, density),
                numbers(batch, outputs, seed=10 * step + layer),
                density is not None,
            )
            for layer in (0, 1)
        ]
        gradients = [(f.outputs.double().T @ f.inputs.double()).unsqueeze(0) for f in factors]
        exact = [
            adam_step(tensors, gradient, row.double())
            for tensors, gradient in zip(exact, gradients, strict=True)
        ]
        weights, first, second = zip(*ours, strict=True)
        total = operators.update(weights, first, second, factors, rule=row, moving=torch.tensor([True]))
        size = sum(float(g.abs().sum()) for g in gradients)
        assert total.item() == pytest.approx(sum(float(g.sum()) for g in gradients), abs=1e-5 * size + 1e-6)
    for layer_ours, layer_exact in zip(ours, exact, strict=True):
        for mine, right in zip(layer_ours, layer_exact, strict=True):
            torch.testing.assert_close(mine.double(), right, rtol=2e-5, atol=2e-5 * batch**0.5)


@pytest.mark.parametrize("outputs", [1, 70, 128])
def test_moments_are_exact_to_float32(outputs: int) -> None:
    """From nothing, 0.1 g and 0.001 g^2: in float32, 1 - 0.999 would be off by 1.3e-5 of it."""
    weight, first, second = (torch.zeros(1, outputs, 40) for _ in range(3))
    g, x = numbers(1, outputs, seed=1), numbers(1, 40, seed=2)
    operators.update(
        [weight],
        [first],
        [second],
        [Factors(x, g, False)],
        rule=torch.ones(2, 1),
        moving=torch.tensor([True]),
    )
    gradient = (g.double().T @ x.double()).unsqueeze(0)
    torch.testing.assert_close(first.double(), 0.1 * gradient, rtol=5e-7, atol=0)
    torch.testing.assert_close(second.double(), 0.001 * gradient**2, rtol=5e-7, atol=0)


@pytest.mark.parametrize("density", [None, 0.2])
@pytest.mark.parametrize("batch", [9, 100])
def test_a_lane_that_does_not_move_keeps_the_bits_of_its_weights(batch: int, density: float | None) -> None:
    weight, first, second = (operators.input_major(numbers(1, 70, 130, seed=k)) for k in range(3))
    before = weight.clone()
    factors = [Factors(images(batch, 130, density), numbers(batch, 70, seed=4), density is not None)]
    moments = first.clone()
    operators.update(
        [weight], [first], [second.square_()], factors, rule=torch.ones(2, 1), moving=torch.tensor([False])
    )
    assert torch.equal(weight, before)
    assert not torch.equal(first, moments)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_layers_whose_tensors_lie_in_different_orders_are_refused(odd: int) -> None:
    """They are changed where they lie, so nothing can be turned."""
    factors, rule = [Factors(numbers(5, 6, seed=4), numbers(5, 4, seed=5), False)], torch.ones(2, 1)
    layer = [numbers(1, 4, 6, seed=k).abs() for k in range(3)]
    layer[odd] = operators.input_major(layer[odd])
    sliced = [numbers(1, 4, 12, seed=k).abs()[..., ::2] for k in range(3)]
    for (w, m, v), message in ((layer, "give all three"), (sliced, r"have strides \(48, 12, 2\), ")):
        with pytest.raises(ValueError, match=message):
            operators.update([w], [m], [v], factors, rule=rule, moving=torch.tensor([True]))


@pytest.mark.parametrize("where", ["inputs", "outputs"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_sum_of_a_gradient_that_is_not_finite_is_not_finite(where: str, bad: float) -> None:
    weight, first, second = (numbers(1, 30, 40, seed=k).abs() for k in range(3))
    factors = Factors(numbers(5, 40, seed=4), numbers(5, 30, seed=5), False)
    getattr(factors, where)[2, 7] = bad
    total = operators.update(
        [weight], [first], [second], [factors], rule=torch.ones(2, 1), moving=torch.tensor([True])
    )
    assert not total.isfinite().any()


def test_a_weight_is_turned_once() -> None:
    weight = numbers(1, 3, 4, seed=0)
    turned = operators.input_major(weight)
    assert torch.equal(weight, turned)
    assert turned.stride()[1:] == (1, 3)
    assert operators.input_major(turned) is turned


def test_compiled_once_and_kept(tmp_path: Path) -> None:
    build.load(folder=tmp_path)
    (made,) = tmp_path.iterdir()
    assert made.suffix == ".so"
    build.load(folder=tmp_path, environment={build.COMPILER: "g++"})
    assert list(tmp_path.iterdir()) == [made]


def test_another_source_is_another_file(tmp_path: Path) -> None:
    source = tmp_path / "other.cpp"
    source.write_text('extern "C" int answer() { return 42; }\n')
    folder = tmp_path / "compiled"
    folder.mkdir()
    assert build.load(source=source, folder=folder).answer() == 42
    source.write_text('extern "C" int answer() { return 43; }\n')
    assert build.load(source=source, folder=folder).answer() == 43


def test_compiled_beside_the_programs_of_torch(tmp_path: Path) -> None:
    source = tmp_path / "other.cpp"
    source.write_text("")
    build.load(source=source, environment={compile_cache.VARIABLE: str(tmp_path / "cache")})
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".so"]


def test_without_a_place_of_the_user_the_process_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    source = tmp_path / "other.cpp"
    source.write_text("")
    build.load(source=source, environment={compile_cache.VARIABLE: str(tmp_path / "file" / "below")})


@pytest.mark.parametrize(
    ("compiler", "text", "message"),
    [
        ("no-such-compiler", "", "cannot compile other.cpp with no-such-compiler: .*No such file"),
        ("g++", "this is no C++", "cannot compile other.cpp: .*error"),
    ],
)
def test_what_cannot_be_compiled_says_why(tmp_path: Path, compiler: str, text: str, message: str) -> None:
    source = tmp_path / "other.cpp"
    source.write_text(text)
    with pytest.raises(build.BuildError, match=message):
        build.load(source=source, folder=tmp_path, environment={build.COMPILER: compiler})
    assert [path.name for path in tmp_path.iterdir()] == ["other.cpp"]


def test_a_library_that_cannot_be_loaded_says_so(tmp_path: Path) -> None:
    source, folder = tmp_path / "other.cpp", tmp_path / "copied"
    source.write_text("")
    folder.mkdir()
    build.load(source=source, folder=tmp_path)
    (made,) = tmp_path.glob("*.so")
    (folder / made.name).write_text("no library")
    with pytest.raises(build.BuildError, match="cannot load the compiled kernels"):
        build.load(source=source, folder=folder)
