"""Architecture search on NATS-Bench: cells, super-network, gradients of what is drawn, images, look-up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.datasets import labelled, nats_bench
from benchmarks.datasets.labelled import LabelledImages
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.sweep import read_sweep
from benchmarks.tasks import registry
from benchmarks.tasks.contract import Batch, Draw, Parameters, Variables
from benchmarks.tasks.gdas import cells, drawn, images, sizes
from benchmarks.tasks.gdas.cells import EDGES, NONE, OPERATIONS, POOL, SKIP
from benchmarks.tasks.gdas.network import STAGES, Evaluated, SuperNetwork
from benchmarks.tasks.gdas.task import Gdas
from benchmarks.tasks.info import Split
from estimators.info import Value
from tests.support.draws import Sampled, certain, training
from tests.support.trials import run

CPU = torch.device("cpu")
INFO = registry.get("gdas")
SMALL: dict[str, Value] = {"dataset": "fashion_mnist", "size": "16x16", "channels": 3, "cells": 1}
COUNTS: Mapping[Split, int] = {"train": 12, "valid": 9}
NETWORK = SuperNetwork(colours=2, channels=3, cells=2, classes=5)
CELLS = [(0, 1, 2, 3, 4, 1), (3, 2, 4, 1, 2, 3), (4, 4, 1, 2, 3, 0), (1, 3, 3, 2, 0, 4)]
"""Each operation stands on edges from every node."""


def build(**given: Value) -> Gdas:
    return Gdas(INFO.values(SMALL | given), device=CPU, made_up=COUNTS)


def parameters(lanes: int = 1, network: SuperNetwork = NETWORK) -> Parameters:
    """In float64, affine parts and biases away from where they start."""
    found = network.initial(noise(lanes), lanes, CPU)
    generator = torch.Generator().manual_seed(3)
    return {
        name: p.double() + 0.1 * torch.randn(p.shape, dtype=torch.float64, generator=generator)
        for name, p in found.items()
    }


def noise(lanes: int, purpose: Purpose = Purpose.INITIALISATION) -> LaneNoise:
    return LaneNoise(seed_keys(range(lanes)), purpose, step=0)


def pictures(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def hard(cell: tuple[int, ...]) -> Tensor:
    """The places of a cell ``(6, 5)``."""
    return torch.eye(len(OPERATIONS), dtype=torch.float64)[list(cell)]


# The same network by torch's own layers, for one lane: (i, j) names the edge from node i to node j.

WEIGHT_OF_EDGE = {edge: place for place, edge in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])}
"""Where an edge's weights lie."""


def plain_norm(x: Tensor, p: Parameters | None = None, name: str = "") -> Tensor:
    gain, shift = (p[f"{name}.gain"], p[f"{name}.shift"]) if p else (None, None)
    return functional.batch_norm(x, None, None, gain, shift, training=True)


def plain_edge(p: Parameters, cell: str, edge: tuple[int, int], x: Tensor) -> list[Tensor]:
    """Outputs of the five operations."""
    place = WEIGHT_OF_EDGE[edge]
    one, three = (
        plain_norm(
            functional.conv2d(
                x.relu(),
                p[f"{cell}.{kind}.weight"][place],
                p[f"{cell}.{kind}.bias"][place],
                padding=padding,
            )
        )
        for kind, padding in (("one", 0), ("three", 1))
    )
    padded = functional.pad(x, (1, 1, 1, 1))
    counted = functional.pad(torch.ones_like(x), (1, 1, 1, 1))
    shifts = list(itertools.product(range(3), repeat=2))
    height, width = x.shape[2:]
    total, count = (
        torch.stack([part[..., i : i + height, j : j + width] for i, j in shifts]).sum(0)
        for part in (padded, counted)
    )
    return [torch.zeros_like(x), x, one, three, total / count]


def plain_cell(p: Parameters, name: str, x: Tensor, places: Tensor, rule: str) -> Tensor:
    nodes = [x]
    for target in range(1, 4):
        terms = []
        for source in range(target):
            d = places[EDGES.index((source, target))]
            outputs, k = plain_edge(p, name, (source, target), nodes[source]), int(d.argmax())
            counted = [
                output if rule == "full" or j == k else torch.ones_like(output)
                for j, output in enumerate(outputs)
            ]
            terms.append(torch.einsum("o,o...->...", d, torch.stack(counted)))
        nodes.append(torch.stack(terms).sum(0))
    return nodes[3]


