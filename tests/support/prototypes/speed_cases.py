"""The wider field of ``make bench``: the prototypes at the size of real tasks, without a must.

Read by ``python -m benchmarks.commands.speed --also tests.support.prototypes.speed_cases`` where the
prototypes are registered, which ``announced/`` on the path of modules does as an installed package would.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import torch

from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.floors import Counts, dense, sampling
from benchmarks.commands.speed.rates import Matmul
from benchmarks.commands.speed.reference_estimators import sampler
from benchmarks.commands.speed.setups import Training
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import Task
from tests.support.prototypes import bernoulli_vae, image_cell, plain_loops, tree_lstm
from tests.support.prototypes.infos import CLASSES, EDGES, OPERATIONS, SYMBOLS
from tests.support.prototypes.plain_loops import Draw

WARM_UP = 10
"""Steps are long; a plain loop is soon as fast as it will be."""


def _draw(trial: TrialSpec) -> Draw:
    return sampler(trial.estimator.id, trial.estimator.values)


@dataclass(frozen=True, kw_only=True, slots=True)
class BernoulliVAE:
    """Two layers of Bernoulli latents.

    Attributes:
        sizes: of model and data.
    """

    sizes: bernoulli_vae.Sizes

    def check(self) -> None:
        """Data are made up."""

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The prototype in this size."""
        return bernoulli_vae.BernoulliVAE(trial.task.values, device=device, sizes=self.sizes)

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On a CPU."""
        return plain_loops.BernoulliVAETraining(trial, self.sizes, _draw(trial))

    def counts(self, trial: TrialSpec) -> Counts:
        """A pixel, a posterior and a prior take an exponential and a logarithm each, a pixel a random number.

        The prior of the upper layer is shared by all images.
        """
        s, batch = self.sizes, int(trial.task.values["batch_size"])
        layers = [
            (s.pixels, s.hidden),
            (s.hidden, s.upper),
            (s.hidden + s.upper, s.lower),
            (s.upper, s.lower),
            (s.lower, s.hidden),
            (s.hidden, s.pixels),
        ]
        noise, log, exp = sampling(trial.estimator, batch * (s.upper + s.lower), 2)
        logits = batch * (s.pixels + s.upper + 2 * s.lower)
        return Counts(
            matmuls=dense(layers, batch, without_gradient={0}),
            noise=noise + batch * s.pixels,
            log=log + logits,
            exp=exp + logits,
            updates=s.upper + _parameters(layers),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeLSTM:
    """Sequences that are merged pair by pair.

    Attributes:
        sizes: of the data.
    """

    sizes: tree_lstm.Sizes

    def check(self) -> None:
        """Data are made up."""

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The prototype in this size."""
        return tree_lstm.TreeLSTM(trial.task.values, device=device, sizes=self.sizes)

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On a CPU."""
        return plain_loops.TreeLSTMTraining(trial, self.sizes, _draw(trial))

    def counts(self, trial: TrialSpec) -> Counts:
        """A sequence of l symbols has l(l-1)/2 candidate parents, of five gates and a tanh each.

        All candidates of a minibatch count as one matmul, although they have to be made one merge after the
        other. Symbols are looked up.
        """
        batch, width = int(trial.task.values["batch_size"]), int(trial.task.values["hidden"])
        lengths = range(self.sizes.shortest, self.sizes.longest + 1)
        leaves = round(batch * statistics.fmean(lengths))
        parents = round(batch * statistics.fmean(length * (length - 1) / 2 for length in lengths))
        choices = leaves - 2 * batch  # the last pair is no choice
        noise, log, exp = sampling(trial.estimator, choices, round((parents - batch) / choices))
        leaf, merge, classifier = (width, 2 * width), (2 * width, 5 * width), (width, SYMBOLS)
        return Counts(
            matmuls=(*dense([leaf], leaves), *dense([merge], parents), *dense([classifier], batch)),
            noise=noise,
            log=log,
            exp=exp + 6 * width * parents,
            updates=width + SYMBOLS * width + _parameters([leaf, merge, classifier]),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchCell:
    """Architecture search on images.

    Attributes:
        sizes: of the data.
    """

    sizes: image_cell.Sizes

    def check(self) -> None:
        """Data are made up."""

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The prototype with convolutions in this size."""
        return image_cell.ImageCell(trial.task.values, device=device, sizes=self.sizes)

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On a CPU."""
        return plain_loops.SearchTraining(trial, self.sizes, _draw(trial))

    def counts(self, trial: TrialSpec) -> Counts:
        """A convolution counts as the matmul of its patches; an update of SGD as one of Adam.

        When the architecture is updated no weight needs a gradient, and of the inputs only those of the last
        edge do, for the first one's place in the cell.
        """
        batch, channels = int(trial.task.values["batch_size"]), int(trial.task.values["width"])
        places = batch * self.sizes.side**2
        stem, edge = (9 * image_cell.COLOURS, channels), [(channels, channels), (9 * channels, channels)]
        maps = [stem, *edge * EDGES]
        search: list[Matmul] = [(places, inputs, outputs) for inputs, outputs in maps]
        search += [(places, outputs, inputs) for inputs, outputs in edge]
        head = (channels, CLASSES)
        noise, log, exp = sampling(trial.estimator, EDGES, OPERATIONS)
        return Counts(
            matmuls=(*dense(maps, places, without_gradient={0}), *dense([head], batch), *search),
            noise=noise + EDGES,
            log=log + 2 * batch,
            exp=exp + 2 * batch * CLASSES,
            updates=sum(inputs * outputs for inputs, outputs in maps)
            + _parameters([head])
            + EDGES * OPERATIONS,
        )


def _parameters(layers: list[tuple[int, int]]) -> int:
    """Weights and biases."""
    return sum(inputs * outputs + outputs for inputs, outputs in layers)


CASES = (
    Case(
        name="bernoulli-vae-200",
        task={"id": "prototype_bernoulli_vae", "batch_size": 100, "samples": 1},
        estimator={"id": "reinmax", "temperature": 1.1},
        lr=1e-3,
        lanes=4,
        setup=BernoulliVAE(
            sizes=bernoulli_vae.Sizes(
                pixels=784, hidden=200, upper=200, lower=200, train=6000, valid=500, test=500
            )
        ),
        warm_up=200,
    ),
    Case(
        name="tree-lstm-64",
        task={"id": "prototype_tree_lstm", "batch_size": 16, "hidden": 64},
        estimator={"id": "stgs", "temperature": 1.0},
        lr=1e-3,
        lanes=4,
        setup=TreeLSTM(sizes=tree_lstm.Sizes(shortest=20, longest=60, train=320, valid=32, test=32)),
        warm_up=WARM_UP,
        compiled=False,
    ),
    Case(
        name="search-cell-16",
        task={"id": "prototype_search_cell", "batch_size": 64, "width": 16},
        estimator={"id": "stgs", "temperature": 1.0},
        lr=1e-3,
        lanes=4,
        setup=SearchCell(sizes=image_cell.Sizes(side=16, train=640, valid=640, test=256)),
        warm_up=WARM_UP,
    ),
)
