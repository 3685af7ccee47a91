"""How the tasks of the wider field are set up, see :mod:`benchmarks.commands.speed.setups`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.commands.speed.floors import Counts, dense, sampling
from benchmarks.commands.speed.rates import Matmul
from benchmarks.commands.speed.reference_estimators import Sampler, sampler
from benchmarks.commands.speed.setups import SHARE, Training
from benchmarks.commands.speed.wider import bernoulli_vae, search, tree_lstm
from benchmarks.datasets import labelled, listops, nats_bench
from benchmarks.spec import TrialSpec
from benchmarks.tasks.bernoulli_vae.task import BernoulliVAE, split_images
from benchmarks.tasks.contract import Task
from benchmarks.tasks.gdas import images
from benchmarks.tasks.gdas.cells import EDGES, NODES, OPERATIONS
from benchmarks.tasks.gdas.network import STAGES, SuperNetwork
from benchmarks.tasks.gdas.sizes import side_of, source
from benchmarks.tasks.gdas.task import Gdas
from benchmarks.tasks.info import Split
from benchmarks.tasks.listops.reader import SYMBOLS, tokens
from benchmarks.tasks.listops.task import CLASSES, DROPOUT, ListOps, Sentences

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
SENTENCE_SHARE = 100
"""One sentence in so many is trained on and evaluated."""
SEARCHED = "fashion_mnist"
"""Images of the search, which stand in for CIFAR."""


def _draw(trial: TrialSpec) -> Sampler:
    return sampler(trial.estimator.id, trial.estimator.values)


def every_tenth_mnist() -> Mapping[Split, Tensor]:
    """MNIST, every tenth image of every split: as much evaluation for each step as all have.

    Raises:
        DatasetUnavailable, WrongChecksum: as :func:`benchmarks.datasets.loading.load`.
    """
    loaded = split_images({"dataset": "mnist"})
    return {split: loaded[split][::SHARE].contiguous() for split in SPLITS}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleasedVAE:
    """The Bernoulli VAE in its released protocol.

    Attributes:
        images: where they come from; called in every process.
    """

    images: Callable[[], Mapping[Split, Tensor]] = every_tenth_mnist

    def check(self) -> None:
        """Load the images once."""
        self.images()

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The task with these images."""
        return BernoulliVAE(trial.task.values, device=device, images=self.images())

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On a CPU."""
        return bernoulli_vae.BernoulliVAETraining(trial, self.images(), _draw(trial))

    def counts(self, trial: TrialSpec) -> Counts:
        """A pixel of each of K codes takes an exponential and a logarithm, a latent an exponential for its
        probability and two logarithms for the KL term.

        An image is encoded once and decoded K times. The prior is shared by all images, whose pixels are
        drawn before training.
        """
        values = trial.task.values
        batch, latents = int(values["batch_size"]), int(values["latents"])
        codes = batch * int(values["samples"])
        pixels, *hidden = bernoulli_vae.WIDTHS
        encoder = [(pixels, hidden[0]), (hidden[0], hidden[1]), (hidden[1], latents)]
        decoder = [(outputs, inputs) for inputs, outputs in reversed(encoder)]
        noise, log, exp = sampling(trial.estimator, codes * latents, 2)
        return Counts(
            matmuls=(*dense(encoder, batch, without_gradient={0}), *dense(decoder, codes)),
            noise=noise,
            log=log + codes * pixels + 2 * batch * latents,
            exp=exp + codes * pixels + batch * latents,
            updates=_parameters([*encoder, *decoder]) + latents,
        )


def every_hundredth_sentence() -> Sentences:
    """ListOps, every hundredth sentence of every split: as much evaluation for each step as all have.

    Raises:
        DatasetUnavailable, WrongChecksum: as :func:`benchmarks.datasets.listops.load`.
    """
    loaded = listops.load()
    return {split: loaded[split][::SENTENCE_SHARE] for split in SPLITS}


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
        return tree_lstm.TreeLSTMTraining(trial, self.sentences(), self.dropout, _draw(trial))

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
class Search:
    """The search on NATS-Bench's cells.

    Attributes:
        made_up: how many random images either split has, instead of those of the data set; 0: none.
    """

    made_up: int = 0

    def check(self) -> None:
        """Load the table of cells once, and the images unless they are made up."""
        nats_bench.load()
        if not self.made_up:
            labelled.load(SEARCHED)

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The registered one, or with random images."""
        return Gdas(trial.task.values, device=device, made_up=self._counts) if self.made_up else None

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On a CPU."""
        values = trial.task.values
        data = images.random(values, self._counts) if self.made_up else images.load(values, None)
        return search.SearchTraining(trial, data, _draw(trial))

    def counts(self, trial: TrialSpec) -> Counts:
        """A convolution counts as the matmul of its patches, an operation that is drawn uniformly as a fifth
        of it, an update of SGD as one of Adam; an image is varied by three random numbers.

        When the architecture is updated no weight needs a gradient, nor does what no operation precedes.
        """
        values, data = trial.task.values, source(trial.task.values)
        batch, channels, cells = (int(values[name]) for name in ("batch_size", "channels", "cells"))
        network = SuperNetwork(colours=data.colours, channels=channels, cells=cells, classes=data.classes)
        noise, log, exp = sampling(trial.estimator, len(EDGES), len(OPERATIONS))
        return Counts(
            matmuls=tuple(_convolutions(network, batch, side_of(values), full=values["network"] == "full")),
            noise=noise + len(EDGES) + 2 * 3 * batch,
            log=log + 2 * batch,
            exp=exp + 2 * batch * data.classes,
            updates=sum(math.prod(shape) for _, shape in network.shapes()) + len(EDGES) * len(OPERATIONS),
        )

    @property
    def _counts(self) -> Mapping[Split, int]:
        return {"train": self.made_up, "valid": self.made_up}


def _convolutions(network: SuperNetwork, batch: int, side: int, *, full: bool) -> list[Matmul]:
    """Of both updates of a step, those of the weights first in every layer."""
    stem, head = (9 * network.colours, network.channels), (STAGES[-1] * network.channels, network.classes)
    found = [*_both([stem], batch * side**2, first=True), *_both([head], batch)]
    for stage, multiple in enumerate(STAGES):
        width, places = multiple * network.channels, batch * (side >> stage) ** 2
        if stage:
            half = width // 2
            found += _both([(9 * half, width), (9 * width, width), (half, width)], places)
        edges = [(width, width), (9 * width, width)] * len(EDGES) * network.cells
        drawn = places // len(OPERATIONS)
        from_images = range(0 if stage else 2 * (NODES - 1))  # of the first cell, edges from its first node
        found += dense(edges, drawn)
        found += dense(edges, places if full else drawn, without_gradient=from_images, trained=False)
    return found


def _both(layers: list[tuple[int, int]], rows: int, *, first: bool = False) -> list[Matmul]:
    """A layer that both updates compute; the first one's inputs need no gradient."""
    without = {0} if first else set[int]()
    return [
        *dense(layers, rows, without_gradient=without),
        *dense(layers, rows, without_gradient=without, trained=False),
    ]


def _parameters(layers: list[tuple[int, int]]) -> int:
    """Weights and biases."""
    return sum(inputs * outputs + outputs for inputs, outputs in layers)
