"""The prototype tasks: what they compute, against enumeration, plain PyTorch and hand-computed numbers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import estimators
from benchmarks.engine.cohort import Cohort
from benchmarks.engine.draw import EvaluationDraw, LaneEstimator, TrainingDraw
from benchmarks.engine.noise import ExampleNoise, LaneNoise, Purpose, seed_keys
from benchmarks.spec import TrialSpec, optimizer_from_json
from benchmarks.tasks.contract import Batch, Draw, Loss, Phase, Task, Variables
from benchmarks.tasks.info import Split, TaskInfo
from estimators import Value
from tests.support.plugins import registered
from tests.support.prototypes import infos
from tests.support.prototypes.infos import (
    BERNOULLI_VAE,
    EDGES,
    OPERATIONS,
    SEARCH_CELL,
)
from tests.support.statistics import assert_mean
from tests.support.trials import component

CPU = torch.device("cpu")
THREE = seed_keys([4, 5, 6])
MANY = 10_000
"""Lanes that differ in their noise alone: so many independent draws."""


@pytest.fixture(scope="module", autouse=True)
def prototypes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """They are registered as those of other packages are."""
    names = ("BERNOULLI_VAE", "SEARCH_CELL")
    entries = {name.lower(): f"{infos.__name__}:{name}" for name in names}
    with registered(tmp_path_factory.mktemp("tasks"), entries):
        yield


def build(info: TaskInfo, dtype: torch.dtype = torch.float32, **values: Any) -> Any:
    """The task with its defaults but for ``values``."""
    return info.load()(info.values(values), device=CPU, dtype=dtype)


def training_draw(estimator: str, keys: Tensor, *, step: int = 1) -> TrainingDraw:
    """The engine's, with the estimator's defaults."""
    bound, lane = estimator_of(estimator, len(keys))
    return TrainingDraw(bound, lane=lane, keys=keys, step=step, states={})


def estimator_of(id: str, lanes: int) -> tuple[LaneEstimator, dict[str, Tensor]]:
    """An estimator with its defaults: parameters that lanes share, and those by lane."""
    info = estimators.get(id)
    given = {p.name: p.default for p in info.parameters if p.default is not None}
    by_lane = {p.name for p in info.parameters if p.lane} & given.keys()
    static = {name: value for name, value in given.items() if name not in by_lane}
    lane = {name: torch.full((lanes,), float(given[name])) for name in by_lane}
    return LaneEstimator.bound(info, static), lane


def evaluation_draw(keys: Tensor, examples: int) -> EvaluationDraw:
    """The engine's, for all examples of a split."""

    def noise(stream: int) -> ExampleNoise:
        return ExampleNoise(keys, step=1, examples=examples, first=0, count=examples, stream=stream)

    return EvaluationDraw(estimators.get("st").properties, noise, CPU)


def start(task: Task, keys: Tensor) -> Variables:
    """Where training starts."""
    return task.init(LaneNoise(keys, Purpose.INITIALISATION, step=0), len(keys))


def same_start(task: Task, lanes: int) -> Variables:
    """Where one seed starts, in many lanes."""
    alone = start(task, seed_keys([7]))
    groups = {group: widened(tensors, lanes) for group, tensors in alone.groups.items()}
    return Variables(groups=groups, buffers=widened(alone.buffers, lanes))


def widened(tensors: Mapping[str, Tensor], lanes: int) -> dict[str, Tensor]:
    """One lane's tensors in many lanes."""
    return {name: tensor.expand(lanes, *tensor.shape[1:]).clone() for name, tensor in tensors.items()}


def minibatch(task: Task, split: Split, keys: Tensor, *, step: int, size: int | None = None) -> Batch:
    """The minibatch of a step: the split's examples in turn, the same in every lane."""
    index = (step * task.batch_size + torch.arange(size or task.batch_size)) % task.splits[split]
    length = int(task.lengths[split][index].max()) if split in task.lengths else None
    noise = LaneNoise(keys, Purpose.DATA, step=step)
    return task.batch(split, index.expand(len(keys), -1), noise, length=length)