def plain_scores(p: Parameters, x: Tensor, places: Tensor, rule: str, cells_a_stage: int = 2) -> Tensor:
    """Scores ``(B, classes)`` of images ``(B, colours, H, W)``; ``rule`` is full or sparse."""
    y = plain_norm(functional.conv2d(x, p["stem.weight"], padding=1), p, "stem")
    for stage in range(len(STAGES)):
        if stage:
            name = f"block.{stage}"
            first = functional.conv2d(y.relu(), p[f"{name}.first.weight"], stride=2, padding=1)
            second = functional.conv2d(
                plain_norm(first, p, f"{name}.first").relu(), p[f"{name}.second.weight"], padding=1
            )
            residual = functional.conv2d(functional.avg_pool2d(y, 2), p[f"{name}.residual.weight"])
            y = plain_norm(second, p, f"{name}.second") + residual
        for cell in range(cells_a_stage):
            y = plain_cell(p, f"cell.{stage}.{cell}", y, places, rule)
    return functional.linear(plain_norm(y).relu().mean((2, 3)), p["head.weight"], p["head.bias"])


def gradients_agree(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    """Values, and gradients of a function of them by all leaves."""
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
    weight = pictures(*expected.shape)
    one, other = (
        torch.autograd.grad((y * weight).sum(), leaves, allow_unused=True, materialize_grads=True)
        for y in (found, expected)
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("evaluated", "rule"), [("all", "full"), ("drawn", "sparse")])
def test_the_network_is_torchs_and_so_are_its_gradients(
    cell: tuple[int, ...], evaluated: Evaluated, rule: str
) -> None:
    weights = {name: p.requires_grad_() for name, p in parameters().items()}
    places, x = hard(cell).requires_grad_(), pictures(1, 4, 2, 8, 8)
    found = NETWORK.scores(weights, x, places[None, None], evaluated)[0, 0]
    expected = plain_scores({name: p[0] for name, p in weights.items()}, x[0], places, rule)
    gradients_agree(found, expected, [*weights.values(), places])


@pytest.mark.parametrize("cell", CELLS)
def test_weights_get_the_same_gradient_where_only_what_is_drawn_is_computed(cell: tuple[int, ...]) -> None:
    weights = {name: p.requires_grad_() for name, p in parameters().items()}
    places, x = hard(cell)[None, None], pictures(1, 4, 2, 8, 8)
    one, other = (NETWORK.scores(weights, x, places, how) for how in ("drawn only", "all"))
    gradients_agree(one, other, list(weights.values()))


def test_what_is_not_drawn_has_the_gradient_of_an_output_of_ones() -> None:
    """By hand: a single edge with k drawn; dL/dD_j is the sum of g for j other than k."""
    places = hard(CELLS[1]).requires_grad_()
    weights, x = parameters(), pictures(1, 4, 2, 8, 8)
    scores = NETWORK.scores(weights, x, places[None, None], "drawn")
    (gradient,) = torch.autograd.grad(scores.square().sum(), places)
    undrawn = gradient[hard(CELLS[1]) == 0].view(len(EDGES), -1)
    torch.testing.assert_close(undrawn, undrawn[:, :1].expand_as(undrawn))
    assert (undrawn != 0).any()


@pytest.mark.parametrize("evaluated", ["all", "drawn"])
def test_lanes_and_samples_are_networks_of_their_own(evaluated: Evaluated) -> None:
    weights, x = parameters(2), pictures(2, 4, 2, 8, 8)
    places = torch.stack([hard(cell) for cell in CELLS]).unflatten(0, (2, 2))
    together = NETWORK.scores(weights, x, places, evaluated)
    assert together.shape == (2, 2, 4, 5)
    for lane, sample in itertools.product(range(2), repeat=2):
        own = {name: p[lane : lane + 1] for name, p in weights.items()}
        one = (slice(lane, lane + 1), slice(sample, sample + 1))
        alone = NETWORK.scores(own, x[one[0]], places[one], evaluated)
        torch.testing.assert_close(together[one], alone, rtol=1e-9, atol=1e-11)


def of_edges(lanes: int, edges: int, channels: int) -> tuple[Tensor, drawn.Weights]:
    x = pictures(3, lanes, channels, 4, 5)
    shapes = [
        (lanes, edges, channels, channels, 1, 1),
        (lanes, edges, channels),
        (lanes, edges, channels, channels, 3, 3),
        (lanes, edges, channels),
    ]
    return x.requires_grad_(), drawn.Weights(*(pictures(*shape).requires_grad_() for shape in shapes))


def test_an_accelerator_computes_all_and_keeps_what_is_drawn() -> None:
    """The form with masks has the values and gradients of the operator."""
    x, weights = of_edges(5, 2, 3)
    choice = torch.tensor([[k, (k + 2) % 5] for k in range(5)])
    masked = drawn.mixed(x, weights, drawn.one_hot(choice, like=x))
    gradients_agree(drawn.drawn(x, weights, choice), masked, [x, *weights])


def test_what_is_drawn_can_be_differentiated_twice() -> None:
    x, weights = of_edges(5, 1, 2)
    choice, leaves = torch.arange(5).unsqueeze(1), [x, *weights]

    def penalty(y: Tensor) -> Tensor:
        first = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        return torch.stack([g.square().sum() for g in first]).sum()

    masked = drawn.mixed(x, weights, drawn.one_hot(choice, like=x))
    one, other = (
        torch.autograd.grad(penalty(y), leaves, allow_unused=True, materialize_grads=True)
        for y in (drawn.drawn(x, weights, choice), masked)
    )
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-7)


