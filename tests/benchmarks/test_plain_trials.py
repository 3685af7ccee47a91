"""Whole trials by the plain loops of the wider field: the numbers of every epoch are the engine's.

The plain loops are programs of their own: layers, gradients, schedules and optimizers of torch. Here they
start from the task's variables and are given the trial's minibatches and samples. All is in float64: what
differs then is rounding, which steps amplify to about RELATIVE; in float32 it would choose other samples.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from benchmarks.commands.speed.wider.bernoulli_vae import BernoulliVAETraining
from benchmarks.commands.speed.wider.search import SearchTraining
from benchmarks.engine.batches import Batches
from benchmarks.engine.draw import TrainingDraw
from benchmarks.engine.noise import LaneNoise, Purpose, seed_keys
from benchmarks.spec import TrialSpec
from benchmarks.sweep import read_sweep
from benchmarks.tasks.bernoulli_vae.binarisation import binarised_once
from benchmarks.tasks.bernoulli_vae.task import BernoulliVAE
from benchmarks.tasks.contract import Batch, Task, Variables
from benchmarks.tasks.gdas import images
from benchmarks.tasks.gdas.cells import EDGES
from benchmarks.tasks.gdas.task import Gdas
from benchmarks.tasks.info import Split
from estimators import NoiseSource
from estimators.info import Value
from tests.support.draws import training
from tests.support.trials import MADE_UP, run, trial

BATCH_DRAWS = 2**16
"""Draws that a phase's minibatch has for itself."""
RELATIVE = 1e-6


@dataclass
class Step:
    """What the engine has ready for a step.

    Attributes:
        epoch: counted from 0.
        draw: the estimator.
        batches: a minibatch for every phase.
    """

    epoch: int
    draw: TrainingDraw
    batches: list[Mapping[str, Tensor]]


def engine_steps(spec: TrialSpec, task: Task) -> Iterator[Step]:
    """All steps of a trial with a path estimator."""
    keys = seed_keys([spec.seed])
    orders = Batches(task, keys)
    order = orders.empty()
    epochs, tau = int(spec.task.values["epochs"]), float(spec.estimator.values["temperature"])
    for number in range(epochs * task.steps_per_epoch):
        epoch, position = divmod(number, task.steps_per_epoch)
        if position == 0:
            orders.fill(order, epoch)
        first = position * task.batch_size
        columns = torch.arange(first, first + orders.shape(position).size)
        batches = []
        for place, phase in enumerate(task.phases):
            index = order[phase.split][:, columns % task.splits[phase.split]]
            noise = LaneNoise(keys, Purpose.DATA, step=number + 1, first_draw=place * BATCH_DRAWS)
            batches.append(by_name(task.batch(phase.split, index, noise, length=None)))
        share = 1 + (task.final_temperature - 1) * epoch / (epochs - 1)
        draw = training(spec.estimator.id, seeds=[spec.seed], temperatures=[tau * share], step=number + 1)
        yield Step(epoch, draw, batches)


def in_float64(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floating-point numbers; whole ones stay."""
    return {
        name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()
    }


class DoubleVAE(BernoulliVAE):
    """In float64."""

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """As drawn in float32."""
        return variables_in_float64(super().init(noise, lanes))

    def batch(
        self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None
    ) -> dict[str, Tensor]:
        """Likewise."""
        return in_float64(super().batch(split, index, noise, length=length))


class DoubleSearch(Gdas):
    """In float64."""

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """As drawn in float32."""
        return variables_in_float64(super().init(noise, lanes))

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Batch:
        """Likewise."""
        return in_float64(by_name(super().batch(split, index, noise, length=length)))


def variables_in_float64(variables: Variables) -> Variables:
    groups = {name: in_float64(group) for name, group in variables.groups.items()}
    return Variables(groups=groups, buffers=variables.buffers)


def by_name(batch: Batch) -> Mapping[str, Tensor]:
    assert isinstance(batch, Mapping)
    return batch


def start(spec: TrialSpec, task: Task) -> Variables:
    return task.init(LaneNoise(seed_keys([spec.seed]), Purpose.INITIALISATION, step=0), 1)


def mean(parts: Sequence[tuple[float, int]]) -> float:
    """Of an epoch's minibatches, by their sizes."""
    return sum(value * size for value, size in parts) / sum(size for _, size in parts)


def assert_same(found: Mapping[str, list[float]], spec: TrialSpec, task: Task) -> None:
    """Metrics by epoch are those of the trial."""
    curves, _ = run(spec, task=task, compiled=False)
    for name, values in found.items():
        wanted = [value for metric, _, value in curves[0] if metric == name]
        assert values == pytest.approx(wanted, rel=RELATIVE), name


# The Bernoulli VAE.


def test_bernoulli_vae() -> None:
    """51 steps, 17 epochs of two minibatches and a short one; two codes an image."""
    spec = trial("bernoulli_vae", "reinmax", seed=3, temperature=1.2, lr=1e-3, epochs=17, protocol="released")
    task = DoubleVAE(spec.task.values, device=torch.device("cpu"), made_up=MADE_UP)
    variables = start(spec, task)
    draws: list[TrainingDraw] = []

    def sample(logits: Tensor) -> Tensor:
        return draws[-1].sample("code", logits.unsqueeze(0))[0]

    nothing: dict[Split, Tensor] = {split: torch.zeros(1, 784) for split in ("train", "valid", "test")}
    plain = BernoulliVAETraining(spec, nothing, sample)
    plain.model.double()
    with torch.no_grad():
        for name, parameter in plain.model.named_parameters():
            parameter.copy_(variables.groups["model"][of_perceptron(name)][0])
    losses: list[list[tuple[float, int]]] = [[] for _ in range(17)]
    for step in engine_steps(spec, task):
        draws.append(step.draw)
        (batch,) = step.batches
        x = binarised_once(batch["grey"], batch["image"], variables.buffers["binarisation"])[0]
        losses[step.epoch].append((plain.step(x), len(x)))
    assert_same({"train_neg_elbo": [mean(epoch) for epoch in losses]}, spec, task)


def of_perceptron(name: str) -> str:
    """The task's name of a layer: it counts layers, torch activations, too."""
    return re.sub(r"\.(\d)\.", lambda found: f".{int(found[1]) // 2}.", name)


# The search.

SEARCH: dict[str, Value] = {
    "id": "gdas",
    "dataset": "fashion_mnist",
    "size": "16x16",
    "channels": 3,
    "cells": 2,
    "batch_size": 5,
    "epochs": 9,
}
COUNTS: Mapping[Split, int] = {"train": 12, "valid": 9}
WEIGHTS_OF = {edge: place for place, edge in enumerate([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)])}
"""Where the task has an edge's weights."""