def gradient(
    task: Task, phase: Phase, variables: Variables, batch: Batch, draw: Draw
) -> tuple[Loss, dict[str, Tensor]]:
    """Loss and gradient of a phase's group, as the engine takes it."""
    for group, tensors in variables.groups.items():
        for tensor in tensors.values():
            tensor.requires_grad_(group == phase.group)
    loss = task.loss(phase, variables, batch, draw)
    leaves = variables.groups[phase.group]
    return loss, dict(zip(leaves, torch.autograd.grad(loss.loss.sum(), tuple(leaves.values())), strict=True))


class Chooser:
    """A draw whose samples follow from their logits by a rule of the test; it keeps what it was asked."""

    training = True
    properties = estimators.get("reinmax").properties

    def __init__(self, choose: Callable[[int, Tensor], Tensor]) -> None:
        self._choose = choose
        self.asked: list[Tensor] = []

    def sample(self, name: str, logits: Tensor) -> Tensor:
        """One-hot in value, softmax in gradient."""
        soft = logits.softmax(-1)
        hard = functional.one_hot(self._choose(len(self.asked), logits), logits.shape[-1])
        self.asked.append(logits.detach())
        return hard.to(soft.dtype) + soft - soft.detach()

    def expect(self, name: str, logits: Tensor, f: Callable[[Tensor], Tensor], *, passes: int = 1) -> Tensor:
        """f at one sample."""
        return f(self.sample(name, logits).unsqueeze(1)).squeeze(1)

    def uniform(self, name: str, shape: tuple[int, ...], *, dtype: torch.dtype) -> Tensor:
        """Dropout keeps everything."""
        return torch.full(shape, 0.999, dtype=dtype)


# Training by the engine


def spec(info: TaskInfo, estimator: str, *, seed: int, lr: float, **values: Value) -> TrialSpec:
    """A trial of a prototype."""
    of = estimators.get(estimator)
    return TrialSpec(
        task=component(info.id, info.version, info.parameters, values),
        estimator=component(estimator, of.version, of.parameters, {}),
        optimizer=optimizer_from_json("adam"),
        lr=lr,
        seed=seed,
    )


def curves(trials: Sequence[TrialSpec], **options: Any) -> dict[str, Tensor]:
    """Metrics ``(lanes, epochs)`` of trials that run to the end."""
    found: dict[str, dict[tuple[int, int], float]] = {}
    for segment in Cohort(trials, **options).segments():
        assert all(end.diverged_at is None for end in segment.ended)
        for point in segment.points:
            found.setdefault(point.metric, {})[point.lane, point.epoch] = point.value
    return {
        name: torch.tensor([values[place] for place in sorted(values)]).view(len(trials), -1)
        for name, values in found.items()
    }


@pytest.mark.parametrize(
    ("info", "estimator", "epochs", "metric", "share"),
    [
        (BERNOULLI_VAE, "reinmax", 40, "train_neg_elbo", 0.9),
        (BERNOULLI_VAE, "reinforce_ema", 40, "train_neg_elbo", 0.9),
        (BERNOULLI_VAE, "relax", 40, "train_neg_elbo", 0.9),
        (SEARCH_CELL, "reinmax", 10, "search_loss", 0.8),
        (SEARCH_CELL, "rloo", 10, "search_loss", 0.8),
    ],
)
def test_a_trained_task_learns(
    info: TaskInfo, estimator: str, epochs: int, metric: str, share: float
) -> None:
    trials = [spec(info, estimator, seed=seed, lr=2e-2, epochs=epochs) for seed in (1, 2)]
    found = curves(trials, group_width=2)
    assert found.keys() == {metric.name for metric in info.metrics}
    assert (found[metric][:, -1] < share * found[metric][:, 0]).all()


@pytest.mark.parametrize("estimator", [id for id in estimators.available() if id != "rebar"])
def test_every_estimator_trains_both_layers(estimator: str) -> None:
    """`rebar` differentiates the gradient of f again, which an estimate inside f does not have."""
    assert (
        curves([spec(BERNOULLI_VAE, estimator, seed=1, lr=1e-2, epochs=1)])["train_neg_elbo"].isfinite().all()
    )


# Bernoulli VAE


def codes(variables: int, x: Tensor) -> list[Tensor]:
    """All values of binary variables, each ``(B, variables)`` for the images x."""
    values = itertools.product((0.0, 1.0), repeat=variables)
    return [torch.tensor(bits, dtype=x.dtype).expand(len(x), -1) for bits in values]