def test_what_is_not_drawn_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolution whose weights are not numbers does no harm unless it is drawn."""
    x, weights = of_edges(1, 1, 2)
    broken = weights._replace(three=torch.full_like(weights.three, torch.nan))
    assert drawn.drawn(x, broken, torch.tensor([[2]])).isfinite().all()
    assert drawn.drawn(x, broken, torch.tensor([[3]])).isnan().any()


def test_weights_and_logits_are_as_many_as_natss() -> None:
    full = Gdas(INFO.values({}), device=CPU, made_up=COUNTS)
    variables = full.init(noise(1), 1)
    assert sum(p.numel() for p in variables.groups["weights"].values()) == 1_692_698
    assert variables.groups["architecture"]["logits"].numel() == 30


def test_weights_begin_as_torchs_and_logits_near_zero() -> None:
    variables = Gdas(INFO.values({}), device=CPU, made_up=COUNTS).init(noise(2), 2)
    weights = variables.groups["weights"]
    bounds = {
        "stem.weight": 27,
        "cell.1.0.three.weight": 9 * 32,
        "cell.1.0.three.bias": 9 * 32,
        "cell.2.4.one.weight": 64,
        "block.2.residual.weight": 32,
        "head.bias": 64,
    }
    for name, fan_in in bounds.items():
        size = weights[name].abs().max().item() * math.sqrt(fan_in)
        assert 0.9 < size <= 1, name
    assert weights["stem.gain"].eq(1).all()
    assert weights["stem.shift"].eq(0).all()
    logits = variables.groups["architecture"]["logits"]
    assert 0.7e-3 < logits.std().item() < 1.3e-3
    assert not torch.equal(logits[0], logits[1])


def test_multiply_adds_are_those_counted_by_hand() -> None:
    values = INFO.values({})
    assert sizes.multiply_adds(values, per_pixel=sizes.UNIFORM) == pytest.approx(54.97e6, abs=1e4)
    assert sizes.multiply_adds(values, per_pixel=9) == pytest.approx(220.12e6, abs=1e4)


@pytest.mark.parametrize(("dataset", "steps"), [("cifar10", 391), ("cifar100", 782)])
def test_steps_of_an_epoch(dataset: str, steps: int) -> None:
    assert INFO.steps_per_epoch(INFO.values({"dataset": dataset})) == steps


# Cells


def test_names_and_places_of_cells() -> None:
    assert cells.name((0, 1, 2, 3, 4, 0)) == (
        "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    )
    assert len({cells.name(choice) for choice in cells.choices()}) == 15_625 == cells.CELLS
    assert set(map(cells.name, cells.choices())) == set(nats_bench.load())


def test_known_accuracies() -> None:
    table = nats_bench.load()
    tests = [column for column in cells.COLUMNS if column.endswith("test")]
    rows = cells.looked_up(table, tests)
    columns = list(zip(*rows, strict=True))
    best = [max(column) for column in columns[1:]]
    assert [round(value, 4) for value in best] == [94.3733, 73.5133, 47.3111]
    # On CIFAR-10 two cells are equally good; the index is the first one's.
    where = [
        min(i for i, value in zip(columns[0], column, strict=True) if value == most)
        for column, most in zip(columns[1:], best, strict=True)
    ]
    assert where == [6111, 9930, 857]
    means = [math.fsum(column) / len(column) for column in columns[1:]]
    assert means == pytest.approx([87.0629, 61.4055, 33.5864], abs=1e-3)
    skip = table[cells.name((SKIP,) * 6)]
    assert [skip[column] for column in tests] == pytest.approx([54.2967, 15.6067, 16.3222], abs=1e-3)


def test_a_reported_cell_has_its_string() -> None:
    table = nats_bench.load()
    assert max(table, key=lambda cell: table[cell]["cifar10_test"]) == cells.named(table, 6111.0)  # the first
    with pytest.raises(ValueError, match="indices from 0 to 15624, got 15625"):
        cells.named(table, 15_625)
    with pytest.raises(ValueError, match=r"got 0\.5"):
        cells.named(table, 0.5)


def test_a_table_that_lacks_cells_is_refused() -> None:
    table = dict(itertools.islice(nats_bench.load().items(), 15_624))
    with pytest.raises(ValueError, match="lacks 1 of 15625 cells"):
        cells.looked_up(table, cells.COLUMNS)


def test_the_likeliest_cell_is_looked_up() -> None:
    task, table = build(), nats_bench.load()
    logits = torch.stack([2 * hard(cell) for cell in CELLS]).float() + torch.rand(4, 6, 5)
    found = task.measure(Variables(groups={"weights": {}, "architecture": {"logits": logits}}))
    for lane, cell in enumerate(CELLS):
        row = table[cells.name(cell)]
        assert cells.named(table, found["cell"][lane].item()) == cells.name(cell)
        assert found["cifar100_test_accuracy"][lane].item() == pytest.approx(row["cifar100_test"], rel=1e-6)
        assert found["cifar10_valid_accuracy"][lane].item() == pytest.approx(row["cifar10_val"], rel=1e-6)


# Images


def varied(x: Tensor, mirrored: bool, down: int, right: int) -> Tensor:
    """Pixels times the deviation plus the mean, after the augmentation of one image."""
    change = images.Augmentation(x[None])
    found = change.varied(
        x[None, None], torch.tensor([[mirrored]]), torch.tensor([[down]]), torch.tensor([[right]])
    )[0, 0]
    pixels = x.double().flatten(1)
    mean, deviation = (each[:, None, None] for each in (pixels.mean(1), pixels.std(1, correction=0)))
    return found * deviation + mean


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("down", "right"), [(0, 0), (2, -1), (-2, 2)])
def test_images_are_mirrored_and_then_cut_from_a_black_frame(mirrored: bool, down: int, right: int) -> None:
    x = torch.randint(256, (3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    framed = functional.pad(x.flip(2) if mirrored else x, (2, 2, 2, 2))
    expected = framed[:, 2 + down : 18 + down, 2 + right : 18 + right]
    torch.testing.assert_close(varied(x, mirrored, down, right), expected.double(), rtol=0, atol=1e-4)


def test_moves_and_mirrors_are_drawn_uniformly() -> None:
    """Where one white pixel of 1,800 images comes to lie: chi-squared below its 1 - 1e-7 quantile."""
    task = build()
    x = torch.zeros(1800, 1, 16, 16, dtype=torch.uint8)
    x[:, :, 7, 6] = 255
    task._images["train"], task._varied = x, images.Augmentation(x)
    task._labels["train"] = torch.zeros(1800, dtype=torch.int64)
    batch = task.batch("train", torch.arange(1800)[None], noise(1, Purpose.DATA), length=None)
    assert isinstance(batch, Mapping)
    place = batch["x"].flatten(2).argmax(-1)[0]
    counts = place.bincount(minlength=256)
    # Columns 6 and, mirrored, 9, moved by -2 .. 2.
    weights = torch.zeros(256)
    for column, row, right in itertools.product((6, 9), range(5, 10), range(-2, 3)):
        weights[row * 16 + column + right] += 1 / 50
    assert counts[weights == 0].sum() == 0
    expected = 1800 * weights[weights > 0]
    statistic = ((counts[weights > 0] - expected) ** 2 / expected).sum().item()
    assert len(expected) == 40
    assert statistic < 104  # with 39 degrees of freedom


def test_lanes_and_phases_have_their_own_moves() -> None:
    task = build()
    index = torch.arange(4).expand(2, 4)
    one, other = (
        task.batch(
            "train", index, LaneNoise(seed_keys([0, 1]), Purpose.DATA, step=1, first_draw=first), length=None
        )
        for first in (0, 2**16)
    )
    assert isinstance(one, Mapping)
    assert isinstance(other, Mapping)
    assert not torch.equal(one["x"][0], one["x"][1])
    assert not torch.equal(one["x"], other["x"])
    assert torch.equal(one["y"], other["y"])


def numbered(count: int, pixels: int, channels: int, first: int = 0) -> LabelledImages:
    """Images whose pixels, and whose labels, are their numbers."""
    train, test = torch.arange(count), torch.arange(count) + 100
    return LabelledImages(
        train=train.to(torch.uint8)[:, None].expand(-1, pixels).contiguous(),
        train_labels=train,
        test=test.to(torch.uint8)[:, None].expand(-1, pixels).contiguous(),
        test_labels=test,
        channels=channels,
    )


@pytest.mark.parametrize(
    ("dataset", "pixels", "channels", "valid"),
    [("cifar10", 3072, 3, [6, 7, 8, 9, 10, 11]), ("cifar100", 3072, 3, [100, 101, 102, 103, 104, 105])],
)
def test_weights_and_architecture_have_different_images(
    monkeypatch: pytest.MonkeyPatch, dataset: str, pixels: int, channels: int, valid: list[int]
) -> None:
    def load(name: str, *, data_dir: Path | None) -> LabelledImages:
        assert name == dataset
        return numbered(20, pixels, channels)

    monkeypatch.setattr(labelled, "load", load)
    values = INFO.values({"dataset": dataset, "images": 6})
    found = images.load(values, None)
    assert found["train"].labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert found["valid"].labels.tolist() == valid
    assert found["valid"].images.shape == (6, 3, 32, 32)
    assert found["valid"].images[:, 0, 0, 0].tolist() == valid
    assert {split: len(part.labels) for split, part in found.items()} == INFO.splits(values)


def test_splits_are_natss() -> None:
    sizes_of = {name: INFO.splits(INFO.values({"dataset": name})) for name in sizes.SOURCES}
    assert sizes_of["cifar10"] == {"train": 25_000, "valid": 25_000}
    assert sizes_of["cifar100"] == {"train": 50_000, "valid": 5_000}
    assert sizes_of["fashion_mnist"] == {"train": 30_000, "valid": 30_000}


def test_small_images_are_means_of_framed_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    given = numbered(4, 784, 1)
    given.train[0] = torch.arange(784).to(torch.uint8)
    monkeypatch.setattr(labelled, "load", lambda name, *, data_dir: given)
    found = images.load(INFO.values(SMALL | {"images": 2}), None)["train"].images
    assert found.shape == (2, 1, 16, 16)
    assert found[1, 0].tolist() == [
        [int(1 <= r <= 14 and 1 <= c <= 14) for c in range(16)] for r in range(16)
    ]
    corner = given.train[0].view(28, 28)[:2, :2].double().mean().item()
    assert abs(found[0, 0, 1, 1].item() - corner) <= 0.5


# Losses


def batch_of(task: Gdas, split: Split, lanes: int = 1) -> Batch:
    index = torch.arange(task.splits[split]).expand(lanes, -1)
    return task.batch(split, index, noise(lanes, Purpose.DATA), length=None)


@pytest.mark.parametrize("network", ["full", "sparse"])
@pytest.mark.parametrize("phase", [0, 1])
def test_losses_are_cross_entropies_of_one_drawn_cell(network: str, phase: int) -> None:
    task, cell = build(network=network), CELLS[1]
    variables = task.init(noise(1), 1)
    batch = batch_of(task, task.phases[phase].split)
    assert isinstance(batch, Mapping)
    loss = task.loss(task.phases[phase], variables, batch, certain(hard(cell).float()))
    own = {name: p[0] for name, p in variables.groups["weights"].items()}
    scores = plain_scores(own, batch["x"][0], hard(cell).float(), "full", cells_a_stage=1)
    expected = functional.cross_entropy(scores, batch["y"][0])
    assert loss.loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert loss.weight == len(batch["y"][0])
    if phase == 0:
        right = (scores.argmax(-1) == batch["y"][0]).double().mean().item()
        assert loss.metrics["train_accuracy"].item() == pytest.approx(100 * right)


def test_a_cell_is_drawn_anew_for_each_phase() -> None:
    task, asked = build(), []

    def choose(logits: Tensor) -> Tensor:
        asked.append((tuple(logits.shape), logits.requires_grad))
        return hard(CELLS[0]).float().expand_as(logits)

    draw: Draw = Sampled(choose)
    variables = task.init(noise(1), 1)
    variables.groups["architecture"]["logits"].requires_grad_()
    for phase in task.phases:
        task.loss(phase, variables, batch_of(task, phase.split), draw)
    assert asked == [((1, 6, 5), False), ((1, 6, 5), True)]


@pytest.mark.parametrize("estimator", ["reinmax", "stgs", "st", "gumbel_rao", "gst"])
def test_networks_differ_in_the_gradient_alone(estimator: str) -> None:
    losses, gradients = [], []
    for network in ("full", "sparse"):
        task = build(network=network)
        variables = task.init(noise(2), 2)
        logits = variables.groups["architecture"]["logits"].requires_grad_()
        draw = training(estimator, seeds=[0, 1], temperatures=[1.0, 2.0])
        loss = task.loss(task.phases[1], variables, batch_of(task, "valid", 2), draw).loss
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss.sum(), logits)[0])
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-2 * gradients[0].abs().max()


@pytest.mark.parametrize("network", ["full", "sparse"])
@pytest.mark.parametrize("estimator", ["rloo", "reinforce_ema", "disarm_tree", "relax", "rebar"])
def test_estimators_from_values_alone_work_on_both_networks(estimator: str, network: str) -> None:
    task = build(network=network)
    variables = task.init(noise(1), 1)
    logits = variables.groups["architecture"]["logits"].requires_grad_()
    loss = task.loss(task.phases[1], variables, batch_of(task, "valid"), training(estimator, seeds=[0])).loss
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_none_and_pool_have_their_places() -> None:
    assert (OPERATIONS[NONE], OPERATIONS[SKIP], OPERATIONS[POOL]) == ("none", "skip_connect", "avg_pool_3x3")


# References


def test_levels_are_those_of_the_table() -> None:
    levels = {(r.metric, r.label): r.mean for r in INFO.references(INFO.values({})) if r.estimator is None}
    table = nats_bench.load()
    skip = cells.name((SKIP,) * 6)
    for data in ("cifar10", "cifar100", "imagenet16_120"):
        column = [row[f"{data}_test"] for row in table.values()]
        expected = max(column), table[skip][f"{data}_test"], math.fsum(column) / len(column)
        for label, value in zip(("best cell", "all skip", "mean of all cells"), expected, strict=True):
            assert levels[f"{data}_test_accuracy", label] == pytest.approx(value, abs=1e-4)


# A golden trial: 51 steps, 17 epochs of two minibatches and a short one. The steps have more operations than
# are compiled; a trial that asks for it has the same bits. For plain loops see test_plain_trials.py.

GOLDEN: dict[str, dict[str, float]] = {
    "reinmax": {"train_loss": 2.0361423393, "search_loss": 2.7256711523, "cell": 1932},
    "stgs": {"train_loss": 1.9283947845, "search_loss": 2.7246798078, "cell": 4922},
    "rloo": {"train_loss": 2.0361423393, "search_loss": 2.7614767949, "cell": 4470},
}
SETTINGS: dict[str, tuple[dict[str, Value], dict[str, Value]]] = {
    "reinmax": ({"network": "full"}, {"temperature": 1.2}),
    "stgs": ({"network": "sparse", "final_temperature": 0.01}, {"temperature": 10.0}),
    "rloo": ({"network": "sparse"}, {}),
}


def golden(estimator: str, *, compiled: bool) -> dict[str, float]:
    task, parameters = SETTINGS[estimator]
    values = SMALL | {"batch_size": 5, "epochs": 17} | task
    sweep = read_sweep(
        {
            "name": "golden",
            "task": {"id": "gdas", **values},
            "estimators": [{"id": estimator, **parameters}],
            "grid": {"optimizer": {"id": "adam", "weight_decay": 0.09}, "lr": 3e-4},
            "seeds": [3],
        }
    )
    (spec,) = sweep.expand()
    _, ends = run(spec, task=build(**values), compiled=compiled)
    return {name: ends[0].metrics[name] for name in ("train_loss", "search_loss", "cell")}


@pytest.mark.parametrize(("estimator", "compiled"), [*((id, False) for id in GOLDEN), ("reinmax", True)])
def test_golden_trial(estimator: str, compiled: bool) -> None:
    assert golden(estimator, compiled=compiled) == pytest.approx(GOLDEN[estimator], rel=1e-4)
