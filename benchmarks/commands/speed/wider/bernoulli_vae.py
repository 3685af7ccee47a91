"""The Bernoulli VAE in its released protocol as a plain PyTorch program."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.commands.speed.reference_estimators import Sampler, one_hot_draw
from benchmarks.spec import TrialSpec
from benchmarks.tasks.info import Split

WIDTHS = (784, 200, 200)
"""Of the encoder's layers before the code, and of the decoder's after it."""
SLOPE = 0.3
"""Of the leaky ReLU."""
LOG_FLOOR = 1e-10
"""Added to probabilities inside the logarithms of the KL term."""

Images = DataLoader[tuple[Tensor, ...]]


class BernoulliVAE(nn.Module):
    """784 - 200 - 200 - L and its mirror image, with the released pairing of posterior and prior.

    Args:
        latents: L.
        passes: K, codes of an image in training; in an evaluation one is drawn.
        sample: logits ``(..., 2)``, that of "on" first, to one-hot samples with a gradient.
    """

    def __init__(self, latents: int, passes: int, sample: Sampler) -> None:
        super().__init__()
        self.passes, self.sample = passes, sample
        self.encoder = _perceptron(*WIDTHS, latents)
        self.decoder = _perceptron(latents, *WIDTHS[::-1])
        self.prior = nn.Parameter(torch.zeros(latents))

    def forward(self, x: Tensor) -> Tensor:
        """Mean -ELBO in nats of images ``(B, 784)`` of 0 and 1."""
        a = self.encoder(x)
        logits = torch.stack([a, 1 - a], -1)
        passes, sample = (self.passes, self.sample) if self.training else (1, one_hot_draw)
        bits = sample(logits.expand(passes, *logits.shape))[..., 0]
        pixels = self.decoder(bits)
        misfit = functional.binary_cross_entropy_with_logits(pixels, x.expand_as(pixels), reduction="sum")
        return (misfit / passes + self._kl(logits)) / len(x)

    def _kl(self, logits: Tensor) -> Tensor:
        """Summed over images and latents."""
        on = self.prior.sigmoid()
        prior = torch.cat([on, 1 - on]).view(-1, 2)
        q = logits.softmax(-1)
        return (q * ((q + LOG_FLOOR).log() - (prior + LOG_FLOOR).log())).sum()


class BernoulliVAETraining:
    """Training of one Bernoulli VAE.

    Args:
        trial: its parameters.
        images: grey values 0 to 255 as bytes ``(N, 784)``, by split.
        sample: the estimator.

    Raises:
        ValueError: the trial has another protocol than the released one.
    """

    def __init__(self, trial: TrialSpec, images: Mapping[Split, Tensor], sample: Sampler) -> None:
        values = trial.task.values
        if values["protocol"] != "released":
            raise ValueError(f"the plain loop has the released protocol, not {values['protocol']!r}")
        torch.manual_seed(trial.seed)
        self.model = BernoulliVAE(int(values["latents"]), int(values["samples"]), sample)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=trial.lr)
        grey = {split: part.float() / 255 for split, part in images.items()}
        size = int(values["batch_size"])
        self._train = _loader(grey["train"].bernoulli(), size, shuffle=True)
        self._grey = _loader(grey["train"], size)
        self._others = [_loader(grey[split].bernoulli(), size) for split in ("valid", "test")]

    def steps(self) -> Iterator[int]:
        """Train for ever, yielding 1 after every step; epochs end with a pass over all three splits."""
        while True:
            self.model.train()
            for (x,) in self._train:
                self.train_loss = self.step(x)
                yield 1
            self.losses = self.evaluations()

    def step(self, x: Tensor) -> float:
        """An update by images of 0 and 1; their loss before it."""
        loss = self.model(x)
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return float(loss.item())

    def evaluations(self) -> list[float]:
        """Mean -ELBO, one code an image: of training images that are drawn anew, of the other splits."""
        return [self._evaluate(self._grey, fresh=True), *map(self._evaluate, self._others)]

    @torch.no_grad()
    def _evaluate(self, images: Images, *, fresh: bool = False) -> float:
        """Of pixels, or with ``fresh`` of grey values by which they are drawn now."""
        self.model.eval()
        total, count = 0.0, 0
        for (x,) in images:
            total += self.model(x.bernoulli() if fresh else x).item() * len(x)
            count += len(x)
        return total / count


def _perceptron(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers[:-1])


def _loader(pixels: Tensor, size: int, *, shuffle: bool = False) -> Images:
    return DataLoader(TensorDataset(pixels), batch_size=size, shuffle=shuffle)