def enumerated_neg_elbo(group: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """-ELBO ``(B,)`` of lane 0: the sum over u and l of q(u, l|x) [ln q(u, l|x) - ln p(u, l, x)]."""
    model = {name: tensor[0] for name, tensor in group.items()}

    def layer(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, model[f"{name}.weight"], model[f"{name}.bias"])

    def log_p(bits: Tensor, logits: Tensor) -> Tensor:
        return (bits * logits - functional.softplus(logits)).sum(-1)

    hidden = functional.leaky_relu(layer("encoder", x), 0.3)
    total = torch.zeros(len(x), dtype=x.dtype)
    for u, low in itertools.product(codes(3, x), codes(4, x)):
        log_q = log_p(u, layer("upper", hidden)) + log_p(low, layer("lower", torch.cat([hidden, u], -1)))
        pixels = layer("pixels", functional.leaky_relu(layer("decoder", low), 0.3))
        joint = log_p(u, model["prior.upper"]) + log_p(low, layer("prior", u)) + log_p(x, pixels)
        total = total + log_q.exp() * (log_q - joint)
    return total


@pytest.fixture(scope="module")
def vae_truth() -> tuple[Any, Tensor, float, dict[str, Tensor]]:
    """The VAE in float64, a minibatch, and its loss and gradient by enumeration."""
    task = build(BERNOULLI_VAE, torch.float64)
    variables = start(task, seed_keys([7]))
    x = minibatch(task, "train", seed_keys([7]), step=0)
    assert isinstance(x, Tensor)
    group = variables.groups["model"]
    for tensor in group.values():
        tensor.requires_grad_()
    loss = enumerated_neg_elbo(group, x[0]).mean()
    gradients = torch.autograd.grad(loss, tuple(group.values()))
    return task, x, loss.item(), {name: g[0] for name, g in zip(group, gradients, strict=True)}


def test_exact_vae_equals_enumeration(vae_truth: tuple[Any, Tensor, float, dict[str, Tensor]]) -> None:
    task, x, value, truth = vae_truth
    loss, found = gradient(task, Phase(), same_start(task, 1), x, training_draw("exact", seed_keys([7])))
    assert loss.loss.item() == pytest.approx(value, rel=1e-12)
    for name, expected in truth.items():
        torch.testing.assert_close(found[name][0], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", ["rloo", "relax", "disarm"])
def test_unbiased_estimators_have_the_gradient_of_both_layers(
    estimator: str, vae_truth: tuple[Any, Tensor, float, dict[str, Tensor]]
) -> None:
    """Ten thousand lanes that differ in their noise; false alarm 1e-6 a tensor."""
    task, x, value, truth = vae_truth
    keys = seed_keys(range(MANY))
    batch = x.expand(len(keys), -1, -1)
    loss, found = gradient(task, Phase(), same_start(task, len(keys)), batch, training_draw(estimator, keys))
    assert_mean(loss.loss.detach(), torch.tensor(value, dtype=x.dtype), detects=0.1)
    for name, expected in truth.items():
        assert_mean(found[name], expected, detects=0.2)


@pytest.mark.parametrize("passes", [1, 4])
def test_path_estimators_are_unbiased_in_the_loss_and_the_decoder(
    passes: int, vae_truth: tuple[Any, Tensor, float, dict[str, Tensor]]
) -> None:
    """What is not behind the latents has its ordinary gradient; false alarm 1e-6 a tensor."""
    _, x, value, truth = vae_truth
    loss, found = replicates(x, samples=passes)
    assert_mean(loss, torch.tensor(value, dtype=x.dtype), detects=0.1)
    for name in ("decoder.weight", "pixels.weight", "pixels.bias"):
        assert_mean(found[name], truth[name], detects=0.05)


def replicates(x: Tensor, *, samples: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradient in ten thousand lanes that differ in their noise."""
    task, keys = build(BERNOULLI_VAE, torch.float64, samples=samples), seed_keys(range(MANY))
    batch = x.expand(len(keys), -1, -1)
    loss, found = gradient(task, Phase(), same_start(task, len(keys)), batch, training_draw("reinmax", keys))
    return loss.loss.detach(), found


def test_passes_are_independent_samples(vae_truth: tuple[Any, Tensor, float, dict[str, Tensor]]) -> None:
    """The variance of a mean of four is a fourth; each variance is known to about 2 %."""
    one, four = (replicates(vae_truth[1], samples=samples)[0].var().item() for samples in (1, 4))
    assert four == pytest.approx(one / 4, rel=0.1)


def test_path_gradients_pass_through_both_layers() -> None:
    """At given codes with straight-through gradients, against the same written out for one image."""
    task = build(BERNOULLI_VAE, torch.float64)
    variables, bits = start(task, seed_keys([7])), torch.tensor([1, 0, 1, 1])
    batch = minibatch(task, "train", seed_keys([7]), step=0, size=1)
    assert isinstance(batch, Tensor)
    draw = Chooser(lambda _, logits: bits[: logits.shape[-2]].expand(logits.shape[:-1]))
    loss, found = gradient(task, Phase(), variables, batch, draw)
    group = variables.groups["model"]
    expected = neg_elbo_at(group, batch[0], bits.double())
    assert loss.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    for name, g in zip(group, torch.autograd.grad(expected, tuple(group.values())), strict=True):
        torch.testing.assert_close(found[name], g, rtol=1e-9, atol=1e-14)


def neg_elbo_at(model: Mapping[str, Tensor], x: Tensor, bits: Tensor) -> Tensor:
    """-ELBO of one image with u and l the first of ``bits``, straight through."""

    def layer(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, model[f"{name}.weight"][0], model[f"{name}.bias"][0])

    def through(eta: Tensor) -> Tensor:
        return bits[: eta.shape[-1]] + eta.sigmoid() - eta.sigmoid().detach()

    def kl(a: Tensor, b: Tensor) -> Tensor:
        q = torch.distributions.Bernoulli(logits=a)
        return torch.distributions.kl_divergence(q, torch.distributions.Bernoulli(logits=b)).sum()

    hidden = functional.leaky_relu(layer("encoder", x), 0.3)
    upper = layer("upper", hidden)
    u = through(upper)
    lower = layer("lower", torch.cat([hidden, u], -1))
    pixels = layer("pixels", functional.leaky_relu(layer("decoder", through(lower)), 0.3))
    misfit = functional.binary_cross_entropy_with_logits(pixels, x, reduction="sum")
    return kl(upper, model["prior.upper"]) + kl(lower, layer("prior", u)) + misfit


def test_images_are_binarised_anew_at_every_use() -> None:
    task = build(BERNOULLI_VAE)
    first, second = (minibatch(task, "valid", THREE, step=step, size=9) for step in (0, 9))
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first, second)


# Search cell


WEIGHTS, ARCHITECTURE = build(SEARCH_CELL).phases


def plain_cell(variables: Variables, x: Tensor, cell: tuple[int, ...]) -> Tensor:
    """Scores of the classes ``(B, 3)`` of lane 0 by torch's own layers, in training."""
    weights = {name: tensor[0] for name, tensor in variables.groups["weights"].items()}

    def layer(name: str, x: Tensor) -> Tensor:
        return functional.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def edge(number: int, x: Tensor) -> Tensor:
        if cell[number] < 2:
            return x * cell[number]
        name = f"edge.{number}.{'linear' if cell[number] == 2 else 'relu'}"
        normed = functional.batch_norm(layer(name, x), None, None, training=True)
        return normed if cell[number] == 2 else normed.relu()

    node_0 = layer("stem", x)
    return layer("head", edge(1, node_0) + edge(2, edge(0, node_0)))


def test_the_search_is_the_expected_loss_of_all_cells() -> None:
    task = build(SEARCH_CELL, torch.float64)
    variables, batch = start(task, seed_keys([3])), minibatch(task, "valid", seed_keys([3]), step=1)
    assert isinstance(batch, Mapping)
    log_p = variables.groups["architecture"]["logits"].requires_grad_()[0].log_softmax(-1)
    expected = torch.zeros((), dtype=torch.float64)
    for cell in itertools.product(range(OPERATIONS), repeat=EDGES):
        with torch.no_grad():
            of_cell = functional.cross_entropy(plain_cell(variables, batch["x"][0], cell), batch["y"][0])
        expected = expected + log_p[range(EDGES), cell].sum().exp() * of_cell
    (truth,) = torch.autograd.grad(expected, variables.groups["architecture"]["logits"])
    loss, found = gradient(task, ARCHITECTURE, variables, batch, training_draw("exact", seed_keys([3])))
    assert loss.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(found["logits"], truth, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("cell", [(0, 1, 2), (3, 2, 1), (2, 3, 3)])
def test_weights_are_trained_in_one_cell_for_the_whole_minibatch(cell: tuple[int, ...]) -> None:
    task = build(SEARCH_CELL, torch.float64)
    variables, batch = start(task, seed_keys([3])), minibatch(task, "train", seed_keys([3]), step=1)
    assert isinstance(batch, Mapping)
    draw = Chooser(lambda _, logits: torch.tensor([cell]))
    loss, found = gradient(task, WEIGHTS, variables, batch, draw)
    assert [tuple(logits.shape) for logits in draw.asked] == [(1, EDGES, OPERATIONS)]
    expected = functional.cross_entropy(plain_cell(variables, batch["x"][0], cell), batch["y"][0])
    assert loss.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    group = variables.groups["weights"]
    truth = torch.autograd.grad(expected, tuple(group.values()), allow_unused=True)
    for name, g in zip(group, truth, strict=True):
        torch.testing.assert_close(
            found[name], torch.zeros_like(found[name]) if g is None else g, rtol=1e-8, atol=1e-12
        )


def test_running_statistics_are_torchs_but_for_the_biased_variance() -> None:
    task = build(SEARCH_CELL, torch.float64)
    variables, batch = start(task, seed_keys([3])), minibatch(task, "train", seed_keys([3]), step=1)
    assert isinstance(batch, Mapping)
    draw = Chooser(lambda _, logits: torch.tensor([[1, 1, 1]]))
    buffers = task.loss(WEIGHTS, variables, batch, draw).buffers
    weights = variables.groups["weights"]
    norm = torch.nn.BatchNorm1d(6, affine=False).double()
    stem = functional.linear(batch["x"][0], weights["stem.weight"][0], weights["stem.bias"][0])
    norm(functional.linear(stem, weights["edge.0.relu.weight"][0], weights["edge.0.relu.bias"][0]))
    torch.testing.assert_close(buffers["edge.0.relu.mean"][0], norm.running_mean)
    count = task.batch_size
    variance = 0.9 + (norm.running_var - 0.9) * (count - 1) / count  # type: ignore[operator]
    torch.testing.assert_close(buffers["edge.0.relu.var"][0], variance)
    assert buffers.keys() == variables.buffers.keys()


def test_the_search_moves_no_statistics_and_the_evaluation_reads_them() -> None:
    task = build(SEARCH_CELL)
    variables, count = start(task, THREE), task.splits["valid"]
    batch = minibatch(task, "valid", THREE, step=0, size=count)
    assert not task.loss(ARCHITECTURE, variables, batch, training_draw("reinmax", THREE)).buffers
    variables.groups["architecture"]["logits"][..., 3] = 1
    moved = {name: b + torch.linspace(0, 9, 6) for name, b in variables.buffers.items()}
    found = [
        task.evaluate("valid", each, batch, evaluation_draw(THREE, count))["valid_accuracy"]
        for each in (variables, dataclasses.replace(variables, buffers=moved))
    ]
    assert found[0].shape == (3, count)
    assert not torch.equal(found[0], found[1])


def test_accuracy_is_looked_up_for_the_likeliest_cell() -> None:
    task = build(SEARCH_CELL)
    variables = start(task, THREE)
    logits = torch.zeros(3, EDGES, OPERATIONS)
    for lane, cell in enumerate([(0, 0, 0), (1, 2, 3), (3, 0, 1)]):
        logits[lane, range(EDGES), cell] = 1
    groups = {**variables.groups, "architecture": {"logits": logits}}
    found = task.measure(Variables(groups=groups))["accuracy"]
    table = torch.rand(OPERATIONS**EDGES, generator=torch.Generator().manual_seed(1))
    assert found.tolist() == table[[0, 1 + 2 * 4 + 3 * 16, 3 + 16]].tolist()


@pytest.mark.parametrize("phase", [WEIGHTS, ARCHITECTURE], ids=lambda phase: phase.name)
def test_a_phase_has_its_own_data_and_tensors(phase: Phase) -> None:
    assert phase.split == {"weights": "train", "architecture": "valid"}[phase.name]
    task = build(SEARCH_CELL)
    batch = minibatch(task, phase.split, THREE, step=1)
    _, found = gradient(task, phase, start(task, THREE), batch, training_draw("reinmax", THREE))
    assert (found["stem.weight" if phase is WEIGHTS else "logits"] != 0).any()
