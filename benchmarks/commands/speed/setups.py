"""How the task of a case is set up: for us, for the plain loop beside us, and for the count of its floor.

A task that is to be measured brings a :class:`Setup` and names it in its cases; nothing else here knows
tasks by their names.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from benchmarks.commands.speed.floors import Counts, dense, sampling
from benchmarks.commands.speed.reference import PolynomialTraining, VAETraining
from benchmarks.commands.speed.reference_estimators import sampler
from benchmarks.datasets import loading
from benchmarks.datasets.loading import Images
from benchmarks.spec import TrialSpec
from benchmarks.tasks.categorical_vae.task import CategoricalVAE
from benchmarks.tasks.contract import Task
from estimators.info import Value

SHARE = 10
"""The VAE cases train on every tenth image and test on every tenth, which keeps the published proportion of
evaluation to training while making epochs shorter than a round."""

_ENCODER = (784, 512, 256)


class Training(Protocol):
    """One trial as a plain PyTorch program."""

    def steps(self) -> Iterator[int]:
        """Train for ever, yielding 1 after every step; evaluations are part of the step after them."""


class Setup(Protocol):
    """What a case knows of its task. It is sent to other processes, so that it has to be picklable."""

    def check(self) -> None:
        """Look for the data before any process is started.

        Raises:
            DatasetUnavailable: they are not there and cannot be fetched.
            WrongChecksum: they are not what they should be.
        """

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """What our side trains; ``None``: the registered task of the trial."""

    def training(self, trial: TrialSpec, device: str) -> Training:
        """What the other side does."""

    def counts(self, trial: TrialSpec) -> Counts:
        """What a step has to compute."""


def every_tenth_image() -> Images:
    """MNIST, every tenth training and every tenth test image.

    Raises:
        DatasetUnavailable: as :func:`benchmarks.datasets.loading.load`.
        WrongChecksum: likewise.
    """
    images = loading.load("mnist")
    return Images(train=images.train[::SHARE].contiguous(), test=images.test[::SHARE].contiguous())


@dataclass(frozen=True, kw_only=True, slots=True)
class VAE:
    """The categorical VAE.

    Attributes:
        images: where they come from; called in every process.
    """

    images: Callable[[], Images] = every_tenth_image

    def check(self) -> None:
        """Load the images once."""
        self.images()

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """With these images."""
        return CategoricalVAE(trial.task.values, device=device, images=self.images())

    def training(self, trial: TrialSpec, device: str) -> Training:
        """On the same images."""
        sample = sampler(trial.estimator.id, trial.estimator.values)
        return VAETraining(
            trial.task.values, self.images(), sample, lr=trial.lr, seed=trial.seed, device=device
        )

    def counts(self, trial: TrialSpec) -> Counts:
        """A pixel's loss and its gradient take an exponential and a logarithm, a softmax an exponential a
        category, the KL term a logarithm.

        The code is one-hot: the decoder's first layer picks columns of its weights, and the gradient of these
        adds to the columns picked; only the gradient of the code is a matmul.
        """
        values = trial.task.values
        layers, batch = _layers(values), int(values["batch_size"])
        latents, categories = int(values["latents"]), int(values["categories"])
        noise, log, exp = sampling(trial.estimator, batch * latents, categories)
        numbers = batch * (_ENCODER[0] + latents * categories)
        code = len(_ENCODER)
        return Counts(
            matmuls=dense(layers, batch, without_gradient={0}, picked={code}),
            noise=noise,
            log=log + numbers,
            exp=exp + numbers,
            updates=sum(inputs * outputs + outputs for inputs, outputs in layers),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Polynomial:
    """The polynomial task."""

    def check(self) -> None:
        """There is no data."""

    def task(self, trial: TrialSpec, device: torch.device) -> Task | None:
        """The registered one."""
        return None

    def training(self, trial: TrialSpec, device: str) -> Training:
        """Of one vector of logits."""
        sample = sampler(trial.estimator.id, trial.estimator.values)
        return PolynomialTraining(trial.task.values, sample, lr=trial.lr, seed=trial.seed, device=device)

    def counts(self, trial: TrialSpec) -> Counts:
        """The samples and their surrogates, and an update of the logits."""
        values = trial.task.values
        latents = int(values["latents"])
        noise, log, exp = sampling(trial.estimator, int(values["batch_size"]) * latents, 2)
        return Counts(matmuls=(), noise=noise, log=log, exp=exp, updates=2 * latents)


def _layers(values: Mapping[str, Value]) -> list[tuple[int, int]]:
    """(inputs, outputs) of the layers of the VAE."""
    encoder = (*_ENCODER, int(values["latents"]) * int(values["categories"]))
    return [*itertools.pairwise(encoder), *itertools.pairwise(encoder[::-1])]
