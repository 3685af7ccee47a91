"""The wider field of ``make bench``: the prototypes at the size of real tasks, without a must.

Read by ``python -m benchmarks.commands.speed --also tests.support.prototypes.speed_cases`` where the
prototypes are registered, which ``announced/`` on the path of modules does as an installed package would.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.commands.speed.cases import Case
from benchmarks.commands.speed.floors import Counts, dense, sampling
from benchmarks.commands.speed.rates import Matmul
from benchmarks.commands.speed.reference_estimators import sampler
from benchmarks.commands.speed.setups import Training
from benchmarks.datasets import listops
from benchmarks.spec import TrialSpec
from benchmarks.tasks.contract import Task
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops.reader import SYMBOLS, tokens
from benchmarks.tasks.listops.task import CLASSES, DROPOUT, ListOps, Sentences
from tests.support.prototypes import bernoulli_vae, image_cell, plain_loops
from tests.support.prototypes.infos import CLASSES as IMAGE_CLASSES
from tests.support.prototypes.infos import EDGES, OPERATIONS
from tests.support.prototypes.plain_loops import Draw

SHARE = 100
"""One sentence in so many is trained on and evaluated."""
WARM_UP = 10
"""Steps are long; a plain loop is soon as fast as it will be."""

_SPLITS: tuple[Split, ...] = ("train", "valid", "test")


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


def every_hundredth_sentence() -> Sentences:
    """ListOps, every hundredth sentence of every split: as much evaluation for each step as all have.

    Raises:
        DatasetUnavailable, WrongChecksum: as :func:`benchmarks.datasets.listops.load`.
    """
    loaded = listops.load()
    return {split: loaded[split][::SHARE] for split in _SPLITS}


@dataclass(frozen=True, kw_only=True, slots=True)
class TreeLSTM:
    """ListOps, read by tokens.

    Attributes:
        sentences: where they come from; called in every process.
        dropout: share of units that are dropped.
    """

    sentences: Callable[[], Sentences] = every_hundredth_sentence
    dropout: float = DROPOUT

    def check(self) -> None:
        """Load the sentences once."""
        self.sentences()

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The task with these sentences."""
        return ListOps(trial.task.values, device=device, sentences=self.sentences(), dropout=self.dropout)

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On a CPU."""
        return plain_loops.TreeLSTMTraining(trial, self.sentences(), self.dropout, _draw(trial))

    def counts(self, trial: TrialSpec) -> Counts:
        """A sentence of l symbols has l - 1 pairs of leaves, and two new ones after each of l - 2 merges.

        Every node but the root is multiplied with both halves of the map of pairs. Backwards, every pair is
        for the derivative of its score and for the weights, and every pair that became a node once more. All
        of a minibatch count as one matmul, although they have to be made one merge after the other. Symbols
        are looked up.
        """
        batch, width = int(trial.task.values["batch_size"]), int(trial.task.values["hidden"])
        lengths = [
            length
            for sentence in self.sentences()["train"]
            if (length := len(tokens(sentence.text))) <= int(trial.task.values["max_tokens"])
        ]
        leaves = round(batch * statistics.fmean(lengths))
        nodes, pairs, parents, choices, asked = (
            round(batch * statistics.fmean(map(number, lengths)))
            for number in (_nodes_below, _pairs, _parents, _choices, _choosable)
        )
        noise, log, exp = sampling(trial.estimator, choices, round(asked / choices))
        leaf, hidden, classes = (width, 4 * width), (width, width), (width, CLASSES)
        merges = ((nodes, width, 10 * width), *((n, 5 * width, 2 * width) for n in (pairs, parents)))
        return Counts(
            matmuls=(
                *dense([leaf, leaf], leaves),
                *merges,
                (5 * width, pairs, 2 * width),
                *dense([hidden, classes], batch),
            ),
            noise=noise + width * (leaves + 2 * batch),
            log=log,
            exp=exp + 5 * width * leaves + 6 * width * pairs,
            updates=width * (1 + len(SYMBOLS["token"]))
            + _parameters([leaf, leaf, (2 * width, 5 * width), hidden, classes]),
        )


def _nodes_below(length: int) -> int:
    """Nodes of a sentence that are a part of others."""
    return 2 * length - 2


def _pairs(length: int) -> int:
    """Pairs that a sentence ever has; one of two new ones is missing where the merge is at an end."""
    return max(3 * length - 5, length - 1)


def _parents(length: int) -> int:
    """Merges of a sentence."""
    return length - 1


def _choices(length: int) -> int:
    """Merges that are chosen: not the last."""
    return max(length - 2, 0)


def _choosable(length: int) -> int:
    """Pairs that there are in all these choices together."""
    return max(length * (length - 1) // 2 - 1, 0)


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
        head = (channels, IMAGE_CLASSES)
        noise, log, exp = sampling(trial.estimator, EDGES, OPERATIONS)
        return Counts(
            matmuls=(*dense(maps, places, without_gradient={0}), *dense([head], batch), *search),
            noise=noise + EDGES,
            log=log + 2 * batch,
            exp=exp + 2 * batch * IMAGE_CLASSES,
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
        name="listops-token",
        task={"id": "listops", "reader": "token"},
        estimator={"id": "stgs", "temperature": 1.0},
        lr=1e-3,
        lanes=4,
        setup=TreeLSTM(),
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
