r"""A VAE with two layers of Bernoulli latents on made-up grey images that are binarised at every use.

    -ELBO = KL(q(u|x) | p(u)) + E_u[ KL(q(l|u,x) | p(l|u)) + E_l[-ln p(x|l)] ],    u ~ q(u|x),  l ~ q(l|u,x)

The prior of u is learned, that of l given u is affine in u. The expectation over l is a call inside the
objective of the one over u.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.tasks.contract import Batch, Draw, Loss, Parameters, Phase, TaskBase, Variables
from benchmarks.tasks.info import Split
from estimators import NoiseSource, Value, bernoulli_pair
from tests.support.prototypes.infos import LOWER, PIXELS, UPPER, VAE_SPLITS
from tests.support.prototypes.layers import affine, aligned, initial, seeded

SLOPE = 0.3
"""Of the leaky ReLU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large model and data are; by default as the registry declares them.

    Attributes:
        pixels: of an image.
        hidden: width of the deterministic layers.
        upper, lower: latents of the two layers.
        train, valid, test: images of each split.
    """

    pixels: int = PIXELS
    hidden: int = 16
    upper: int = UPPER
    lower: int = LOWER
    train: int = VAE_SPLITS["train"]
    valid: int = VAE_SPLITS["valid"]
    test: int = VAE_SPLITS["test"]


class BernoulliVAE(TaskBase):
    """The task for given parameters.

    Args:
        values: ``batch_size, samples`` as the registry declares them.
        device: where images and parameters lie.
        data_dir: not read.
        dtype: of images and parameters.
        sizes: of model and data.
    """

    evaluated: tuple[Split, ...] = ("valid", "test")

    def __init__(
        self,
        values: Mapping[str, Value],
        *,
        device: torch.device,
        data_dir: Path | None = None,
        dtype: torch.dtype = torch.float32,
        sizes: Sizes = Sizes(),
    ) -> None:
        self._sizes = sizes
        self.splits = {"train": sizes.train, "valid": sizes.valid, "test": sizes.test}
        self.batch_size = int(values["batch_size"])
        self.steps_per_epoch = -(-self.splits["train"] // self.batch_size)
        self._samples = int(values["samples"])
        self._images = {
            split: grey_images(count, sizes.pixels, seed).to(device, dtype)
            for seed, (split, count) in enumerate(self.splits.items())
        }

    def init(self, noise: NoiseSource, lanes: int) -> Variables:
        """All weights uniform in +-1/sqrt(fan-in); the prior of u starts at 1/2."""
        like, s = self._images["train"], self._sizes
        layers = {
            "encoder": (s.pixels, s.hidden),
            "upper": (s.hidden, s.upper),
            "lower": (s.hidden + s.upper, s.lower),
            "prior": (s.upper, s.lower),
            "decoder": (s.lower, s.hidden),
            "pixels": (s.hidden, s.pixels),
        }
        model = initial(noise, lanes, layers, like=like)
        model["prior.upper"] = like.new_zeros(lanes, s.upper)
        return Variables(groups={"model": model})

    def batch(self, split: Split, index: Tensor, noise: NoiseSource, *, length: int | None) -> Tensor:
        """Pixels 0 or 1, ``(lanes, B, pixels)``, 1 with the grey value as probability."""
        grey = self._images[split][index]
        return (noise.uniform(grey.shape, dtype=grey.dtype, device=grey.device) < grey).to(grey.dtype)

    def loss(self, phase: Phase, variables: Variables, batch: Batch, draw: Draw) -> Loss:
        """Mean -ELBO of the minibatch."""
        loss = self._neg_elbo(variables, batch, draw).mean(-1)
        return Loss(loss=loss, metrics={"train_neg_elbo": loss.detach()}, weight=_pixels(batch).shape[1])

    def evaluate(self, split: Split, variables: Variables, batch: Batch, draw: Draw) -> Mapping[str, Tensor]:
        """-ELBO of every image."""
        return {f"{split}_neg_elbo": self._neg_elbo(variables, batch, draw)}

    def _neg_elbo(self, variables: Variables, batch: Batch, draw: Draw) -> Tensor:
        """``(lanes, B)``."""
        model, x = variables.groups["model"], _pixels(batch)
        hidden = functional.leaky_relu(affine(model, "encoder", x), SLOPE)
        upper = affine(model, "upper", hidden)

        def below(pairs: Tensor) -> Tensor:
            return _below(model, x, hidden, pairs, draw)

        kl = _kl(upper, model["prior.upper"].unsqueeze(1))
        return kl + draw.expect("upper", bernoulli_pair(upper), below, passes=self._samples)


def _below(model: Parameters, x: Tensor, hidden: Tensor, pairs: Tensor, draw: Draw) -> Tensor:
    """What depends on u, ``(lanes, K, B, 3, 2) -> (lanes, K, B)``."""
    u = pairs[..., 1]
    given = torch.cat([aligned(hidden, u).expand(*u.shape[:-1], -1), u], -1)
    lower = affine(model, "lower", given)

    def misfit(pairs: Tensor) -> Tensor:
        """-ln p(x|l), ``(lanes, J, K, B, 4, 2) -> (lanes, J, K, B)``."""
        inner = functional.leaky_relu(affine(model, "decoder", pairs[..., 1]), SLOPE)
        pixels = affine(model, "pixels", inner)
        return (functional.softplus(pixels) - aligned(x, pixels) * pixels).sum(-1)

    return _kl(lower, affine(model, "prior", u)) + draw.expect("lower", bernoulli_pair(lower), misfit)


def _kl(posterior: Tensor, prior: Tensor) -> Tensor:
    """KL of Bernoulli variables with these logits, summed over the last axis.

    With q = sigmoid(a) and ln(1 - q) = -softplus(a): KL = q (a - b) - softplus(a) + softplus(b).
    """
    q = posterior.sigmoid()
    return (q * (posterior - prior) - functional.softplus(posterior) + functional.softplus(prior)).sum(-1)


def _pixels(batch: Batch) -> Tensor:
    assert isinstance(batch, Tensor)
    return batch


def grey_images(count: int, pixels: int, seed: int) -> Tensor:
    """Grey images ``(count, pixels)``: one of two stripe patterns, faint or strong."""
    generator = seeded(seed)
    stripes = torch.arange(pixels) % torch.randint(2, 4, (count, 1), generator=generator) == 0
    strength = 0.3 + 0.15 * torch.rand(count, 1, generator=generator)
    return 0.5 + torch.where(stripes, strength, -strength)
