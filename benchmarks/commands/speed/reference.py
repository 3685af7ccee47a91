"""The other side: one trial as a plain PyTorch program.

``nn.Module``, ``torch.optim.Adam`` with its defaults, a ``DataLoader`` over a ``TensorDataset``, autograd,
losses fetched with ``.item()`` at every step: what a researcher writes and runs, one process per trial. Both
tasks follow ``benchmarks.tasks`` and the papers named there: equal losses, batches and evaluations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.commands.speed.reference_estimators import Sampler, one_hot_draw
from benchmarks.datasets.loading import Images
from estimators.info import Value

PIXELS = 784


class CategoricalVAE(nn.Module):
    """784 - 512 - 256 - (L C) and its mirror image.

    Args:
        latents: L.
        categories: C.
        sample: logits to one-hot samples with a gradient.
    """

    def __init__(self, latents: int, categories: int, sample: Sampler) -> None:
        super().__init__()
        code = latents * categories
        self.latents, self.categories, self.sample = latents, categories, sample
        self.encoder = _perceptron(PIXELS, 512, 256, code)
        self.decoder = nn.Sequential(*_perceptron(code, 256, 512, PIXELS), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and KL of images ``(B, 784)``, both means over the minibatch in nats."""
        logits = self.encoder(x).view(-1, self.latents, self.categories)
        sample = self.sample if self.training else one_hot_draw
        pixels = self.decoder(sample(logits).flatten(1))
        bce = functional.binary_cross_entropy(pixels, x, reduction="sum") / len(x)
        q = logits.softmax(-1)
        kl = (q * (q + 1e-10).log()).sum() / len(x) + self.latents * math.log(self.categories)
        return bce, kl


class VAETraining:
    """Training of one VAE.

    Args:
        values: parameters of the task.
        images: training and test set.
        sample: the estimator.
        lr: of Adam.
        seed: of everything random.
        device: where it trains; minibatches go there one by one.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        images: Images,
        sample: Sampler,
        *,
        lr: float,
        seed: int,
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(seed)
        self._device = device
        size = int(values["batch_size"])
        self._examples, self._test_examples = len(images.train), len(images.test)
        self.model = CategoricalVAE(int(values["latents"]), int(values["categories"]), sample).to(device)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        self._train = DataLoader(TensorDataset(images.train.float() / 255), batch_size=size, shuffle=True)
        self._test = DataLoader(TensorDataset(images.test.float() / 255), batch_size=size)

    def steps(self) -> Iterator[int]:
        """Train for ever, epoch by epoch, yielding 1 after every step."""
        while True:
            yield from self.epoch()

    def epoch(self) -> Iterator[int]:
        """Steps of one epoch, 1 after each, then a pass over the test set."""
        total = 0.0
        self.model.train()
        for (x,) in self._train:
            total += self._step(x.to(self._device)) * len(x)
            yield 1
        self.train_loss = total / self._examples
        self.test_loss = self.evaluate()

    @property
    def losses(self) -> dict[str, float]:
        """Of the last epoch."""
        return {"train_loss": self.train_loss, "test_loss": self.test_loss}

    def _step(self, x: Tensor) -> float:
        bce, kl = self.model(x)
        loss = bce + kl
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return float(loss.item())

    @torch.no_grad()
    def evaluate(self) -> float:
        """Mean -ELBO of the test images, one draw each."""
        self.model.eval()
        total = 0.0
        for (x,) in self._test:
            bce, kl = self.model(x.to(self._device))
            total += (bce + kl).item() * len(x)
        return total / self._test_examples


class PolynomialTraining:
    """Training of one vector of logits theta ``(L, 2)``, targets c = 0.45.

    Args:
        values: parameters of the task.
        sample: the estimator.
        lr: of Adam.
        seed: of everything random.
        device: where it trains.
    """

    def __init__(
        self, values: Mapping[str, Value], sample: Sampler, *, lr: float, seed: int, device: str = "cpu"
    ) -> None:
        torch.manual_seed(seed)
        start = torch.empty(int(values["latents"]), 2).uniform_(-0.01, 0.01)
        self.theta = nn.Parameter(start.to(device))
        self._optimizer = torch.optim.Adam([self.theta], lr=lr)
        self._sample = sample
        self._batch_size, self._p = int(values["batch_size"]), float(values["p"])
        self._steps_per_epoch = int(values["steps_per_epoch"])

    def steps(self) -> Iterator[int]:
        """Train for ever, epoch by epoch, yielding 1 after every step."""
        while True:
            yield from self.epoch()

    def epoch(self) -> Iterator[int]:
        """Steps of one epoch, 1 after each, then the exact expected loss."""
        total = 0.0
        for _ in range(self._steps_per_epoch):
            total += self._step()
            yield 1
        self.train_loss = total / self._steps_per_epoch
        self.expected_loss = self.evaluate()

    @property
    def losses(self) -> dict[str, float]:
        """Of the last epoch."""
        return {"train_loss": self.train_loss, "expected_loss": self.expected_loss}

    def loss(self) -> Tensor:
        """Mean of |X_i - c|^p over copies and coordinates."""
        x = self._sample(self.theta.expand(self._batch_size, -1, -1))
        return (x[..., 0] - 0.45).abs().pow(self._p).mean()

    def _step(self) -> float:
        loss = self.loss()
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return float(loss.item())

    @torch.no_grad()
    def evaluate(self) -> float:
        """E[f] in closed form."""
        q = self.theta.double().softmax(-1)[:, 0]
        return float((q * 0.55**self._p + (1 - q) * 0.45**self._p).mean())


def _perceptron(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