@pytest.mark.parametrize(
    ("network", "estimator", "temperature", "final"),
    [("full", "reinmax", 1.2, 1.0), ("full", "stgs", 1.0, 1.0), ("sparse", "stgs", 10.0, 0.01)],
)
def test_search(network: str, estimator: str, temperature: float, final: float) -> None:
    """27 steps, 9 epochs of two minibatches and a short one; the other split begins anew within an epoch."""
    spec, constant = (search(network, estimator, temperature, share) for share in (final, 1.0))
    task = DoubleSearch(spec.task.values, device=torch.device("cpu"), made_up=COUNTS)
    draws: list[TrainingDraw] = []

    def sample(logits: Tensor) -> Tensor:
        return draws[-1].of_phase("architecture").sample("cell", logits[None, None])[0, 0]

    def weights_sample(logits: Tensor) -> Tensor:
        return draws[-1].of_phase("weights").sample("weights", logits[None])[0]

    plain = SearchTraining(constant, images.random(spec.task.values, COUNTS), sample)
    plain.model.double()
    plain.logits.data = plain.logits.data.double()
    fill(plain, start(spec, task), cells=2)
    of_weights: list[list[tuple[float, int]]] = [[] for _ in range(9)]
    right: list[list[tuple[float, int]]] = [[] for _ in range(9)]
    of_search: list[list[tuple[float, int]]] = [[] for _ in range(9)]
    for step in engine_steps(spec, task):
        draws.append(step.draw)
        weights, architecture = ((batch["x"][0], batch["y"][0]) for batch in step.batches)
        loss, accuracy = plain.weights_step(*weights, draw=weights_sample)
        of_weights[step.epoch].append((loss, len(weights[1])))
        right[step.epoch].append((accuracy, len(weights[1])))
        of_search[step.epoch].append((plain.architecture_step(*architecture), len(architecture[1])))
    found = {"train_loss": of_weights, "train_accuracy": right, "search_loss": of_search}
    assert_same({name: list(map(mean, values)) for name, values in found.items()}, spec, task)


def search(network: str, estimator: str, temperature: float, final: float) -> TrialSpec:
    """A trial whose logits move fast and decay."""
    (spec,) = read_sweep(
        {
            "name": "search",
            "task": SEARCH | {"network": network, "final_temperature": final},
            "estimators": [{"id": estimator, "temperature": temperature}],
            "grid": {"optimizer": {"id": "adam", "weight_decay": 0.09}, "lr": 0.05},
            "seeds": [3],
        }
    ).expand()
    return spec


@torch.no_grad()
def fill(plain: SearchTraining, variables: Variables, *, cells: int) -> None:
    """Weights and logits of the task."""
    plain.logits.copy_(variables.groups["architecture"]["logits"][0])
    weights = variables.groups["weights"]
    for name, parameter in plain.model.named_parameters():
        parameter.copy_(of_search_network(weights, name, cells)[0])


def of_search_network(weights: Mapping[str, Tensor], name: str, cells: int) -> Tensor:
    """The task's tensor for a parameter of the plain network, lane first."""
    edge = re.fullmatch(r"cells\.(\d+)\.edges\.(\d)\.(one|three)\.1\.(weight|bias)", name)
    if edge:
        stage, cell = divmod(int(edge[1]), cells)
        return weights[f"cell.{stage}.{cell}.{edge[3]}.{edge[4]}"][:, WEIGHTS_OF[EDGES[int(edge[2])]]]
    name = re.sub(r"^blocks\.(\d)", lambda found: f"block.{int(found[1]) + 1}", name)
    layer = re.fullmatch(r"(.*)\.(\d)\.(weight|bias)", name)
    if layer is None:
        return weights[name]  # of the head
    if layer[1].endswith("residual"):
        return weights[f"{layer[1]}.weight"]
    convolution = 0 if layer[1] == "stem" else 1
    kind = "weight" if int(layer[2]) == convolution else {"weight": "gain", "bias": "shift"}[layer[3]]
    return weights[f"{layer[1]}.{kind}"]
